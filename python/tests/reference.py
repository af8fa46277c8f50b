# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention in float64, straight from the formulas of docs/Semantics.md.

``dtype=np.float32`` gives what a plain evaluation in that type gives: by this the
errors of compiled kernels are judged.

Nothing here is shared with the compiler: this is what every stage is compared
with. Arrays are ``[B, H, N, D]`` (batch, heads, tokens, channels of one head); K
and V may have M tokens and V may have Dv channels. A grid of any rank is
row-major: token ``P + y * W + x`` behind P prefix tokens.
"""

from __future__ import annotations

import itertools
from typing import Any, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

Array = np.ndarray
Lepe = Tuple[Array, Array]
"""Weights ``[k, (k, ...), H, Dv]`` (taps first, one axis a grid axis; cross
correlation, as in deep learning) and bias ``[H, Dv]``; H counts the heads of the
branch it belongs to."""


def softmax(
    x: Array, axis: int, masked_rows: str = "nan", dtype: Any = np.float64
) -> Array:
    """exp(x) / sum(exp(x)) along an axis.

    ``masked_rows`` says what a row of nothing but -inf gives: "zero" or "nan".
    """
    x = np.asarray(x, dtype)
    if masked_rows not in ("zero", "nan"):
        raise ValueError(f"expected 'zero' or 'nan', got {masked_rows!r}")
    with np.errstate(invalid="ignore"):
        e = np.exp(x - x.max(axis=axis, keepdims=True))
        p = e / e.sum(axis=axis, keepdims=True)
    if masked_rows == "zero":
        p = np.where(np.all(x == -np.inf, axis=axis, keepdims=True), 0.0, p)
    return p


def sdpa(
    q: Array,
    k: Array,
    v: Array,
    scale: Optional[float] = None,
    bias: Union[Array, Sequence[Array], None] = None,
    causal: bool = False,
    masked_rows: str = "zero",
    dtype: Any = np.float64,
) -> Array:
    """O = softmax_j(scale <Q_i, K_j> + bias_ij) V, [B,H,N,Dv].

    Args:
        q: [B,H,N,D]; ``k``: [B,H,M,D]; ``v``: [B,H,M,Dv].
        scale: 1/sqrt(D) when None.
        bias: anything that broadcasts to [B,H,N,M], or several, in order. Numbers are
            added, -inf masks; of bool, False makes any score -inf.
        causal: query i sees keys 0..i (counted from the first key).
        masked_rows: what a query that sees nothing gives: "zero" or "nan".
    """
    q, k, v = (np.asarray(x, dtype) for x in (q, k, v))
    if scale is None:
        scale = 1 / np.sqrt(dtype(q.shape[-1]))
    scores = dtype(scale) * np.einsum("bhid,bhjd->bhij", q, k)
    for added in [bias] if isinstance(bias, np.ndarray) else bias or []:
        if added.dtype == bool:
            scores = np.where(added, scores, dtype(-np.inf))
        else:
            scores = scores + np.asarray(added, dtype)
    if causal:
        i, j = np.indices(scores.shape[-2:])
        scores = np.where(j <= i, scores, dtype(-np.inf))
    return np.einsum("bhij,bhjd->bhid", softmax(scores, -1, masked_rows, dtype), v)


def linear(q: Array, k: Array, v: Array, dtype: Any = np.float64) -> Array:
    """softmax_channels(Q) (softmax_tokens(K)^T V), [B,H,N,Dv]; no scale."""
    q, k, v = (np.asarray(x, dtype) for x in (q, k, v))
    context = np.einsum("bhjc,bhjd->bhcd", softmax(k, 2, dtype=dtype), v)
    return np.einsum("bhic,bhcd->bhid", softmax(q, 3, dtype=dtype), context)


def windows(grid: Sequence[int], window: Sequence[int]) -> Iterator[List[int]]:
    """The grid tokens of each window, windows and tokens in row-major order."""
    if len(grid) != len(window) or any(g % w for g, w in zip(grid, window)):
        raise ValueError(f"window {tuple(window)} does not divide grid {tuple(grid)}")
    starts = [range(0, g, w) for g, w in zip(grid, window)]
    for start in itertools.product(*starts):
        axes = [range(s, s + w) for s, w in zip(start, window)]
        yield [
            int(np.ravel_multi_index(at, tuple(grid)))
            for at in itertools.product(*axes)
        ]


def depthwise_conv(
    v: Array, grid: Sequence[int], lepe: Lepe, dtype: Any = np.float64
) -> Array:
    """LePE: the depthwise convolution of [B,H,N,Dv] laid out on a grid."""
    weights, bias = (np.asarray(x, dtype) for x in lepe)
    taps = weights.shape[: len(grid)]
    image = np.asarray(v, dtype).reshape(*v.shape[:2], *grid, v.shape[-1])
    # Zeros around the grid: half a kernel on either side.
    padded = np.pad(image, [(0, 0), (0, 0), *((t // 2, t // 2) for t in taps), (0, 0)])
    out = np.zeros_like(image)
    for tap in itertools.product(*map(range, taps)):
        at = tuple(slice(t, t + g) for t, g in zip(tap, grid))
        shape = (weights.shape[-2], *(1 for _ in grid), weights.shape[-1])
        out += padded[(slice(None), slice(None), *at)] * weights[tap].reshape(shape)
    out += bias.reshape(bias.shape[0], *(1 for _ in grid), bias.shape[1])
    return out.reshape(v.shape)


def elfatt(
    q: Array,
    k: Array,
    v: Array,
    grid: Sequence[int],
    window: Sequence[int],
    global_heads: int,
    prefix: int = 0,
    global_lepe: Optional[Lepe] = None,
    local_lepe: Optional[Lepe] = None,
    scale: Optional[float] = None,
    dtype: Any = np.float64,
) -> Array:
    """Both branches of ELFATT, [B,H,N,Dv] with N = prefix + product of the grid.

    Args:
        q, k, v: [B,H,N,D], [B,H,N,D], [B,H,N,Dv].
        grid, window: sizes along 1, 2 or 3 axes; ``window`` divides ``grid``.
        global_heads: the first so many heads take the global branch.
        prefix: P tokens before the grid, which are on no grid.
        global_lepe, local_lepe: see ``Lepe``.
        scale: of the local branch and of prefix queries; 1/sqrt(D) when None.
    """
    q, k, v = (np.asarray(x, dtype) for x in (q, k, v))
    B, H, N, _ = q.shape
    if N != prefix + int(np.prod(grid)):
        raise ValueError(f"expected {prefix} + {tuple(grid)} tokens, got {N} in q")
    out = np.empty((B, H, N, v.shape[-1]), dtype)
    first, rest = slice(0, global_heads), slice(global_heads, H)
    tokens = slice(prefix, N)

    # Global heads: prefix tokens are ordinary keys.
    out[:, first] = linear(q[:, first], k[:, first], v[:, first], dtype)
    if global_lepe is not None:
        out[:, first, tokens] += depthwise_conv(
            v[:, first, tokens], grid, global_lepe, dtype
        )

    # Local heads: one softmax over the prefix and the window together.
    for members in windows(grid, window):
        at = prefix + np.array(members, dtype=int)
        seen = np.concatenate([np.arange(prefix), at])
        ql, kl, vl = (
            q[:, rest][:, :, at],
            k[:, rest][:, :, seen],
            v[:, rest][:, :, seen],
        )
        result = sdpa(ql, kl, vl, scale, dtype=dtype)
        if local_lepe is not None:
            result += depthwise_conv(v[:, rest][:, :, at], window, local_lepe, dtype)
        out[:, global_heads:, at] = result

    # Prefix queries attend exactly, in every head.
    if prefix:
        out[:, :, :prefix] = sdpa(q[:, :, :prefix], k, v, scale, dtype=dtype)
    return out
