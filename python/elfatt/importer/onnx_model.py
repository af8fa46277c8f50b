# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ONNX models made ready for torch-mlir: loaded, checked, converted, with types.

Weights are kept out of the model while ONNX's own tools work on it: they see an
input in the place of each. The tools serialize what they are given, which takes time
and fails above 2 GB.

Changes numerics: no.
"""

from __future__ import annotations

import math
import os
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import onnx
import onnx.inliner
import onnx.version_converter
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from elfatt.errors import Error
from elfatt.importer.onnx_expand import expand

OLDEST_OPSET = 13
"""torch-mlir's ONNX ops are those of this version and later."""

# Shapes, axes and scales are small, and must be seen by shape inference.
_SMALL = 1024  # elements

# A protobuf message holds no more.
_LARGEST_FILE = (1 << 31) - 1

Weights = Dict[str, TensorProto]


def load(path: str) -> ModelProto:
    """Reads a file and its external data.

    Raises:
        Error: the file or its external data cannot be read, or is no ONNX model.
    """
    try:
        if os.path.getsize(path) > _LARGEST_FILE:
            raise Error(
                f"'{path}' is larger than 2 GB, which an ONNX file cannot be; save the "
                "model with external data: onnx.save(model, path, "
                "save_as_external_data=True)"
            )
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise Error(f"cannot read '{path}': {error.strerror or error}") from None
    except Error:
        raise
    except Exception as error:
        # Of the protobuf package, whose exceptions have no public name.
        raise Error(f"'{path}' is no ONNX model: {_first_line(error)}") from None
    _check_is_model(model, f"'{path}'")
    try:
        onnx.load_external_data_for_model(model, os.path.dirname(os.path.abspath(path)))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise Error(f"cannot read the external data of '{path}': {_first_line(error)}")
    return model


def _check_is_model(model: ModelProto, name: str) -> None:
    if not model.HasField("graph") or not model.opset_import:
        raise Error(f"{name} is no ONNX model: it has no graph or no opset")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def opset_of(model: ModelProto) -> int:
    """The version of the ONNX standard that a model is written in; 0 for none."""
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            return opset.version
    return 0


def prepare(
    model: ModelProto, sizes: Mapping[str, int], static: bool = False
) -> Tuple[ModelProto, Weights]:
    """A copy of a model that torch-mlir can import, and its weights by name.

    The copy has one graph named ``main`` in which each node has a name of its own.
    Weights are inputs of it, behind the model's own.

    Args:
        model: the model, with its external data; not changed.
        sizes: sizes of dimensions, by ``parameter`` or ``input:dimension``.
        static: refuse a model that has a dimension without a size.

    Raises:
        Error: the model is not valid, or uses what cannot be imported.
    """
    _check_is_model(model, "the model")
    model, weights = _detach_weights(model)
    _name_nodes(model.graph)
    if 0 < opset_of(model) < OLDEST_OPSET:
        model = _convert(model)
    model = _inline(model)
    model.graph.name = "main"
    _name_nodes(model.graph)
    _set_sizes(model.graph, weights, sizes)
    if static:
        _check_static(model.graph, weights)
    _check(model)
    try:
        model = onnx.shape_inference.infer_shapes(
            model, check_type=True, data_prop=True
        )
    except Exception as error:
        raise Error(f"the model is not valid: {_first_line(error)}") from None
    return model, weights


# ------------------------------------------------------------------ weights


def _detach_weights(model: ModelProto) -> Tuple[ModelProto, Weights]:
    copy = ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            _assign(copy, field.name, value)
    for field, value in model.graph.ListFields():
        if field.name not in ("initializer", "input", "node"):
            _assign(copy.graph, field.name, value)
    copy.ir_version = max(model.ir_version, 4)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        tensor = _tensor_of_constant(node)
        if tensor is None or _count(tensor) <= _SMALL:
            copy.graph.node.append(node)
        else:
            tensors[node.output[0]] = tensor
    # An input with a value is a constant: nobody can give it another.
    copy.graph.input.extend(v for v in model.graph.input if v.name not in tensors)
    weights: Weights = {}
    for name, tensor in tensors.items():
        if _count(tensor) <= _SMALL:
            copy.graph.initializer.append(tensor)
            continue
        weights[name] = tensor
        copy.graph.input.append(
            onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
        )
    return copy, weights


def _tensor_of_constant(node: NodeProto) -> Optional[TensorProto]:
    if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
        for attribute in node.attribute:
            if attribute.name == "value":
                return attribute.t
    return None


def _count(tensor: TensorProto) -> int:
    return math.prod(tensor.dims)


def _assign(message: object, name: str, value: object) -> None:
    target = getattr(message, name)
    if hasattr(target, "extend"):
        target.extend(value)
    elif hasattr(target, "CopyFrom"):
        target.CopyFrom(value)
    else:
        setattr(message, name, value)


