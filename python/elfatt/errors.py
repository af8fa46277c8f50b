# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The one exception type users see."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import Optional, Tuple


class Error(Exception):
    """An error in what the user gave, with its place where one is known.

    Attributes:
        message: one or more lines, lowercase, no final period.
        location: ``(file, line, column)``, line and column counted from 1, or None.
    """

    def __init__(
        self, message: str, location: Optional[Tuple[str, int, int]] = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.location = location

    def __str__(self) -> str:
        if self.location is None:
            return self.message
        file, line, column = self.location
        return f"{file}:{line}:{column}: error: {self.message}"


def place_of(
    trace: Optional[TracebackType], skip: Tuple[str, ...] = ()
) -> Optional[Tuple[str, int, int]]:
    """Finds the user's line an exception came from.

    Args:
        trace: ``exception.__traceback__``.
        skip: folders whose frames are not the user's, as ``/``-terminated prefixes.

    Returns:
        The innermost frame outside of ``skip`` as (file, line, column), or None.
    """
    for frame in reversed(traceback.extract_tb(trace)):
        if frame.filename.startswith("<") or frame.filename.startswith(skip):
            continue
        # colno (Python 3.11) counts from 0; 3.10 has none.
        column = getattr(frame, "colno", None)
        return (
            shown_path(frame.filename),
            frame.lineno or 1,
            1 if column is None else column + 1,
        )
    return None


def shown_path(file: str) -> str:
    """A path as a reader wants it: relative to site-packages or to the current
    directory where it lies below one of them, so that a module does not carry
    the layout of the machine it was imported on."""
    path = Path(file)
    for marker in ("site-packages", "dist-packages"):
        if marker in path.parts:
            return "/".join(path.parts[path.parts.index(marker) + 1 :])
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return file
