# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Views that merge dimensions of open size, which torch-mlir 20261001 gets wrong.

``[b, n, c] -> [b * n, c]`` with ``b`` and ``n`` open is lowered to a cast of ``n`` to 1
and a merge of this 1 with ``c``. What a merge is is known before, from the types, so it
is made one then. Other views of several open sizes become ``tensor.reshape``, which is
right.
"""

from __future__ import annotations

import re
from typing import Iterable, List, Optional, Sequence

from torch_mlir import ir
from torch_mlir.passmanager import PassManager

Shape = Sequence[Optional[int]]
"""Sizes of a tensor; None for one that is open."""

_TENSOR = re.compile(r"!torch\.vtensor<\[([\d?,]*)\],(f16|bf16|f32|f64|si\d+|i1)>")


def merge_views(operations: Iterable[ir.Operation]) -> None:
    """Makes ``tensor.collapse_shape`` of each ``torch.aten.view`` that merges open sizes
    in the one way that its types leave."""
    has_casts = False
    for operation in operations:
        if operation.name != "torch.aten.view":
            continue
        source, result = operation.operands[0], operation.results[0]
        old, new = (_TENSOR.fullmatch(str(value.type)) for value in (source, result))
        if not old or not new or old[1].count("?") < 2:
            continue
        groups = merged_groups(_shape(old[1]), _shape(new[1]))
        if groups is None:
            continue
        with source.context, operation.location, ir.InsertionPoint(operation):
            if not has_casts:
                _load_casts()
                has_casts = True
            inner = _create("torch_c.to_builtin_tensor", _builtin(old), source)
            merged = _create(
                "tensor.collapse_shape",
                _builtin(new),
                inner,
                reassociation=ir.Attribute.parse(str(groups)),
            )
            outer = _create("torch_c.from_builtin_tensor", result.type, merged)
        result.replace_all_uses_with(outer)
        operation.erase()


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
    name: str, kind: ir.Type, operand: ir.Value, **attributes: ir.Attribute
) -> ir.Value:
    created = ir.Operation.create(
        name, results=[kind], operands=[operand], attributes=attributes
    )
    return created.results[0]
