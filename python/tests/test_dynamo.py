# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.compile(backend="elfatt")``, beside PyTorch itself in float64."""

from __future__ import annotations

import copy
from typing import Any, Callable, List, Tuple

import pytest
import torch
import torch.nn.functional as F
from elfatt import dynamo
from torch._dynamo.exc import BackendCompilerFailed

DIM, HEADS = 32, 2


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Linear(DIM, 3 * DIM)
        self.proj = torch.nn.Linear(DIM, DIM)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, N, C = x.shape
        qkv = self.qkv(x).view(B, N, 3, HEADS, C // HEADS).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*qkv).transpose(1, 2)
        return self.proj(y.reshape(B, N, C))


@pytest.fixture(autouse=True)
def fresh_dynamo() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)


def compiled(function: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
    return torch.compile(function, backend="elfatt", **arguments)


def check(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got.double(), expected.double(), atol=2e-6, rtol=2e-6)


@torch.no_grad()
def test_sizes_that_come_later() -> None:
    model = Attention().eval()
    wide, run = copy.deepcopy(model).double(), compiled(model)
    for B, N in ((2, 17), (3, 17), (3, 20), (2, 17)):
        x = torch.randn(B, N, DIM)
        check(run(x), wide(x.double()))


@torch.no_grad()
def test_weights_are_read_at_each_call() -> None:
    model = Attention().eval()
    run, x = compiled(model), torch.randn(1, 9, DIM)
    run(x)
    for weight in model.parameters():
        weight.mul_(1.5)
    check(run(x), copy.deepcopy(model).double()(x.double()))


def test_inference_mode() -> None:
    model = Attention().eval()
    run, x = compiled(model), torch.randn(1, 9, DIM)
    with torch.inference_mode():
        check(run(x), copy.deepcopy(model).double()(x.double()))


@torch.no_grad()
def test_writes_to_an_input() -> None:
    def append(cache: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        cache[:, 2:4] = x
        return torch.softmax(x @ cache.transpose(1, 2), -1) @ cache

    cache, x = torch.randn(1, 6, 8), torch.randn(1, 2, 8)
    expected_cache = cache.double()
    expected = append(expected_cache, x.double())
    check(compiled(append)(cache, x), expected)
    check(cache, expected_cache)


@torch.no_grad()
def test_outputs_that_are_inputs_views_and_numbers() -> None:
    def give(x: torch.Tensor) -> Tuple[Any, ...]:
        return x, x.view(-1), x.shape[0], None, x * 2

    x = torch.randn(2, 3)
    same, flat, size, nothing, twice = compiled(give)(x)
    assert same is x and size == 2 and nothing is None
    assert flat.data_ptr() == x.data_ptr()
    check(twice, x.double() * 2)


PADDING = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
LATER = torch.ones(5, 5, dtype=torch.bool).triu(1)


@pytest.mark.parametrize(
    "norm_first, activation, masks",
    [
        (False, "relu", {}),
        (True, "gelu", {}),
        (False, "gelu", {"src_mask": LATER}),
        (True, "relu", {"src_key_padding_mask": PADDING}),
    ],
)
def test_encoder_layers_that_are_one_op(
    norm_first: bool, activation: str, masks: Any
) -> None:
    layer = torch.nn.TransformerEncoderLayer(
        16, 2, 32, activation=activation, norm_first=norm_first, batch_first=True
    ).eval()
    x = torch.randn(2, 5, 16)
    with torch.inference_mode():
        got = compiled(layer)(x, **masks)
    # With gradients PyTorch takes the layer's own code.
    check(got, layer.double()(x.double(), **masks).detach())


@pytest.mark.parametrize("each_head", [False, True])
def test_multihead_attention_that_is_one_op(each_head: bool) -> None:
    layer = torch.nn.MultiheadAttention(16, 2, batch_first=True).eval()
    x = torch.randn(2, 5, 16)
    options = {"attn_mask": LATER, "average_attn_weights": not each_head}
    with torch.inference_mode():
        got = compiled(layer)(x, x, x, **options)
    x = x.double()
    for output, expected in zip(got, layer.double()(x, x, x, **options)):
        check(output, expected.detach())


@torch.no_grad()
def test_what_breaks_the_graph_stays_eager() -> None:
    seen: List[float] = []

    def broken(x: torch.Tensor) -> torch.Tensor:
        y = torch.softmax(x @ x.T, -1) @ x
        seen.append(float(y.sum()))
        return y.relu()

    x = torch.randn(7, 8)
    y = compiled(broken)(x)
    check(y, broken(x.double()))
    assert seen[0] == pytest.approx(seen[1], rel=1e-4)


@torch.no_grad()
def test_attention_becomes_elfatt_on_request() -> None:
    model = Attention().eval()
    x = torch.randn(1, 16, DIM)
    exact = model(x)
    assert (compiled(model, options={"window": (2, 2)})(x) - exact).abs().max() > 1e-3
    # All heads in one window that holds all tokens: exact again.
    torch._dynamo.reset()
    options = {"window": (4, 4), "global_heads": 0}
    check(compiled(model, options=options)(x), exact)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"options": {"windows": (7, 7)}}, "unknown option 'windows'"),
        ({"options": {"prefix": 1}}, "needs the option 'window'"),
        ({"mode": "max-autotune"}, "unknown mode 'max-autotune'"),
    ],
)
def test_bad_arguments(arguments: Any, message: str) -> None:
    with torch.no_grad(), pytest.raises(BackendCompilerFailed, match=message):
        compiled(Attention().eval(), **arguments)(torch.randn(1, 4, DIM))


def test_gradients_are_refused() -> None:
    with pytest.raises(BackendCompilerFailed, match=r"torch\.no_grad\(\)"):
        compiled(Attention())(torch.randn(1, 4, DIM))


@torch.no_grad()
def test_what_cannot_be_imported_is_named() -> None:
    def sort(x: torch.Tensor) -> torch.Tensor:
        return torch.sort(x).values

    with pytest.raises(BackendCompilerFailed, match=r"test_dynamo\.py:\d+.*sort"):
        compiled(sort)(torch.randn(8))


def test_backend_is_listed() -> None:
    assert "elfatt" in torch._dynamo.list_backends()
    assert dynamo.elfatt.__doc__
