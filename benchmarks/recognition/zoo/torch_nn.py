# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention of `torch.nn`."""

from __future__ import annotations

from typing import Any, Callable

import torch
from torch import nn

from zoo import Call, Family, Sample, randomise, values

TOKENS, MEMORY = values(2, 10, 32), values(2, 7, 32)
CAUSAL = nn.Transformer.generate_square_subsequent_mask(10)
PADDING = torch.arange(10)[None] >= torch.tensor([[9], [6]])


def layer(
    name: str,
    make: Callable[[], nn.Module],
    inputs: Any,
    attentions: int,
    call: Any,
    **rest: Any,
) -> Family:
    def build(implementation: str) -> Sample:
        torch.manual_seed(0)
        return Call(randomise(make()), call), inputs

    return Family(name, build, attentions, ("sdpa",), **rest)


def multihead(**options: Any) -> Callable[[], nn.Module]:
    return lambda: nn.MultiheadAttention(32, 4, batch_first=True, **options)


def attend(m: nn.Module, x: Any, y: Any = None, **options: Any) -> Any:
    y = x if y is None else y
    return m(x, y, y, need_weights=False, **options)[0]


def encoder_layer(**options: Any) -> nn.Module:
    return nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, **options)


def decoder_layer() -> nn.Module:
    return nn.TransformerDecoderLayer(32, 4, 64, batch_first=True)


FAMILIES = [
    layer("MultiheadAttention", multihead(), (TOKENS,), 1, attend),
    layer("MultiheadAttention, cross", multihead(), (TOKENS, MEMORY), 1, attend),
    layer(
        "MultiheadAttention, other key width",
        multihead(kdim=24, vdim=24),
        (TOKENS, values(2, 7, 24)),
        1,
        attend,
    ),
    layer(
        "MultiheadAttention, causal mask",
        multihead(),
        (TOKENS,),
        1,
        lambda m, x: attend(m, x, attn_mask=CAUSAL, is_causal=True),
    ),
    layer(
        "MultiheadAttention, padding",
        multihead(),
        (TOKENS, PADDING),
        1,
        lambda m, x, p: attend(m, x, key_padding_mask=p),
    ),
    layer(
        "MultiheadAttention, bias_k and zero key",
        multihead(add_bias_kv=True, add_zero_attn=True),
        (TOKENS,),
        1,
        attend,
    ),
    layer(
        "MultiheadAttention, weights returned",
        multihead(),
        (TOKENS,),
        1,
        lambda m, x: m(x, x, x, need_weights=True),
        note="the mean of the probabilities is a second result",
    ),
    layer("TransformerEncoderLayer", encoder_layer, (TOKENS,), 1, lambda m, x: m(x)),
    layer(
        "TransformerEncoderLayer, norm first",
        lambda: encoder_layer(norm_first=True),
        (TOKENS, PADDING),
        1,
        lambda m, x, p: m(x, src_key_padding_mask=p),
    ),
    layer(
        "TransformerDecoderLayer",
        decoder_layer,
        (TOKENS, MEMORY),
        2,
        lambda m, x, y: m(x, y, tgt_mask=CAUSAL, tgt_is_causal=True),
        note="causal self attention and cross attention",
    ),
    layer(
        "MultiheadAttention, dynamic sequence",
        multihead(),
        (TOKENS,),
        1,
        attend,
        dynamic=[(0, 1)],
    ),
    layer(
        "MultiheadAttention, dynamic batch",
        multihead(),
        (TOKENS,),
        1,
        attend,
        dynamic=[(0, 0)],
    ),
]
