# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Sizes of an ONNX graph that are known though others are open.

Exporters compute the shapes of ``Reshape`` and ``Expand`` in the graph, out of the
``Shape`` of a tensor. Where the batch is open, no such vector is constant, and ONNX's
shape inference gives up all of it: the heads of an attention, 64 / 32, become unknown.
Here each element of such a vector is a product of a number and of open sizes, so that
the inference goes on with those that are numbers.

Changes numerics: no.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy
import onnx
from onnx import GraphProto, NodeProto

_INFERRED = "unk__"
"""How ONNX's inference begins the names that it makes up, each time new ones."""

_MAX_ELEMENTS = 64
"""A vector up to this long may be the shape of something."""


class Size(NamedTuple):
    """``factor`` times open sizes, by their names in the model."""

    factor: int
    open: Tuple[str, ...] = ()

    @property
    def name(self) -> Optional[str]:
        """Of the open size that this is, if it is one for itself."""
        return self.open[0] if self == Size(1, self.open[:1]) and self.open else None

    def __mul__(self, other: "Size") -> "Size":  # type: ignore[override]
        names = tuple(sorted(self.open + other.open))
        return Size(self.factor * other.factor, names if self.factor else ())

    def divided_by(self, other: "Size") -> Optional["Size"]:
        """None where it is no whole size for all that is open."""
        left = list(self.open)
        for name in other.open:
            if name not in left:
                return None
            left.remove(name)
        if other.factor == 0 or self.factor % other.factor:
            return None
        return Size(self.factor // other.factor, tuple(left))


Sizes = Optional[List[Optional[Size]]]
"""None where the rank, and an element where the size, is not known."""


def product(sizes: Sequence[Optional[Size]]) -> Optional[Size]:
    result = Size(1)
    for size in sizes:
        if size is None:
            return None
        result = result * size
    return result


class KnownSizes:
    """What is known of a graph's shapes, and of the vectors that they are computed with.

    Nodes are given to ``follow`` in the graph's order.
    """

    def __init__(self, graph: GraphProto) -> None:
        self.shapes: Dict[str, Sizes] = {}
        self.vectors: Dict[str, List[Optional[Size]]] = {}
        for value in (*graph.input, *graph.value_info, *graph.output):
            tensor = value.type.tensor_type
            if tensor.HasField("shape"):
                self.shapes[value.name] = [_size_of(dim) for dim in tensor.shape.dim]
        for initializer in graph.initializer:
            self.shapes[initializer.name] = [Size(dim) for dim in initializer.dims]

    def set_constant(self, name: str, value: numpy.ndarray) -> None:
        self.shapes[name] = [Size(dim) for dim in value.shape]
        if value.ndim <= 1 and value.size <= _MAX_ELEMENTS and value.dtype.kind in "ib":
            self.vectors[name] = [Size(int(element)) for element in value.flat]

    def follow(self, node: NodeProto) -> None:
        """Learns what a node makes: a vector of sizes, or a tensor of known sizes."""
        if node.domain not in ("", "ai.onnx") or len(node.output) != 1:
            return
        rule = _VECTORS.get(node.op_type)
        vector = rule(self, node) if rule is not None else None
        if vector is not None and len(vector) <= _MAX_ELEMENTS:
            self.vectors[node.output[0]] = vector
        shape = self._shape_of(node)
        if shape is not None:
            before = self.shapes.get(node.output[0]) or [None] * len(shape)
            self.shapes[node.output[0]] = [
                _better(new, old) for new, old in zip(shape, before)
            ]

    def get_numbers(self, name: str) -> Optional[List[int]]:
        """A vector all of whose elements are numbers."""
        vector = self.vectors.get(name)
        if vector is None or any(size is None or size.open for size in vector):
            return None
        return [size.factor for size in vector if size is not None]

    def get_reshape(self, node: NodeProto) -> Optional[List[int]]:
        """The shape operand of a ``Reshape`` as numbers: 0 is the operand's size, -1 what
        is left."""
        source, shape = (self.shapes.get(n) for n in (node.input[0], node.output[0]))
        if source is None or shape is None or _attribute(node, "allowzero", 0):
            return None
        if None not in shape and not any(size and size.open for size in shape):
            return [size.factor for size in shape if size is not None]
        numbers: List[int] = []
        opened = [i for i, size in enumerate(shape) if size is None or size.open]
        for i, size in enumerate(shape):
            if size is not None and not size.open:
                numbers.append(size.factor)
            elif len(opened) == 1:
                numbers.append(-1)
            elif size is not None and i < len(source) and size == source[i]:
                numbers.append(0)
            else:
                numbers.append(-1)
        is_known = numbers.count(-1) <= 1 and all(
            size is None or size.factor != 0 for size in shape
        )
        return numbers if is_known else None

    def get_opened(self, name: str) -> Optional[List[Size]]:
        """A vector of numbers and of open sizes, each for itself."""
        vector = self.vectors.get(name)
        if vector is None:
            return None
        sizes = [s for s in vector if s is not None and (s.name or not s.open)]
        return sizes if len(sizes) == len(vector) else None

    def write(self, graph: GraphProto) -> bool:
        """Adds what is known to the graph's types; whether the inference knew less."""
        changed = False
        for value in (*graph.value_info, *graph.output):
            dims = value.type.tensor_type.shape.dim
            for dim, size in zip(dims, self.shapes.get(value.name) or ()):
                if dim.dim_param.startswith(_INFERRED):
                    # A name of its own for what may be known by another.
                    dim.Clear()
                if size is None or dim.HasField("dim_value"):
                    continue
                if not size.open:
                    dim.dim_value = size.factor
                    changed = True
                elif size.name and not dim.dim_param:
                    if not size.name.startswith(_INFERRED):
                        dim.dim_param = size.name
                        changed = True
        return changed

    def _shape_of(self, node: NodeProto) -> Sizes:
        if node.op_type == "ConstantOfShape":
            return self.vectors.get(node.input[0])
        if node.op_type not in ("Reshape", "Expand"):
            return None
        source, wanted = self.shapes.get(node.input[0]), self.vectors.get(node.input[1])
        if source is None or wanted is None:
            return None
        if node.op_type == "Expand":
            return _broadcast(source, wanted)
        return _reshaped(source, wanted, bool(_attribute(node, "allowzero", 0)))


def _size_of(dim: onnx.TensorShapeProto.Dimension) -> Optional[Size]:
    if dim.HasField("dim_value"):
        return Size(dim.dim_value)
    return Size(1, (dim.dim_param,)) if dim.dim_param else None


def _better(new: Optional[Size], old: Optional[Size]) -> Optional[Size]:
    if old is not None and not old.open:
        return old
    return new if new is not None else old


def _reshaped(
    source: List[Optional[Size]], wanted: List[Optional[Size]], keeps_zero: bool
) -> Sizes:
    result: List[Optional[Size]] = []
    for i, size in enumerate(wanted):
        if size == Size(0) and not keeps_zero:
            size = source[i] if i < len(source) else None
        result.append(size)
    if Size(-1) in result:
        place = result.index(Size(-1))
        all_, others = product(source), product(result[:place] + result[place + 1 :])
        known = all_ is not None and others is not None
        result[place] = all_.divided_by(others) if known else None  # type: ignore
    return result


def _broadcast(a: List[Optional[Size]], b: List[Optional[Size]]) -> Sizes:
    rank = max(len(a), len(b))
    a = [Size(1)] * (rank - len(a)) + a
    b = [Size(1)] * (rank - len(b)) + b
    result: List[Optional[Size]] = []
    for x, y in zip(a, b):
        if x == Size(1) or x == y:
            result.append(y)
        elif y == Size(1):
            result.append(x)
        else:
            # One of them is 1, or they are equal: a number other than 1 decides.
            numbers = [s for s in (x, y) if s is not None and not s.open]
            result.append(numbers[0] if numbers else None)
    return result


# ------------------------------------------------------------------ vectors of sizes

Vector = Optional[List[Optional[Size]]]


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((a.i for a in node.attribute if a.name == name), default)


def _shape(known: KnownSizes, node: NodeProto) -> Vector:
    shape = known.shapes.get(node.input[0])
    if shape is None:
        return None
    start = _attribute(node, "start", 0)
    return shape[start : _attribute(node, "end", len(shape))]


def _size(known: KnownSizes, node: NodeProto) -> Vector:
    shape = known.shapes.get(node.input[0])
    return None if shape is None else [product(shape)]


def _same(known: KnownSizes, node: NodeProto) -> Vector:
    return known.vectors.get(node.input[0])


def _gather(known: KnownSizes, node: NodeProto) -> Vector:
    vector, index = (known.vectors.get(node.input[0]), known.get_numbers(node.input[1]))
    if vector is None or index is None:
        return None
    inside = all(-len(vector) <= i < len(vector) for i in index)
    return [vector[i] for i in index] if inside else None


def _slice(known: KnownSizes, node: NodeProto) -> Vector:
    vector = known.vectors.get(node.input[0])
    bounds = [known.get_numbers(name) if name else None for name in node.input[1:]]
    if vector is None or bounds[0] is None or bounds[1] is None:
        return None
    step = bounds[3] if len(bounds) > 3 else [1]
    if len(bounds[0]) != 1 or step is None or step[0] <= 0:
        return None
    return vector[bounds[0][0] : bounds[1][0] : step[0]]


def _concat(known: KnownSizes, node: NodeProto) -> Vector:
    result: List[Optional[Size]] = []
    for name in node.input:
        part = known.vectors.get(name)
        if part is None:
            return None
        result += part
    return result


def _filled(known: KnownSizes, node: NodeProto) -> Vector:
    count = known.get_numbers(node.input[0])
    if count is None or len(count) > 1 or (count and count[0] > _MAX_ELEMENTS):
        return None
    value = next((a.t for a in node.attribute if a.name == "value"), None)
    array = onnx.numpy_helper.to_array(value) if value is not None else None
    if array is None or array.dtype.kind not in "ib":
        return None
    return [Size(int(array.flat[0]))] * math.prod(count)


def _element_wise(
    rule: Callable[..., Optional[Size]],
) -> Callable[[KnownSizes, NodeProto], Vector]:
    def apply(known: KnownSizes, node: NodeProto) -> Vector:
        operands = [known.vectors.get(name) for name in node.input]
        vectors = [v for v in operands if v is not None]
        if len(vectors) != len(node.input):
            return None
        longest = max(map(len, vectors))
        if any(len(v) not in (1, longest) for v in vectors):
            return None
        spread = (v * longest if len(v) == 1 else v for v in vectors)
        return [rule(*elements) for elements in zip(*spread)]

    return apply


def _times(a: Optional[Size], b: Optional[Size]) -> Optional[Size]:
    return None if a is None or b is None else a * b


def _over(a: Optional[Size], b: Optional[Size]) -> Optional[Size]:
    return None if a is None or b is None else a.divided_by(b)


def _plus(a: Optional[Size], b: Optional[Size]) -> Optional[Size]:
    if a is None or b is None or a.open != b.open:
        return b if a == Size(0) else a if b == Size(0) else None
    sum_ = a.factor + b.factor
    return Size(sum_, a.open if sum_ else ())


def _minus(a: Optional[Size], b: Optional[Size]) -> Optional[Size]:
    return None if b is None else _plus(a, Size(-b.factor, b.open))


def _equals(a: Optional[Size], b: Optional[Size]) -> Optional[Size]:
    """A bool; no size is negative."""
    if a is None or b is None:
        return None
    if a == b or not (a.open or b.open):
        return Size(int(a == b))
    return Size(0) if a.factor * b.factor < 0 else None


def _where(
    condition: Optional[Size], a: Optional[Size], b: Optional[Size]
) -> Optional[Size]:
    if condition is None:
        return a if a == b else None
    return a if condition.factor else b


_VECTORS: Mapping[str, Callable[[KnownSizes, NodeProto], Vector]] = {
    "Add": _element_wise(_plus),
    "Cast": _same,
    "Concat": _concat,
    "ConstantOfShape": _filled,
    "Div": _element_wise(_over),
    "Equal": _element_wise(_equals),
    "Gather": _gather,
    "Identity": _same,
    "Mul": _element_wise(_times),
    "Reshape": _same,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Squeeze": _same,
    "Sub": _element_wise(_minus),
    "Unsqueeze": _same,
    "Where": _element_wise(_where),
}
