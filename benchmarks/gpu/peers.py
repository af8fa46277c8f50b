# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who is measured: each contestant is made by a function, which may fail.

All get the same tensors on the same device, and a call gives its result: [B,N,C]
of packed qkv [B,N,3C] for ELFATT, [B,h,N,D] of q, k, v for exact attention.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import paths  # noqa: F401

import bundles
from elfatt.runtime import make_tensor
import gpu_shapes
import shapes

OURS = "ours"
COPY = "copy"
EAGER = "eager"
COMPILE = "torch.compile"
AUTOTUNE = "max-autotune"
MATH = "exact, math"
FLASH = "exact, FlashAttention-2"
CUDNN = "exact, cuDNN"
# What takes most memory comes last: a captured graph keeps its own.
ELFATT_PEERS = (OURS, COPY, EAGER, COMPILE, AUTOTUNE, FLASH, CUDNN, MATH)
EXACT_PEERS = (OURS, COPY, FLASH, CUDNN, EAGER, MATH)
_BACKENDS = {
    MATH: "MATH",
    FLASH: "FLASH_ATTENTION",
    CUDNN: "CUDNN_ATTENTION",
}

Call = Callable[[], Any]


class Unsupported(Exception):
    """This contestant cannot do the case; the text says why."""


class Case:
    """Inputs of one shape and type on a device, and what is to come out."""

    def __init__(self, torch: Any, device: Any, shape: Any, element: str) -> None:
        self.torch, self.device = torch, device
        self.shape, self.element = shape, element
        self._expected: Dict[Any, Any] = {}
        self.dtype = {
            "f16": torch.float16,
            "bf16": torch.bfloat16,
            "f32": torch.float32,
        }[element]
        self.core = None
        torch.manual_seed(shapes.SEED + 1)
        if isinstance(shape, gpu_shapes.Exact):
            tokens = (shape.queries, shape.keys, shape.keys)
            size = (shape.batch, shape.heads)
            self.inputs = [self._random(*size, n, shape.channels) for n in tokens]
        else:
            core = shapes.make_module(shape).to(self.dtype)
            self.core = core.to(device.name)
            qkv = self._random(shape.batch, shape.tokens, 3 * shape.channels)
            lepe = [x.contiguous() for x in shapes.get_lepe(self.core, shape)]
            self.inputs = [qkv, *lepe]

    def _random(self, *size: int) -> Any:
        return self.torch.randn(*size).to(self.dtype).to(self.device.name)

    # What comes out

    def check(self, result: Any) -> float:
        """The largest difference to float64 over max |V|, in the first and the last
        element of the batch (and heads: shapes.compared says which rows)."""
        return max(self._check_part(result, slice(0, 1)), self._check_part(result))

    def _check_part(self, result: Any, part: Optional[slice] = None) -> float:
        part = part or slice(-1, None)

        def cut(x: Any) -> Any:
            x = x[part]
            if isinstance(self.shape, gpu_shapes.Exact):
                x = x[:, part]
            return x.detach().double().cpu().numpy()

        weights = [x.detach().double().cpu().numpy() for x in self.inputs[1:]]
        if isinstance(self.shape, gpu_shapes.Exact):
            inputs = [cut(x) for x in self.inputs]
        else:
            inputs = [cut(self.inputs[0]), *weights]
        key = part.start
        if key not in self._expected:
            self._expected[key] = shapes.reference(self.shape, inputs)
        expected, scale = self._expected[key]
        got = shapes.compared(self.shape, cut(result))
        if got.shape != expected.shape:
            raise Unsupported(f"a result of shape {got.shape}, not {expected.shape}")
        difference = abs(got - expected).max() / scale
        # NaN is larger than any bound.
        return float(difference) if difference == difference else float("inf")

    # Contestants

    def names(self) -> List[str]:
        exact = isinstance(self.shape, gpu_shapes.Exact)
        return list(EXACT_PEERS if exact else ELFATT_PEERS)

    def make(self, name: str, bundle: Optional[Path], library: Optional[str]) -> Call:
        """Raises Unsupported or whatever the contestant raises."""
        if name == OURS:
            return self._make_ours(bundle, library)
        if name == COPY:
            return self._make_copy()
        if name in (MATH, FLASH, CUDNN):
            return self._make_exact(name)
        if name == EAGER:
            return self._make_eager()
        # Graphs are captured here, for all alike.
        mode = "max-autotune-no-cudagraphs" if name == AUTOTUNE else None
        compiled = self.torch.compile(self.core, mode=mode)
        return lambda: compiled(self.inputs[0])

    def _make_ours(self, path: Optional[Path], library: Optional[str]) -> Call:
        if path is None or library is None or not path.exists():
            raise Unsupported("there is no bundle, see kit.json")
        torch, device = self.torch, self.device
        bundle = bundles.Runtime(library).open(path, device.target)
        result = torch.empty(self.result_shape(), dtype=self.dtype, device=device.name)

        def describe(x: Any) -> Any:
            return make_tensor(x.data_ptr(), self.element, x.shape, x.stride())

        arrays = [describe(x) for x in self.inputs]
        output = describe(result)
        size = bundle.workspace(arrays)
        workspace = torch.empty(max(size, 1), dtype=torch.uint8, device=device.name)
        run = bundle.prepare(arrays, [output])

        def call() -> Any:
            run(workspace.data_ptr(), size, device.stream())
            return result

        # What it points to lives as long as the call does.
        call.keep = (bundle, self.inputs, result, workspace)  # type: ignore[attr-defined]
        return call

    def result_shape(self) -> List[int]:
        if isinstance(self.shape, gpu_shapes.Exact):
            return list(self.inputs[0].shape)
        B, N, C = self.inputs[0].shape
        return [B, N, C // 3]

    def _make_copy(self) -> Call:
        """Half of Q, K, V and O is read and half is written: the same traffic."""
        size = self.shape.cost(gpu_shapes.WIDTHS[self.element]).bytes // 2
        source, target = (
            self.torch.zeros(size, dtype=self.torch.uint8, device=self.device.name)
            for _ in range(2)
        )
        return lambda: target.copy_(source)

    def _make_eager(self) -> Call:
        if self.core is not None:
            return lambda: self.core(self.inputs[0])
        torch, shape = self.torch, self.shape
        q, k, v = self.inputs
        mask = None
        if shape.causal:
            size = (shape.queries, shape.keys)
            mask = torch.ones(size, dtype=torch.bool, device=self.device.name).triu(1)

        def call() -> Any:
            """The formula as it is written, each step in the case's type."""
            scores = (q @ k.transpose(-2, -1)) * shape.channels**-0.5
            if mask is not None:
                scores = scores.masked_fill(mask, float("-inf"))
            return scores.softmax(-1) @ v

        return call

    def _make_exact(self, name: str) -> Call:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        backend = getattr(SDPBackend, _BACKENDS[name], None)
        if name == CUDNN and self.device.kind != "cuda":
            raise Unsupported("cuDNN is for GPUs")
        if backend is None:
            raise Unsupported(f"this PyTorch has no {_BACKENDS[name]}")
        attend = self.torch.nn.functional.scaled_dot_product_attention
        causal = getattr(self.shape, "causal", False)
        if isinstance(self.shape, gpu_shapes.Exact):

            def exact() -> Any:
                return attend(*self.inputs, is_causal=causal)

        else:
            B, N, C = self.result_shape()
            h = self.shape.heads

            def exact() -> Any:
                """All tokens, which is what ELFATT stands in for."""
                packed = self.inputs[0].view(B, N, 3, h, C // h)
                q, k, v = packed.permute(2, 0, 3, 1, 4)
                return attend(q, k, v).transpose(1, 2).reshape(B, N, C)

        def call() -> Any:
            with sdpa_kernel(backend):
                return exact()

        return call

    def is_same_formula(self, name: str) -> bool:
        """Whether the contestant's result can be compared with the reference."""
        if isinstance(self.shape, gpu_shapes.Exact):
            return name != COPY
        return name in (OURS, EAGER, COMPILE, AUTOTUNE)
