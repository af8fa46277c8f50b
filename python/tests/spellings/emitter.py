# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes one function on tensors whose dims carry labels.

A dim is a tuple of labels, outermost first: ``("b", "g")`` is batch and heads in
one. Maps, reshapes, transposes and broadcasts follow from labels alone, so that a
spelling says what it moves and never how the indices run. Labels that start with
``u`` have extent 1 and may come and go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

Dim = Tuple[str, ...]
Dims = Tuple[Dim, ...]
Body = Callable[..., str]

LOWEST = {
    "f16": -65504.0,
    "bf16": -3.3895313892515355e38,
    "f32": -3.4028234663852886e38,
}
_INFINITY = {
    "f16": "0x7C00",
    "bf16": "0x7F80",
    "f32": "0x7F800000",
    "f64": "0x7FF0000000000000",
}
_MINUS_INFINITY = {
    "f16": "0xFC00",
    "bf16": "0xFF80",
    "f32": "0xFF800000",
    "f64": "0xFFF0000000000000",
}
_NAN = {
    "f16": "0x7E00",
    "bf16": "0x7FC0",
    "f32": "0x7FC00000",
    "f64": "0x7FF8000000000000",
}
_WIDTH = {"f16": 16, "bf16": 16, "f32": 32, "f64": 64}


def singles(*labels: str) -> Dims:
    """Each label a dim of its own."""
    return tuple((label,) for label in labels)


def flat(dims: Dims) -> Tuple[str, ...]:
    return tuple(label for dim in dims for label in dim)


def literal(value: float, element: str) -> str:
    """A float as MLIR writes it."""
    if math.isnan(value):
        return _NAN[element]
    if math.isinf(value):
        return (_INFINITY if value > 0 else _MINUS_INFINITY)[element]
    return f"{value:.17e}"


@dataclass(frozen=True)
class Tensor:
    name: str
    dims: Dims
    element: str


