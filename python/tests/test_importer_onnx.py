# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""elfatt-import on ONNX: what it writes. How it refuses: test_importer_onnx_errors.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List

import elfatt
import ml_dtypes
import numpy as np
import onnx
import pytest
from conftest import Run
from elfatt.importer import ImportOptions
from elfatt.importer.onnx_frontend import import_model
from execute import execute
from onnx import TensorProto, helper
from onnx_cases import linear, model_of, node

F32 = dict(rtol=1e-5, atol=1e-5)


def _check(model: onnx.ModelProto, **options: Any) -> str:
    """Imports, runs and compares with ONNX's reference; returns the text."""
    imported = import_model(model, ImportOptions(want_outputs=True, **options))
    text = imported.text()
    inputs = [imported.inputs[f"arg{i}"] for i in range(len(imported.inputs))]
    for i, got in enumerate(execute(text, inputs)):
        np.testing.assert_allclose(got, imported.outputs[f"out{i}"], **F32)
    return text


# ------------------------------------------------------------------ what it writes


def test_text_inputs_and_outputs(run_import: Run, tmp_path: Path) -> None:
    onnx.save(linear(), tmp_path / "m.onnx")
    result = run_import(
        "m.onnx", *("-o", "m.mlir", "--inputs-out", "in.npz", "--expect-out", "out.npz")
    )
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "m.mlir").read_text()
    assert "func.func @main(%arg0: tensor<4x48xf32>" in text
    assert "torch." not in text
    assert 'loc("/inner/MatMul")' in text
    inputs, outputs = np.load(tmp_path / "in.npz"), np.load(tmp_path / "out.npz")
    got = execute(text, [inputs["arg0"]])[0]
    np.testing.assert_allclose(got, outputs["out0"], **F32)


def test_examples_are_always_the_same_and_integers_are_0_or_1() -> None:
    model = model_of(
        [node("Gather", "table ids", "y")],
        {"ids": (3, 40)},
        {"y": (3, 40, 2)},
        {"table": np.arange(4, dtype=np.float32).reshape(2, 2)},
        types={"ids": TensorProto.INT64},
    )
    first, second = (
        import_model(model, ImportOptions(want_inputs=True)).inputs for _ in range(2)
    )
    assert set(first["arg0"].flat) == {0, 1}
    np.testing.assert_array_equal(first["arg0"], second["arg0"])
    _check(model)


def test_examples_can_be_given_by_position_and_by_name() -> None:
    model = model_of([node("Sub", "a b", "y")], {"a": (2,), "b": (2,)}, {"y": (2,)})
    given = {"arg0": np.float32([5, 7]), "b": np.float32([1, 2])}
    imported = import_model(model, ImportOptions(inputs=given, want_outputs=True))
    assert imported.outputs["out0"].tolist() == [4, 5]


@pytest.mark.parametrize("opset", [9, 11, 12])
def test_older_opsets_are_converted(opset: int) -> None:
    # Until 13, axes were an attribute, and a softmax was over all axes from its own.
    model = model_of(
        [
            node("Squeeze", "x", "h", axes=[1]),
            node("Softmax", "h", "y", axis=1),
        ],
        {"x": (2, 1, 3, 4)},
        {"y": (2, 3, 4)},
        opset=opset,
    )
    imported = import_model(model, ImportOptions(want_outputs=True))
    x = imported.inputs["arg0"]
    e = np.exp(x.astype(np.float64)).reshape(2, 12)
    want = (e / e.sum(1, keepdims=True)).reshape(2, 3, 4)
    np.testing.assert_allclose(imported.outputs["out0"], want, **F32)
    np.testing.assert_allclose(execute(imported.text(), [x])[0], want, **F32)


def test_initializers_may_be_inputs() -> None:
    """As until IR version 4; the weights are no arguments."""
    model = linear()
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    model.ir_version = 3
    assert re.search(r"@main\(%arg0: tensor<4x48xf32>[^,]*\) ->", _check(model))


