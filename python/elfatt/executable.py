# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled functions that Python calls."""

from __future__ import annotations

import os
import sys
import weakref
from tempfile import TemporaryDirectory
from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

from elfatt.arrays import (
    CPU,
    CUDA,
    Array,
    Device,
    is_torch,
    make_output,
    view_input,
    view_output,
)
from elfatt.errors import Error
from elfatt.runtime import Bundle, Tensor, TensorType


class Executable:
    """A function of a bundle that ``elfatt-compile`` or ``Module.compile`` wrote.

    Calls are safe from several threads; on a GPU each runs on PyTorch's current
    stream, or on the default one where PyTorch is not loaded, and returns when its
    kernels are launched.

    Args:
        bundle: the folder; it must stay as it is. A ``TemporaryDirectory`` of which it
            is the ``bundle`` goes with this object.
        target: whose code is wanted: None the best for this processor, one by name
            (``x86-64-v3``), or ``cuda`` that of the current GPU.
        function: its name.

    Attributes:
        target: the name of the code in use, for example ``x86-64-v4`` or ``sm_87``.
        inputs, outputs: what the function takes and gives, of type ``TensorType``.

    Raises:
        Error: the bundle is bad, or has no code for this machine.
    """

    def __init__(
        self,
        bundle: Union[str, "os.PathLike[str]", "TemporaryDirectory[str]"],
        target: Optional[str] = None,
        function: str = "main",
    ) -> None:
        self._device = (CUDA, _current_device()) if target == CUDA else (CPU, 0)
        if isinstance(bundle, TemporaryDirectory):
            self._folder = bundle
            bundle = os.path.join(bundle.name, "bundle")
        opened = Bundle(os.fspath(bundle), target)
        weakref.finalize(self, opened.close)
        self._function = opened.find(function)
        self.target: str = opened.target
        self.inputs: List[TensorType] = self._function.inputs
        self.outputs: List[TensorType] = self._function.outputs

    def __repr__(self) -> str:
        inputs, outputs = (", ".join(map(str, t)) for t in (self.inputs, self.outputs))
        return f"<elfatt.Executable ({inputs}) -> ({outputs}) for {self.target}>"

    def __call__(self, *arrays: Any, out: Any = None) -> Any:
        """Runs the function.

        Args:
            arrays: one for each of ``inputs``: of NumPy (uint16 are the bits of bf16),
                PyTorch, or with ``__dlpack__``; on the CPU, or for GPU code on its
                GPU. They are read where they lie; what is not dense is copied first
                if NumPy or PyTorch has it, and refused otherwise.
            out: arrays to write, one for each of ``outputs``, dense: a list or tuple,
                or the array of a single output.

        Returns:
            The arrays of ``out``, or new ones: of PyTorch where an input is, else of
            NumPy. A tuple, but for a single output that was not asked for in one.

        Raises:
            Error: a wrong number, type, shape or place of arrays; the run failed.
        """
        stream = _current_stream(self._device)
        self._expect(len(arrays), self.inputs, "input")
        inputs = [
            self._view(view_input, f"input {i}", a, stream)
            for i, a in enumerate(arrays)
        ]
        tensors = [a.tensor for a in inputs]
        if out is None:
            wants_torch = any(is_torch(a) for a in arrays)
            shapes = [
                self._function.get_output_shape(tensors, i)
                for i in range(len(self.outputs))
            ]
            results: Tuple[Any, ...] = tuple(
                make_output(type.element, shape, self._device, wants_torch)
                for type, shape in zip(self.outputs, shapes)
            )
        else:
            results = tuple(out) if isinstance(out, (list, tuple)) else (out,)
            self._expect(len(results), self.outputs, "output")
        outputs = [
            self._view(view_output, f"output {i}", a, stream)
            for i, a in enumerate(results)
        ]
        workspace, size = self._make_workspace(tensors)
        self._function.run(
            tensors,
            [a.tensor for a in outputs],
            workspace.tensor.data if workspace else None,
            size,
            stream,
        )
        in_tuple = isinstance(out, (list, tuple)) or len(results) != 1
        return results if in_tuple else results[0]

    def _expect(self, got: int, types: Sequence[TensorType], what: str) -> None:
        if got != len(types):
            shown, s = ", ".join(map(str, types)), "" if len(types) == 1 else "s"
            raise Error(f"expected {len(types)} {what}{s} ({shown}), got {got}")

    def _view(
        self,
        view: Callable[[Any, Optional[int]], Array],
        name: str,
        value: Any,
        stream: Optional[int],
    ) -> Array:
        """What the runtime is told of an array.

        The runtime cannot tell a pointer's device, so that is checked here."""
        try:
            array = view(value, stream)
        except Error as error:
            raise Error(f"{name}: {error.message}") from None
        if array.device != self._device:
            expected, got = (_show(d) for d in (self._device, array.device))
            raise Error(f"{name}: expected an array on {expected}, got one on {got}")
        return array

    def _make_workspace(self, inputs: Sequence[Tensor]) -> Tuple[Optional[Array], int]:
        """PyTorch's, which knows what the stream still uses when it is given back."""
        if self._device[0] == CPU:
            return None, 0
        size = self._function.get_workspace(inputs)
        if size == 0:
            return None, 0
        return view_output(make_output("i8", [size], self._device, True), None), size


def _show(device: Device) -> str:
    return "the CPU" if device[0] == CPU else f"GPU {device[1]}"


def _torch_cuda() -> Any:
    """torch.cuda, where PyTorch is loaded and has a GPU."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None


def _current_device() -> int:
    cuda = _torch_cuda()
    return int(cuda.current_device()) if cuda else 0


def _current_stream(device: Device) -> Optional[int]:
    """Its CUstream; None for the default one, and on the CPU."""
    cuda = _torch_cuda() if device[0] == CUDA else None
    return int(cuda.current_stream(device[1]).cuda_stream) if cuda else None
