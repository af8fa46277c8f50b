# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""elfatt-import on ONNX: how it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import elfatt
import numpy as np
import onnx
import pytest
from conftest import Run
from elfatt.importer import ImportOptions
from elfatt.importer.onnx_frontend import import_model
from onnx import TensorProto, helper
from onnx_cases import linear, model_of, node


def _typed(kind: int) -> onnx.ModelProto:
    return model_of(
        [node("Identity", "x", "y")],
        {"x": (2,)},
        {"y": (2,)},
        types={"x": kind, "y": kind},
        opset=25,
    )


def _sequence() -> onnx.ModelProto:
    model = model_of([node("SequenceAt", "x i", "y")], {"i": ()}, {"y": (2,)})
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, (2,))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    model.graph.input.append(
        helper.make_value_info("x", helper.make_sequence_type_proto(element))
    )
    return model


@pytest.mark.parametrize(
    "model,options,pattern",
    [
        (
            model_of([node("Foo", "x", "y", name="/a/Foo")], {"x": (2,)}, {"y": (2,)}),
            {},
            r"op 'Foo' is not in the ONNX standard, version 17 \(node '/a/Foo'\)",
        ),
        (
            model_of(
                [helper.make_node("Inverse", ["x"], ["y"], domain="com.microsoft")],
                {"x": (2,)},
                {"y": (2,)},
                imports=[helper.make_opsetid("com.microsoft", 1)],
            ),
            {},
            r"op 'com.microsoft.Inverse' is not in the ONNX standard, .*'y'",
        ),
        (
            model_of(
                [node("BitCast", "x", "y", name="/b", to=TensorProto.INT32)],
                {"x": (2,)},
                {"y": (2,)},
                types={"y": TensorProto.INT32},
                opset=26,
            ),
            {},
            r"cannot lower the model: failed .*'torch.operator' \(node '/b', op BitCast\)$",
        ),
        (
            model_of([node("Add", "x z", "y")], {"x": (2,)}, {"y": (2,)}),
            {},
            r"the model is not valid: .*",
        ),
        (
            model_of([node("Add", "x w", "y")], {"x": (2,), "w": (3,)}, {"y": (2,)}),
            {},
            r"cannot lower the model: .* \(node 'y', op Add\)$",
        ),
        (_sequence(), {}, r"expected input 'x' to be a tensor, got a sequence_type"),
        (_typed(TensorProto.STRING), {}, r"the element type of 'x', string, cannot"),
        (
            _typed(TensorProto.INT2),
            {},
            r"the element type of 'x', int2, cannot be imported",
        ),
        (
            linear(x=("batch", 48), y=("batch", 64)),
            {"static": True},
            r"the size of 'batch' is open; give it by --dim batch=SIZE",
        ),
        (
            linear(x=("batch", 48), y=("batch", 64)),
            {"sizes": {"bach": 2}},
            r"no open dimension is called 'bach'; there are: 'batch'",
        ),
        (
            linear(),
            {"sizes": {"x:0": 2}},
            r"the size of dimension 0 of input 'x' is 4, and cannot be set to 2",
        ),
        (
            linear(x=("batch", 48), y=("batch", 64)),
            {"want_inputs": True},
            r"an example of arg0 \('x'\) needs sizes.*--inputs, or all sizes by --dim",
        ),
        (
            linear(),
            {"want_inputs": True, "inputs": {"arg0": np.ones((4, 4), np.float32)}},
            r"expected arg0 \('x'\) to be 4x48, got 4x4",
        ),
        (
            linear(),
            {"want_inputs": True, "inputs": {"arg0": np.ones((4, 48), np.float64)}},
            r"expected arg0 \('x'\) to be float32, got float64",
        ),
        (
            linear(),
            {"want_inputs": True, "inputs": {"z": np.ones(1)}},
            r"there is no input 'z'; the model has 1 inputs",
        ),
        (onnx.ModelProto(), {}, r"the model is no ONNX model: it has no graph"),
    ],
)
def test_bad_models(model: onnx.ModelProto, options: Any, pattern: Any) -> None:
    with pytest.raises(elfatt.Error) as caught:
        import_model(model, ImportOptions(**options))
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert "\n" not in message


