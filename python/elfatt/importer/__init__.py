# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Front ends: each turns one kind of SOURCE into an MLIR module.

A front end is one module of this package with an entry in ``FRONT_ENDS``. It is
loaded when a SOURCE of its kind comes, so that the packages it needs are needed
by nobody else.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Callable, Mapping, Protocol, Sequence, Tuple

import numpy

from elfatt.errors import Error

Progress = Callable[[str], None]
"""Is told the name of each long step as it begins."""


@dataclass(frozen=True)
class ImportOptions:
    """What a user can ask of an import.

    Attributes:
        dynamic: PyTorch: pairs (argument, dimension) whose size stays open.
        sizes: ONNX: sizes of open dimensions, by ``parameter`` or ``input:dimension``.
        static: ONNX: refuse a model with an open dimension.
        inputs: ONNX and StableHLO: example inputs by ``argN`` or by name; what is not
            given is random.
        want_inputs: make example inputs, where the source brings none.
        want_outputs: also run the source model on the example inputs.
        progress: told the name of each long step as it begins.
    """

    dynamic: Sequence[Tuple[int, int]] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    static: bool = False
    inputs: Mapping[str, numpy.ndarray] = field(default_factory=dict)
    want_inputs: bool = False
    want_outputs: bool = False
    progress: Progress = field(default=lambda step: None)

    def refuse(self, source: str, *names: str) -> None:
        """Refuses options that mean nothing for a kind of SOURCE.

        Raises:
            Error: one of them is set; the text has its command line spelling.
        """
        for name in names:
            if getattr(self, name):
                raise Error(f"--{_OPTIONS.get(name, name)} is not for {source}")


_OPTIONS = {"sizes": "dim"}


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
        module: the Python module with ``import_source(source, options)``.
        accepts: whether a SOURCE is of this kind.
    """

    kind: str
    module: str
    accepts: Callable[[str], bool]


def _is_onnx(source: str) -> bool:
    return source.lower().endswith(".onnx")


def _is_stablehlo(source: str) -> bool:
    return source.lower().endswith((".stablehlo", ".shlo", ".mlir", ".mlirbc", ".bc"))


# "C:\\x.onnx" and "a:b.mlir" have a colon, too: the callable is last.
FRONT_ENDS: Tuple[FrontEnd, ...] = (
    FrontEnd("onnx", "elfatt.importer.onnx_frontend", _is_onnx),
    FrontEnd("stablehlo", "elfatt.importer.stablehlo_frontend", _is_stablehlo),
    FrontEnd("python", "elfatt.importer.python_frontend", lambda source: ":" in source),
)


def front_end_of(source: str) -> FrontEnd:
    """The front end for a SOURCE, by its spelling.

    Raises:
        Error: no front end takes it.
    """
    for front_end in FRONT_ENDS:
        if front_end.accepts(source):
            return front_end
    raise Error(
        "expected SOURCE to be package.module:callable, FILE.onnx, FILE.stablehlo or "
        f"FILE.mlir, got '{source}'"
    )


def import_source(source: str, options: ImportOptions = ImportOptions()) -> Imported:
    """Imports a SOURCE of any kind.

    Raises:
        Error: the source is bad.
    """
    module = front_end_of(source).module
    return importlib.import_module(module).import_source(source, options)
