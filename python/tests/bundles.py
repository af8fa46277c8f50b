# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runtime's C API by ctypes, as an embedder without our tools calls it."""

from __future__ import annotations

import ctypes
import os
import subprocess
from ctypes import byref, c_char_p, c_int64, c_void_p
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import numpy as np
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


class Runtime:
    """One loaded libelfatt_runtime.so."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path, mode=os.RTLD_LOCAL)
        self.library.elfatt_message.restype = c_char_p
        self.library.elfatt_bundle_close.argtypes = [c_void_p]

    def check(self, status: int) -> None:
        message = self.library.elfatt_message().decode()
        assert bool(message) == (status != OK), (status, message)
        if status != OK:
            raise Failure(status, message)

    def open(self, path: Any, target: Optional[str] = None) -> "Bundle":
        handle = c_void_p()
        name = None if target is None else target.encode()
        self.check(
            self.library.elfatt_bundle_open(str(path).encode(), name, byref(handle))
        )
        return Bundle(self, handle)


class Bundle:
    def __init__(self, runtime: Runtime, handle: c_void_p) -> None:
        self.runtime, self.handle = runtime, handle
        self.library = runtime.library

    def close(self) -> None:
        self.library.elfatt_bundle_close(self.handle)
        self.handle = None

    @property
    def target(self) -> str:
        name = c_char_p()
        self.runtime.check(self.library.elfatt_bundle_target(self.handle, byref(name)))
        assert name.value is not None
        return name.value.decode()

    def find(self, name: str = "main") -> c_void_p:
        function = c_void_p()
        self.runtime.check(
            self.library.elfatt_bundle_find(self.handle, name.encode(), byref(function))
        )
        return function

    def output_shape(self, inputs: Sequence[Tensor], i: int, rank: int) -> list[int]:
        shape = (c_int64 * max(1, rank))()
        self.runtime.check(
            self.library.elfatt_function_output_shape(
                self.find(), (Tensor * len(inputs))(*inputs), len(inputs), i, shape
            )
        )
        return list(shape)[:rank]

    def workspace(self, inputs: Sequence[Tensor]) -> int:
        bytes = c_int64()
        self.runtime.check(
            self.library.elfatt_function_workspace(
                self.find(), (Tensor * len(inputs))(*inputs), len(inputs), byref(bytes)
            )
        )
        return bytes.value

    def run_tensors(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        workspace: Optional[int] = None,
        workspace_bytes: int = 0,
        stream: Optional[int] = None,
    ) -> None:
        self.runtime.check(
            self.library.elfatt_run(
                self.find(),
                (Tensor * max(1, len(inputs)))(*inputs),
                len(inputs),
                (Tensor * max(1, len(outputs)))(*outputs),
                len(outputs),
                c_void_p(workspace),
                c_int64(workspace_bytes),
                c_void_p(stream),
            )
        )

    def prepare(
        self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> Callable[[int, int, int], None]:
        """run(workspace, its bytes, stream) on these arrays, with little Python in
        between."""
        function, run = self.find(), self.library.elfatt_run
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