def test_external_data(run_import: Run, tmp_path: Path) -> None:
    onnx.save(
        linear(),
        tmp_path / "m.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    (tmp_path / "sub").mkdir()
    for file in ("m.onnx", "weights.bin"):
        (tmp_path / file).rename(tmp_path / "sub" / file)
    result = run_import("sub/m.onnx", "-o", "m.mlir")
    assert result.returncode == 0, result.stderr
    x = np.random.default_rng(1).standard_normal((4, 48), np.float32)
    got = execute((tmp_path / "m.mlir").read_text(), [x])[0]
    want = execute(str(elfatt.import_onnx(linear())), [x])[0]
    np.testing.assert_array_equal(got, want)
    (tmp_path / "sub" / "weights.bin").unlink()
    result = run_import("sub/m.onnx", "-o", "m2.mlir")
    assert result.returncode == 2
    assert "cannot read the external data of 'sub/m.onnx'" in result.stderr
    assert not (tmp_path / "m2.mlir").exists()


def test_functions_of_the_model_are_inlined() -> None:
    twice = helper.make_function(
        "mine",
        "Twice",
        ["a"],
        ["b"],
        [node("Add", "a a", "b", name="sum")],
        [helper.make_opsetid("", 17)],
    )
    model = model_of(
        [helper.make_node("Twice", ["x"], ["y"], domain="mine")],
        {"x": (3,)},
        {"y": (3,)},
        imports=[helper.make_opsetid("mine", 1)],
        functions=[twice],
    )
    _check(model)


@pytest.mark.parametrize(
    "op,attributes,opset",
    [
        ("Gelu", {"approximate": "tanh"}, 20),
        ("Gelu", {}, 20),
        ("RMSNormalization", {"axis": -1}, 23),
        ("Swish", {}, 24),
    ],
)
def test_functions_of_the_standard(op: str, attributes: Any, opset: int) -> None:
    """Unknown to torch-mlir 20261001, or lowered with an error of 5e-5 (Gelu)."""
    inputs = "x w" if op == "RMSNormalization" else "x"
    weights = {"w": np.float32([1, 2, 3, 4, 5])} if "w" in inputs else {}
    _check(
        model_of(
            [node(op, inputs, "y", **attributes)],
            {"x": (3, 5)},
            {"y": (3, 5)},
            weights,
            opset=opset,
        )
    )


# ------------------------------------------------------------------ sizes


def test_open_sizes_stay_open() -> None:
    text = str(elfatt.import_onnx(linear(x=("batch", 48), y=("batch", 64))))
    assert "%arg0: tensor<?x48xf32>" in text
    weights = {
        t.name: onnx.numpy_helper.to_array(t) for t in linear().graph.initializer
    }
    for size in (1, 3):
        x = np.random.default_rng(size).standard_normal((size, 48), np.float32)
        got = execute(text, [x])[0]
        np.testing.assert_allclose(got, x @ weights["w"] + weights["b"], **F32)


@pytest.mark.parametrize("name", ["batch", "x:0"])
def test_open_sizes_can_be_given(name: str) -> None:
    model = linear(x=("batch", 48), y=("batch", 64))
    assert "%arg0: tensor<7x48xf32>" in _check(model, sizes={name: 7}, static=True)


def test_a_size_given_on_the_command_line(run_import: Run, tmp_path: Path) -> None:
    onnx.save(linear(x=("batch", 48), y=("batch", 64)), tmp_path / "m.onnx")
    result = run_import("m.onnx", "--dim", "batch=7", "--static")
    assert result.returncode == 0, result.stderr
    assert "%arg0: tensor<7x48xf32>" in result.stdout
    np.savez(tmp_path / "in.npz", x=np.ones((2, 48), np.float32))
    result = run_import("m.onnx", "--inputs", "in.npz", "--expect-out", "out.npz")
    assert result.returncode == 0, result.stderr
    assert np.load(tmp_path / "out.npz")["out0"].shape == (2, 64)


def test_slices_with_computed_bounds_keep_their_other_sizes() -> None:
    """Else torch-mlir could not tell that the expanded size is 1, and would fail at run
    time, as on the token types of a BERT with open sizes."""
    model = model_of(
        [
            node("Shape", "x", "s"),
            node("Gather", "s axis", "n"),
            node("Slice", "table zero n axis", "h"),
            node("Expand", "h s", "e"),
            node("Add", "x e", "y"),
        ],
        {"x": ("batch", "length")},
        {"y": ("batch", "length")},
        {
            "axis": np.int64([1]),
            "zero": np.int64([0]),
            "table": np.arange(16, dtype=np.float32).reshape(1, 16),
        },
    )
    text = str(elfatt.import_onnx(model))
    for shape in ((3, 5), (2, 16), (1, 1)):
        x = np.ones(shape, np.float32)
        want = x + np.arange(16, dtype=np.float32)[: shape[1]]
        np.testing.assert_array_equal(execute(text, [x])[0], want)


# ------------------------------------------------------------------ folding


def _folded(
    nodes: List[onnx.NodeProto],
    constants: Dict[str, np.ndarray] = {},
    shape: Any = (2, 3, 4),
) -> str:
    """The text of a model x -> y of one shape; that it is right is checked, too."""
    model = model_of(nodes, {"x": shape}, {"y": shape}, constants)
    text = _check(model)
    return text[text.index("func.func") :]


def test_shape_arithmetic_is_folded() -> None:
    text = _folded(
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n"),
            node("Unsqueeze", "n axis", "n1"),
            node("Concat", "n1 rest", "t", axis=0),
            node("Reshape", "x t", "flat"),
            node("Exp", "flat", "h"),
            node("Reshape", "h s", "y"),
        ],
        {
            "zero": np.int64(0),
            "axis": np.int64([0]),
            "rest": np.int64([12]),
        },
    )
    assert "collapse_shape" in text and "expand_shape" in text
    assert "i64" not in text and "cf.assert" not in text


