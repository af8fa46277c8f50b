# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Evaluates what depends on no input of an ONNX graph.

Exporters compute shapes, scales and masks in the graph: ``Shape -> Gather -> Concat ->
Reshape``, ``1 / sqrt(Cast(Shape))``, ``Where(Range <= Range, 0, -inf)``. With sizes
known, most of it is constant. It is evaluated here, by ONNX's own reference (and, where
some sizes are open, by ``onnx_sizes``), and then

- shapes, scalars and tensors with one value are constants,
- an element-wise op with its neutral element is its other operand
  (``x + 0``, ``x * 1``, ``where(true, x, y)``), and so is an op that changes no shape
  (``Reshape`` and ``Expand`` to the shape that there is),
- ``x[i]`` of a constant i is a slice, where ``Gather`` reads by an index at run time.

A tensor with many values stays as it is computed: a mask out of ``Range`` says more, in
less space, than its elements.

Changes numerics: no, but for the sign of a zero (-0 + 0 is +0).
"""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Set, Tuple

import numpy
import onnx
from onnx import GraphProto, ModelProto, NodeProto
from onnx.reference import ReferenceEvaluator

from elfatt.importer.onnx_model import opset_of
from elfatt.importer.onnx_sizes import KnownSizes

# Constants are evaluated and mostly thrown away: bound memory and time.
_MAX_ELEMENTS = 1 << 22

# A vector up to this long may be the shape of something.
_MAX_SHAPE = 64

_RANDOM = frozenset(
    (
        "Bernoulli",
        "Dropout",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    )
)

Shape = Optional[Tuple[int, ...]]
"""None where a size, or the rank, is not known."""


def fold(model: ModelProto) -> ModelProto:
    """Folds the main graph; see the module's docstring."""
    changed = True
    while changed:
        folder = _Folder(model)
        changed = folder.run()
        changed |= folder.sizes.write(model.graph)
        changed |= _refine_slices(model.graph)
        # A size that is a constant now makes others known.
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    # With all that can be known.
    _Folder(model).run(is_last=True)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