def own_inputs(graph: GraphProto, weights: Weights) -> List[onnx.ValueInfoProto]:
    """The inputs of a graph that are no weights."""
    return [value for value in graph.input if value.name not in weights]


# ------------------------------------------------------------------ ops


def _convert(model: ModelProto) -> ModelProto:
    try:
        return onnx.version_converter.convert_version(model, OLDEST_OPSET)
    except Exception as error:
        raise Error(
            f"onnx cannot convert the model from opset {opset_of(model)} to "
            f"{OLDEST_OPSET}: {_first_line(error)}"
        ) from None


def _inline(model: ModelProto) -> ModelProto:
    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model, convert_version=True)
            _name_nodes(model.graph)
        return expand(model, opset_of(model))
    except Error:
        raise
    except Exception as error:
        raise Error(
            f"onnx cannot inline the model's functions: {_first_line(error)}"
        ) from None


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from all_nodes(attribute.g)


def _name_nodes(graph: GraphProto) -> None:
    """A node without a name is called after its first output, which is unique."""
    seen: Set[str] = set()
    for node in all_nodes(graph):
        output = next((name for name in node.output if name), node.op_type)
        if not node.name:
            node.name = output
        elif node.name in seen:
            node.name = f"{node.name}/{output}"
        seen.add(node.name)


# ------------------------------------------------------------------ sizes


def _dims(value: onnx.ValueInfoProto) -> Sequence[onnx.TensorShapeProto.Dimension]:
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value") or "value without a type"
        raise Error(f"expected input '{value.name}' to be a tensor, got a {kind}")
    if not value.type.tensor_type.HasField("shape"):
        raise Error(f"the rank of input '{value.name}' is not known")
    return value.type.tensor_type.shape.dim


def open_dims(graph: GraphProto, weights: Weights) -> List[str]:
    """Dimensions of inputs without a size, as a user names them."""
    found: List[str] = []
    for value in own_inputs(graph, weights):
        for i, dim in enumerate(_dims(value)):
            if not dim.HasField("dim_value"):
                name = dim.dim_param or f"{value.name}:{i}"
                if name not in found:
                    found.append(name)
    return found


def _set_sizes(graph: GraphProto, weights: Weights, sizes: Mapping[str, int]) -> None:
    names = open_dims(graph, weights)
    used: Set[str] = set()
    for value in own_inputs(graph, weights):
        for i, dim in enumerate(_dims(value)):
            keys = {dim.dim_param, f"{value.name}:{i}"} & set(sizes)
            if keys and dim.HasField("dim_value"):
                raise Error(
                    f"the size of dimension {i} of input '{value.name}' is "
                    f"{dim.dim_value}, and cannot be set to {sizes[keys.pop()]}"
                )
            for key in keys:
                dim.dim_value = sizes[key]
                used.add(key)
    for name in sizes:
        if name not in used:
            known = ", ".join(f"'{n}'" for n in names) or "none: all sizes are fixed"
            raise Error(f"no open dimension is called '{name}'; there are: {known}")
    if used:
        # What was inferred for the open sizes would contradict the new ones.
        del graph.value_info[:]
        for value in graph.output:
            for dim in value.type.tensor_type.shape.dim:
                if not dim.HasField("dim_value"):
                    dim.Clear()


def _check_static(graph: GraphProto, weights: Weights) -> None:
    names = open_dims(graph, weights)
    if names:
        shown = ", ".join(f"'{name}'" for name in names)
        raise Error(f"the size of {shown} is open; give it by --dim {names[0]}=SIZE")


# ------------------------------------------------------------------ checks


def _check(model: ModelProto) -> None:
    versions = {opset.domain: opset.version for opset in model.opset_import}
    for node in all_nodes(model.graph):
        version = versions.get(node.domain, 0) or opset_of(model)
        # Of what is outside of the standard the checker only says that it is.
        if not onnx.defs.has(node.op_type, version, node.domain):
            op = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise Error(
                f"op '{op}' is not in the ONNX standard, version {version} (node "
                f"'{node.name}')"
            )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise Error(f"the model is not valid: {_first_line(error)}") from None


def check_types(model: ModelProto) -> None:
    """Refuses a graph with a tensor whose rank is not known.

    Raises:
        Error: with the node that makes it.
    """
    graph = model.graph
    typed = {
        value.name
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.WhichOneof("value")
        and not (
            value.type.HasField("tensor_type")
            and not value.type.tensor_type.HasField("shape")
        )
    }
    typed |= {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        for name in node.output:
            if name and name not in typed:
                raise Error(
                    f"the shape of '{name}' is not known, not even its rank (node "
                    f"'{node.name}', op {node.op_type})"
                )
