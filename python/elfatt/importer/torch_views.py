# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Decompositions to views of what torch-mlir lowers to gathers, scatters and selects:
windows by ``unfold``, their inverse by ``fold``, and assignments to ``x[:, i]``."""

from __future__ import annotations

from typing import Any, Callable, Dict, Sequence

import torch
from torch._decomp import decomposition_table


def _is_tiling(
    size: Sequence[int],
    kernel: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> bool:
    """Whether the windows lie side by side and cover the image."""
    return (
        list(stride) == list(kernel)
        and all(d == 1 for d in dilation)
        and all(p == 0 for p in padding)
        and all(isinstance(s, int) and s % k == 0 for s, k in zip(size, kernel))
    )


def _im2col(
    x: torch.Tensor,
    kernel: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> torch.Tensor:
    """[..., C, H, W] -> [..., C*kh*kw, windows]"""
    (h, w), (kh, kw) = x.shape[-2:], kernel
    if not _is_tiling((h, w), kernel, dilation, padding, stride):
        # Overlapping or padded windows are gathered, as PyTorch writes it out.
        default = decomposition_table[torch.ops.aten.im2col.default]
        return default(x, kernel, dilation, padding, stride)
    batch, c = x.shape[:-3], x.shape[-3]
    x = x.reshape(-1, c, h // kh, kh, w // kw, kw).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(*batch, c * kh * kw, (h // kh) * (w // kw))


def _col2im(
    x: torch.Tensor,
    size: Sequence[int],
    kernel: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> torch.Tensor:
    """[..., C*kh*kw, windows] -> [..., C, H, W]; without overlaps nothing is added."""
    (h, w), (kh, kw) = size, kernel
    if not _is_tiling(size, kernel, dilation, padding, stride):
        return NotImplemented
    batch, c = x.shape[:-2], x.shape[-2] // (kh * kw)
    x = x.reshape(-1, c, kh, kw, h // kh, w // kw).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(*batch, c, h, w)


def _select_scatter(
    x: torch.Tensor, source: torch.Tensor, dim: int, index: int
) -> torch.Tensor:
    """A slice of one, in place of a comparison with every position."""
    dim, size = dim % x.dim(), x.shape[dim % x.dim()]
    if not isinstance(size, int) or not isinstance(index, int):
        return NotImplemented
    index %= size
    return torch.slice_scatter(x, source.unsqueeze(dim), dim, index, index + 1)


DECOMPOSITIONS: Dict[Any, Callable[..., Any]] = {
    torch.ops.aten.im2col.default: _im2col,
    torch.ops.aten.col2im.default: _col2im,
    torch.ops.aten.select_scatter.default: _select_scatter,
}
