# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Arrays of NumPy, PyTorch and whoever else speaks DLPack, as the runtime takes them."""

from __future__ import annotations

import ctypes
import math
import sys
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple

import numpy

from elfatt.errors import Error
from elfatt.runtime import Tensor, make_tensor

CPU, CUDA = "cpu", "cuda"
Device = Tuple[str, int]
"""Kind and number; the number of the CPU is 0."""

# uint16 holds the bits of bf16, as in .npz files.
_BY_NUMPY = {
    "float16": "f16",
    "uint16": "bf16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "bool": "i1",
}
_TO_NUMPY = {element: name for name, element in _BY_NUMPY.items() if name != "bfloat16"}
_TO_TORCH = {**_TO_NUMPY, "bf16": "bfloat16"}
_BY_TORCH = {name: element for element, name in _TO_TORCH.items()}


@dataclass(frozen=True)
class Array:
    """Memory of somebody's, dense or not.

    Attributes:
        tensor: what the runtime is told.
        device: where the memory is.
        owner: keeps it alive.
    """

    tensor: Tensor
    device: Device
    owner: Any


def is_torch(value: Any) -> bool:
    # Whoever has a tensor has loaded torch.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def view_input(value: Any, stream: Optional[int]) -> Array:
    """An array that is only read; of NumPy and PyTorch it is made dense where it is not.

    Args:
        stream: the CUDA stream that will read it, for producers that must know.

    Raises:
        Error: it is no array, or of a type that no function has.
    """
    if is_torch(value):
        _require_strided(value)
        return _view_torch(value.detach().resolve_neg().contiguous())
    if isinstance(value, numpy.ndarray):
        # Not ascontiguousarray, which gives a scalar one dimension.
        return _view_numpy(value if value.flags.c_contiguous else value.copy("C"))
    return _view_dlpack(value, stream)


def view_output(value: Any, stream: Optional[int]) -> Array:
    """An array that is written, in place.

    Raises:
        Error: as ``view_input``, or it cannot be written.
    """
    if is_torch(value):
        if value.requires_grad:
            raise Error("expected an output without requires_grad")
        _require_strided(value)
        return _view_torch(value)
    if isinstance(value, numpy.ndarray):
        if not value.flags.writeable:
            raise Error("expected an output that can be written, got a read-only array")
        return _view_numpy(value)
    return _view_dlpack(value, stream)


def make_output(
    element: str, shape: Sequence[int], device: Device, wants_torch: bool
) -> Any:
    """A new array of PyTorch or, on the CPU, of NumPy; its elements are not set."""
    kind, number = device
    if kind == CPU and not wants_torch:
        return numpy.empty(shape, dtype=_TO_NUMPY[element])
    torch = sys.modules.get("torch")
    if torch is None:
        raise Error(
            "expected arrays for the outputs (out=): PyTorch, which would make them "
            "on the GPU, is not loaded"
        )
    place = torch.device(kind, number) if kind == CUDA else torch.device(kind)
    return torch.empty(shape, dtype=getattr(torch, _TO_TORCH[element]), device=place)


def _require_strided(value: Any) -> None:
    layout = str(value.layout).removeprefix("torch.")
    if layout != "strided":
        raise Error(f"expected a tensor with strides, got one that is {layout}")


def _view_torch(value: Any) -> Array:
    kind = value.device.type
    if kind not in (CPU, CUDA):
        raise Error(f"expected a tensor on the CPU or on a CUDA device, got '{kind}'")
    name = str(value.dtype).removeprefix("torch.")
    return Array(
        make_tensor(
            value.data_ptr(),
            _find(_BY_TORCH, name),
            value.shape,
            _strides(value.shape, value.stride()),
        ),
        (kind, value.device.index or 0),
        value,
    )


def _view_numpy(value: numpy.ndarray) -> Array:
    if not value.dtype.isnative:
        raise Error("expected an array in this machine's byte order")
    if any(s % value.itemsize for s in value.strides):
        raise Error("expected strides of whole elements")
    return Array(
        make_tensor(
            value.ctypes.data,
            _find(_BY_NUMPY, value.dtype.name),
            value.shape,
            _strides(value.shape, [s // value.itemsize for s in value.strides]),
        ),
        (CPU, 0),
        value,
    )


def _find(names: Any, name: str) -> str:
    element = names.get(name)
    if element is None:
        raise Error(f"expected elements of one of {', '.join(names)}, got {name}")
    return str(element)


def _strides(shape: Sequence[int], strides: Sequence[int]) -> Optional[Sequence[int]]:
    """None where they are those of a dense array: of extents 0 and 1 any will do."""
    expected = 1
    for extent, stride in zip(reversed(shape), reversed(strides)):
        if extent > 1 and stride != expected:
            return strides if math.prod(shape) else None
        expected *= extent
    return None


# dlpack.h, version 0: https://dmlc.github.io/dlpack/latest/c_api.html
class _DLDevice(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("number", ctypes.c_int32)]


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", _DLDevice),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("offset", ctypes.c_uint64),
    ]


# kDLCPU, kDLCUDA, kDLCUDAHost, kDLCUDAManaged.
_DL_DEVICES = {1: CPU, 2: CUDA, 3: CPU, 13: CUDA}
# kDLInt, kDLUInt, kDLFloat, kDLBfloat, kDLBool; uint16 as _BY_NUMPY has it.
_DL_ELEMENTS = {
    (0, 8): "i8",
    (0, 16): "i16",
    (0, 32): "i32",
    (0, 64): "i64",
    (1, 16): "bf16",
    (2, 16): "f16",
    (2, 32): "f32",
    (2, 64): "f64",
    (4, 16): "bf16",
    (6, 8): "i1",
}


def _view_dlpack(value: Any, stream: Optional[int]) -> Array:
    if not hasattr(value, "__dlpack__") or not hasattr(value, "__dlpack_device__"):
        raise Error(
            f"expected an array of NumPy, PyTorch or with __dlpack__, got "
            f"{type(value).__name__}"
        )
    kind = _DL_DEVICES.get(int(value.__dlpack_device__()[0]))
    if kind is None:
        raise Error("expected an array on the CPU or on a CUDA device")
    # 1 is what DLPack calls the legacy default stream.
    capsule = (
        value.__dlpack__(stream=stream or 1) if kind == CUDA else value.__dlpack__()
    )
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    # The tensor is what a DLManagedTensor begins with. The capsule, whose name stays,
    # gives it back when it goes.
    found = _DLTensor.from_address(get_pointer(capsule, b"dltensor"))
    element = _DL_ELEMENTS.get((found.code, found.bits)) if found.lanes == 1 else None
    if element is None:
        raise Error(
            f"expected elements of one of {', '.join(_BY_NUMPY)}, got DLPack's type "
            f"{found.code} of {found.bits} bits"
        )
    shape = [found.shape[d] for d in range(found.ndim)]
    strides = [found.strides[d] for d in range(found.ndim)] if found.strides else None
    return Array(
        make_tensor(
            (found.data or 0) + found.offset,
            element,
            shape,
            None if strides is None else _strides(shape, strides),
        ),
        (kind, found.device.number if kind == CUDA else 0),
        capsule,
    )
