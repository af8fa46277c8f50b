# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What torch-mlir 20261001 lowers to wrong code, and ONNX's own tests find: refused."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from elfatt.errors import Error


def refuse_faults(model: ModelProto) -> None:
    """Refuses nodes of the main graph that would give another result.

    Raises:
        Error: there is one; the text names it.
    """
    graph = model.graph
    ranks: Dict[str, int] = {}
    kinds: Dict[str, int] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        ranks[value.name] = len(value.type.tensor_type.shape.dim)
        kinds[value.name] = value.type.tensor_type.elem_type
    for tensor in graph.initializer:
        ranks[tensor.name], kinds[tensor.name] = len(tensor.dims), tensor.data_type
    for node in graph.node:
        fault = _fault_of(node, ranks, kinds)
        if fault is not None:
            raise Error(
                f"torch-mlir 20261001 lowers {node.op_type} {fault} to wrong code (node "
                f"'{node.name}')"
            )


def _fault_of(
    node: NodeProto, ranks: Mapping[str, int], kinds: Mapping[str, int]
) -> Optional[str]:
    attributes: Dict[str, Any] = {
        attribute.name: onnx.helper.get_attribute_value(attribute)
        for attribute in node.attribute
        if attribute.type != onnx.AttributeProto.GRAPH
    }
    given = [bool(name) for name in node.input]
    if node.op_type == "GridSample" and attributes.get("mode") == b"nearest":
        return "by the nearest element"
    if node.op_type == "LSTM" and given[7:] == [True]:
        return "with peepholes"
    if node.op_type == "SpaceToDepth" and attributes.get("mode") == b"CRD":
        return "in CRD order"
    if node.op_type == "Resize" and given[2:3] == [True]:
        mode = attributes.get("coordinate_transformation_mode")
        return "by scales with aligned corners" if mode == b"align_corners" else None
    if node.op_type == "QLinearMatMul" and ranks.get(node.input[0], 0) > 2:
        return "of a batch"
    if node.op_type == "DequantizeLinear" and ranks.get(node.input[1], 0) > 0:
        unsigned = kinds.get(node.input[0]) == TensorProto.UINT8
        return "of uint8 with a scale per axis" if unsigned else None
    return None
