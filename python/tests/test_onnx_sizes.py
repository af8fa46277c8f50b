# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Sizes of ONNX graphs of which some are open."""

from __future__ import annotations

from typing import Any, List, Sequence

import elfatt
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from elfatt.importer.onnx_fold import fold
from elfatt.importer.onnx_sizes import KnownSizes, Size, product
from onnx_cases import model_of, node

DIM, HEADS = 64, 2


def test_products_and_quotients() -> None:
    b, n = Size(1, ("b",)), Size(1, ("n",))
    assert product([b, Size(3), n, Size(2)]) == Size(6, ("b", "n"))
    assert product([b, None]) is None
    assert product([Size(0), b]) == Size(0)
    assert Size(6, ("b", "n")).divided_by(Size(3, ("n",))) == Size(2, ("b",))
    assert Size(6, ("b",)).divided_by(n) is None
    assert Size(6).divided_by(Size(4)) is None
    assert Size(6).divided_by(Size(0)) is None


def ints(name: str, *values: int) -> onnx.NodeProto:
    return node("Constant", "", name, value_ints=values)


def shape_of(nodes: Sequence[onnx.NodeProto], x: Sequence[Any]) -> List[Any]:
    """Of y, after folding."""
    model = model_of(nodes, {"x": x}, {"y": None})
    folded = fold(onnx.shape_inference.infer_shapes(model, data_prop=True))
    shapes = KnownSizes(folded.graph).shapes
    known = shapes.get("y")
    assert known is not None
    shape = [size and (size.open or (size.factor,))[0] for size in known]
    return [None if str(size).startswith("unk") else size for size in shape]


DIM_0 = [node("Shape", "x", "s"), ints("i", 0), node("Gather", "s i", "b")]


@pytest.mark.parametrize(
    "nodes, x, expected",
    [
        # -1 is what is left of the heads.
        (
            [*DIM_0, ints("c", 5, -1, 32), node("Concat", "b c", "t", axis=0)]
            + [node("Reshape", "x t", "y")],
            ("b", 5, 64),
            ["b", 5, 2, 32],
        ),
        # Of two open sizes one is merged with a number.
        (
            [ints("t", 0, -1, 8), node("Reshape", "x t", "y")],
            ("b", "n", 64),
            ["b", None, 8],
        ),
        # expand(b, -1, -1), as TorchScript's exporter has it.
        (
            [*DIM_0, ints("c", -1, -1), node("Concat", "b c", "t", axis=0)]
            + [ints("three", 3), ints("minus", -1, -1, -1)]
            + [node("ConstantOfShape", "three", "ones", value=onnx.numpy_helper.from_array(np.ones(1, np.int64)))]
            + [node("Equal", "t minus", "kept"), node("Where", "kept ones t", "shape")]
            + [node("Constant", "", "token", value=onnx.numpy_helper.from_array(np.ones((1, 1, 8), np.float32)))]
            + [node("Expand", "token shape", "y")],
            ("b", 5, 8),
            ["b", 1, 8],
        ),
        # Arithmetic on sizes, and a slice of them.
        (
            [node("Shape", "x", "s"), ints("i", 0), ints("j", 2), ints("one", 1)]
            + [node("Slice", "s i j", "two"), ints("h", 4), ints("k", 2)]
            + [node("Gather", "s k", "c"), node("Div", "c h", "d")]
            + [node("Mul", "d one", "e"), node("Concat", "two h e", "t", axis=0)]
            + [node("Reshape", "x t", "y")],
            ("b", "n", 64),
            ["b", "n", 4, 16],
        ),
        # allowzero: 0 is no copy.
        (
            [ints("t", 0, 4), node("Reshape", "x t", "y", allowzero=1)],
            (0, 8),
            [0, 4],
        ),
    ],
    ids=["heads", "merged", "expand", "arithmetic", "allowzero"],
)  # fmt: skip
def test_shapes(nodes: List[onnx.NodeProto], x: Any, expected: List[Any]) -> None:
    assert shape_of(nodes, x) == expected


