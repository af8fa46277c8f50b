# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Decompositions to views of what torch-mlir lowers to gathers, scatters and selects:
windows by ``unfold``, their inverse by ``fold``, strides that are a reshape, and
assignments to ``x[:, i]``; of ``x[:, index]`` with a tensor to selects, which are linalg
and its scatters are not."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Optional, Sequence

import torch
from torch._decomp import decomposition_table
from torch._prims_common import make_contiguous_strides_for


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


def _index_copy(
    x: torch.Tensor, dim: int, index: torch.Tensor, source: torch.Tensor
) -> torch.Tensor:
    """Each row along ``dim`` is that of ``source`` whose index it is, or stays: a
    decoder's cache with the rows of new tokens."""
    if x.dim() == 0 or index.dim() > 1:
        return NotImplemented
    dim, rows = dim % x.dim(), x.shape[dim % x.dim()]
    index = index.reshape(-1)
    if isinstance(rows, int):
        index = torch.where(index < 0, index + rows, index)
    hits = torch.arange(rows, device=x.device)[:, None] == index
    if index.shape[0] != 1:
        # Of equal indices PyTorch takes any.
        source = source.index_select(dim, hits.to(torch.int64).argmax(-1))
    is_new = hits.any(-1).reshape(-1, *[1] * (x.dim() - 1 - dim))
    return torch.where(is_new, source, x)


def _index_put(
    x: torch.Tensor,
    indices: Sequence[Optional[torch.Tensor]],
    values: torch.Tensor,
    accumulate: bool = False,
) -> torch.Tensor:
    """``x[:, index] = values`` for one index of one dimension, and ``x[mask] = value``."""
    dims = [d for d, index in enumerate(indices) if index is not None]
    if accumulate or len(dims) != 1:
        return NotImplemented
    (dim,) = dims
    index = indices[dim]
    assert index is not None
    if index.dtype == torch.bool and values.numel() == 1:
        inner = x.dim() - dim - index.dim()
        mask = index.reshape(*index.shape, *[1] * inner)
        return torch.where(mask, values.reshape([]), x)
    if index.dim() != 1 or index.dtype in (torch.bool, torch.uint8):
        return NotImplemented
    shape = [*x.shape[:dim], index.shape[0], *x.shape[dim + 1 :]]
    return _index_copy(x, dim, index, values.expand(shape))


def _as_strided(
    x: torch.Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: Optional[int] = None,
) -> torch.Tensor:
    """A reshape where both sides lie row-major, as in the parts of a group norm."""
    row_major = make_contiguous_strides_for(size)
    if (
        storage_offset
        or tuple(stride) != row_major
        or x.stride() != make_contiguous_strides_for(x.shape)
        or math.prod(size) != x.numel()
    ):
        return NotImplemented
    return x.reshape(size)


DECOMPOSITIONS: Dict[Any, Callable[..., Any]] = {
    torch.ops.aten.as_strided.default: _as_strided,
    torch.ops.aten.im2col.default: _im2col,
    torch.ops.aten.col2im.default: _col2im,
    torch.ops.aten.index_copy.default: _index_copy,
    torch.ops.aten.index_put.default: _index_put,
    torch.ops.aten.select_scatter.default: _select_scatter,
}
