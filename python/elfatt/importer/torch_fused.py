# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Decompositions of the layers that PyTorch has as one op each, for inference: what
``nn.MultiheadAttention`` and ``nn.TransformerEncoderLayer`` call without gradients."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, Optional, Tuple

import torch
import torch.nn.functional as F

_MASK_OF_KEYS = 1
"""A ``mask_type``: [B, M], where others are of scores."""


def _broadcast_mask(mask: torch.Tensor, mask_type: Optional[int]) -> torch.Tensor:
    """Where scores [B, H, N, M] are left out. Numbers that are not 0 are true, as the op
    has it: ``MultiheadAttention`` makes -inf of true."""
    mask = mask if mask.dtype == torch.bool else mask != 0
    return mask[:, None, None, :] if mask_type == _MASK_OF_KEYS else mask


def _native_multi_head_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    embed_dim: int,
    num_head: int,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor,
    proj_weight: torch.Tensor,
    proj_bias: torch.Tensor,
    mask: Optional[torch.Tensor] = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: Optional[int] = None,
) -> Tuple[torch.Tensor, torch.Tensor]:
    """[B, N, C], [B, M, C] -> [B, N, C], and the weights [B, N, M] or [B, H, N, M]."""
    projected = (
        F.linear(x, weight, bias).unflatten(-1, (num_head, -1)).transpose(1, 2)
        for x, weight, bias in zip(
            (query, key, value), qkv_weight.chunk(3), qkv_bias.chunk(3)
        )
    )
    q, k, v = projected
    scores = (q / math.sqrt(embed_dim // num_head)) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(_broadcast_mask(mask, mask_type), -math.inf)
    weights = torch.softmax(scores, -1)
    y = (weights @ v).transpose(1, 2).flatten(2)
    y = F.linear(y, proj_weight, proj_bias)
    if not need_weights:
        return y, y.new_empty([0])
    return y, weights.mean(1) if average_attn_weights else weights


def _transformer_encoder_layer(
    x: torch.Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: torch.Tensor,
    qkv_bias: torch.Tensor,
    proj_weight: torch.Tensor,
    proj_bias: torch.Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: torch.Tensor,
    norm_bias_1: torch.Tensor,
    norm_weight_2: torch.Tensor,
    norm_bias_2: torch.Tensor,
    ffn_weight_1: torch.Tensor,
    ffn_bias_1: torch.Tensor,
    ffn_weight_2: torch.Tensor,
    ffn_bias_2: torch.Tensor,
    mask: Optional[torch.Tensor] = None,
    mask_type: Optional[int] = None,
) -> torch.Tensor:
    """[B, N, C] -> [B, N, C], as ``nn.TransformerEncoderLayer.forward`` has it."""

    def norm_1(x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, [embed_dim], norm_weight_1, norm_bias_1, eps)

    def norm_2(x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, [embed_dim], norm_weight_2, norm_bias_2, eps)

    def attend(x: torch.Tensor) -> torch.Tensor:
        qkv = (embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias)
        return _native_multi_head_attention(
            x, x, x, *qkv, mask, need_weights=False, mask_type=mask_type
        )[0]

    def feed(x: torch.Tensor) -> torch.Tensor:
        y = F.linear(x, ffn_weight_1, ffn_bias_1)
        return F.linear(F.gelu(y) if use_gelu else F.relu(y), ffn_weight_2, ffn_bias_2)

    if norm_first:
        x = x + attend(norm_1(x))
        return x + feed(norm_2(x))
    x = norm_1(x + attend(x))
    return norm_2(x + feed(x))


DECOMPOSITIONS: Dict[Any, Callable[..., Any]] = {
    torch.ops.aten._native_multi_head_attention.default: _native_multi_head_attention,
    torch.ops.aten._transformer_encoder_layer_fwd.default: _transformer_encoder_layer,
}