def exported_attention() -> onnx.ModelProto:
    """[b, n, 64] to itself, as TorchScript's exporter writes ``x.view(b, n, -1, 32)``."""
    rng = np.random.default_rng(0)
    weights = {
        f"w{name}": rng.standard_normal((DIM, DIM), np.float32) / 8 for name in "qkv"
    }
    nodes = [node("Shape", "x", "s"), ints("i0", 0), ints("i1", 1)]
    nodes += [node("Gather", "s i0", "b"), node("Gather", "s i1", "n")]
    nodes += [ints("heads", -1, DIM // HEADS), ints("left", -1)]
    nodes += [node("Concat", "b n heads", "t", axis=0)]
    nodes += [node("Concat", "b n left", "u", axis=0)]
    for name in "qkv":
        nodes += [
            node("MatMul", f"x w{name}", f"{name}1"),
            node("Reshape", f"{name}1 t", f"{name}2"),
            node("Transpose", f"{name}2", name, perm=(0, 2, 1, 3)),
        ]
    nodes += [
        node("Transpose", "k", "kt", perm=(0, 1, 3, 2)),
        node("MatMul", "q kt", "scores"),
        node("Softmax", "scores", "p", axis=-1),
        node("MatMul", "p v", "o"),
        node("Transpose", "o", "o1", perm=(0, 2, 1, 3)),
        node("Reshape", "o1 u", "y"),
    ]
    shape = ("b", "n", DIM)
    return model_of(nodes, {"x": shape}, {"y": shape}, weights)


def test_an_exported_attention_of_open_batch_and_tokens_compiles() -> None:
    model = exported_attention()
    module = elfatt.import_onnx(model)
    (site,) = module.report()
    assert site["status"] == "raised"
    assert (site["shape"]["H"], site["shape"]["D"]) == (HEADS, DIM // HEADS)
    run = module.compile()
    weights = {
        i.name: onnx.numpy_helper.to_array(i).copy() for i in model.graph.initializer
    }
    for B, N in ((1, 5), (3, 17)):
        x = np.random.default_rng(B).standard_normal((B, N, DIM), np.float32)
        q, k, v = (
            (torch.from_numpy(x).double() @ torch.from_numpy(weights[f"w{n}"]).double())
            .view(B, N, HEADS, -1)
            .transpose(1, 2)
            for n in "qkv"
        )
        expected = F.scaled_dot_product_attention(q, k, v, scale=1.0).transpose(1, 2)
        np.testing.assert_allclose(run(x), expected.reshape(B, N, DIM), atol=1e-5)


def test_the_op_of_open_batch_and_tokens_compiles() -> None:
    """Written out it looks for rows that a bias of zeros masks."""
    heads = {"q_num_heads": HEADS, "kv_num_heads": HEADS}
    shape = ("b", "n", DIM)
    model = model_of(
        [node("Attention", "x x x", "y", **heads)], {"x": shape}, {"y": shape}, opset=23
    )
    module = elfatt.import_onnx(model)
    (site,) = module.report()
    assert site["message"].endswith("bias none")
    run = module.compile()
    for B, N in ((1, 5), (3, 17)):
        x = torch.randn(B, N, DIM)
        q = x.double().view(B, N, HEADS, -1).transpose(1, 2)
        expected = F.scaled_dot_product_attention(q, q, q).transpose(1, 2)
        np.testing.assert_allclose(run(x), expected.reshape(B, N, DIM), atol=1e-5)


def test_inputs_that_share_a_name_are_one_size() -> None:
    model = model_of(
        [
            node("Transpose", "k", "kt", perm=(0, 2, 1)),
            node("MatMul", "q kt", "scores"),
            node("Softmax", "scores", "p", axis=-1),
            node("MatMul", "p v", "y"),
        ],
        {"q": ("b", "n", 8), "k": ("b", "m", 8), "v": ("b", "m", 8)},
        {"y": ("b", "n", 8)},
    )
    module = elfatt.import_onnx(model)
    (site,) = module.report()
    assert site["status"] == "raised"
    run = module.compile()

    def tensors(*shapes: Sequence[int]) -> List[torch.Tensor]:
        return [torch.randn(*shape, 8) for shape in shapes]

    q, k, v = tensors((2, 5), (2, 7), (2, 7))
    expected = F.scaled_dot_product_attention(
        q.double(), k.double(), v.double(), scale=1.0
    )
    np.testing.assert_allclose(run(q, k, v), expected, atol=1e-5)
    for shapes, name in (
        (((2, 5), (3, 7), (2, 7)), "b"),
        (((2, 5), (2, 7), (2, 6)), "m"),
    ):
        with pytest.raises(elfatt.Error, match=f"both are '{name}'"):
            run(*tensors(*shapes))
