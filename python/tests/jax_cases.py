# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention as JAX users write it. Some are kept as text in ``data``, so that tests
need no JAX; remake those with

    python python/tests/jax_cases.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import jax
import jax.numpy as jnp
import numpy as np

DATA = Path(__file__).parent / "data"

B, N, M, H, D = 2, 6, 7, 4, 8

Case = Tuple[Callable[..., Any], List[Any]]


def _random(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32).astype(dtype)


def _qkv(heads: int = H, dtype: Any = np.float32) -> List[Any]:
    return [
        _random(B, N, H, D, seed=1, dtype=dtype),
        _random(B, M, heads, D, seed=2, dtype=dtype),
        _random(B, M, heads, D, seed=3, dtype=dtype),
    ]


def _mask(*shape: int) -> Any:
    mask = np.random.default_rng(4).random(shape) > 0.3
    mask[..., 0] = True
    return mask


def _library(**options: Any) -> Callable[..., Any]:
    """``jax.nn.dot_product_attention``; masks and such come as arguments."""

    def attention(q: Any, k: Any, v: Any, *more: Any) -> Any:
        names = [name for name, value in options.items() if value is ...]
        fixed = {name: value for name, value in options.items() if value is not ...}
        return jax.nn.dot_product_attention(q, k, v, **fixed, **dict(zip(names, more)))

    return attention


def _einsum(q: Any, k: Any, v: Any) -> Any:
    scores = jnp.einsum("bnhd,bmhd->bhnm", q, k) / jnp.sqrt(D)
    return jnp.einsum("bhnm,bmhd->bnhd", jax.nn.softmax(scores, axis=-1), v)


