# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ONNX Runtime's own ops, beside what ONNX Runtime computes (see contrib_cases.py), and
beside PyTorch where it has no kernels for the CPU."""

from __future__ import annotations

from typing import Any, Dict, List

import elfatt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contrib_cases import CASES, DATA, Case, attention, multi_head, other
from elfatt.importer import ImportOptions
from elfatt.importer.onnx_frontend import import_model
from execute import execute
from onnx import TensorProto, helper
from onnx_cases import model_of, node


def group_norm(x: Any, w1: Any, w2: Any, groups: int, epsilon: float = 1e-5) -> Any:
    y = F.group_norm(x.permute(0, 3, 1, 2), groups, w1, w2, epsilon)
    return y.permute(0, 2, 3, 1)


def by_pytorch(case: Case) -> List[np.ndarray]:
    """In f64, of the documentation's formulas."""
    t = {n: torch.from_numpy(a).double() for n, a in case.arrays().items()}
    if case.op == "MultiHeadAttention":
        # What is packed is [B, N, H, parts, D].
        q, k, v = (
            (t["x"].unflatten(-1, t["k"].shape[2::2]), *t["k"].unbind(3))
            if "k" in t
            else t["x"].unbind(3)
        )
        y = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)))
        results = [y.transpose(1, 2).flatten(2)]
    elif case.op == "BiasSplitGelu":
        left, right = (t["x"] + t["w"]).chunk(2, -1)
        results = [left * F.gelu(right)]
    elif case.op == "BiasAdd":
        results = [t["x"] + t["w"] + t["s"]]
    elif case.op == "GroupNorm":
        results = [F.silu(group_norm(t["x"], t["w1"], t["w2"], 4, 1e-4))]
    elif case.op == "SkipGroupNorm":
        x = t["x"] + t["s"][:, None, None] + t["w3"]
        results = [group_norm(x, t["w1"], t["w2"], 2), x]
    else:
        assert case.op == "NhwcConv"
        first = (t[n].permute(0, 3, 1, 2) for n in ("x", "w"))
        results = [F.conv2d(*first, t["wb"], stride=2).permute(0, 2, 3, 1)]
    return [y.numpy() for y in results]


@pytest.fixture(scope="module")
def recorded() -> Dict[str, np.ndarray]:
    with np.load(DATA) as file:
        return dict(file)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_values(case: Case, recorded: Dict[str, np.ndarray]) -> None:
    text = import_model(case.model(), ImportOptions()).text()
    got = execute(text, list(case.feeds().values()))
    if f"{case.name}:0" in recorded:
        expected = [recorded[f"{case.name}:{i}"] for i in range(len(got))]
    else:
        expected = by_pytorch(case)
    for output, reference in zip(got, expected, strict=True):
        np.testing.assert_allclose(output, reference, rtol=2e-5, atol=2e-5)
    if "Attention" in case.op:
        (site,) = elfatt.Module(text).report()
        assert site["status"] == "raised"
        causal = "unidirectional" in case.attributes
        assert (site["bias"] == "causal") == causal


def test_weights_may_be_inputs() -> None:
    case = attention("biases that are inputs")
    model, fixed = case.model(constants=False), case.model()
    imported = [import_model(m, ImportOptions()).text() for m in (model, fixed)]
    arrays = (case.arrays(), case.feeds())
    got, expected = (execute(t, list(a.values())) for t, a in zip(imported, arrays))
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-5, atol=1e-5)


def test_what_follows_a_call_may_depend_on_its_type() -> None:
    """Ranks of masks and of transposed operands are known only when others are written."""
    domain = {"domain": "com.microsoft"}
    model = model_of(
        [
            node("Gelu", "x", "a", name="/gelu", **domain),
            node("FusedMatMul", "a a", "b", name="/product", transB=1, **domain),
            node("QuickGelu", "b", "y", name="/quick", **domain),
        ],
        {"x": (2, 3, 4)},
        {"y": (2, 3, 3)},
        imports=[helper.make_opsetid("com.microsoft", 1)],
    )
    x = np.random.default_rng(0).standard_normal((2, 3, 4), np.float32)
    (y,) = execute(import_model(model, ImportOptions()).text(), [x])
    a = F.gelu(torch.from_numpy(x).double())
    product = a @ a.transpose(1, 2)
    expected = product * torch.sigmoid(1.702 * product)
    np.testing.assert_allclose(y, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_halves_are_normalized_in_single() -> None:
    names = {"x": (2, 8), "s": (2, 8), "w1": (8,), "w2": (8,)}
    model = model_of(
        [
            helper.make_node(
                "SkipLayerNormalization", list(names), ["y"], domain="com.microsoft"
            )
        ],
        names,
        {"y": (2, 8)},
        types={n: TensorProto.FLOAT16 for n in (*names, "y")},
        imports=[helper.make_opsetid("com.microsoft", 1)],
    )
    rng = np.random.default_rng(0)
    # Squares of these are beyond f16.
    arrays = [300 * rng.standard_normal(s).astype(np.float16) for s in names.values()]
    arrays = [a.astype(np.float16) for a in arrays]
    (y,) = execute(import_model(model, ImportOptions()).text(), arrays)
    x, s, w1, w2 = (torch.from_numpy(a).double() for a in arrays)
    expected = F.layer_norm((x + s).half().double(), [8], w1, w2, 1e-12)
    np.testing.assert_allclose(y, expected.numpy(), rtol=2e-3, atol=0.5)


@pytest.mark.parametrize(
    "case, message",
    [
        (
            attention("past")._replace(
                inputs=["x", "w", "wb", "", "past"],
                shapes={"x": (1, 2, 12), "w": (12, 36), "wb": (36,), "past": (2, 1)},
            ),
            r"op 'com.microsoft.Attention' with a past cannot be .* \(node '/call'\)",
        ),
        (
            attention("weights")._replace(inputs=["x"]),
            r"without its input 'weights' cannot",
        ),
        (
            attention("caches")._replace(outputs=["y", "present"]),
            "with its output 1 in use",
        ),
        (
            attention("lengths", {"mask": np.array([1, 2, 3, 4], np.int32)}),
            "with 'mask' of cumulated lengths",
        ),
        (
            multi_head("packed", "x _ _ wb", {"x": (1, 2, 3, 3, 4), "wb": (36,)}),
            "with a bias of packed operands",
        ),
        (
            other("FusedGemm", "a w", {"a": (2, 3), "w": (3, 4)}, activation="Elu"),
            "with the activation 'Elu'",
        ),
        (
            other("Gelu", "x", {"x": (2,)})._replace(opset=13),
            "in a model of opset 13",
        ),
    ],
)
def test_what_is_refused(case: Case, message: str) -> None:
    with pytest.raises(elfatt.Error, match=message):
        import_model(case.model(), ImportOptions())
