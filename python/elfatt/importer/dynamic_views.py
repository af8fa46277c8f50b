# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Views that merge dimensions of open size, which torch-mlir 20261001 gets wrong.

``[b, n, c] -> [b * n, c]`` with ``b`` and ``n`` open is lowered to a cast of ``n`` to 1
and a merge of this 1 with ``c``. What a merge is is known before, from the types, so it
is made one then. Other views of several open sizes become ``tensor.reshape``, which is
right.
"""

from __future__ import annotations

import re
from typing import Callable, Iterable, List, Optional, Sequence, Tuple

from torch_mlir import ir
from torch_mlir.passmanager import PassManager

Shape = Sequence[Optional[int]]
"""Sizes of a tensor; None for one that is open."""

_TENSOR = re.compile(r"!torch\.vtensor<\[([\d?,]*)\],(f16|bf16|f32|f64|si\d+|i1)>")


def merge_views(operations: Iterable[ir.Operation]) -> None:
    """Makes ``tensor.collapse_shape`` of each ``torch.aten.view`` that merges open sizes
    in the one way that its types leave."""
    for operation in operations:
        if operation.name != "torch.aten.view":
            continue
        old, new = _types(operation)
        if not old or not new or old[1].count("?") < 2:
            continue
        groups = merged_groups(_shape(old[1]), _shape(new[1]))
        if groups is None:
            continue

        def merge(source: ir.Value) -> ir.Value:
            reassociation = ir.Attribute.parse(str(groups))
            kind = _builtin(new)
            return _create(
                "tensor.collapse_shape", kind, source, reassociation=reassociation
            )

        _replace(operation, old, merge)


def split_dims(operations: Iterable[ir.Operation]) -> None:
    """Makes ``tensor.expand_shape`` of each ``torch.prims.split_dim`` of an open size,
    and asserts that it can be divided so. torch-mlir 20261001 checks nothing, and does not
    say which sizes two open ones have."""
    for operation in operations:
        if operation.name != "torch.prims.split_dim":
            continue
        _, dim, outer = operation.operands
        old, new = _types(operation)
        place = _constant(dim)
        if not old or not new or place is None:
            continue
        if _shape(old[1])[place] is not None:
            continue

        def split(source: ir.Value) -> ir.Value:
            return _split(source, _shape(new[1]), _builtin(new), place, outer)

        _replace(operation, old, split)


def _types(operation: ir.Operation) -> Tuple[Optional[re.Match], Optional[re.Match]]:
    """Of a view: what it reads and what it gives."""
    values = (operation.operands[0], operation.results[0])
    old, new = (_TENSOR.fullmatch(str(value.type)) for value in values)
    return old, new


def _replace(
    operation: ir.Operation, old: re.Match, make: Callable[[ir.Value], ir.Value]
) -> None:
    """Puts what ``make`` makes of a view's source, as builtin tensors, in its place."""
    source, result = operation.operands[0], operation.results[0]
    with source.context, operation.location, ir.InsertionPoint(operation):
        _load_casts()
        made = make(_create("torch_c.to_builtin_tensor", _builtin(old), source))
        back = _create("torch_c.from_builtin_tensor", result.type, made)
    result.replace_all_uses_with(back)
    operation.erase()


def _constant(value: ir.Value) -> Optional[int]:
    owner = getattr(value.owner, "operation", None)
    if owner is None or owner.name != "torch.constant.int":
        return None
    return int(ir.IntegerAttr(owner.attributes["value"]).value)


