# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The formulas of ``reference``, each as a PyTorch user writes it, evaluated eagerly in
one type: products accumulate in f32, and every op rounds what it returns. By the
errors of this are kernels of 16-bit types judged. Takes and returns NumPy arrays."""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence

import numpy as np
import reference
import torch

Array = np.ndarray
Tensor = torch.Tensor
TYPES = {"f16": torch.float16, "bf16": torch.bfloat16}


def given(array: Any, dtype: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(TYPES[dtype])


def back(tensor: Tensor) -> Array:
    return tensor.to(torch.float64).numpy()


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: Optional[float],
    bias: Optional[Tensor] = None,
    scored: Optional[Callable[[Array], Array]] = None,
    masked_rows: str = "nan",
) -> Tensor:
    scores = q @ k.transpose(-1, -2)
    scores = scores * (q.shape[-1] ** -0.5 if scale is None else scale)
    if scored is not None:
        scores = torch.from_numpy(scored(back(scores))).to(scores.dtype)
    if bias is not None:
        scores = scores + bias
    weights = scores.softmax(-1)
    if masked_rows == "zero":
        weights = weights.masked_fill((scores == -torch.inf).all(-1, keepdim=True), 0)
    return weights @ v


def sdpa(
    q: Array,
    k: Array,
    v: Array,
    dtype: str,
    scale: Optional[float] = None,
    bias: Optional[Array] = None,
    causal: bool = False,
    masked_rows: str = "zero",
    scored: Optional[Callable[[Array], Array]] = None,
) -> Array:
    """As reference.sdpa; `scored` is a function on the scaled scores."""
    added = None if bias is None else given(bias, dtype)
    if causal:
        above = torch.full((q.shape[2], k.shape[2]), -torch.inf).triu(1)
        added = (
            above.to(TYPES[dtype]) if added is None else added + above.to(TYPES[dtype])
        )
    inputs = [given(x, dtype) for x in (q, k, v)]
    return back(attend(*inputs, scale, added, scored, masked_rows))


def efficient(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q.softmax(-1) @ (k.softmax(-2).transpose(-1, -2) @ v)


def linear(q: Array, k: Array, v: Array, dtype: str) -> Array:
    return back(efficient(*(given(x, dtype) for x in (q, k, v))))


def convolve(
    v: Tensor, grid: Sequence[int], lepe: reference.Lepe, dtype: str
) -> Tensor:
    weights, bias = (given(x, dtype) for x in lepe)
    batch, heads, _, channels = v.shape
    axes = len(grid)
    image = v.transpose(-1, -2).reshape(batch, heads * channels, *grid)
    taps = weights.flatten(-2).movedim(-1, 0).unsqueeze(1)
    function = [torch.conv1d, torch.conv2d, torch.conv3d][axes - 1]
    out = function(image, taps, bias.flatten(), padding=1, groups=heads * channels)
    return out.reshape(batch, heads, channels, -1).transpose(-1, -2)


def elfatt(
    q: Array,
    k: Array,
    v: Array,
    grid: Sequence[int],
    window: Sequence[int],
    global_heads: int,
    prefix: int = 0,
    global_lepe: Optional[reference.Lepe] = None,
    local_lepe: Optional[reference.Lepe] = None,
    scale: Optional[float] = None,
    dtype: str = "bf16",
) -> Array:
    """As reference.elfatt."""
    qs, ks, vs = (given(x, dtype) for x in (q, k, v))
    out = torch.empty_like(vs)
    first, rest = slice(0, global_heads), slice(global_heads, None)
    out[:, first] = efficient(qs[:, first], ks[:, first], vs[:, first])
    if global_lepe is not None:
        image = vs[:, first, prefix:]
        out[:, first, prefix:] += convolve(image, grid, global_lepe, dtype)
    for members in reference.windows(grid, window):
        at = prefix + np.array(members, dtype=int)
        seen = np.concatenate([np.arange(prefix), at])
        inputs = qs[:, rest][:, :, at], ks[:, rest][:, :, seen], vs[:, rest][:, :, seen]
        result = attend(*inputs, scale)
        if local_lepe is not None:
            result = result + convolve(vs[:, rest][:, :, at], window, local_lepe, dtype)
        out[:, global_heads:, at] = result
    if prefix:
        out[:, :, :prefix] = attend(qs[:, :, :prefix], ks, vs, scale)
    return back(out)
