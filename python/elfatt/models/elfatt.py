# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trained ELFATT, spelled as a vision transformer of the CSWin family spells it.

Formula: arXiv 2501.06098; the code is written from the formula.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .sample import SEED, SHARPEN, Sample


def image_to_windows(x: torch.Tensor, window: int) -> torch.Tensor:
    """[B,c,H,W] -> [B*nW, w*w, c], windows and tokens both in row-major order."""
    B, c, H, W = x.shape
    x = x.view(B, c, H // window, window, W // window, window)
    return x.permute(0, 2, 4, 3, 5, 1).contiguous().view(-1, window * window, c)


def windows_to_image(x: torch.Tensor, window: int, H: int, W: int) -> torch.Tensor:
    """[B*nW, w*w, c] -> [B,H,W,c], the inverse of ``image_to_windows``."""
    c = x.shape[-1]
    x = x.view(-1, H // window, W // window, window, window, c)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, H, W, c)


class ElfattCore(nn.Module):
    """ELFATT between the qkv projection and the output projection.

    Channels are head-major (head 0's D channels first). The first h/2 heads take
    the global branch, the others the local branch.

    Args:
        dim: C, channels.
        grid: tokens along each side of the square grid.
        heads: h, even.
        window: w, divides ``grid``.
        local_impl: "sdpa" (``F.scaled_dot_product_attention``) or "matmul" (the
            softmax spelled out).
        lepe: whether V passes a depthwise 3x3 convolution that is added.
    """

    def __init__(
        self,
        dim: int,
        grid: int,
        heads: int,
        window: int,
        local_impl: str = "sdpa",
        lepe: bool = True,
    ) -> None:
        super().__init__()
        if heads % 2 or dim % heads or grid % window:
            raise ValueError(
                "expected an even number of heads that divides dim, and a window "
                f"that divides the grid, got dim {dim}, heads {heads}, grid {grid}, "
                f"window {window}"
            )
        if local_impl not in ("sdpa", "matmul"):
            raise ValueError(
                f"expected local_impl to be 'sdpa' or 'matmul', got {local_impl!r}"
            )
        self.dim, self.grid, self.heads, self.window = dim, grid, heads, window
        self.local_impl, self.lepe = local_impl, lepe
        self.scale = (dim // heads) ** -0.5
        half = dim // 2
        if lepe:
            self.global_lepe = nn.Conv2d(half, half, 3, padding=1, groups=half)
            self.local_lepe = nn.Conv2d(half, half, 3, padding=1, groups=half)

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        """[b,n,C/2] -> [b,h/2,n,D]"""
        b, n, c = x.shape
        heads = self.heads // 2
        return x.reshape(b, n, heads, c // heads).permute(0, 2, 1, 3).contiguous()

    def _tokens_to_image(self, x: torch.Tensor) -> torch.Tensor:
        """[B,N,c] -> [B,c,H,W]"""
        B, _, c = x.shape
        return x.transpose(-2, -1).contiguous().view(B, c, self.grid, self.grid)

    def global_branch(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """[B,N,C/2] each -> [B,N,C/2]: linear attention, one context a head."""
        B, N, c = v.shape
        qh = self._split_heads(q).softmax(dim=-1)  # over the head's channels
        kh = self._split_heads(k).softmax(dim=-2)  # over the tokens
        vh = self._split_heads(v)
        context = kh.transpose(-2, -1) @ vh  # [B,h/2,D,D]
        x = (qh @ context).transpose(1, 2).reshape(B, N, c)
        if self.lepe:
            lepe = self.global_lepe(self._tokens_to_image(v))
            x = x + lepe.flatten(2).transpose(1, 2)
        return x

    def local_branch(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor
    ) -> torch.Tensor:
        """[B,N,C/2] each -> [B,N,C/2]: softmax attention inside each window."""
        B, N, c = v.shape
        w = self.window
        q, k, v = (image_to_windows(self._tokens_to_image(t), w) for t in (q, k, v))
        qh, kh, vh = self._split_heads(q), self._split_heads(k), self._split_heads(v)
        if self.local_impl == "sdpa":
            x = F.scaled_dot_product_attention(qh, kh, vh)
        else:
            attn = (qh * self.scale) @ kh.transpose(-2, -1)
            x = attn.softmax(dim=-1) @ vh
        x = x.transpose(1, 2).reshape(-1, w * w, c)
        if self.lepe:
            # Each window is an image of its own: padding sits at its border.
            image = v.transpose(-2, -1).contiguous().view(-1, c, w, w)
            x = x + self.local_lepe(image).flatten(2).transpose(1, 2)
        return windows_to_image(x, w, self.grid, self.grid).view(B, N, c)

    def forward(self, qkv: torch.Tensor) -> torch.Tensor:
        """[B,N,3C] (q, k, v one after another) -> [B,N,C]"""
        B, N, _ = qkv.shape
        q, k, v = qkv.reshape(B, N, 3, self.dim).permute(2, 0, 1, 3)
        half = self.dim // 2
        x1 = self.global_branch(q[:, :, :half], k[:, :, :half], v[:, :, :half])
        x2 = self.local_branch(q[:, :, half:], k[:, :, half:], v[:, :, half:])
        return torch.cat([x1, x2], dim=2)


class ElfattAttention(nn.Module):
    """ELFATT with its qkv and output projections: [B,N,C] -> [B,N,C]."""

    def __init__(
        self,
        dim: int,
        grid: int,
        heads: int,
        window: int,
        local_impl: str = "sdpa",
        lepe: bool = True,
    ) -> None:
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.core = ElfattCore(dim, grid, heads, window, local_impl, lepe)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(self.core(self.qkv(x)))


class ElfattBlock(nn.Module):
    """LayerNorm, ELFATT, LayerNorm, MLP, with residuals: [B,N,C] -> [B,N,C]."""

    def __init__(
        self,
        dim: int,
        grid: int,
        heads: int,
        window: int,
        local_impl: str = "sdpa",
        mlp_ratio: int = 4,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = ElfattAttention(dim, grid, heads, window, local_impl)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_ratio * dim), nn.GELU(), nn.Linear(mlp_ratio * dim, dim)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def _sharpen_packed(module: nn.Module) -> None:
    """The counterpart of ``_sharpen_scores`` for packed qkv projections."""
    with torch.no_grad():
        for child in module.modules():
            if isinstance(child, ElfattAttention):
                child.qkv.weight[: 2 * child.core.dim].mul_(SHARPEN)


def elfatt_stage(
    size: int = 56,
    channels: int = 64,
    heads: int = 2,
    window: int = 7,
    batch: int = 8,
    blocks: int = 2,
    local_impl: str = "sdpa",
) -> Sample:
    """One stage of a CSWin-ELFATT: ``blocks`` blocks on [B, size*size, C]."""
    torch.manual_seed(SEED)
    stage = nn.Sequential(
        *(ElfattBlock(channels, size, heads, window, local_impl) for _ in range(blocks))
    )
    _sharpen_packed(stage)
    return stage.eval(), (torch.randn(batch, size * size, channels),)


def elfatt_stage_matmul() -> Sample:
    """``elfatt_stage`` with the local softmax spelled out."""
    return elfatt_stage(local_impl="matmul")


def elfatt_attention_only(
    size: int = 56,
    channels: int = 64,
    heads: int = 2,
    window: int = 7,
    batch: int = 8,
    local_impl: str = "sdpa",
    lepe: bool = True,
) -> Sample:
    """ELFATT alone, for benchmarks: packed qkv [B,N,3C] -> [B,N,C], N = size^2."""
    torch.manual_seed(SEED)
    core = ElfattCore(channels, size, heads, window, local_impl, lepe)
    return core.eval(), (torch.randn(batch, size * size, 3 * channels),)


_ELFATT_TINY: dict[str, Any] = dict(size=14, channels=32, heads=2, window=7, batch=1)


def elfatt_tiny_test() -> Sample:
    """One block on a 14x14 grid: B 1, C 32, 2 heads, window 7, SDPA."""
    return elfatt_stage(blocks=1, **_ELFATT_TINY)


def elfatt_tiny_test_matmul() -> Sample:
    """``elfatt_tiny_test`` with the local softmax spelled out."""
    return elfatt_stage(blocks=1, local_impl="matmul", **_ELFATT_TINY)


def elfatt_attention_tiny_test() -> Sample:
    """ELFATT alone on a 14x14 grid: qkv [1,196,96] -> [1,196,32], SDPA."""
    return elfatt_attention_only(**_ELFATT_TINY)


def elfatt_attention_tiny_test_matmul() -> Sample:
    """``elfatt_attention_tiny_test`` with the local softmax spelled out."""
    return elfatt_attention_only(local_impl="matmul", **_ELFATT_TINY)


def elfatt_attention_four_heads_test() -> Sample:
    """ELFATT with two heads a group: qkv [2,196,192] -> [2,196,64], D 16."""
    return elfatt_attention_only(
        size=14, channels=64, heads=4, window=7, batch=2, local_impl="matmul"
    )


def elfatt_attention_no_lepe_test() -> Sample:
    """ELFATT without LePE: qkv [1,196,96] -> [1,196,32]."""
    return elfatt_attention_only(local_impl="matmul", lepe=False, **_ELFATT_TINY)
