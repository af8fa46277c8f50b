# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finds the compiler's own binaries and libraries, and LLVM 22's."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Iterator, NoReturn, Optional

from elfatt.errors import Error

_PACKAGE = Path(__file__).resolve().parent


def _folders() -> Iterator[str]:
    configured = os.environ.get("ELFATT_BIN")
    if configured:
        yield configured
    # `pip install` puts the tools into the package. Where it is installed editable, its
    # parent's parent is the repository.
    yield str(_PACKAGE / "bin")
    yield str(_PACKAGE.parents[1] / "build" / "bin")


def _asks_here(path: str) -> bool:
    """Whether it is a command that pip wrote for ``main``."""
    try:
        with open(path, "rb") as file:
            return b"from elfatt.tools import main" in file.read(1024)
    except OSError:  # It may be executed, but not read.
        return False


def find_tool(name: str) -> Optional[str]:
    """Path of one of our tools (``elfatt-opt``, ...), or None.

    Looked for in ``$ELFATT_BIN``, in the package, then in ``build/bin`` of this
    repository, then in ``PATH``.
    """
    for folder in _folders():
        found = shutil.which(name, path=folder)
        if found:
            return found
    for folder in os.get_exec_path():
        found = shutil.which(name, path=folder)
        if found and not _asks_here(found):
            return found
    return None


def main() -> NoReturn:
    """The commands that pip writes: each becomes the tool of its name."""
    try:
        tool = require_tool(Path(sys.argv[0]).name)
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    os.execv(tool, [tool, *sys.argv[1:]])


def find_opt() -> str:
    """``elfatt-opt``, or else an ``mlir-opt`` of LLVM 22.

    Raises:
        Error: there is neither.
    """
    found = (
        find_tool("elfatt-opt")
        or shutil.which("mlir-opt-22")
        or shutil.which("mlir-opt", path="/usr/lib/llvm-22/bin")
    )
    if found is None:
        raise Error(
            "found neither elfatt-opt (in $ELFATT_BIN, the package, build/bin or PATH) nor "
            "mlir-opt of LLVM 22; scripts/setup.sh installs the latter"
        )
    return found


def require_tool(name: str) -> str:
    """Path of one of our tools.

    Raises:
        Error: it is not there.
    """
    found = find_tool(name)
    if found is None:
        raise Error(
            f"found no {name} in $ELFATT_BIN, the package, build/bin or PATH: it is not "
            "built"
        )
    return found


def find_runtime() -> str:
    """Path of ``libelfatt_runtime.so``, in the ``lib`` beside the tools' folder.

    Raises:
        Error: it is not there.
    """
    library = (
        Path(require_tool("elfatt-compile")).resolve().parents[1]
        / "lib"
        / "libelfatt_runtime.so"
    )
    if not library.is_file():
        raise Error(f"found no '{library}': it is not built")
    return str(library)
