# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The models: what they compute, and that they import without loss."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional

import elfatt
import numpy as np
import pytest
import reference
import torch
from elfatt import models
from execute import execute

# float32 against float32, relative to the largest output: another order of
# summation through two layers.
IMPORTED = 5e-6
# A float32 model against the float64 formula.
FORMULA = 2e-6

TINY = [
    models.vit_tiny_test,
    models.vit_tiny_test_eager,
    models.dinov2_tiny_test,
    models.dinov2_tiny_test_eager,
    models.bert_padding_tiny,
    models.bert_padding_tiny_eager,
    models.elfatt_tiny_test,
    models.elfatt_tiny_test_matmul,
    models.elfatt_attention_tiny_test,
    models.elfatt_attention_tiny_test_matmul,
    models.elfatt_attention_four_heads_test,
    models.elfatt_attention_no_lepe_test,
]


def outputs(sample: models.Sample) -> np.ndarray:
    module, inputs = sample
    with torch.no_grad():
        return module(*inputs).numpy()


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("make", TINY, ids=lambda make: make.__name__)
def test_imported_model_computes_the_same(make: Callable[[], models.Sample]) -> None:
    module, inputs = make()
    text = str(elfatt.import_torch(module, *inputs))
    got = execute(text, [i.numpy() for i in inputs])
    assert relative_error(got[0], outputs((module, inputs))) < IMPORTED


@pytest.mark.parametrize("make", TINY, ids=lambda make: make.__name__)
def test_models_are_the_same_every_time(make: Callable[[], models.Sample]) -> None:
    np.testing.assert_array_equal(outputs(make()), outputs(make()))


@pytest.mark.parametrize(
    "one,other",
    [
        (models.vit_tiny_test, models.vit_tiny_test_eager),
        (models.dinov2_tiny_test, models.dinov2_tiny_test_eager),
        (models.bert_padding_tiny, models.bert_padding_tiny_eager),
        (models.elfatt_tiny_test, models.elfatt_tiny_test_matmul),
    ],
)
def test_twins_agree(one: Any, other: Any) -> None:
    assert relative_error(outputs(one()), outputs(other())) < IMPORTED


def test_padding_does_not_reach_valid_tokens() -> None:
    module, (ids, mask) = models.bert_padding_tiny()
    before = outputs((module, (ids, mask)))
    after = outputs((module, (torch.where(mask == 0, 7, ids), mask)))
    valid = mask.numpy().astype(bool)
    assert not valid.all()
    np.testing.assert_array_equal(before[valid], after[valid])


def test_small_models_have_the_sizes_of_the_papers() -> None:
    for make, tokens in ((models.vit_small, 197), (models.dinov2_small, 257)):
        module, (image,) = make()
        assert outputs((module, (image,))).shape == (1, tokens, 384)
        assert 21e6 < sum(p.numel() for p in module.parameters()) < 23e6


def heads_of(x: np.ndarray, heads: int) -> np.ndarray:
    """[B,N,C] -> [B,h,N,D] in float64"""
    B, N, C = x.shape
    return x.astype(np.float64).reshape(B, N, heads, C // heads).transpose(0, 2, 1, 3)


def lepe_of(conv: torch.nn.Conv2d, heads: int) -> reference.Lepe:
    """Conv2d weight [C/2,1,3,3] -> taps first [3,3,h/2,D]"""
    weight = conv.weight.detach().numpy().astype(np.float64)[:, 0]
    bias = conv.bias.detach().numpy().astype(np.float64)
    return (
        weight.transpose(1, 2, 0).reshape(3, 3, heads, -1),
        bias.reshape(heads, -1),
    )


@pytest.mark.parametrize("local_impl", ["sdpa", "matmul"])
@pytest.mark.parametrize(
    "shape",
    [
        dict(size=14, channels=32, heads=2, window=7, batch=1),
        dict(size=14, channels=64, heads=4, window=7, batch=2),
        dict(size=8, channels=48, heads=2, window=4, batch=3),
        dict(size=6, channels=16, heads=2, window=2, batch=1, lepe=False),
    ],
    ids=str,
)
def test_elfatt_module_is_the_formula(shape: Dict[str, Any], local_impl: str) -> None:
    module, (qkv,) = models.elfatt_attention_only(local_impl=local_impl, **shape)
    heads = shape["heads"]
    q, k, v = (heads_of(x, heads) for x in np.split(qkv.numpy(), 3, axis=2))
    lepes: Dict[str, Optional[reference.Lepe]] = {}
    if shape.get("lepe", True):
        assert isinstance(module, models.ElfattCore)
        lepes = dict(
            global_lepe=lepe_of(module.global_lepe, heads // 2),
            local_lepe=lepe_of(module.local_lepe, heads // 2),
        )
    grid, window = (shape["size"],) * 2, (shape["window"],) * 2
    expected = reference.elfatt(q, k, v, grid, window, heads // 2, **lepes)
    got = heads_of(outputs((module, (qkv,))), heads)
    assert relative_error(got, expected) < FORMULA


def test_windows_round_trip() -> None:
    image = torch.randn(2, 3, 4, 6)
    back = models.windows_to_image(models.image_to_windows(image, 2), 2, 4, 6)
    torch.testing.assert_close(back.permute(0, 3, 1, 2), image)


@pytest.mark.parametrize(
    "bad", [dict(heads=3), dict(window=5), dict(local_impl="flash")], ids=str
)
def test_bad_parameters_are_refused(bad: Dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        models.elfatt_attention_only(**bad)


def test_minilm_carries_trained_weights() -> None:
    """Sentences that mean the same are close, as only trained weights make them."""
    module, (ids, mask) = models.minilm()
    hidden = outputs((module, (ids, mask)))
    weight = mask.numpy()[..., None]
    embedding = (hidden * weight).sum(1) / weight.sum(1)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    likeness = embedding @ embedding.T
    assert likeness[0, 1] > 0.4
    assert np.abs(likeness[:2, 2:]).max() < 0.25
