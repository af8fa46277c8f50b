# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ONNX models: the package's own attention tests, and small ones for the importer's."""

from __future__ import annotations

import sys
import warnings
from typing import Any, Dict, List, NamedTuple, Sequence

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper


class Case(NamedTuple):
    name: str
    model: onnx.ModelProto
    inputs: List[np.ndarray]
    outputs: List[np.ndarray]

    def arrays(self) -> Dict[str, np.ndarray]:
        """As elfatt-run reads them from an .npz: bf16 as bits."""

        def bits(value: np.ndarray) -> np.ndarray:
            return value.view(np.uint16) if value.dtype == ml_dtypes.bfloat16 else value

        named = {f"arg{i}": bits(value) for i, value in enumerate(self.inputs)}
        return {**named, **{f"out{i}": bits(v) for i, v in enumerate(self.outputs)}}

    def tolerance(self) -> float:
        """What rounding in the largest element type of the case may differ by."""
        kinds = {value.dtype for value in (*self.inputs, *self.outputs)}
        if np.dtype(ml_dtypes.bfloat16) in kinds:
            return 2e-2
        return 2e-3 if np.dtype(np.float16) in kinds else 1e-5


def attention_cases(suffix: str = "_expanded") -> List[Case]:
    """The backend tests of op Attention, made by the generators in the wheel."""
    import onnx.backend.test.case.node as node_cases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # What collect_testcases() does, without the other ops' seconds.
        node_cases._TargetOpType = "Attention"
        import onnx.backend.test.case.node.attention  # noqa: F401
    return [
        Case(case.name, case.model, *map(list, case.data_sets[0]))
        for case in node_cases._NodeTestCases
        if case.name.startswith("test_attention") and case.name.endswith(suffix)
    ]


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Dict[str, Sequence[Any]],
    outputs: Dict[str, Sequence[Any]],
    constants: Dict[str, np.ndarray] = {},
    opset: int = 17,
    types: Dict[str, int] = {},
    **options: Any,
) -> onnx.ModelProto:
    """A model of float tensors, unless ``types`` says otherwise."""

    def value(name: str, shape: Sequence[Any]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(
            name, types.get(name, TensorProto.FLOAT), shape
        )

    graph = helper.make_graph(
        nodes,
        "some graph",
        [value(*item) for item in inputs.items()],
        [value(*item) for item in outputs.items()],
        [onnx.numpy_helper.from_array(v, name) for name, v in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)] + options.pop("imports", [])
    return helper.make_model(graph, opset_imports=imports, ir_version=8, **options)


if __name__ == "__main__":
    # Writes the cases whose names are given, to look at.
    for case in attention_cases(suffix=""):
        if case.name in sys.argv[1:]:
            onnx.save(case.model, f"{case.name}.onnx")
            np.savez(f"{case.name}.npz", **case.arrays())


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """Inputs and outputs by names with spaces between."""
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def linear(**options: Any) -> onnx.ModelProto:
    """y = x @ w + b with 48x64 weights, which are kept out of shape inference."""
    generator = np.random.default_rng(0)
    return model_of(
        [
            node("MatMul", "x w", "h", name="/inner/MatMul"),
            node("Add", "h b", "y", name="/inner/Add"),
        ],
        {"x": options.pop("x", (4, 48))},
        {"y": options.pop("y", (4, 64))},
        {
            "w": generator.standard_normal((48, 64), np.float32),
            "b": generator.standard_normal(64, np.float32),
        },
        **options,
    )