class _Folder:
    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self.opsets = {opset.domain: opset.version for opset in model.opset_import}
        self.opset = opset_of(model)
        self.types = _types(model.graph)
        self.values: Dict[str, numpy.ndarray] = {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in model.graph.initializer
        }
        self.sizes = KnownSizes(model.graph)
        for name, value in self.values.items():
            self.sizes.set_constant(name, value)
        # Open sizes, by an input and a dimension of it that has them.
        self.opened: Dict[str, Tuple[str, int]] = {}
        for value in model.graph.input:
            for i, dim in enumerate(value.type.tensor_type.shape.dim):
                if dim.dim_param:
                    self.opened.setdefault(dim.dim_param, (value.name, i))
        # What stands for a value that was folded away.
        self.instead: Dict[str, str] = {}
        self.returned = {value.name for value in model.graph.output}

    def run(self, is_last: bool = False) -> bool:
        """Folds once; whether that changed the graph."""
        kept: List[NodeProto] = []
        sliced = False
        before = len(self.graph.node)
        for node in self.graph.node:
            self._rename_inputs(node)
            self._evaluate(node)
            self._follow_sizes(node)
            if self._is_constant(node):
                continue
            if is_last:
                self._fix_reshape(node)
                kept += self._fix_expand(node)
            other = self._other_operand(node)
            # The name of a result is part of the model.
            if other is not None and node.output[0] not in self.returned:
                self.instead[node.output[0]] = other
                continue
            slices = self._sliced(node)
            sliced |= slices is not None
            kept += slices or [node]
        _keep_live(self.graph, kept, self.values)
        return sliced or len(self.graph.node) != before

    def _rename_inputs(self, node: NodeProto) -> None:
        for i, name in enumerate(node.input):
            node.input[i] = self.instead.get(name, name)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                self._rename_in_graph(attribute.g)

    def _rename_in_graph(self, graph: GraphProto) -> None:
        # Names are unique over all graphs, so none is shadowed.
        for node in graph.node:
            self._rename_inputs(node)
        for value in graph.output:
            value.name = self.instead.get(value.name, value.name)

    # -------------------------------------------------------- evaluation

    def _evaluate(self, node: NodeProto) -> None:
        if node.op_type in _RANDOM or any(
            attribute.type == onnx.AttributeProto.GRAPH for attribute in node.attribute
        ):
            return
        if any(self._size(name) > _MAX_ELEMENTS for name in node.output if name):
            return
        if node.op_type in ("Shape", "Size"):
            # Only the type of its operand matters.
            shape = self._shape(node.input[0])
            if shape is None:
                return
            feeds = {node.input[0]: numpy.broadcast_to(numpy.float32(0), shape)}
        elif all(name in self.values for name in node.input if name):
            feeds = {name: self.values[name] for name in node.input if name}
        else:
            return
        try:
            results = ReferenceEvaluator(node, opsets=self.opsets).run(None, feeds)
        except Exception:  # noqa: BLE001 - it may raise anything
            # Left to run time, which is what the model says anyway.
            return
        for name, value in zip(node.output, results):
            if name and isinstance(value, (numpy.ndarray, numpy.generic)):
                self.values[name] = numpy.asarray(value)

    def _follow_sizes(self, node: NodeProto) -> None:
        for name in node.output:
            if name in self.values:
                self.sizes.set_constant(name, self.values[name])
                return
        self.sizes.follow(node)
        name = node.output[0]
        numbers = self.sizes.get_numbers(name)
        element, shape = self.types.get(name, (0, None))
        if numbers is not None and shape in ((), (len(numbers),)):
            dtype = onnx.helper.tensor_dtype_to_np_dtype(element)
            if dtype.kind in "ib":
                self.values[name] = numpy.array(numbers, dtype).reshape(shape)

    def _fix_reshape(self, node: NodeProto) -> None:
        """Gives a ``Reshape`` to a computed shape the numbers that are known of it."""
        if node.op_type == "Reshape" and node.input[1] not in self.values:
            numbers = self.sizes.get_reshape(node)
            if numbers is not None:
                node.input[1] = f"{node.output[0]}/sizes"
                self.values[node.input[1]] = numpy.array(numbers, numpy.int64)

    def _fix_expand(self, node: NodeProto) -> List[NodeProto]:
        """Takes the open sizes of an ``Expand`` from the model's inputs; the nodes that it
        needs for that."""
        if node.op_type != "Expand" or node.input[1] in self.values:
            return []
        sizes = self.sizes.get_opened(node.input[1])
        if sizes is None or any(s.name and s.name not in self.opened for s in sizes):
            return []
        name = f"{node.output[0]}/sizes"
        nodes, parts = [], []
        for i, size in enumerate(sizes):
            parts.append(f"{name}/{i}")
            if size.name is None:
                self.values[parts[-1]] = numpy.array([size.factor], numpy.int64)
                continue
            source, dim = self.opened[size.name]
            whole, at = f"{parts[-1]}/shape", f"{parts[-1]}/at"
            self.values[at] = numpy.array([dim], numpy.int64)
            nodes.append(onnx.helper.make_node("Shape", [source], [whole], whole))
            nodes.append(
                onnx.helper.make_node("Gather", [whole, at], [parts[-1]], parts[-1])
            )
        node.input[1] = name
        return [*nodes, onnx.helper.make_node("Concat", parts, [name], name, axis=0)]

    def _is_constant(self, node: NodeProto) -> bool:
        return all(
            name in self.values and _is_worth_it(self.values[name])
            for name in node.output
            if name
        )

    # -------------------------------------------------------- simplification

    def _other_operand(self, node: NodeProto) -> Optional[str]:
        """What a node's first result is equal to, if it is one of its operands."""
        rule = _RULES.get(node.op_type)
        if rule is None or node.domain not in ("", "ai.onnx"):
            return None
        operand = rule(node, self.values)
        if operand is None:
            return None
        before, after = self.types.get(operand), self.types.get(node.output[0])
        same = before is not None and after is not None and before == after
        return operand if same and before[1] is not None else None

    def _sliced(self, node: NodeProto) -> Optional[List[NodeProto]]:
        """x[i] of a constant i: ``Gather`` reads element by element, by an index at run
        time, where a slice is a view. So are q, k and v taken out of one tensor."""
        if node.op_type != "Gather" or node.domain not in ("", "ai.onnx"):
            return None
        shape, index = self._shape(node.input[0]), self.values.get(node.input[1])
        if shape is None or index is None or index.size != 1 or index.ndim > 1:
            return None
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0) % len(shape)
        start = int(index.flat[0])
        start += shape[axis] if start < 0 else 0
        if not 0 <= start < shape[axis]:
            return None
        bounds = []
        for what, value in (("start", start), ("end", start + 1), ("axis", axis)):
            bounds.append(f"{node.output[0]}/{what}")
            self.values[bounds[-1]] = numpy.array([value], numpy.int64)
        result = node.output[0] if index.ndim else f"{node.output[0]}/slice"
        nodes = [
            onnx.helper.make_node(
                "Slice", [node.input[0], *bounds], [result], node.name
            )
        ]
        if not index.ndim:
            nodes.append(
                onnx.helper.make_node(
                    "Squeeze",
                    [result, bounds[-1]],
                    [node.output[0]],
                    f"{node.name}/squeeze",
                )
            )
        return nodes

    def _shape(self, name: str) -> Shape:
        if name in self.values:
            return self.values[name].shape
        return self.types.get(name, (0, None))[1]

    def _size(self, name: str) -> float:
        shape = self._shape(name)
        return float("inf") if shape is None else float(numpy.prod(shape, dtype=object))


