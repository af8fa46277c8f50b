# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The float64 reference against PyTorch and against its own properties."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

# Both sides in float64: only the order of summation differs.
SAME = dict(rtol=1e-12, atol=1e-12)

# Grid, window and prefix of each rank that occurs in practice.
GRIDS = [
    ((12,), (4,), 0),
    ((12,), (3,), 2),
    ((6, 4), (3, 2), 0),
    ((4, 4), (4, 4), 1),
    ((4, 2, 6), (2, 2, 3), 0),
    ((2, 2, 2), (1, 2, 1), 3),
]


def qkv(seed: int, *shape: int, dv: int = 0) -> Tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    last = (*shape[:-1], dv or shape[-1])
    return tuple(rng.standard_normal(s) * 2 for s in (shape, shape, last))


def lepe(seed: int, heads: int, dv: int, rank: int) -> reference.Lepe:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((3,) * rank + (heads, dv)), rng.standard_normal(
        (heads, dv)
    )


def torch_of(*arrays: np.ndarray) -> Tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(a) for a in arrays)


@pytest.mark.parametrize("scale", [None, 0.3])
def test_sdpa_is_torch_sdpa(scale: Any) -> None:
    q, k, v = qkv(0, 2, 3, 7, 8, dv=5)
    bias = np.random.default_rng(1).standard_normal((1, 3, 7, 7))
    for kwargs, torch_kwargs in (
        ({}, {}),
        ({"bias": bias}, {"attn_mask": torch.from_numpy(bias)}),
        ({"causal": True}, {"is_causal": True}),
    ):
        expected = F.scaled_dot_product_attention(
            *torch_of(q, k, v), scale=scale, **torch_kwargs
        )
        got = reference.sdpa(q, k, v, scale, **kwargs)
        np.testing.assert_allclose(got, expected.numpy(), **SAME)


def test_sdpa_with_fewer_keys_than_queries() -> None:
    q, _, _ = qkv(0, 1, 2, 6, 4)
    _, k, v = qkv(1, 1, 2, 3, 4)
    expected = F.scaled_dot_product_attention(*torch_of(q, k, v), is_causal=True)
    np.testing.assert_allclose(reference.sdpa(q, k, v, causal=True), expected, **SAME)


def test_masked_row_gives_zero_or_nan() -> None:
    q, k, v = qkv(0, 1, 1, 3, 4)
    bias = np.zeros((3, 3))
    bias[1] = -np.inf
    zero = reference.sdpa(q, k, v, bias=bias, masked_rows="zero")
    nan = reference.sdpa(q, k, v, bias=bias, masked_rows="nan")
    assert (zero[0, 0, 1] == 0).all()
    assert np.isnan(nan[0, 0, 1]).all()
    np.testing.assert_array_equal(zero[0, 0, [0, 2]], nan[0, 0, [0, 2]])


def test_what_a_mask_hides_may_be_anything() -> None:
    q, k, v = qkv(0, 1, 1, 3, 4)
    k[..., 1, :] = np.inf
    seen = np.array([True, False, True])
    with np.errstate(invalid="ignore"):
        got = reference.sdpa(q, k, v, bias=seen)
    np.testing.assert_allclose(got, reference.sdpa(q, k[:, :, seen], v[:, :, seen]))


def test_linear_is_the_formula_in_torch() -> None:
    q, k, v = qkv(0, 2, 3, 9, 4, dv=6)
    tq, tk, tv = torch_of(q, k, v)
    expected = tq.softmax(-1) @ (tk.softmax(-2).mT @ tv)
    np.testing.assert_allclose(reference.linear(q, k, v), expected.numpy(), **SAME)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_depthwise_conv_is_torch_conv(rank: int) -> None:
    grid, heads, dv = (5, 4, 3)[:rank], 2, 3
    v = np.random.default_rng(0).standard_normal((2, heads, int(np.prod(grid)), dv))
    weights, bias = lepe(1, heads, dv, rank)
    conv = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    image = torch.from_numpy(v).permute(0, 1, 3, 2).reshape(2, heads * dv, *grid)
    kernel = torch.from_numpy(weights).reshape(*(3,) * rank, 1, heads * dv)
    kernel = kernel.permute(rank + 1, rank, *range(rank))
    expected = conv(
        image,
        kernel,
        torch.from_numpy(bias).reshape(-1),
        padding=1,
        groups=heads * dv,
    )
    expected = expected.reshape(2, heads, dv, -1).permute(0, 1, 3, 2)
    got = reference.depthwise_conv(v, grid, (weights, bias))
    np.testing.assert_allclose(got, expected.numpy(), **SAME)


