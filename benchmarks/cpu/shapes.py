# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is measured: shapes, the IR and the PyTorch formula of each, its cost.

B batch, N tokens (a prefix, then a square grid), C channels, h heads of D = C / h
channels, windows of w x w tokens. ELFATT takes packed qkv [B,N,3C] and gives
[B,N,C]; exact attention takes q, k, v [B,h,N,D] and gives [B,h,N,D].
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Tuple

SEED = 20250106


@dataclasses.dataclass(frozen=True)
class Cost:
    """A multiply-add is two flops. Bytes: Q, K, V and O, each once."""

    flops: int
    bytes: int
    exponentials: int

    def seconds(self, rates: Dict[str, float]) -> float:
        """The limit: memory works beside arithmetic, exponentials are arithmetic."""
        return max(
            self.bytes / rates["bytes"],
            self.flops / rates["flops"] + self.exponentials / rates["exponentials"],
        )


@dataclasses.dataclass(frozen=True)
class Elfatt:
    """ELFATT, half of the heads global. LePE 3x3 in both branches, but not with a
    prefix: the published models have none."""

    size: int
    channels: int
    heads: int
    window: int
    batch: int
    prefix: int = 0
    autotune: bool = False

    @property
    def name(self) -> str:
        prefix = f"{self.prefix}+" if self.prefix else ""
        return (
            f"{prefix}{self.size}x{self.size} c{self.channels} h{self.heads} "
            f"window {self.window}, batch {self.batch}"
        )

    @property
    def tokens(self) -> int:
        return self.prefix + self.size**2

    def cost(self, width: int) -> Cost:
        """``width``: bytes of an element."""
        D, half = self.channels // self.heads, self.heads // 2
        grid, P, N = self.size**2, self.prefix, self.tokens
        scores = self.heads * P * N + half * grid * (self.window**2 + P)
        linear = half * (grid + N)
        taps = 0 if P else 9 * self.heads * grid
        flops = 2 * (scores * 2 * D + linear * D * D + taps * D)
        return Cost(
            self.batch * flops,
            4 * self.batch * N * self.channels * width,
            self.batch * (scores + linear * D),
        )

    def mlir(self, element: str) -> str:
        """``@main(qkv, [weights and biases of LePE])``, the op alone."""
        B, N, C, h = self.batch, self.tokens, self.channels, self.heads
        D, half = C // h, h // 2
        packed = f"tensor<{B}x{N}x{3 * C}x{element}>"
        heads = f"tensor<{B}x{N}x3x{h}x{D}x{element}>"
        out = f"tensor<{B}x{N}x{h}x{D}x{element}>"
        result = f"tensor<{B}x{N}x{C}x{element}>"
        weight, bias = (
            f"tensor<3x3x{half}x{D}x{element}>",
            f"tensor<{half}x{D}x{element}>",
        )
        lepe = arguments = ""
        if not self.prefix:
            arguments = f", %gw: {weight}, %gb: {bias}, %lw: {weight}, %lb: {bias}"
            lepe = (
                f"global_lepe(%gw, %gb : {weight}, {bias}) "
                f"local_lepe(%lw, %lb : {weight}, {bias})"
            )
        maps = ", ".join(
            f"affine_map<(b, h, n, d, e) -> (b, n, {part}h, {channel})>"
            for part, channel in (("0, ", "d"), ("1, ", "d"), ("2, ", "e"), ("", "e"))
        )
        prefix = f" prefix = {self.prefix}" if self.prefix else ""
        return f"""
func.func @main(%x: {packed}{arguments}) -> {result} {{
  %qkv = tensor.expand_shape %x [[0], [1], [2, 3, 4]] output_shape [{B}, {N}, 3, {h}, {D}]
      : {packed} into {heads}
  %init = tensor.empty() : {out}
  %o = attention.elfatt indexing_maps = [{maps}]
      ins(%qkv, %qkv, %qkv : {heads}, {heads}, {heads}) {lepe} outs(%init : {out})
      global_heads = {half} grid = [{self.size}, {self.size}]
      window = [{self.window}, {self.window}]{prefix} -> {out}
  %y = tensor.collapse_shape %o [[0], [1], [2, 3]] : {out} into {result}
  return %y : {result}
}}
"""