def _elfatt(x: Any, w: Any) -> Any:
    """Two heads on a grid, windows of 2x2, one projection whose weight is an input."""
    b, h, width, c = x.shape
    q, k, v = (t.reshape(b, h, width, 2, c // 2) for t in jnp.split(x @ w, 3, -1))

    def grid(t: Any) -> Any:
        return t[..., :1, :].reshape(b, h * width, 1, c // 2)

    def windows(t: Any) -> Any:
        t = t[..., 1:, :].reshape(b, h // 2, 2, width // 2, 2, c // 2)
        return t.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, width // 2, 4, c // 2)

    context = jnp.einsum("bnhd,bnhe->bhde", jax.nn.softmax(grid(k), 1), grid(v))
    of_all = jnp.einsum("bnhd,bhde->bnhe", jax.nn.softmax(grid(q), -1), context)
    scores = jnp.einsum("byxid,byxjd->byxij", windows(q), windows(k)) * (c // 2) ** -0.5
    near = jnp.einsum("byxij,byxjd->byxid", jax.nn.softmax(scores, -1), windows(v))
    near = near.reshape(b, h // 2, width // 2, 2, 2, c // 2).transpose(0, 1, 3, 2, 4, 5)
    parts = (of_all.reshape(b, h, width, c // 2), near.reshape(b, h, width, c // 2))
    return jnp.concatenate(parts, -1)


def _softcap(q: Any, k: Any, v: Any) -> Any:
    scores = jnp.einsum("bnhd,bmhd->bhnm", q, k) * D**-0.5
    scores = 20.0 * jnp.tanh(scores / 20.0)
    return jnp.einsum("bhnm,bmhd->bnhd", jax.nn.softmax(scores, axis=-1), v)


def _vmapped(q: Any, k: Any, v: Any) -> Any:
    def head(q: Any, k: Any, v: Any) -> Any:
        return jax.nn.softmax(q @ k.T * D**-0.5) @ v

    return jax.vmap(jax.vmap(head, in_axes=1, out_axes=1))(q, k, v)


def _masked_by_minus_infinity(q: Any, k: Any, v: Any, mask: Any) -> Any:
    scores = jnp.einsum("bnhd,bmhd->bhnm", q, k) * D**-0.5
    scores = jnp.where(mask, scores, -jnp.inf)
    return jnp.einsum("bhnm,bmhd->bnhd", jax.nn.softmax(scores, axis=-1), v)


def _block(x: Any, wq: Any, wo: Any, w1: Any, w2: Any) -> Any:
    """A transformer's block with a causal mask, layer norms and an exact gelu."""

    def norm(x: Any) -> Any:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + 1e-6)

    q, k, v = jnp.split((norm(x) @ wq).reshape(B, N, 3 * H, D), 3, axis=2)
    y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    x = x + y.reshape(B, N, H * D) @ wo
    return x + jax.nn.gelu(norm(x) @ w1, approximate=False) @ w2


def _layers(x: Any, weights: Any) -> Any:
    """One set of weights a layer, as ``scan`` takes them; also each layer's mean."""

    def layer(x: Any, weight: Any) -> Any:
        qkv = x @ (0.1 * weight)
        q, k, v = jnp.split(qkv.reshape(B, N, 3 * H, D), 3, axis=2)
        y = x + jax.nn.dot_product_attention(q, k, v).reshape(x.shape)
        return y, y.mean()

    return jax.lax.scan(layer, x, weights)


def _repeated(q: Any, k: Any, v: Any, count: Any) -> Any:
    return jax.lax.fori_loop(0, count, lambda _, x: _einsum(x, k, v) + x, q)


def _branches(q: Any, k: Any, v: Any, choice: Any) -> Any:
    out = jax.lax.switch(
        choice, [lambda: q, lambda: _einsum(q, k, v), lambda: -_einsum(q, k, v)]
    )
    return jax.lax.cond(out.sum() > 0, jnp.sin, lambda x: x, out)


def _mapped(q: Any, k: Any, v: Any) -> Any:
    return jax.lax.map(lambda one: _einsum(*(x[None] for x in one))[0], (q, k, v))


def cases() -> Dict[str, Case]:
    """Name -> function and example inputs."""
    c = H * D
    qkv = _qkv()
    return {
        "plain": (_library(), qkv),
        "causal": (_library(is_causal=True), qkv),
        "grouped": (_library(), _qkv(heads=2)),
        "grouped-causal": (_library(is_causal=True), _qkv(heads=2)),
        "mask": (_library(mask=...), [*qkv, _mask(B, H, N, M)]),
        "padding": (_library(mask=...), [*qkv, _mask(B, 1, 1, M)]),
        "bias": (_library(bias=...), [*qkv, _random(1, H, N, M, seed=5)]),
        "window": (_library(local_window_size=2), qkv),
        "causal-window": (_library(local_window_size=(2, 0), is_causal=True), qkv),
        "lengths": (
            _library(query_seq_lengths=..., key_value_seq_lengths=...),
            [*qkv, np.array([4, 6], np.int32), np.array([5, 7], np.int32)],
        ),
        "scale": (_library(scale=0.3), qkv),
        "bf16": (_library(), _qkv(dtype=jnp.bfloat16)),
        "einsum": (_einsum, qkv),
        "einsum-bf16": (_einsum, _qkv(dtype=jnp.bfloat16)),
        "softcap": (_softcap, qkv),
        "vmapped": (_vmapped, qkv),
        "minus-infinity": (
            _masked_by_minus_infinity,
            [*qkv, _mask(B, 1, N, M)],
        ),
        "scan": (
            _layers,
            [_random(B, N, c, seed=6), _random(3, c, 3 * c, seed=7)],
        ),
        "loop": (_repeated, [*qkv, np.int32(3)]),
        "no-turn": (_repeated, [*qkv, np.int32(0)]),
        "branches": (_branches, [*qkv, np.int32(1)]),
        "last-branch": (_branches, [*qkv, np.int32(7)]),
        "map": (_mapped, qkv),
        "elfatt": (_elfatt, [_random(1, 4, 4, 8), _random(8, 24, seed=1) * 0.3]),
        "block": (
            _block,
            [
                _random(B, N, c, seed=6),
                _random(c, 3 * c, seed=7) * 0.1,
                _random(c, c, seed=8) * 0.1,
                _random(c, 2 * c, seed=9) * 0.1,
                _random(2 * c, c, seed=10) * 0.1,
            ],
        ),
    }


def flax_cases() -> Dict[str, Case]:
    """The same of Flax's modules; weights are arguments."""
    from flax import linen

    x = _random(B, N, H * D, seed=11)
    module = linen.MultiHeadDotProductAttention(num_heads=H)
    weights = module.init(jax.random.key(0), x)
    causal = linen.make_causal_mask(np.ones((B, N)))
    return {
        "flax": (lambda weights, x: module.apply(weights, x), [weights, x]),
        "flax-causal": (
            lambda weights, x: module.apply(weights, x, mask=causal),
            [weights, x],
        ),
        "flax-mask": (
            lambda weights, x, mask: module.apply(weights, x, mask=mask),
            [weights, x, _mask(B, 1, N, N)],
        ),
    }


# Those that tests read as text.
KEPT = (
    "plain",
    "causal",
    "grouped-causal",
    "padding",
    "window",
    "bf16",
    "scan",
    "branches",
    "block",
    "elfatt",
)


def text_of(case: Case, debug_info: bool = False) -> str:
    function, inputs = case
    return jax.jit(function).lower(*inputs).as_text(debug_info=debug_info)


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for name in KEPT:
        text = text_of(cases()[name])
        head = f"// jax {jax.__version__}, case '{name}' of jax_cases.py\n"
        (DATA / f"{name}.stablehlo").write_text(head + text)


if __name__ == "__main__":
    main()