def _is_worth_it(value: numpy.ndarray) -> bool:
    if value.size <= 1 or (value.ndim == 1 and value.size <= _MAX_SHAPE):
        return True
    return bool((value == value.flat[0]).all())


Rule = Callable[[NodeProto, Mapping[str, numpy.ndarray]], Optional[str]]


def _neutral(element: object) -> Rule:
    def rule(node: NodeProto, values: Mapping[str, numpy.ndarray]) -> Optional[str]:
        for kept, dropped in (node.input, node.input[::-1]):
            if dropped in values and (values[dropped] == element).all():
                return kept
        return None

    return rule


def _neutral_on_the_right(element: object) -> Rule:
    def rule(node: NodeProto, values: Mapping[str, numpy.ndarray]) -> Optional[str]:
        right = values.get(node.input[1])
        return node.input[0] if right is not None and (right == element).all() else None

    return rule


def _chosen(node: NodeProto, values: Mapping[str, numpy.ndarray]) -> Optional[str]:
    condition = values.get(node.input[0])
    if condition is None:
        return None
    if condition.all():
        return node.input[1]
    return None if condition.any() else node.input[2]


def _first(node: NodeProto, values: Mapping[str, numpy.ndarray]) -> Optional[str]:
    return node.input[0]


_RULES: Dict[str, Rule] = {
    "Add": _neutral(0),
    "And": _neutral(True),
    "Cast": _first,
    "CastLike": _first,
    "Div": _neutral_on_the_right(1),
    "Expand": _first,
    "Identity": _first,
    "Mul": _neutral(1),
    "Or": _neutral(False),
    "Reshape": _first,
    "Squeeze": _first,
    "Sub": _neutral_on_the_right(0),
    "Unsqueeze": _first,
    "Where": _chosen,
}


def _types(graph: GraphProto) -> Dict[str, Tuple[int, Shape]]:
    """Element type and shape of each tensor."""
    found: Dict[str, Tuple[int, Shape]] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        dims = tensor.shape.dim
        known = tensor.HasField("shape") and all(d.HasField("dim_value") for d in dims)
        shape = tuple(d.dim_value for d in dims) if known else None
        found[value.name] = (tensor.elem_type, shape)
    for initializer in graph.initializer:
        found[initializer.name] = (initializer.data_type, tuple(initializer.dims))
    return found


def _refine_slices(graph: GraphProto) -> bool:
    """A slice changes the sizes of its axes alone; true if that made one known.

    onnx 1.23.2 knows none of them where a bound is computed, and torch-mlir then cannot
    tell a size of 1, which broadcasts, from others.
    """
    typed = {v.name: v for v in (*graph.input, *graph.value_info, *graph.output)}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                constants[node.output[0]] = attribute.t
    changed = False
    for node in graph.node:
        if node.op_type != "Slice" or len(node.input) < 4:
            continue
        axes, result = constants.get(node.input[3]), typed.get(node.output[0])
        source = typed.get(node.input[0]) or constants.get(node.input[0])
        if axes is None or result is None or source is None:
            continue
        sizes = (
            list(source.dims)
            if isinstance(source, onnx.TensorProto)
            else [
                dim.dim_value if dim.HasField("dim_value") else None
                for dim in source.type.tensor_type.shape.dim
            ]
        )
        cut = {int(a) % len(sizes) for a in onnx.numpy_helper.to_array(axes).flat}
        for i, dim in enumerate(result.type.tensor_type.shape.dim):
            size = sizes[i] if i < len(sizes) else None
            if i not in cut and size is not None and not dim.HasField("dim_value"):
                dim.dim_value = size
                changed = True
    return changed


def _keep_live(
    graph: GraphProto, nodes: List[NodeProto], values: Mapping[str, numpy.ndarray]
) -> None:
    """Leaves in ``graph`` what its results need of ``nodes`` and ``values``."""
    needed = {value.name for value in graph.output}
    live: List[NodeProto] = []
    for node in reversed(nodes):
        if needed.isdisjoint(node.output):
            continue
        live.append(node)
        needed |= _reads(node)
    made = {name for node in live for name in node.output}
    given = {value.name for value in graph.input}
    copies = [NodeProto.FromString(n.SerializeToString()) for n in reversed(live)]
    del graph.node[:]
    graph.node.extend(copies)
    del graph.initializer[:]
    for name in sorted((needed - made - given) & values.keys()):
        graph.initializer.append(onnx.numpy_helper.from_array(values[name], name))


def _reads(node: NodeProto) -> Set[str]:
    found = {name for name in node.input if name}
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            found |= {value.name for value in attribute.g.output}
            for inner in attribute.g.node:
                found |= _reads(inner)
    return found
