# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Front ends: each turns one kind of SOURCE into an MLIR module.

A front end is one module of this package with an entry in ``FRONT_ENDS``. It is
loaded when a SOURCE of its kind comes, so that the packages it needs are needed
by nobody else.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Callable, Mapping, Optional, Protocol, Sequence, Tuple

import numpy

from elfatt.errors import Error

Progress = Callable[[str], None]
"""Is told the name of each long step as it begins."""


@dataclass(frozen=True)
class ImportOptions:
    """What a user can ask of an import.

    Attributes:
        dynamic: pairs (argument, dimension) whose size stays open.
        want_outputs: also run the source model on the example inputs.
        progress: told the name of each long step as it begins.
    """

    dynamic: Sequence[Tuple[int, int]] = ()
    want_outputs: bool = False
    progress: Progress = field(default=lambda step: None)


class ByteSink(Protocol):
    """Anything bytes can be written to."""

    def write(self, data: bytes) -> object: ...


class Imported(Protocol):
    """An imported module.

    Attributes:
        inputs: ``arg0``, ``arg1``, ...: the example inputs (bf16 as uint16 bits).
        outputs: ``out0``, ...: what the source model makes of them; empty unless
            ``ImportOptions.want_outputs``.
    """

    inputs: Mapping[str, numpy.ndarray]
    outputs: Mapping[str, numpy.ndarray]

    def text(self) -> str:
        """The module as text with locations."""
        ...

    def write(self, sink: ByteSink) -> None:
        """Writes ``text()`` without holding all of it in memory."""
        ...


@dataclass(frozen=True)
class FrontEnd:
    """One kind of SOURCE.

    Attributes:
        kind: short name, for messages.
        module: the Python module with ``import_source(source, options)``, or None
            while this front end is not built.
        accepts: whether a SOURCE is of this kind, by its spelling alone.
    """

    kind: str
    module: Optional[str]
    accepts: Callable[[str], bool]


def _has_suffix(*suffixes: str) -> Callable[[str], bool]:
    return lambda source: source.lower().endswith(suffixes)


# The torch kind is last: "C:\\x.onnx" and "a:b.mlir" have a colon, too.
FRONT_ENDS: Tuple[FrontEnd, ...] = (
    FrontEnd("onnx", None, _has_suffix(".onnx")),
    FrontEnd(
        "stablehlo",
        None,
        _has_suffix(".stablehlo", ".mlir", ".mlirbc", ".stablehlo.bc"),
    ),
    FrontEnd(
        "torch", "elfatt.importer.torch_frontend", lambda source: ":" in source
    ),
)


def front_end_of(source: str, kind: Optional[str] = None) -> FrontEnd:
    """The front end for a SOURCE, by its spelling or by ``kind``.

    Raises:
        Error: no front end takes it, or the one that does is not built yet.
    """
    for front_end in FRONT_ENDS:
        if front_end.kind != kind and (kind or not front_end.accepts(source)):
            continue
        if front_end.module is None:
            raise Error(
                f"the {front_end.kind} front end is not built yet, so '{source}' "
                "cannot be imported; PyTorch modules (package.module:callable) can"
            )
        return front_end
    raise Error(
        f"expected SOURCE to be package.module:callable, FILE.onnx or "
        f"FILE.stablehlo, got '{source}'"
    )


def import_source(
    source: str,
    options: ImportOptions = ImportOptions(),
    kind: Optional[str] = None,
) -> Imported:
    """Imports a SOURCE of any kind.

    Raises:
        Error: the source is bad, or its front end is not built yet.
    """
    front_end = front_end_of(source, kind)
    assert front_end.module is not None
    return importlib.import_module(front_end.module).import_source(source, options)