@pytest.mark.parametrize(
    "op,inputs,attributes,fault",
    [
        (
            "GridSample",
            {"x": (1, 1, 4, 4), "g": (1, 2, 2, 2)},
            {"mode": "nearest"},
            "near",
        ),
        ("SpaceToDepth", {"x": (1, 4, 4, 4)}, {"mode": "CRD", "blocksize": 2}, "CRD"),
        (
            "Resize",
            {"x": (1, 1, 4, 4), "": (), "s": (4,)},
            {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
            "by scales with aligned corners",
        ),
        (
            "LSTM",
            {
                **{"x": (3, 1, 2), "w": (1, 8, 2), "r": (1, 8, 2), "b": (1, 16)},
                **{"l": (1,), "h": (1, 1, 2), "c": (1, 1, 2), "p": (1, 6)},
            },
            {"hidden_size": 2},
            "with peepholes",
        ),
        (
            "QLinearMatMul",
            {
                **{"a": (2, 2, 2), "as": (), "az": (), "b": (2, 2, 2), "bs": ()},
                **{"bz": (), "ys": (), "yz": ()},
            },
            {},
            "of a batch",
        ),
        ("DequantizeLinear", {"a": (3, 4), "s": (3,)}, {"axis": 0}, "of uint8 with"),
    ],
)
def test_what_torch_mlir_gets_wrong_is_refused(
    op: str, inputs: Any, attributes: Any, fault: str
) -> None:
    """Its results differ from those of ONNX's own backend tests."""
    names = list(inputs)
    opset = 28 if op == "SpaceToDepth" else 20
    types = {n: TensorProto.UINT8 for n in ("a", "az", "b", "bz", "yz")}
    types["l"] = TensorProto.INT32
    if op == "LSTM":
        types["b"] = TensorProto.FLOAT
    if op == "QLinearMatMul":
        types["y"] = TensorProto.UINT8
    rank = {"LSTM": 4, "QLinearMatMul": 3, "DequantizeLinear": 2}.get(op, 4)
    model = model_of(
        [helper.make_node(op, names, ["y"], name="/n", **attributes)],
        {name: shape for name, shape in inputs.items() if name},
        {"y": [None] * rank},
        types=types,
        opset=opset,
    )
    with pytest.raises(elfatt.Error, match=rf"lowers {op} .*{fault}.* \(node '/n'\)"):
        elfatt.import_onnx(model)


def test_bad_files(run_import: Run, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("this is no protobuf\n" * 10)
    (tmp_path / "empty.onnx").write_text("")
    with open(tmp_path / "large.onnx", "wb") as file:
        file.truncate(1 << 31)
    for name, pattern in (
        ("text.onnx", "'text.onnx' is no ONNX model"),
        ("empty.onnx", "'empty.onnx' is no ONNX model: it has no graph"),
        ("large.onnx", "'large.onnx' is larger than 2 GB.*save_as_external_data"),
    ):
        with pytest.raises(elfatt.Error, match=pattern.replace("'", ".*", 1)):
            elfatt.import_onnx(tmp_path / name)
    onnx.save(linear(), tmp_path / "m.onnx")
    for options, pattern in (
        (["--dynamic", "arg0:0"], "--dynamic is not for an ONNX file"),
        (["--dim", "batch"], r"expected NAME=SIZE\[,NAME=SIZE...\], got 'batch'"),
        (
            ["--inputs", "text.onnx", "--inputs-out", "o.npz"],
            "'text.onnx' is no .npz of arrays",
        ),
        (
            ["--inputs", "no.npz", "--inputs-out", "o.npz"],
            "cannot read 'no.npz': No such file",
        ),
    ):
        result = run_import("m.onnx", "-o", "m.mlir", *options)
        assert result.returncode == 2
        assert re.search(pattern, result.stderr), result.stderr
        assert not (tmp_path / "m.mlir").exists()


def test_a_crash_in_native_code_is_one_line(run_import: Run, tmp_path: Path) -> None:
    """torch-mlir 20261001 aborts on the einsum of two scalars."""
    model = model_of([node("Einsum", "x x", "y", equation="->")], {"x": ()}, {"y": ()})
    onnx.save(model, tmp_path / "m.onnx")
    result = run_import("m.onnx", "-q", "-o", "m.mlir")
    assert result.returncode == 2
    assert re.fullmatch(r"elfatt-import: error: .*\n", result.stderr), result.stderr
    assert not (tmp_path / "m.mlir").exists()
