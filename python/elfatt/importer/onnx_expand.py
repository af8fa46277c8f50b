# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes out ops that the ONNX standard defines by others, and those of ONNX Runtime.

``onnx.inliner`` of 1.23.2 does so, too, but fails on a call with an optional input left
out, and forgets attributes that have a default.

Changes numerics: no.
"""

from __future__ import annotations

from typing import Dict, List, Optional

import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto

from elfatt.errors import Error
from elfatt.importer.onnx_contrib import is_contrib, write_function

# Those that torch-mlir 20261001 does not know, or lowers with an error of 5e-5 (Gelu
# by tanh).
EXPANDED = frozenset(
    (
        "AffineGrid",
        "Attention",
        "CenterCropPad",
        "Gelu",
        "GroupNormalization",
        "LinearAttention",
        "RMSNormalization",
        "RotaryEmbedding",
        "SwiGLU",
        "Swish",
    )
)


def expand(model: ModelProto, opset: int) -> ModelProto:
    """A model without calls of ``EXPANDED`` and of ONNX Runtime's ops in its main graph.

    What stands for a call is called after it: ``call/name in the function``.

    Raises:
        Error: what a call computes depends on a type that nobody knows, or cannot be
            imported.
    """
    while True:
        calls = [node for node in model.graph.node if _is_expanded(node)]
        if not calls:
            return model
        # What a function is may depend on types.
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        types = _types(model.graph)
        nodes: List[NodeProto] = []
        waiting = 0
        for node in model.graph.node:
            written: Optional[List[NodeProto]] = [node]
            if _is_expanded(node):
                written = _written_out(node, types, opset)
            waiting += written is None
            nodes += written or [node]
        if waiting == len(calls):
            raise Error(
                f"the shapes of the inputs of op '{calls[0].op_type}' are not known "
                f"(node '{calls[0].name}')"
            )
        nodes = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(nodes)


def _is_expanded(node: NodeProto) -> bool:
    if is_contrib(node):
        return True
    return node.domain in ("", "ai.onnx") and node.op_type in EXPANDED


def _types(graph: GraphProto) -> Dict[str, onnx.TypeProto]:
    types = {
        tensor.name: onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        for tensor in graph.initializer
    }
    for value in (*graph.input, *graph.value_info, *graph.output):
        types[value.name] = value.type
    return types


def _written_out(
    call: NodeProto, types: Dict[str, onnx.TypeProto], opset: int
) -> Optional[List[NodeProto]]:
    """None where types that are not known yet decide."""
    defaults: Dict[str, AttributeProto] = {}
    if is_contrib(call):
        function = write_function(call, types, opset)
        if function is None:
            return None
    else:
        schema = onnx.defs.get_schema(call.op_type, opset, call.domain)
        function = _function_of(call, schema, types)
        defaults = {
            name: attribute.default_value
            for name, attribute in schema.attributes.items()
            if attribute.default_value.type
        }
    names = dict(zip(function.input, call.input))
    names.update((inner, "") for inner in function.input if inner not in names)
    names.update(
        (inner, outer) for inner, outer in zip(function.output, call.output) if outer
    )
    attributes = {**defaults, **{given.name: given for given in call.attribute}}
    return [_renamed(node, call.name, names, attributes) for node in function.node]


def _function_of(
    call: NodeProto, schema: onnx.defs.OpSchema, types: Dict[str, onnx.TypeProto]
) -> FunctionProto:
    if not schema.has_context_dependent_function:
        return schema.function_body
    text = schema.get_context_dependent_function(
        call.SerializeToString(),
        [types.get(name, onnx.TypeProto()).SerializeToString() for name in call.input],
    )
    return FunctionProto.FromString(text)


def _renamed(
    node: NodeProto,
    call: str,
    names: Dict[str, str],
    attributes: Dict[str, AttributeProto],
) -> NodeProto:
    def outer(name: str) -> str:
        return names.setdefault(name, f"{call}/{name}") if name else ""

    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [outer(name) for name in node.input]
    copy.output[:] = [outer(name) for name in node.output]
    inner = next((name for name in node.output if name), node.op_type)
    copy.name = f"{call}/{node.name or inner}"
    del copy.attribute[:]
    for attribute in node.attribute:
        bound = _bound(attribute, call, names, attributes)
        if bound is not None:
            copy.attribute.append(bound)
    return copy


def _bound(
    attribute: AttributeProto,
    call: str,
    names: Dict[str, str],
    attributes: Dict[str, AttributeProto],
) -> Optional[AttributeProto]:
    """An attribute of a node in a function, with what the call gives for it."""
    copy = AttributeProto()
    if attribute.ref_attr_name:
        given = attributes.get(attribute.ref_attr_name)
        if given is None:
            return None
        copy.CopyFrom(given)
        copy.name = attribute.name
        return copy
    copy.CopyFrom(attribute)
    if attribute.type == AttributeProto.GRAPH:
        nodes = [_renamed(node, call, names, attributes) for node in attribute.g.node]
        del copy.g.node[:]
        copy.g.node.extend(nodes)
        for value in (*copy.g.input, *copy.g.output):
            value.name = names.setdefault(value.name, f"{call}/{value.name}")
    return copy
