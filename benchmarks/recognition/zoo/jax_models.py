# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention of JAX and of Flax; ``build`` gives a function of arrays in place of a module.

Nothing is computed before ``build``: JAX's threads do not survive a fork.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zoo import SEED, Family


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(SEED + seed).standard_normal(shape, np.float32)


def function(
    name: str, call: Callable[..., Any], inputs: Sequence[Any], **rest: Any
) -> Family:
    return family(name, lambda: (call, inputs), **rest)


def family(name: str, make: Callable[[], Any], **rest: Any) -> Family:
    return Family(name, lambda _: make(), 1, ("jax",), frontends=("stablehlo",), **rest)


def dot_product(
    name: str,
    *more: np.ndarray,
    names: Sequence[str] = (),
    heads: int = 4,
    **fixed: Any,
) -> Family:
    """jax.nn.dot_product_attention on [B,N,H,D]; ``names`` are the further arguments."""

    def call(q: Any, k: Any, v: Any, *rest: Any) -> Any:
        return jax.nn.dot_product_attention(q, k, v, **dict(zip(names, rest)), **fixed)

    qkv = (
        array(2, 6, 4, 8),
        array(2, 6, heads, 8, seed=1),
        array(2, 6, heads, 8, seed=2),
    )
    return function(name, call, (*qkv, *more))


def flax(name: str, module: linen.Module, *inputs: np.ndarray) -> Family:
    """A Flax module; its weights are arguments, drawn anew."""

    def make() -> Any:
        leaves, tree = jax.tree.flatten(module.init(jax.random.key(0), *inputs))
        weights = [0.3 * array(*leaf.shape, seed=i) for i, leaf in enumerate(leaves)]

        def call(*arrays: Any) -> Any:
            variables = jax.tree.unflatten(tree, arrays[len(inputs) :])
            return module.apply(variables, *arrays[: len(inputs)])

        return call, (*inputs, *weights)

    return family(name, make)


def nnx_attention() -> Any:
    module = nnx.MultiHeadAttention(4, 32, decode=False, rngs=nnx.Rngs(0))
    graph, parameters, others = nnx.split(module, nnx.Param, ...)
    leaves, tree = jax.tree.flatten(parameters)
    weights = [0.3 * array(*leaf.shape, seed=i) for i, leaf in enumerate(leaves)]

    def call(x: Any, *arrays: Any) -> Any:
        made = nnx.merge(graph, jax.tree.unflatten(tree, arrays), others)
        return made(x, deterministic=True)

    return call, (TOKENS, *weights)


class Block(linen.Module):
    """A pre-norm encoder block of Flax layers."""

    causal: bool = False

    @linen.compact
    def __call__(self, x: Any) -> Any:
        mask = linen.make_causal_mask(x[..., 0]) if self.causal else None
        x = x + linen.MultiHeadDotProductAttention(num_heads=4)(
            linen.LayerNorm()(x), mask=mask
        )
        y = linen.gelu(linen.Dense(64)(linen.LayerNorm()(x)))
        return x + linen.Dense(32)(y)


def by_einsum(q: Any, k: Any, v: Any) -> Any:
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(8)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, axis=-1), v)


def of_one_head(q: Any, k: Any, v: Any) -> Any:
    return jax.nn.softmax(q @ k.T / np.sqrt(8)) @ v


TOKENS, MEMORY = array(2, 6, 32), array(2, 5, 32, seed=9)
QKV = array(2, 6, 4, 8), array(2, 6, 4, 8, seed=1), array(2, 6, 4, 8, seed=2)
MASK = np.random.default_rng(SEED).random((2, 1, 6, 6)) > 0.4
LENGTHS = np.array([6, 4], np.int32)

FAMILIES = [
    dot_product("dot_product_attention"),
    dot_product("dot_product_attention, bias", array(1, 4, 6, 6), names=["bias"]),
    dot_product("dot_product_attention, mask", MASK, names=["mask"]),
    dot_product("dot_product_attention, causal", is_causal=True),
    dot_product("dot_product_attention, grouped heads", heads=2),
    dot_product(
        "dot_product_attention, sliding window", is_causal=True, local_window_size=2
    ),
    dot_product(
        "dot_product_attention, lengths",
        LENGTHS,
        LENGTHS,
        names=["query_seq_lengths", "key_value_seq_lengths"],
    ),
    function("einsum and softmax", by_einsum, QKV),
    function("vmap of one head", jax.vmap(jax.vmap(of_one_head, 1, 1)), QKV),
    flax(
        "Flax MultiHeadDotProductAttention",
        linen.MultiHeadDotProductAttention(num_heads=4),
        TOKENS,
    ),
    flax(
        "Flax MultiHeadDotProductAttention, cross",
        linen.MultiHeadDotProductAttention(num_heads=4),
        TOKENS,
        MEMORY,
    ),
    flax("Flax encoder block", Block(), TOKENS),
    flax("Flax decoder block", Block(causal=True), TOKENS),
    family("Flax NNX MultiHeadAttention", nnx_attention),
]