def test_expand_leaves_no_assert() -> None:
    """torch-mlir 20261001 compares sizes at run time, and makes them dynamic."""
    text = _folded(
        [
            node("Unsqueeze", "x axis", "h"),
            node("Shape", "x", "s"),
            node("Slice", "s zero one", "b"),
            node("Slice", "s one three", "r"),
            node("Concat", "b five r", "t", axis=0),
            node("Expand", "h t", "e"),
            node("ReduceMax", "e", "y", axes=[1], keepdims=0),
        ],
        {
            "axis": np.int64([1]),
            "zero": np.int64([0]),
            "one": np.int64([1]),
            "three": np.int64([3]),
            "five": np.int64([5]),
        },
    )
    assert "?" not in text and "cf.assert" not in text


@pytest.mark.parametrize(
    "op,value",
    [("Add", 0.0), ("Mul", 1.0), ("Sub", 0.0), ("Div", 1.0)],
)
def test_neutral_operands_vanish(op: str, value: float) -> None:
    constant = np.full((3, 1), value, np.float32)
    text = _folded([node(op, "x c", "h"), node("Exp", "h", "y")], {"c": constant})
    assert text.count("linalg.generic") == 1


def test_a_guard_that_guards_nothing_vanishes() -> None:
    """where(max(mask) == -inf, 0, x) for a mask of finite numbers."""
    text = _folded(
        [
            node("ReduceMax", "mask", "m", axes=[-1]),
            node("Equal", "m minus", "c"),
            node("Where", "c zero x", "h"),
            node("Exp", "h", "y"),
        ],
        {
            "mask": np.float32([[0, -np.inf], [1, 2], [3, 4]]),
            "minus": np.float32(-np.inf),
            "zero": np.float32(0),
        },
    )
    assert "select" not in text


@pytest.mark.parametrize("index", [0, 2, -1, [1]])
def test_elements_at_constant_indices_are_slices(index: Any) -> None:
    """As q, k and v are taken out of one tensor; a gather would hide them."""
    model = model_of(
        [node("Gather", "x i", "y", axis=1)],
        {"x": (2, 3, 4)},
        {"y": (2, 4) if isinstance(index, int) else (2, 1, 4)},
        {"i": np.array(index, np.int64)},
    )
    text = _check(model)
    assert "tensor.extract_slice" in text and "tensor.extract %" not in text


@pytest.mark.parametrize(
    "nodes,constants",
    [
        ([node("Add", "x c", "y")], {"c": np.float32([0, 0, 0, 1])}),
        ([node("Sub", "c x", "y")], {"c": np.float32([0])}),
        ([node("Where", "c z x", "y")], {"c": np.array([False, True, False, False])}),
        ([node("Mul", "x c", "y")], {"c": np.float32([np.nan])}),
    ],
)
def test_other_operands_stay(
    nodes: List[onnx.NodeProto], constants: Dict[str, np.ndarray]
) -> None:
    constants = {**constants, "z": np.float32([0])}
    assert "linalg.generic" in _folded(nodes, constants)


def test_a_mask_out_of_ranges_stays_computed() -> None:
    """It is smaller so, and says more, than its elements."""
    text = _folded(
        [
            node("Range", "zero n one", "i"),
            node("Unsqueeze", "i axis", "r"),
            node("LessOrEqual", "i r", "kept"),
            node("Where", "kept x minus", "y"),
        ],
        {
            "zero": np.int64(0),
            "one": np.int64(1),
            "n": np.int64(100),
            "axis": np.int64([1]),
            "minus": np.float32(-np.inf),
        },
        shape=(2, 100, 100),
    )
    assert "linalg.index" in text and "arith.cmpi" in text


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.bool_])
def test_small_constants_can_be_read_by_passes(dtype: Any) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    two = np.array([0, 1], dtype)
    op = "Equal" if dtype == np.bool_ else "Add"
    model = model_of(
        [node(op, "x c", "y")],
        {"x": (3, 2)},
        {"y": (3, 2)},
        {"c": two},
        types={"x": kind, "y": TensorProto.BOOL if op == "Equal" else kind},
        opset=19,
    )
    text = str(elfatt.import_onnx(model))
    shown = "false, true" if dtype == np.bool_ else "0.000000e+00, 1.000000e+00"
    assert f"dense<[{shown}]>" in text
    assert "dense_resource" not in text


def test_many_bits() -> None:
    """torch-mlir prints more than 100 of them as bytes, of which LLVM 22 reads bits."""
    bits = np.random.default_rng(0).random((12, 12)) > 0.5
    shapes = dict.fromkeys("xyz", (12, 12))
    model = model_of(
        [node("Where", "c x y", "z")],
        {name: shapes[name] for name in "xy"},
        {"z": shapes["z"]},
        {"c": bits},
    )
    run = elfatt.import_onnx(model).compile()
    x, y = np.random.default_rng(1).standard_normal((2, 12, 12), np.float32)
    np.testing.assert_array_equal(run(x, y), np.where(bits, x, y))
