# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Open dimensions of inputs that share a name are one size.

torch-mlir knows a size by its place alone, so that code would read one input by the size
of another: what a caller passes is compared where the model begins.

Changes numerics: no.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

import onnx
from torch_mlir import ir

Place = Tuple[int, int]
"""An input, and a dimension of it."""

_EQ = 0
"""``arith.cmpi eq``."""


def find_shared(inputs: Sequence[onnx.ValueInfoProto]) -> Dict[str, List[Place]]:
    """The places of each name that several open dimensions have."""
    places: Dict[str, List[Place]] = {}
    for number, value in enumerate(inputs):
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param:
                places.setdefault(dim.dim_param, []).append((number, i))
    return {name: found for name, found in places.items() if len(found) > 1}


def assert_shared(module: ir.Module, shared: Dict[str, List[Place]]) -> None:
    """Adds to the only function of ``module`` that what is ``shared`` is one size."""
    if not shared:
        return
    function = next(
        op for op in module.body.operations if "function_type" in op.attributes
    )
    block = function.regions[0].blocks[0]
    with module.context, function.location, ir.InsertionPoint.at_block_begin(block):
        index, i64 = ir.IndexType.get(), ir.IntegerType.get_signless(64)

        def get_size(place: Place) -> ir.Value:
            number = ir.IntegerAttr.get(index, place[1])
            dim = _create("arith.constant", index, value=number)
            return _create("tensor.dim", index, block.arguments[place[0]], dim)

        for name, (first, *others) in shared.items():
            size = get_size(first)
            for other in others:
                equal = _create(
                    "arith.cmpi",
                    ir.IntegerType.get_signless(1),
                    size,
                    get_size(other),
                    predicate=ir.IntegerAttr.get(i64, _EQ),
                )
                message = (
                    f"expected dimension {other[1]} of argument {other[0]} to be as "
                    f"dimension {first[1]} of argument {first[0]}: both are '{name}'"
                )
                ir.Operation.create(
                    "cf.assert",
                    operands=[equal],
                    attributes={"msg": ir.StringAttr.get(message)},
                )


def _create(
    name: str, kind: ir.Type, *operands: ir.Value, **attributes: ir.Attribute
) -> ir.Value:
    return ir.Operation.create(
        name, results=[kind], operands=operands, attributes=attributes
    ).results[0]