def _split(
    source: ir.Value, shape: Shape, kind: ir.Type, place: int, outer: ir.Value
) -> ir.Value:
    """``source`` with its dimension ``place`` in two, the first of size ``outer``."""
    index, i64 = ir.IndexType.get(), ir.IntegerType.get_signless(64)

    def number(value: int) -> ir.Value:
        return _create("arith.constant", index, value=ir.IntegerAttr.get(index, value))

    def size(d: int) -> ir.Value:
        return _create("tensor.dim", index, source, number(d))

    first = _create("arith.index_cast", index, _create("torch_c.to_i64", i64, outer))
    whole, known = size(place), shape[place + 1]
    second = (
        _create("arith.divsi", index, whole, first) if known is None else number(known)
    )
    equal = _create(
        "arith.cmpi",
        ir.IntegerType.get_signless(1),
        _create("arith.muli", index, first, second),
        whole,
        predicate=ir.IntegerAttr.get(i64, 0),
    )
    ir.Operation.create(
        "cf.assert",
        operands=[equal],
        attributes={
            "msg": ir.StringAttr.get("a size is no multiple of what splits it")
        },
    )
    sizes = []
    for d, extent in enumerate(shape):
        if extent is not None:
            continue
        beside = {place: first, place + 1: second}.get(d)
        sizes.append(size(d - (d > place)) if beside is None else beside)
    groups = [[d] for d in range(place)] + [[place, place + 1]]
    groups += [[d] for d in range(place + 2, len(shape))]
    static = [ir.ShapedType.get_dynamic_size() if s is None else s for s in shape]
    return _create(
        "tensor.expand_shape",
        kind,
        source,
        *sizes,
        reassociation=ir.Attribute.parse(str(groups)),
        static_output_shape=ir.DenseI64ArrayAttr.get(static),
    )


def _load_casts() -> None:
    """Loads the dialect ``torch_c`` into the current context, by a pass that needs it."""
    PassManager.parse("builtin.module(torch-func-backend-type-conversion)").run(
        ir.Module.create(ir.Location.unknown()).operation
    )


def merged_groups(source: Shape, result: Shape) -> Optional[List[List[int]]]:
    """The dimensions of ``source`` that each of ``result`` merges, where that can only
    be one way: all but one of the result's sizes are known, and known sizes alone make
    them, from the first and from the last dimension on."""
    if list(result).count(None) != 1:
        return None
    open_dim = list(result).index(None)
    front = _take(source, result[:open_dim])
    back = _take(source[::-1], result[:open_dim:-1])
    if front is None or back is None:
        return None
    start, end = sum(map(len, front)), len(source) - sum(map(len, back))
    if start >= end:
        return None
    last = len(source) - 1
    behind = [[last - d for d in group[::-1]] for group in back[::-1]]
    return [*front, list(range(start, end)), *behind]


def _take(source: Shape, sizes: Shape) -> Optional[List[List[int]]]:
    """The dimensions of ``source``, in order, whose products are ``sizes``."""
    groups: List[List[int]] = []
    d = 0
    for size in sizes:
        group: List[int] = []
        product = 1
        while product != size or not group:
            extent = source[d] if d < len(source) else None
            if extent is None:
                return None
            product *= extent
            group.append(d)
            d += 1
            if product > (size or 0):
                return None
        groups.append(group)
    return groups


def is_wrong_cast(operation: ir.Operation) -> bool:
    """Whether a cast takes an open size for 1, as such a view is lowered."""
    if operation.name != "tensor.cast":
        return False
    source = ir.RankedTensorType(operation.operands[0].type)
    result = ir.RankedTensorType(operation.results[0].type)
    return any(
        source.is_dynamic_dim(d)
        and not result.is_dynamic_dim(d)
        and result.get_dim_size(d) == 1
        for d in range(source.rank)
    )


def _shape(text: str) -> Shape:
    return [None if size == "?" else int(size) for size in text.split(",") if size]


def _builtin(found: "re.Match[str]") -> ir.Type:
    sizes = "".join(f"{size}x" for size in found[1].split(",") if size)
    return ir.Type.parse(f"tensor<{sizes}{found[2].replace('si', 'i')}>")


def _create(
    name: str, kind: ir.Type, *operands: ir.Value, **attributes: ir.Attribute
) -> ir.Value:
    created = ir.Operation.create(
        name, results=[kind], operands=operands, attributes=attributes
    )
    return created.results[0]
