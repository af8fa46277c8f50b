# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Control flow of StableHLO as ``scf``: what JAX writes for ``scan``, ``fori_loop``,
``while_loop``, ``map``, ``cond`` and ``switch``.

``stablehlo-legalize-to-linalg`` of torch-mlir 20261001 has no lowering for it; it does
lower what stands inside.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence

from torch_mlir import ir

from elfatt.importer.lowering import operations_in

# Scalars travel as tensors of rank 0.


def _extract(tensor: ir.Value) -> ir.Value:
    element = ir.RankedTensorType(tensor.type).element_type
    return ir.Operation.create("tensor.extract", [element], [tensor]).result


def _move_region(
    source: ir.Region,
    target: ir.Region,
    end: Callable[[Sequence[ir.Value]], ir.Operation],
) -> None:
    """Moves a region's block; ``end`` makes what it ends with of the values returned."""
    block = source.blocks[0]
    block.append_to(target)
    returned = block.operations[len(block.operations) - 1].operation
    with returned.location, ir.InsertionPoint(returned):
        end(list(returned.operands))
    returned.erase()


def _yield(values: Sequence[ir.Value]) -> ir.Operation:
    return ir.Operation.create("scf.yield", [], values)


def _lower_while(op: ir.Operation) -> ir.Operation:
    """``cond`` and ``do`` take the same values, as the two regions of ``scf.while`` do
    where the first passes on what it got."""
    types = [value.type for value in op.results]
    loop = ir.Operation.create("scf.while", types, list(op.operands), regions=2)
    arguments = list(op.regions[0].blocks[0].arguments)

    def end_condition(values: Sequence[ir.Value]) -> ir.Operation:
        operands = [_extract(values[0]), *arguments]
        return ir.Operation.create("scf.condition", [], operands)

    _move_region(op.regions[0], loop.regions[0], end_condition)
    _move_region(op.regions[1], loop.regions[1], _yield)
    return loop


def _lower_if(op: ir.Operation) -> ir.Operation:
    types = [value.type for value in op.results]
    choice = ir.Operation.create("scf.if", types, [_extract(op.operands[0])], regions=2)
    for source, target in zip(op.regions, choice.regions):
        _move_region(source, target, _yield)
    return choice


def _lower_case(op: ir.Operation) -> ir.Operation:
    """An index out of bounds, negative too, takes the last branch."""
    index_type = ir.IndexType.get()
    types = [value.type for value in op.results]
    index = ir.Operation.create(
        "arith.index_cast", [index_type], [_extract(op.operands[0])]
    ).result
    branches: List[ir.Region] = list(op.regions)
    cases = ir.DenseI64ArrayAttr.get(list(range(len(branches) - 1)))
    switch = ir.Operation.create(
        "scf.index_switch", types, [index], {"cases": cases}, regions=len(branches)
    )
    for source, target in zip([branches[-1], *branches[:-1]], switch.regions):
        _move_region(source, target, _yield)
    return switch


_LOWERINGS: Dict[str, Callable[[ir.Operation], ir.Operation]] = {
    "stablehlo.while": _lower_while,
    "stablehlo.if": _lower_if,
    "stablehlo.case": _lower_case,
}


def lower_control_flow(module: ir.Module) -> None:
    """Replaces loops and branches, whatever they hold."""
    found: List[Any] = [
        op for op in operations_in(module.operation) if op.name in _LOWERINGS
    ]
    for op in found:
        with op.context, op.location, ir.InsertionPoint(op):
            lowered = _LOWERINGS[op.name](op)
        for old, new in zip(op.results, lowered.results):
            old.replace_all_uses_with(new)
        op.erase()
