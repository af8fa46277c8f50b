# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Output files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from typing import Optional

from elfatt.errors import Error


class OutputFile:
    """A file being written beside its final place.

    ``path`` is where to write; ``commit`` renames it to its final name, ``discard``
    removes it. A target that is no regular file (a pipe, a device) is written in
    place, since renaming over it would replace it.

    Raises:
        Error: the target cannot be written to, known before any long step.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        # Renaming over a symbolic link would replace the link.
        self._final = os.path.realpath(target)
        self._temporary: Optional[str] = None
        try:
            if os.path.isdir(self._final):
                raise IsADirectoryError(0, "is a directory")
            if _is_special(self._final):
                os.close(os.open(self._final, os.O_WRONLY))
                self.path = self._final
                return
            folder, name = os.path.split(self._final)
            descriptor, self.path = tempfile.mkstemp(
                dir=folder, prefix=f".{name}.", suffix=".tmp"
            )
            self._temporary = self.path
            os.fchmod(descriptor, _mode_for(self._final))
            os.close(descriptor)
        except OSError as error:
            self.discard()
            raise Error(f"cannot write '{target}': {error.strerror}") from None

    def commit(self) -> None:
        """Gives the file its final name."""
        if self._temporary is None:
            return
        try:
            os.replace(self._temporary, self._final)
        except OSError as error:
            raise Error(f"cannot write '{self.target}': {error.strerror}") from None
        self._temporary = None

    def discard(self) -> None:
        """Removes what was written; does nothing after ``commit``."""
        if self._temporary is not None:
            try:
                os.unlink(self._temporary)
            except OSError:
                pass
            self._temporary = None


def _is_special(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _mode_for(path: str) -> int:
    """Permissions of the file that is replaced, or what ``open`` would give."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
