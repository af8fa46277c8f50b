# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models with open sizes, from PyTorch to a bundle that runs at other sizes."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import elfatt
import pytest
import torch
from elfatt.importer.dynamic_views import merged_groups
from elfatt.tools import find_tool
from torch import nn
from torch.nn import functional as F

TENSOR = torch.Tensor
C, HEADS = 16, 2
# Sums of a few hundred products in f32, relative to the largest output.
TOLERANCE = 3e-6


def _random(*shape: int, seed: int = 0) -> TENSOR:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class SelfAttention(nn.Module):
    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(C, HEADS, batch_first=batch_first)

    def forward(self, x: TENSOR) -> TENSOR:
        return self.attention(x, x, x, need_weights=False)[0]


class WithClassToken(nn.Module):
    """Patches, a class token, an encoder; the class token's row is the result."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, C, 4, 4)
        self.token = nn.Parameter(_random(1, 1, C))
        self.encoder = nn.TransformerEncoderLayer(C, HEADS, 2 * C, batch_first=True)

    def forward(self, image: TENSOR) -> TENSOR:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        return self.encoder(x)[:, 0]


class OnImages(nn.Module):
    """Channels first, tokens flattened to attend and unflattened behind; a group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, C)
        self.qkv = nn.Conv2d(C, 3 * C, 1)

    def forward(self, x: TENSOR) -> TENSOR:
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, HEADS, -1, h * w).unbind(1)
        p = torch.einsum("bhdn,bhdm->bhnm", q, k).mul(0.3).softmax(-1)
        return torch.einsum("bhnm,bhdm->bhdn", p, v).reshape(b, c, h, w) + x


