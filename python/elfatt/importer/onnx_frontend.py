# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ONNX: made ready and folded, then torch-mlir down to linalg on tensors.

Every op has its node's name as its location, ``loc("/encoder/layer.0/MatMul")``.

Faults of torch-mlir 20261001 met here (each has a test that names it):

- Constants come as ``dense_resource`` blobs, of which no pass can see that they are
  a scale or a shape, and constants of type f16 and bf16 that are no blobs not at all.
  Small ones and those with one value are written as they are, see ``_Constants``.
- ``Expand`` compares shapes at run time and leaves ``cf.assert`` and dynamic sizes
  behind, even where all sizes are known. Folding before the import removes both.
- Functions of the standard, ``Attention`` among them, are not expanded, see
  ``onnx_expand``.
- Some ops are lowered to wrong code, see ``onnx_faults``.
"""

from __future__ import annotations

from typing import List

import numpy
import onnx
from onnx import ModelProto, TensorProto
from onnx.reference import ReferenceEvaluator
from torch_mlir import ir
from torch_mlir.dialects import torch as torch_dialect
from torch_mlir.extras import onnx_importer

from elfatt.errors import Error
from elfatt.importer import ImportOptions
from elfatt.importer.examples import Spec, make_inputs, to_npz
from elfatt.importer.lowering import (
    ImportedModule,
    lower_torch,
)
from elfatt.importer.onnx_contrib import is_contrib
from elfatt.importer.onnx_faults import refuse_faults
from elfatt.importer.onnx_fold import fold
from elfatt.importer.onnx_model import (
    OLDEST_OPSET,
    Weights,
    all_nodes,
    check_types,
    load,
    opset_of,
    own_inputs,
    prepare,
)
from elfatt.importer.onnx_named_sizes import assert_shared, find_shared

TORCH_BACKEND_PIPELINE = "builtin.module(torch-onnx-to-torch-backend-pipeline)"

# Above it a constant is a blob.
_INLINE_ELEMENTS = 1024

_MORE_TYPES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def import_source(source: str, options: ImportOptions) -> ImportedModule:
    """The entry point the registry calls; see ``elfatt.importer.import_source``."""
    options.refuse("an ONNX file, which says itself what is open", "dynamic")
    options.progress(f"loading {source}")
    return import_model(load(source), options)


def import_model(model: ModelProto, options: ImportOptions) -> ImportedModule:
    """Imports a model with its external data.

    Raises:
        Error: the model is not valid or cannot be lowered; the text names the node.
    """
    options.progress("checking and folding")
    prepared, weights = prepare(model, options.sizes, options.static)
    inputs: List[numpy.ndarray] = []
    if options.want_inputs or options.want_outputs:
        inputs = make_inputs(_specs(prepared, weights), options.inputs)
    shared = find_shared(own_inputs(prepared.graph, weights))
    outputs: List[numpy.ndarray] = []
    if options.want_outputs:
        options.progress("running the source model")
        outputs = _run_model(model, prepared, weights, inputs)
    prepared = fold(prepared)
    check_types(prepared)
    refuse_faults(prepared)
    options.progress("importing into MLIR")
    imported = _import(prepared, weights)
    ops = {node.name: node.op_type for node in all_nodes(prepared.graph)}

    def describe(name: str) -> str:
        return f"node '{name}', op {ops[name]}" if name in ops else f"'{name}'"

    options.progress("lowering to linalg")
    lower_torch(imported, TORCH_BACKEND_PIPELINE, describe)
    assert_shared(imported, shared)
    return ImportedModule(imported, to_npz(inputs, "arg"), to_npz(outputs, "out"))


# ------------------------------------------------------------------ examples


def _specs(model: ModelProto, weights: Weights) -> List[Spec]:
    specs: List[Spec] = []
    for value in own_inputs(model.graph, weights):
        tensor = value.type.tensor_type
        sizes = [
            dim.dim_value if dim.HasField("dim_value") else None
            for dim in tensor.shape.dim
        ]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        specs.append((value.name, numpy.dtype(dtype), sizes))
    return specs


def _run_model(
    model: ModelProto,
    prepared: ModelProto,
    weights: Weights,
    inputs: List[numpy.ndarray],
) -> List[numpy.ndarray]:
    names = [value.name for value in own_inputs(prepared.graph, weights)]
    feeds = dict(zip(names, inputs))
    is_foreign = any(is_contrib(node) for node in all_nodes(model.graph))
    if opset_of(model) < OLDEST_OPSET or is_foreign:
        # onnx 1.23.2 runs a Softmax of opset 12 by the rules of 13, and knows no op of
        # ONNX Runtime.
        model = prepared
        feeds.update((n, onnx.numpy_helper.to_array(t)) for n, t in weights.items())
    try:
        # Else the model as it came: what was done to it is checked, too.
        results = ReferenceEvaluator(model).run(None, feeds)
    except Exception as error:
        raise Error(
            f"running the model with onnx's reference: {type(error).__name__}: {error}"
        ) from error
    for i, value in enumerate(results):
        if not isinstance(value, (numpy.ndarray, numpy.generic)):
            raise Error(f"expected out{i} to be a tensor, got a {type(value).__name__}")
    return [numpy.asarray(value) for value in results]


# ------------------------------------------------------------------ import


class _Constants(onnx_importer.ContextCache):
    """Writes small constants, and those with one value, so that passes can read them."""

    def tensor_proto_to_attr(self, tensor: TensorProto) -> ir.Attribute:
        if tensor.data_type not in onnx_importer.ELEM_TYPE_INLINE_TENSOR_PROTO_CB:
            if tensor.data_type not in _MORE_TYPES:
                return super().tensor_proto_to_attr(tensor)
        type_ = self.tensor_proto_to_builtin_type(tensor)
        value = onnx.numpy_helper.to_array(tensor)
        if value.size and (value == value.flat[0]).all():
            value = value.flat[:1]
        elif value.size > _INLINE_ELEMENTS:
            return ir.DenseResourceElementsAttr.get_from_buffer(
                numpy.ascontiguousarray(value),
                self._sanitize_name(tensor.name),
                type_,
                alignment=64,
            )
        return ir.DenseElementsAttr.get(numpy.ascontiguousarray(value), type=type_)


def _check_element_types(model: ModelProto) -> None:
    graph = model.graph
    types = [
        (value.name, value.type.tensor_type.elem_type)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.HasField("tensor_type")
    ]
    types += [(tensor.name, tensor.data_type) for tensor in graph.initializer]
    for name, type_ in types:
        known = type_ in onnx_importer.ELEM_TYPE_TO_IR_TYPE_CB
        if not known or type_ == TensorProto.STRING:
            shown = TensorProto.DataType.Name(type_).lower()
            raise Error(f"the element type of '{name}', {shown}, cannot be imported")


def _import(model: ModelProto, weights: Weights) -> ir.Module:
    _check_element_types(model)
    context = ir.Context()
    torch_dialect.register_dialect(context)
    info = onnx_importer.ModelInfo(model)
    for name, tensor in weights.items():
        info.main_graph.input_map.pop(name, None)
        info.main_graph.initializer_map[name] = tensor
    module = info.create_module(context=context)
    try:
        constants = _Constants(context)
        importer = onnx_importer.NodeImporter.define_function(
            info.main_graph, module.operation, constants
        )
        importer.import_all()
    except Exception as error:
        raise Error(f"torch-mlir cannot import the model: {error}") from error
    return module