@dataclasses.dataclass(frozen=True)
class Exact:
    """Softmax attention of N queries and M keys."""

    what: str
    batch: int
    heads: int
    queries: int
    keys: int
    channels: int  # of one head
    causal: bool = False

    @property
    def name(self) -> str:
        keys = "" if self.keys == self.queries else f" M {self.keys}"
        return (
            f"{self.what}: N {self.queries}{keys} D {self.channels}, "
            f"{self.batch} x {self.heads} heads" + (", causal" if self.causal else "")
        )

    def cost(self, width: int) -> Cost:
        scores = self.queries * self.keys
        if self.causal:
            scores = self.queries * (self.queries + 1) // 2
        count = self.batch * self.heads
        size = 2 * (self.queries + self.keys) * self.channels
        return Cost(
            4 * count * scores * self.channels, count * size * width, count * scores
        )

    def mlir(self, element: str) -> str:
        """``@main(q, k, v)``, the op alone."""
        B, h, D = self.batch, self.heads, self.channels
        q = f"tensor<{B}x{h}x{self.queries}x{D}x{element}>"
        k = f"tensor<{B}x{h}x{self.keys}x{D}x{element}>"
        maps = ", ".join(
            f"affine_map<(b, h, i, j, d, e) -> (b, h, {row}, {channel})>"
            for row, channel in (("i", "d"), ("j", "d"), ("j", "e"), ("i", "e"))
        )
        causal = "causal " if self.causal else ""
        return f"""
func.func @main(%q: {q}, %k: {k}, %v: {k}) -> {q} {{
  %init = tensor.empty() : {q}
  %o = attention.sdpa indexing_maps = [{maps}] ins(%q, %k, %v : {q}, {k}, {k})
      outs(%init : {q}) {causal}-> {q}
  return %o : {q}
}}
"""


def elfatt_shapes() -> List[Elfatt]:
    """Swin and CSWin at 224 and 384 px, dense prediction, Stable Diffusion, ViT."""
    return [
        Elfatt(56, 64, 2, 7, 8, autotune=True),
        Elfatt(56, 64, 2, 14, 8, autotune=True),
        Elfatt(56, 64, 2, 28, 8, autotune=True),
        Elfatt(28, 128, 4, 7, 8, autotune=True),
        Elfatt(28, 128, 4, 14, 8),
        Elfatt(28, 128, 4, 28, 8),
        Elfatt(14, 256, 8, 7, 8, autotune=True),
        Elfatt(14, 256, 8, 14, 8),
        Elfatt(7, 512, 16, 7, 8),
        Elfatt(96, 64, 2, 12, 2, autotune=True),
        Elfatt(48, 128, 4, 12, 2),
        Elfatt(24, 256, 8, 12, 2),
        Elfatt(12, 512, 16, 12, 2),
        Elfatt(112, 64, 2, 7, 1),
        Elfatt(112, 64, 2, 14, 1),
        Elfatt(112, 64, 2, 28, 1),
        Elfatt(64, 320, 8, 8, 1, autotune=True),
        Elfatt(64, 320, 8, 32, 1, autotune=True),
        Elfatt(32, 640, 8, 8, 1),
        Elfatt(32, 640, 8, 32, 1),
        Elfatt(16, 1280, 8, 8, 1),
        Elfatt(14, 384, 6, 7, 8, prefix=1),
    ]


def exact_shapes() -> List[Exact]:
    return [
        Exact("56x56 stage", 8, 2, 3136, 3136, 32),
        Exact("28x28 stage", 8, 4, 784, 784, 32),
        Exact("ViT-small", 8, 6, 197, 197, 64),
        Exact("windows of 7x7", 512, 2, 49, 49, 32),
        Exact("windows of 12x12", 128, 2, 144, 144, 32),
        Exact("Stable Diffusion 64x64", 1, 8, 4096, 4096, 40),
        Exact("Stable Diffusion 32x32", 1, 8, 1024, 1024, 80),
        Exact("Stable Diffusion 16x16", 1, 8, 256, 256, 160),
        Exact("Stable Diffusion, text", 1, 8, 4096, 77, 40),
        Exact("decoder", 1, 8, 1024, 1024, 64, causal=True),
    ]


GROWTH = tuple(
    (
        Elfatt(size, 64, 2, 8, 1),
        Exact("growth", 1, 2, size * size, size * size, 32),
    )
    for size in (32, 48, 64, 96, 128, 192, 256)
)
"""1024 to 65536 tokens, as ELFATT and as exact attention."""


# ----------------------------------------------------------------------------
# The formulas in PyTorch
# ----------------------------------------------------------------------------


def make_module(shape: Elfatt) -> Any:
    """ELFATT in PyTorch, [B,N,3C] -> [B,N,C], float32, weights fixed by a seed."""
    import torch
    from elfatt import models

    torch.manual_seed(SEED)
    if shape.prefix:
        return _with_prefix(shape)
    return models.ElfattCore(
        shape.channels, shape.size, shape.heads, shape.window
    ).eval()