@pytest.mark.parametrize("grid,window,prefix", GRIDS)
def test_constant_v_gives_constant_v(grid: Any, window: Any, prefix: int) -> None:
    q, k, v = qkv(0, 2, 4, prefix + int(np.prod(grid)), 4, dv=3)
    v[:] = np.arange(3)
    got = reference.elfatt(q, k, v, grid, window, 2, prefix)
    np.testing.assert_allclose(got, v, **SAME)
    np.testing.assert_allclose(reference.linear(q, k, v), v, **SAME)
    np.testing.assert_allclose(reference.sdpa(q, k, v), v, **SAME)


@pytest.mark.parametrize("grid,window", [((0,), (1,)), ((0, 0), (7, 7))])
def test_every_token_a_prefix_is_exact(grid: Any, window: Any) -> None:
    q, k, v = qkv(0, 2, 4, 9, 4)
    got = reference.elfatt(q, k, v, grid, window, 2, prefix=9)
    np.testing.assert_array_equal(got, reference.sdpa(q, k, v))


def test_one_token() -> None:
    q, k, v = qkv(0, 1, 2, 1, 4)
    for got in (
        reference.sdpa(q, k, v),
        reference.linear(q, k, v),
        reference.elfatt(q, k, v, (1, 1), (1, 1), 1),
    ):
        np.testing.assert_allclose(got, v, **SAME)


@pytest.mark.parametrize("grid,window,prefix", GRIDS)
def test_one_window_is_exact_in_the_local_heads(
    grid: Any, window: Any, prefix: int
) -> None:
    q, k, v = qkv(0, 1, 2, prefix + int(np.prod(grid)), 4)
    got = reference.elfatt(q, k, v, grid, grid, 0, prefix)
    np.testing.assert_allclose(got, reference.sdpa(q, k, v), **SAME)


@pytest.mark.parametrize("grid,window,prefix", GRIDS)
def test_windows_do_not_see_each_other(grid: Any, window: Any, prefix: int) -> None:
    q, k, v = qkv(0, 1, 2, prefix + int(np.prod(grid)), 4)
    local = lepe(1, 2, 4, len(grid))
    before = reference.elfatt(q, k, v, grid, window, 0, prefix, local_lepe=local)
    members = [m for m in reference.windows(grid, window)]
    inside = prefix + np.array(members[0])
    outside = prefix + np.array(sum(members[1:], []), dtype=int)
    k[:, :, inside] += 1.0
    v[:, :, inside] -= 1.0
    after = reference.elfatt(q, k, v, grid, window, 0, prefix, local_lepe=local)
    np.testing.assert_array_equal(before[:, :, outside], after[:, :, outside])
    assert not np.allclose(before[:, :, inside], after[:, :, inside])


def test_windows_cover_a_2d_grid_in_row_major_order() -> None:
    assert list(reference.windows((4, 4), (2, 2))) == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]


def test_a_window_that_does_not_divide_is_refused() -> None:
    q, k, v = qkv(0, 1, 2, 9, 4)
    with pytest.raises(ValueError, match="does not divide"):
        reference.elfatt(q, k, v, (3, 3), (2, 2), 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 3), st.integers(0, 2**16))
def test_weights_are_a_convex_combination(
    blocks: int, width: int, prefix: int, seed: int
) -> None:
    """Every output lies between the smallest and the largest value."""
    grid, window = (blocks * width, blocks), (width, 1)
    q, k, v = qkv(seed, 1, 2, prefix + int(np.prod(grid)), 3)
    got = reference.elfatt(q, k, v, grid, window, 1, prefix)
    assert (got <= v.max(axis=2, keepdims=True) + 1e-12).all()
    assert (got >= v.min(axis=2, keepdims=True) - 1e-12).all()


@pytest.mark.parametrize(
    "mutation", ["no scale", "softmax axis", "shifted window", "no lepe", "swapped"]
)
def test_a_broken_formula_is_seen(mutation: str) -> None:
    """The harness itself: each wrong formula must differ by far more than SAME."""
    grid, window = (4, 4), (2, 2)
    q, k, v = qkv(0, 1, 2, 16, 4)
    lepes = dict(global_lepe=lepe(1, 1, 4, 2), local_lepe=lepe(2, 1, 4, 2))
    right = reference.elfatt(q, k, v, grid, window, 1, **lepes)
    if mutation == "no scale":
        wrong = reference.elfatt(q, k, v, grid, window, 1, scale=1.0, **lepes)
    elif mutation == "softmax axis":
        wrong = reference.elfatt(k, q, v, grid, window, 1, **lepes)
    elif mutation == "shifted window":
        shift = lambda x: np.roll(x, 1, axis=2)  # noqa: E731
        wrong = np.roll(
            reference.elfatt(shift(q), shift(k), shift(v), grid, window, 1, **lepes),
            -1,
            axis=2,
        )
    elif mutation == "no lepe":
        wrong = reference.elfatt(q, k, v, grid, window, 1)
    else:
        flipped = {n: (w.swapaxes(0, 1), b) for n, (w, b) in lepes.items()}
        wrong = reference.elfatt(q, k, v, grid, window, 1, **flipped)
    assert np.abs(right - wrong).max() > 1e-2
