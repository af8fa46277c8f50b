# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finds the compiler's own binaries and libraries, and LLVM 22's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Iterator, Optional

from elfatt.errors import Error


def _folders() -> Iterator[Path]:
    configured = os.environ.get("ELFATT_BIN")
    if configured:
        yield Path(configured)
    # The package is installed editable: its parent's parent is the repository.
    yield Path(__file__).resolve().parents[2] / "build" / "bin"


def find_tool(name: str) -> Optional[str]:
    """Path of one of our tools (``elfatt-opt``, ...), or None.

    Looked for in ``$ELFATT_BIN``, then ``build/bin`` of this repository, then
    ``PATH``.
    """
    for folder in _folders():
        found = shutil.which(name, path=str(folder))
        if found:
            return found
    return shutil.which(name)


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
            "found neither elfatt-opt (in $ELFATT_BIN, build/bin or PATH) nor "
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
            f"found no {name} in $ELFATT_BIN, build/bin or PATH: it is not built"
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