def _with_prefix(shape: Elfatt) -> Any:
    import torch
    from elfatt.models import image_to_windows, windows_to_image
    from torch.nn import functional as F

    class WithPrefix(torch.nn.Module):
        """Prefix queries attend exactly, grid queries see the prefix too."""

        def forward(self, qkv: Any) -> Any:
            B, N, _ = qkv.shape
            h, P, S, w = shape.heads, shape.prefix, shape.size, shape.window
            D, half = shape.channels // h, h // 2
            q, k, v = qkv.view(B, N, 3, h, D).permute(2, 0, 3, 1, 4)
            first = F.scaled_dot_product_attention(q[:, :, :P], k, v)
            context = k[:, :half].softmax(-2).transpose(-2, -1) @ v[:, :half]
            linear = q[:, :half, P:].softmax(-1) @ context

            def cut(x: Any) -> Any:
                """[B,half,S*S,D] -> [B,half,windows,w*w,D]"""
                image = x.transpose(-2, -1).reshape(B, half * D, S, S)
                x = image_to_windows(image, w).view(B, -1, w * w, half, D)
                return x.permute(0, 3, 1, 2, 4)

            def see(x: Any) -> Any:
                """The prefix before the tokens of each window."""
                inside = cut(x[:, half:, P:])
                before = x[:, half:, None, :P].expand(-1, -1, inside.shape[2], -1, -1)
                return torch.cat([before, inside], dim=3)

            local = F.scaled_dot_product_attention(cut(q[:, half:, P:]), see(k), see(v))
            local = local.permute(0, 2, 3, 1, 4).reshape(-1, w * w, half * D)
            local = windows_to_image(local, w, S, S).view(B, S * S, half * D)
            linear = linear.transpose(1, 2).reshape(B, S * S, half * D)
            rest = torch.cat([linear, local], dim=2)
            return torch.cat([first.transpose(1, 2).reshape(B, P, h * D), rest], dim=1)

    return WithPrefix().eval()


def get_lepe(module: Any, shape: Elfatt) -> List[Any]:
    """Weights [3,3,h/2,D] and biases [h/2,D] of both branches, as the op takes them."""
    if shape.prefix:
        return []
    half, D = shape.heads // 2, shape.channels // shape.heads
    arrays = []
    for conv in (module.global_lepe, module.local_lepe):
        arrays.append(conv.weight.detach().permute(2, 3, 0, 1).reshape(3, 3, half, D))
        arrays.append(conv.bias.detach().reshape(half, D))
    return arrays


# ----------------------------------------------------------------------------
# The results in float64
# ----------------------------------------------------------------------------

CHECKED_ROWS = 256
"""Of exact attention so many rows of the last head are compared: rows are independent."""


def reference(shape: Any, inputs: List[Any]) -> Tuple[Any, float]:
    """What is compared, in float64 by the formulas of python/tests/reference.py: the
    last element of the batch; and max |V|. ``inputs`` are float64 arrays."""
    import numpy as np
    import reference as formulas

    if isinstance(shape, Exact):
        q, k, v = (x[-1:, -1:] for x in inputs)
        rows = pick_rows(shape)
        bias = None
        if shape.causal:
            bias = np.where(np.arange(shape.keys)[None] <= rows[:, None], 0.0, -np.inf)
        return formulas.sdpa(q[:, :, rows], k, v, bias=bias)[0, 0], np.abs(v).max()
    N, h, D = shape.tokens, shape.heads, shape.channels // shape.heads
    q, k, v = inputs[0][-1:].reshape(1, N, 3, h, D).transpose(2, 0, 3, 1, 4)
    lepe = inputs[1:]
    out = formulas.elfatt(
        q, k, v, (shape.size,) * 2, (shape.window,) * 2, h // 2, shape.prefix,
        global_lepe=tuple(lepe[:2]) or None, local_lepe=tuple(lepe[2:]) or None,
    )  # fmt: skip
    return out.transpose(0, 2, 1, 3).reshape(N, h * D), np.abs(v).max()


def pick_rows(shape: Exact) -> Any:
    import numpy as np

    count = min(CHECKED_ROWS, shape.queries)
    return np.unique(np.linspace(0, shape.queries - 1, count).astype(int))


def compared(shape: Any, result: Any) -> Any:
    """The part of a result that ``reference`` gives."""
    if isinstance(shape, Exact):
        return result[-1, -1, pick_rows(shape)]
    return result[-1]
