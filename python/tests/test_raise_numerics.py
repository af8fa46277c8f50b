# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Imported attention, raised, decomposed again and run by another compiler
(torch-mlir's JIT), against PyTorch: raising keeps what the source means."""

from __future__ import annotations

import math
import re
import subprocess
from collections import Counter
from typing import Any, Callable, Dict, Sequence, Tuple

import elfatt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from elfatt import models
from elfatt.tools import find_opt
from execute import execute

# float32, relative to the largest output: another order of summation.
TOLERANCE = 5e-6


def raise_text(text: str, *passes: str) -> Tuple[str, Counter]:
    """The module after elfatt-raise and `passes`, and the remarks by what they say."""
    result = subprocess.run(
        [str(find_opt()), "-", "--elfatt-raise", *passes],
        input=text,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    remarks = Counter(re.findall(r"remark: raised to attention\.(\w+)", result.stderr))
    remarks.update(
        re.findall(r"remark: attention not raised \(([\w-]+)\)", result.stderr)
    )
    return result.stdout, remarks


def check(
    module: torch.nn.Module, inputs: Sequence[torch.Tensor], sites: Dict[str, int]
) -> None:
    """`module` has exactly `sites`, and means the same after raising."""
    text = str(elfatt.import_torch(module.eval(), *inputs))
    raised, remarks = raise_text(text, "--elfatt-decompose")
    assert dict(remarks) == sites
    assert "attention." not in re.sub(r"attention\.(refused|excess)", "", raised)
    with torch.no_grad():
        expected = module(*inputs).numpy()
    (got,) = execute(raised, [value.numpy() for value in inputs])
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    scale = np.nanmax(np.abs(expected))
    assert np.nanmax(np.abs(got - expected)) <= TOLERANCE * scale


@pytest.mark.parametrize(
    "make, sites",
    [
        (models.vit_tiny_test, {"sdpa": 2}),
        (models.vit_tiny_test_eager, {"sdpa": 2}),
        (models.bert_padding_tiny, {"sdpa": 2}),
        (models.bert_padding_tiny_eager, {"sdpa": 2}),
        (models.elfatt_tiny_test, {"elfatt": 1}),
        (models.elfatt_attention_four_heads_test, {"elfatt": 1}),
        (models.elfatt_attention_no_lepe_test, {"elfatt": 1}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_models(make: Callable[[], models.Sample], sites: Dict[str, int]) -> None:
    module, inputs = make()
    check(module, inputs, sites)


class Spelling(torch.nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs)


B, H, N, M, D, E = 2, 3, 5, 7, 8, 4


def heads(tokens: int, channels: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, H, tokens, channels, generator=generator)


def qkv() -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return heads(N, D, 1), heads(M, D, 2), heads(M, E, 3)


def softmax(s: torch.Tensor) -> torch.Tensor:
    return torch.softmax(s, dim=-1)


def keep_all_but_a_row() -> torch.Tensor:
    mask = torch.rand(N, M, generator=torch.Generator().manual_seed(4)) > 0.4
    mask[2] = False
    return mask


def packed(x: torch.Tensor) -> torch.Tensor:
    q, k, v = x.reshape(B, N, 3, H, D).permute(2, 0, 3, 1, 4).unbind(0)
    o = F.scaled_dot_product_attention(q, k, v)
    return o.transpose(1, 2).reshape(B, N, H * D)


def time_first(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    # Tokens before heads, einsum, the scale as a division of the scores.
    s = torch.einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(D)
    return torch.einsum("bhnm,bmhd->bnhd", softmax(s), v)


def key_columns(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    # Scores as [keys, queries], softmax over the rows.
    s = k @ q.transpose(-1, -2) * 0.3
    return torch.softmax(s, dim=-2).transpose(-1, -2) @ v


def by_hand(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    s = (q * 0.25) @ k.transpose(-1, -2)
    e = torch.exp(s - s.amax(dim=-1, keepdim=True))
    return e / e.sum(dim=-1, keepdim=True) @ v


def grouped(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(
        q, k[:, :1].expand(k.shape), v[:, :1].expand(v.shape)
    )


def linear(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    context = torch.softmax(k, dim=-2).transpose(-1, -2) @ v
    return torch.softmax(q, dim=-1) @ context


def linear_einsum(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    context = torch.einsum("bhmd,bhme->bhde", torch.softmax(k, dim=2), v)
    return torch.einsum("bhnd,bhde->bhne", torch.softmax(q, dim=3), context)


def linear_projected(x: Any, wq: Any, wk: Any, wv: Any) -> torch.Tensor:
    """By weights that are inputs, as in JAX, with a softmax on each side of them."""
    q, k, v = (x @ w for w in (wq, wk, wv))
    return torch.softmax(q, -1) @ (torch.softmax(k, -2).transpose(-1, -2) @ v)


def masked(q: Any, k: Any, v: Any, mask: torch.Tensor) -> torch.Tensor:
    s = (q @ k.transpose(-1, -2) * 0.3).masked_fill(~mask, float("-inf"))
    return softmax(s) @ v


def guarded(q: Any, k: Any, v: Any, mask: torch.Tensor) -> torch.Tensor:
    s = (q @ k.transpose(-1, -2) * 0.3).masked_fill(~mask, float("-inf"))
    return torch.nan_to_num(softmax(s)) @ v


def masked_again(q: Any, k: Any, v: Any, mask: torch.Tensor) -> torch.Tensor:
    s = (q @ k.transpose(-1, -2) * 0.3).masked_fill(~mask, float("-inf"))
    return softmax(s).masked_fill(~mask, 0.0) @ v


def masked_low(
    q: Any, k: Any, v: Any, mask: torch.Tensor, low: float = -1e9, rest: float = 0.0
) -> torch.Tensor:
    """A row without a key is 0, where the low number alone would make it a mean."""
    s = torch.where(mask, q @ k.transpose(-1, -2) * 0.3, low)
    return torch.where(mask, softmax(s), rest) @ v


def masked_low_scores(q: Any, k: Any, v: Any, mask: torch.Tensor) -> torch.Tensor:
    """With scores that are no plain ones, and the two masks written as opposites."""
    s = torch.tanh(q @ k.transpose(-1, -2)) * 2.0
    s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    return torch.where(mask, softmax(s), 0.0) @ v


def masked_low_causal(q: Any, k: Any, v: Any) -> torch.Tensor:
    keep = torch.ones(N, M, dtype=torch.bool).tril()
    return masked_low(q, k, v, keep, low=-1e30)


def talking(q: Any, k: Any, v: Any, before: Any = None, after: Any = None) -> Any:
    """Heads mixed by weights that are inputs, before or after the softmax."""
    s = torch.einsum("bhnd,bhmd->bhnm", q, k) * 0.3
    if before is not None:
        s = torch.einsum("bhnm,hg->bgnm", s, before)
    p = softmax(s)
    if after is not None:
        p = torch.einsum("bhnm,hg->bgnm", p, after)
    return p @ v


def sink(q: Any, k: Any, v: Any, logit: torch.Tensor) -> torch.Tensor:
    s = q @ k.transpose(-1, -2) * 0.3
    column = logit.view(1, H, 1, 1).expand(B, H, N, 1)
    return softmax(torch.cat([s, column], -1))[..., :-1] @ v


def sink_as_key(q: Any, k: Any, v: Any, logit: torch.Tensor) -> torch.Tensor:
    """The same as docs/Reasons.md tells: a key and a value of zeros, and a bias."""
    s = q @ F.pad(k, (0, 0, 0, 1)).transpose(-1, -2) * 0.3
    bias = F.pad(logit.view(H, 1, 1), (M, 0))
    return softmax(s + bias) @ F.pad(v, (0, 0, 0, 1))


def masked_sum(q: Any, k: Any, v: Any, mask: torch.Tensor) -> torch.Tensor:
    """``jax.nn.softmax(s, where=mask)``."""
    s = torch.where(mask, q @ k.transpose(-1, -2) * 0.3, float("-inf"))
    e = torch.exp(s - s.amax(-1, keepdim=True))
    p = e / torch.where(mask, e, 0.0).sum(-1, keepdim=True)
    return torch.where(mask, p, 0.0) @ v


def masked_otherwise(q: Any, k: Any, v: Any, mask: torch.Tensor) -> torch.Tensor:
    s = (q @ k.transpose(-1, -2) * 0.3).masked_fill(~mask, float("-inf"))
    return softmax(s).masked_fill(mask, 0.0) @ v


def logsumexp(q: Any, k: Any, v: Any) -> torch.Tensor:
    """``jax.nn.logsumexp``."""
    s = q @ k.transpose(-1, -2) * 0.3
    m = s.amax(-1, keepdim=True)
    m = torch.where(torch.isfinite(m), m, 0.0)
    return torch.exp(s - (torch.exp(s - m).sum(-1, keepdim=True).abs().log() + m)) @ v


def multiplied(q: Any, k: Any, v: Any) -> torch.Tensor:
    """No product of matrices in it."""
    s = (q[..., :, None, :] * k[..., None, :, :]).sum(-1) * 0.3
    return (softmax(s)[..., None] * v[..., None, :, :]).sum(-2)


def cosine(q: Any, k: Any, v: Any) -> torch.Tensor:
    s = F.cosine_similarity(q[..., :, None, :], k[..., None, :, :], dim=-1)
    return softmax(s * 5.0) @ v


def clipped(q: Any, k: Any, v: Any) -> torch.Tensor:
    p = softmax(q @ k.transpose(-1, -2) * 0.3)
    return torch.where(p == 1.0, 0.5, p) @ v


def widened(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    q, k, v = q.half(), k.half(), v.half()
    s = (q.float() @ k.float().transpose(-1, -2)) * 0.3
    return softmax(s) @ v.float()


SDPA = {"sdpa": 1}
SPELLINGS: Dict[
    str, Tuple[Callable[..., torch.Tensor], Sequence[torch.Tensor], Dict[str, int]]
] = {
    "sdpa": (F.scaled_dot_product_attention, qkv(), SDPA),
    "packed": (packed, [torch.randn(B, N, 3 * H * D)], SDPA),
    "einsum": (time_first, [x.transpose(1, 2).contiguous() for x in qkv()], SDPA),
    "key_columns": (key_columns, qkv(), SDPA),
    "by_hand": (by_hand, qkv(), SDPA),
    "grouped": (grouped, qkv(), SDPA),
    "one_query": (F.scaled_dot_product_attention, (heads(1, D, 1), *qkv()[1:]), SDPA),
    "one_key": (
        F.scaled_dot_product_attention,
        (heads(N, D, 1), heads(1, D, 2), heads(1, E, 3)),
        SDPA,
    ),
    "boolean_mask": (
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m),
        (*qkv(), keep_all_but_a_row()),
        SDPA,
    ),
    "masked_fill": (masked, (*qkv(), keep_all_but_a_row()), SDPA),
    "masked_again": (masked_again, (*qkv(), keep_all_but_a_row()), SDPA),
    "masked_low": (masked_low, (*qkv(), keep_all_but_a_row()), SDPA),
    "masked_low_scores": (masked_low_scores, (*qkv(), keep_all_but_a_row()), SDPA),
    "masked_low_causal": (masked_low_causal, qkv(), SDPA),
    "sink_as_key": (sink_as_key, (*qkv(), torch.randn(H)), SDPA),
    "masked_sum": (masked_sum, (*qkv(), keep_all_but_a_row()), SDPA),
    "logsumexp": (logsumexp, qkv(), SDPA),
    "multiplied": (multiplied, qkv(), SDPA),
    "cosine": (cosine, qkv(), SDPA),
    "nan_to_num": (guarded, (*qkv(), keep_all_but_a_row()), SDPA),
    "bias": (
        lambda q, k, v, b: F.scaled_dot_product_attention(q, k, v, attn_mask=b),
        (*qkv(), torch.randn(H, N, M)),
        SDPA,
    ),
    "two_biases": (
        lambda q, k, v, a, b: softmax(q @ k.transpose(-1, -2) + a + b) @ v,
        (*qkv(), torch.randn(H, N, M), torch.randn(B, 1, 1, M)),
        SDPA,
    ),
    "negative_scale": (
        lambda q, k, v: softmax(-(q @ k.transpose(-1, -2)) * 0.2) @ v,
        qkv(),
        SDPA,
    ),
    "f16_operands": (widened, qkv(), SDPA),
    "linear": (linear, (heads(N, D, 1), heads(M, D, 2), heads(M, E, 3)), {"linear": 1}),
    "linear_einsum": (linear_einsum, qkv(), {"linear": 1}),
    "linear_projected": (
        linear_projected,
        [torch.randn(B, N, 12), *(torch.randn(12, D) * 0.3 for _ in range(3))],
        {"linear": 1},
    ),
    # Refused, each with its reason, and left as it was.
    "sigmoid": (
        lambda q, k, v: torch.sigmoid(q @ k.transpose(-1, -2)) @ v,
        qkv(),
        {"sigmoid-instead-of-softmax": 1},
    ),
    "softmax_over_queries": (
        lambda q, k, v: torch.softmax(q @ k.transpose(-1, -2), dim=-2) @ v,
        qkv(),
        {"wrong-softmax-axis": 1},
    ),
    "mask_after_softmax": (
        lambda q, k, v, m: (softmax(q @ k.transpose(-1, -2)) * m) @ v,
        (*qkv(), torch.rand(N, M)),
        {"mask-after-softmax": 1},
    ),
    "masked_otherwise": (
        masked_otherwise,
        (*qkv(), keep_all_but_a_row()),
        {"mask-after-softmax": 1},
    ),
    "masked_by_a_number": (
        lambda q, k, v, m: masked_low(q, k, v, m, low=-5.0),
        (*qkv(), keep_all_but_a_row()),
        {"mask-after-softmax": 1},
    ),
    "masked_to_another": (
        lambda q, k, v, m: masked_low(q, k, v, m, rest=0.1),
        (*qkv(), keep_all_but_a_row()),
        {"mask-after-softmax": 1},
    ),
    "clamped": (
        lambda q, k, v: (softmax(q @ k.mT) * 1.06 - 0.03).clamp(0, 1) @ v,
        qkv(),
        {"mask-after-softmax": 1},
    ),
    "talking_before": (
        talking,
        (*qkv(), torch.randn(H, H)),
        {"talking-heads": 1},
    ),
    "talking_after": (
        lambda q, k, v, w: talking(q, k, v, after=w),
        (*qkv(), torch.randn(H, H)),
        {"talking-heads": 1},
    ),
    "talking_around": (
        talking,
        (*qkv(), torch.randn(H, H), torch.randn(H, H)),
        {"talking-heads": 1},
    ),
    "sink": (sink, (*qkv(), torch.randn(H)), {"sum-of-other-values": 1}),
    "clipped": (clipped, qkv(), {"mask-after-softmax": 1}),
    "relu_linear": (
        lambda q, k, v: torch.relu(q) @ (torch.relu(k).transpose(-1, -2) @ v),
        qkv(),
        {"relu-linear-attention": 1},
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings(name: str) -> None:
    function, inputs, sites = SPELLINGS[name]
    check(Spelling(function), list(inputs), sites)