class Emitter:
    """The text of one function; ``finish`` gives the whole of it."""

    def __init__(self, sizes: Dict[str, int], dynamic: FrozenSet[str]) -> None:
        self.sizes = sizes
        self.dynamic = dynamic
        self._lines: List[str] = []
        self._arguments: List[Tensor] = []
        self._names = 0
        self._dim_values: Dict[str, str] = {}

    # Text.

    def fresh(self) -> str:
        self._names += 1
        return f"%v{self._names}"

    def line(self, text: str) -> None:
        self._lines.append("  " + text)

    def op(
        self, name: str, operands: Sequence[str], element: str, attributes: str = ""
    ) -> str:
        """A scalar op of one type: arith, math."""
        result = self.fresh()
        self.line(f"{result} = {name} {attributes}{', '.join(operands)} : {element}")
        return result

    def constant(self, value: float, element: str) -> str:
        result = self.fresh()
        self.line(f"{result} = arith.constant {literal(value, element)} : {element}")
        return result

    def truth(self, value: bool) -> str:
        result = self.fresh()
        self.line(f"{result} = arith.constant {str(value).lower()}")
        return result

    def select(self, condition: str, if_true: str, if_false: str, element: str) -> str:
        result = self.fresh()
        self.line(
            f"{result} = arith.select {condition}, {if_true}, {if_false} : {element}"
        )
        return result

    def cast(self, value: str, source: str, target: str) -> str:
        """``value`` in another float type."""
        if source == target:
            return value
        if {source, target} == {"f16", "bf16"}:
            return self.cast(self.cast(value, source, "f32"), "f32", target)
        result = self.fresh()
        name = "arith.extf" if _WIDTH[source] < _WIDTH[target] else "arith.truncf"
        self.line(f"{result} = {name} {value} : {source} to {target}")
        return result

    def index(self, position: int) -> str:
        result = self.fresh()
        self.line(f"{result} = linalg.index {position} : index")
        return result

    # Shapes.

    def extent(self, dim: Dim) -> int:
        return math.prod(self.sizes[label] for label in dim)

    def type(self, dims: Dims, element: str) -> str:
        sizes = (
            "?" if self.dynamic & set(dim) else str(self.extent(dim)) for dim in dims
        )
        return "tensor<" + "".join(f"{size}x" for size in sizes) + element + ">"

    def type_of(self, tensor: Tensor) -> str:
        return self.type(tensor.dims, tensor.element)

    def _dim_value(self, label: str) -> str:
        """The extent of a dynamic label, read off an argument that has it alone."""
        if label not in self._dim_values:
            argument = next(a for a in self._arguments if (label,) in a.dims)
            index, value = f"%axis_{label}", f"%size_{label}"
            at = argument.dims.index((label,))
            self._lines[:0] = [
                f"  {index} = arith.constant {at} : index",
                f"  {value} = tensor.dim {argument.name}, {index} : {self.type_of(argument)}",
            ]
            self._dim_values[label] = value
        return self._dim_values[label]

    def size_of(self, dim: Dim) -> str:
        """The extent of a dynamic dim, as a value."""
        static = math.prod(
            self.sizes[label] for label in dim if label not in self.dynamic
        )
        values = [self._dim_value(label) for label in dim if label in self.dynamic]
        if static != 1:
            constant = self.fresh()
            self.line(f"{constant} = arith.constant {static} : index")
            values.append(constant)
        result = values[0]
        for value in values[1:]:
            result = self.op("arith.muli", [result, value], "index")
        return result

    # Tensors.

    def argument(self, dims: Dims, element: str) -> Tensor:
        tensor = Tensor(f"%arg{len(self._arguments)}", dims, element)
        self._arguments.append(tensor)
        return tensor

    def empty(self, dims: Dims, element: str) -> Tensor:
        sizes = [self.size_of(dim) for dim in dims if self.dynamic & set(dim)]
        result = Tensor(self.fresh(), dims, element)
        self.line(
            f"{result.name} = tensor.empty({', '.join(sizes)}) : {self.type_of(result)}"
        )
        return result

    def fill(self, dims: Dims, element: str, value: float) -> Tensor:
        init = self.empty(dims, element)
        scalar = self.constant(value, element)
        type_ = self.type_of(init)
        result = Tensor(self.fresh(), dims, element)
        self.line(
            f"{result.name} = linalg.fill ins({scalar} : {element}) "
            f"outs({init.name} : {type_}) -> {type_}"
        )
        return result

    def dense(self, dims: Dims, element: str, text: str) -> Tensor:
        result = Tensor(self.fresh(), dims, element)
        self.line(
            f"{result.name} = arith.constant dense<{text}> : {self.type_of(result)}"
        )
        return result

    def named(
        self, op: str, inputs: Sequence[Tensor], init: Tensor, attributes: str = ""
    ) -> Tensor:
        """A named linalg op."""
        result = Tensor(self.fresh(), init.dims, init.element)
        names = ", ".join(t.name for t in inputs)
        types = ", ".join(self.type_of(t) for t in inputs)
        type_ = self.type_of(init)
        # Some named ops take their attributes before the operands.
        before, after = (
            ("", attributes)
            if not attributes.startswith("indexing_maps")
            else (attributes, "")
        )
        arrow = "" if op in ("linalg.transpose", "linalg.broadcast") else f" -> {type_}"
        self.line(
            f"{result.name} = {op} {before} ins({names} : {types}) "
            f"outs({init.name} : {type_}) {after}{arrow}"
        )
        return result

    def map_of(self, dims: Dims, loops: Dims) -> str:
        """Where a tensor with ``dims`` is read, at the loops of an op."""

        def at(dim: Dim) -> str:
            if dim in loops:
                return f"d{loops.index(dim)}"
            assert all(label.startswith("u") for label in dim), (
                f"{dim} is no loop of {loops}"
            )
            return "0"

        names = ", ".join(f"d{i}" for i in range(len(loops)))
        return f"affine_map<({names}) -> ({', '.join(at(dim) for dim in dims)})>"

    def generic(
        self,
        inputs: Sequence[Tensor],
        inits: Sequence[Tensor],
        body: Callable[[List[str], List[str]], Sequence[str]],
        loops: Optional[Dims] = None,
    ) -> List[Tensor]:
        """A linalg.generic; loops that no result has are reductions. ``body`` is
        given the elements of inputs and inits, and gives what is yielded."""
        if loops is None:
            loops = inits[0].dims
        maps = ", ".join(self.map_of(t.dims, loops) for t in (*inputs, *inits))
        kinds = ", ".join(
            '"parallel"' if d in inits[0].dims else '"reduction"' for d in loops
        )
        results = [Tensor(self.fresh(), t.dims, t.element) for t in inits]
        types = ", ".join(self.type_of(t) for t in inits)
        ins = ""
        if inputs:
            names = ", ".join(t.name for t in inputs)
            ins = f" ins({names} : {', '.join(self.type_of(t) for t in inputs)})"
        # One result is %n, several are %n:2 and would need another name.
        group = self.fresh() if len(results) > 1 else results[0].name
        count = f":{len(results)}" if len(results) > 1 else ""
        self.line(
            f"{group}{count} = linalg.generic {{indexing_maps = [{maps}], iterator_types = "
            f"[{kinds}]}}{ins} outs({', '.join(t.name for t in inits)} : {types}) {{"
        )
        in_names = [self.fresh() for _ in inputs]
        out_names = [self.fresh() for _ in inits]
        elements = [
            f"{name}: {t.element}"
            for name, t in zip(in_names + out_names, [*inputs, *inits])
        ]
        self.line(f"^bb0({', '.join(elements)}):")
        yielded = body(in_names, out_names)
        self.line(
            f"linalg.yield {', '.join(yielded)} : {', '.join(t.element for t in inits)}"
        )
        arrow = types if len(results) == 1 else f"({types})"
        self.line(f"}} -> {arrow}")
        if len(results) > 1:
            results = [
                Tensor(f"{group}#{i}", t.dims, t.element) for i, t in enumerate(results)
            ]
        return results

    # The whole.

    def finish(self, name: str, results: Sequence[Tensor]) -> str:
        arguments = ", ".join(f"{a.name}: {self.type_of(a)}" for a in self._arguments)
        types = ", ".join(self.type_of(r) for r in results)
        names = ", ".join(r.name for r in results)
        return "\n".join(
            [
                f"func.func @{name}({arguments}) -> ({types}) {{",
                *self._lines,
                f"  return {names} : {types}",
                "}",
                "",
            ]
        )