class Joint(nn.Module):
    """Text and image in one attention, as in SD3: the sum of two open sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(C, 3 * C), nn.Linear(C, 3 * C)

    def forward(self, image: TENSOR, text: TENSOR) -> Tuple[TENSOR, TENSOR]:
        split = [
            t.unflatten(-1, (3, HEADS, -1))
            for t in (self.text(text), self.image(image))
        ]
        q, k, v = (t.transpose(1, 2) for t in torch.cat(split, 1).unbind(2))
        joined = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return joined[:, text.shape[1] :], joined[:, : text.shape[1]]


class Windows(nn.Module):
    """Attention in 2x2 windows of an image whose height and width are open."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C)

    def forward(self, x: TENSOR) -> TENSOR:
        b, h, w, c = x.shape
        x = x.view(b, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5)
        y = self.qkv(x.reshape(-1, 4, c)).view(-1, 4, 3, HEADS, c // HEADS)
        q, k, v = y.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        y = y.reshape(b, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5)
        return y.reshape(b, h, w, c)


class Case(NamedTuple):
    make: Callable[[], nn.Module]
    example: Tuple[TENSOR, ...]
    dynamic: List[Tuple[int, int]]
    other: Tuple[TENSOR, ...]
    """Inputs of other sizes."""


TOKENS, MORE = _random(2, 6, C), _random(3, 9, C)
IMAGE = _random(2, C, 4, 6)
CASES: Dict[str, Case] = {
    "batch": Case(lambda: SelfAttention(True), (TOKENS,), [(0, 0)], (MORE[:, :6],)),
    "sequence": Case(lambda: SelfAttention(True), (TOKENS,), [(0, 1)], (MORE[:2],)),
    "both": Case(lambda: SelfAttention(True), (TOKENS,), [(0, 0), (0, 1)], (MORE,)),
    "both, sequence first": Case(
        lambda: SelfAttention(False), (TOKENS,), [(0, 0), (0, 1)], (MORE,)
    ),
    "encoder": Case(
        lambda: nn.TransformerEncoderLayer(C, HEADS, 2 * C, batch_first=True),
        (TOKENS,),
        [(0, 0), (0, 1)],
        (MORE,),
    ),
    "class token": Case(
        WithClassToken, (_random(2, 3, 8, 8),), [(0, 0)], (_random(5, 3, 8, 8),)
    ),
    "images": Case(
        OnImages, (IMAGE,), [(0, 0), (0, 2), (0, 3)], (_random(3, C, 5, 3),)
    ),
    "heights": Case(OnImages, (IMAGE,), [(0, 2)], (_random(2, C, 7, 6),)),
    "windows": Case(
        Windows, (_random(2, 4, 6, C),), [(0, 1), (0, 2)], (_random(2, 6, 8, C),)
    ),
    "joint": Case(
        Joint,
        (TOKENS, _random(2, 3, C)),
        [(0, 0), (0, 1), (1, 0), (1, 1)],
        (MORE, _random(3, 4, C)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bundles_run_at_other_sizes(name: str) -> None:
    if find_tool("elfatt-compile") is None:
        pytest.skip("elfatt-compile is not built")
    case = CASES[name]
    torch.manual_seed(0)
    module = case.make().eval()
    imported = elfatt.import_torch(module, *case.example, dynamic=case.dynamic)
    assert {site["status"] for site in imported.report()} == {"raised"}
    run = imported.compile()
    for inputs in (case.other, case.example):
        got = run(*inputs)
        with torch.no_grad():
            want = module.double()(*(x.double() for x in inputs))
        for g, w in zip(*(t if isinstance(t, tuple) else (t,) for t in (got, want))):
            assert g.shape == w.shape
            assert (g - w).abs().max() <= TOLERANCE * w.abs().max()


@pytest.mark.parametrize(
    "name, inputs, message",
    [
        ("joint", lambda: (MORE, _random(2, 4, C)), "mismatching"),
        (
            "windows",
            lambda: (_random(2, 5, 6, C),),
            "no multiple of what splits it",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(
    name: str, inputs: Callable[[], Tuple[torch.Tensor, ...]], message: str
) -> None:
    if find_tool("elfatt-compile") is None:
        pytest.skip("elfatt-compile is not built")
    case = CASES[name]
    run = elfatt.import_torch(case.make().eval(), *case.example, dynamic=case.dynamic)
    with pytest.raises(elfatt.Error, match=message):
        run.compile()(*inputs())


def test_merges_and_splits_of_open_sizes() -> None:
    class Rows(nn.Module):
        def forward(self, x: TENSOR) -> TENSOR:
            return x.reshape(-1, 16) * 2

    if find_tool("elfatt-compile") is None:
        pytest.skip("elfatt-compile is not built")
    x = _random(2, 6, 4, 8)
    run = elfatt.import_torch(Rows(), x, dynamic=[(0, 0), (0, 1)]).compile()
    for inputs in (x, _random(3, 5, 4, 8)):
        assert torch.equal(run(inputs), Rows()(inputs))


@pytest.mark.parametrize(
    ("source", "result", "groups"),
    [
        ((None, None, 4, 8), (None, 32), [[0, 1], [2, 3]]),
        ((None, None, 8), (None, 8), [[0, 1], [2]]),
        ((3, None, 2, None, 8), (3, None, 8), [[0], [1, 2, 3], [4]]),
        ((2, 3, None, None), (6, None), [[0, 1], [2, 3]]),
        ((None, None), (None,), [[0, 1]]),
        # 16 takes half of a dimension, or an open one.
        ((None, None, 4, 8), (None, 16), None),
        ((None, None, 8), (None, 16), None),
        # Nothing says which of the two the middle one joins.
        ((None, None, None, 8), (None, None, 8), None),
        ((None, None), (4, 8), None),
    ],
)
def test_merges(source: Any, result: Any, groups: Optional[List[List[int]]]) -> None:
    assert merged_groups(source, result) == groups
    if groups is not None:
        known = [math.prod(source[d] or 1 for d in group) for group in groups]
        assert all(r in (None, k) for r, k in zip(result, known))
