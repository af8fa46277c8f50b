# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runtime's C API (``elfatt/Runtime.h``) by ctypes: bundles and their functions.

Calls release the interpreter's lock, and may come from several threads.
"""

from __future__ import annotations

import ctypes
import os
import threading
from ctypes import POINTER, byref, c_char_p, c_int32, c_int64, c_void_p
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from elfatt.errors import Error
from elfatt.tools import find_runtime

ELEMENTS = {
    "f16": 1,
    "bf16": 2,
    "f32": 3,
    "f64": 4,
    "i8": 5,
    "i16": 6,
    "i32": 7,
    "i64": 8,
    "i1": 9,
}
"""elfatt_element by the name that MLIR has for the type; i1 is a byte, 0 or 1."""

_NAMES = {code: name for name, code in ELEMENTS.items()}


class TensorType(NamedTuple):
    """What a function takes or gives.

    Attributes:
        element: the name of the elements' type, as in ``ELEMENTS``.
        shape: extents; None for one that is not fixed.
    """

    element: str
    shape: Tuple[Optional[int], ...]

    def __str__(self) -> str:
        extents = ("?" if e is None else str(e) for e in self.shape)
        return "x".join((*extents, self.element))


class Tensor(ctypes.Structure):
    """elfatt_tensor: an array in somebody else's memory."""

    _fields_ = [
        ("data", c_void_p),
        ("element", c_int32),
        ("rank", c_int32),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
    ]


class _Type(ctypes.Structure):
    _fields_ = [("element", c_int32), ("rank", c_int32), ("shape", POINTER(c_int64))]


def make_tensor(
    data: Optional[int],
    element: str,
    shape: Sequence[int],
    strides: Optional[Sequence[int]] = None,
) -> Tensor:
    """An elfatt_tensor on memory that somebody else keeps alive, a GPU's too.

    Args:
        strides: in elements; None: row-major without gaps.
    """
    result = Tensor(data, ELEMENTS[element], len(shape), _extents(shape))
    if strides is not None:
        result.strides = _extents(strides)
    return result


def _extents(values: Sequence[int]) -> Any:
    # The cast keeps the array alive, and the structure what it is assigned.
    array = (c_int64 * max(1, len(values)))(*values)
    return ctypes.cast(array, POINTER(c_int64))


def _pack(tensors: Sequence[Tensor]) -> Any:
    return (Tensor * max(1, len(tensors)))(*tensors)


class Runtime:
    """One loaded libelfatt_runtime.so.

    Raises:
        Error: the library is not there, or is none.
    """

    def __init__(self, path: str) -> None:
        try:
            self.library = ctypes.CDLL(path, mode=os.RTLD_LOCAL)
            self.library.elfatt_message.restype = c_char_p
        except (OSError, AttributeError) as error:
            raise Error(f"cannot load the runtime: {error}") from None
        self.library.elfatt_bundle_close.argtypes = [c_void_p]

    def check(self, status: int) -> None:
        """Raises what the last call of this thread says was wrong."""
        if status != 0:
            raise Error(self.library.elfatt_message().decode())


_loaded: Optional[Runtime] = None
_loading = threading.Lock()


def get_runtime() -> Runtime:
    """The process's runtime: of the folder that the tools are found in.

    Raises:
        Error: it is not built.
    """
    global _loaded
    with _loading:
        if _loaded is None:
            _loaded = Runtime(find_runtime())
        return _loaded


def set_threads(threads: int) -> None:
    """Sets how many threads run compiled loops on the CPU, the caller included; 0
    means all the cores that the process may use. Not while a function runs. The
    results' bits do not depend on it."""
    if threads < 0:
        raise Error(f"expected a number of threads, got {threads}")
    get_runtime().library.elfatt_set_threads(c_int32(threads))


class Bundle:
    """An open bundle; ``runtime`` is the process's unless it is another.

    Raises:
        Error: it is malformed, or has no code for this machine.
    """

    def __init__(
        self,
        path: str,
        target: Optional[str] = None,
        runtime: Optional[Runtime] = None,
    ) -> None:
        self.runtime = runtime or get_runtime()
        self.library = self.runtime.library
        self.handle = c_void_p()
        self.runtime.check(
            self.library.elfatt_bundle_open(
                os.fsencode(path),
                None if target is None else target.encode(),
                byref(self.handle),
            )
        )

    def close(self) -> None:
        """Not while a function runs."""
        self.library.elfatt_bundle_close(self.handle)
        self.handle = c_void_p()

    @property
    def target(self) -> str:
        name = c_char_p()
        self.runtime.check(self.library.elfatt_bundle_target(self.handle, byref(name)))
        return (name.value or b"").decode()

    def find(self, name: str = "main") -> "Function":
        function = c_void_p()
        self.runtime.check(
            self.library.elfatt_bundle_find(self.handle, name.encode(), byref(function))
        )
        return Function(self.runtime, function)


class Function:
    """A function of a bundle; it lives as long as its bundle."""

    def __init__(self, runtime: Runtime, handle: c_void_p) -> None:
        self.runtime, self.handle = runtime, handle
        self.library = runtime.library
        inputs, outputs = c_int32(), c_int32()
        runtime.check(
            self.library.elfatt_function_counts(handle, byref(inputs), byref(outputs))
        )
        read = self._read_type
        self.inputs = [
            read(self.library.elfatt_function_input, i) for i in range(inputs.value)
        ]
        self.outputs = [
            read(self.library.elfatt_function_output, i) for i in range(outputs.value)
        ]

    def _read_type(self, call: Any, i: int) -> TensorType:
        found = _Type()
        self.runtime.check(call(self.handle, c_int32(i), byref(found)))
        shape = (found.shape[d] for d in range(found.rank))
        return TensorType(
            _NAMES[found.element], tuple(None if e < 0 else e for e in shape)
        )

    def get_output_shape(self, inputs: Sequence[Tensor], i: int) -> List[int]:
        """The shape of output ``i`` for such inputs."""
        shape = (c_int64 * max(1, len(self.outputs[i].shape)))()
        self.runtime.check(
            self.library.elfatt_function_output_shape(
                self.handle, _pack(inputs), len(inputs), c_int32(i), shape
            )
        )
        return list(shape)[: len(self.outputs[i].shape)]

    def get_workspace(self, inputs: Sequence[Tensor]) -> int:
        """Bytes of workspace that a run on a GPU needs."""
        size = c_int64()
        self.runtime.check(
            self.library.elfatt_function_workspace(
                self.handle, _pack(inputs), len(inputs), byref(size)
            )
        )
        return size.value

    def run(
        self,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        workspace: Optional[int] = None,
        workspace_bytes: int = 0,
        stream: Optional[int] = None,
    ) -> None:
        """elfatt_run: on a GPU it returns when the kernels are launched."""
        self.runtime.check(
            self.library.elfatt_run(
                self.handle,
                _pack(inputs),
                len(inputs),
                _pack(outputs),
                len(outputs),
                c_void_p(workspace),
                c_int64(workspace_bytes),
                c_void_p(stream),
            )
        )
