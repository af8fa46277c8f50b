# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runtime's C API by ctypes, as an embedder without our tools calls it."""

from __future__ import annotations

import ctypes
import subprocess
from ctypes import c_int64, c_void_p
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import numpy as np
from elfatt import runtime
from elfatt.runtime import Tensor, make_tensor

OK, BAD_ARGUMENT, BAD_BUNDLE, NOT_SUPPORTED = 0, 1, 2, 3
NO_MEMORY, NO_DEVICE, DEVICE_ERROR, RUN_FAILED = 4, 5, 6, 7

_BY_DTYPE = {
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "int32": "i32",
    "int64": "i64",
    "bool": "i1",
    "uint16": "bf16",
}


BODY = ctypes.CFUNCTYPE(None, c_void_p, c_int64, c_int64)
PARALLEL_FOR = ctypes.CFUNCTYPE(None, c_void_p, c_int64, BODY, c_void_p)


def tensor(
    array: np.ndarray,
    element: Optional[str] = None,
    shape: Optional[Sequence[int]] = None,
    strides: Optional[Sequence[int]] = None,
    data: Optional[int] = None,
) -> Tensor:
    """An elfatt_tensor on the memory of ``array``; it keeps that alive."""
    result = make_tensor(
        array.ctypes.data if data is None else data,
        element or _BY_DTYPE[array.dtype.name],
        array.shape if shape is None else shape,
        strides,
    )
    result.keep = array
    return result


class Failure(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} (status {status})")
        self.status, self.message = status, message


class Runtime(runtime.Runtime):
    """One loaded libelfatt_runtime.so, whose failures have their status."""

    def check(self, status: int) -> None:
        message = self.library.elfatt_message().decode()
        assert bool(message) == (status != OK), (status, message)
        if status != OK:
            raise Failure(status, message)

    def open(self, path: Any, target: Optional[str] = None) -> "Bundle":
        return Bundle(str(path), target, self)


class Bundle(runtime.Bundle):
    def output_shape(self, inputs: Sequence[Tensor], i: int) -> list[int]:
        return self.find().get_output_shape(inputs, i)

    def workspace(self, inputs: Sequence[Tensor]) -> int:
        return self.find().get_workspace(inputs)

    def run_tensors(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        workspace: Optional[int] = None,
        workspace_bytes: int = 0,
        stream: Optional[int] = None,
    ) -> None:
        self.find().run(inputs, outputs, workspace, workspace_bytes, stream)

    def prepare(
        self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> Callable[[int, int, int], None]:
        """run(workspace, its bytes, stream) on these arrays, with little Python in
        between."""
        function, run = self.find().handle, self.library.elfatt_run
        arrays = (Tensor * len(inputs))(*inputs), (Tensor * len(outputs))(*outputs)
        keep = (list(inputs), list(outputs))

        def call(workspace: int, workspace_bytes: int, stream: int) -> None:
            status = run(
                function, arrays[0], len(keep[0]), arrays[1], len(keep[1]),
                c_void_p(workspace), c_int64(workspace_bytes), c_void_p(stream),
            )  # fmt: skip
            if status != OK:
                self.runtime.check(status)

        return call

    def run(self, inputs: Sequence[np.ndarray], *outputs: np.ndarray) -> None:
        """Runs main on dense arrays."""
        self.run_tensors([tensor(a) for a in inputs], [tensor(a) for a in outputs])


def compile_bundle(tool: str, text: str, folder: Path, *options: str) -> Path:
    """Compiles MLIR to ``folder/bundle``."""
    (folder / "model.mlir").write_text(text)
    result = subprocess.run(
        [tool, "model.mlir", "-o", "bundle", *options],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return folder / "bundle"
