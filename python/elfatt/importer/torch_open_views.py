# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Views of tensors with open sizes as merges and splits of neighbouring dimensions.

torch-mlir 20261001 guesses from the types which dimensions a view merges and splits, and
where several sizes are open it guesses wrong, or gives up: windows of an image of open
height, ``reshape(-1, 16)`` of ``?x?x4x8``. ``torch.export`` knows each size as an
expression, and those tell.
"""

from __future__ import annotations

import math
import operator
from typing import Any, List, Optional, Sequence, Tuple

import sympy
import torch
from torch.utils._sympy.functions import CleanDiv, FloorDiv

_VIEWS = (
    torch.ops.aten.view.default,
    torch.ops.aten.reshape.default,
    torch.ops.aten._unsafe_view.default,
)

Group = Tuple[range, range]
"""Dimensions of the source, and what they become in the result."""


def split_views(program: torch.export.ExportedProgram) -> None:
    """Makes ``prims.collapse`` and ``prims.split_dim`` of each view with an open size."""
    graph = program.graph
    _note_windows(graph)
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target not in _VIEWS:
            continue
        source, result = node.args[0].meta.get("val"), node.meta.get("val")
        if source is None or result is None:
            continue
        if all(isinstance(size, int) for size in (*source.shape, *result.shape)):
            continue
        groups = match_groups(source.shape, result.shape)
        if groups is None or all(len(old) == len(new) == 1 for old, new in groups):
            continue
        with graph.inserting_before(node):
            replacement = _rebuild(graph, node, groups)
        node.replace_all_uses_with(replacement)
        graph.erase_node(node)
        program.graph_signature.replace_all_uses(node.name, replacement.name)


def _note_windows(graph: torch.fx.Graph) -> None:
    """Makes numbers of sizes like ``h // (h // 4)``, as PyTorch writes 4 where it splits
    an open ``h``; that it can be split so is asserted where it is."""
    for node in graph.nodes:
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            continue
        sizes = [_without_windows(size) for size in value.shape]
        if any(
            isinstance(new, int) and not isinstance(old, int)
            for new, old in zip(sizes, value.shape)
        ):
            node.meta = {k: v for k, v in node.meta.items() if k != "tensor_meta"}
            node.meta["val"] = value.new_empty(sizes)


def _without_windows(size: Any) -> Any:
    if isinstance(size, int):
        return size
    exact = size.node.expr.replace(
        lambda e: (
            isinstance(e, FloorDiv)
            and isinstance(e.args[1], FloorDiv)
            and e.args[0] == e.args[1].args[0]
        ),
        lambda e: e.args[1].args[1],
    )
    return int(exact) if exact.is_Integer else size


def match_groups(source: Sequence[Any], result: Sequence[Any]) -> Optional[List[Group]]:
    """The smallest neighbouring dimensions of both sides with the same product; None
    where some are left over."""
    old, new = [_expression(s) for s in source], [_expression(s) for s in result]
    if not old or not new or 0 in old or 0 in new:
        return None
    groups: List[Group] = []
    i = j = 0
    while i < len(old) and j < len(new):
        found = next(
            (
                (m, n)
                for total in range(2, len(old) - i + len(new) - j + 1)
                for m in range(1, total)
                for n in (total - m,)
                if i + m <= len(old)
                and j + n <= len(new)
                and _is_same(math.prod(old[i : i + m]), math.prod(new[j : j + n]))
            ),
            None,
        )
        if found is None:
            return None
        groups.append((range(i, i + found[0]), range(j, j + found[1])))
        i, j = i + found[0], j + found[1]
    # What is left over has size 1.
    if any(size != 1 for size in (*old[i:], *new[j:])):
        return None
    last_old, last_new = groups[-1]
    groups[-1] = (range(last_old.start, len(old)), range(last_new.start, len(new)))
    return groups


def _expression(size: Any) -> sympy.Expr:
    """A size without rounding: the elements of a view are as many before and after, so
    that every division in it is exact."""
    if isinstance(size, int):
        return sympy.Integer(size)
    return size.node.expr.replace(
        lambda e: isinstance(e, (FloorDiv, CleanDiv)), lambda e: e.args[0] / e.args[1]
    )


def _is_same(a: sympy.Expr, b: sympy.Expr) -> bool:
    return a == b or sympy.cancel(a / b) == 1


def _rebuild(
    graph: torch.fx.Graph, view: torch.fx.Node, groups: Sequence[Group]
) -> torch.fx.Node:
    """The merges and splits, from the last dimension on: those before keep their place."""
    like = view.meta["val"]
    result = list(like.shape)
    current = view.args[0]
    sizes = list(current.meta["val"].shape)

    def add(target: Any, *args: Any) -> torch.fx.Node:
        return _add(graph, view, like.new_empty(sizes), target, *args)

    for old, new in reversed(groups):
        first = old.start
        if len(old) > 1:
            sizes[first : old.stop] = [math.prod(result[d] for d in new)]
            current = add(
                torch.ops.prims.collapse.default, current, first, old.stop - 1
            )
        for place, d in enumerate(new[:-1]):
            inner = math.prod(result[e] for e in new[place + 1 :])
            outer = _size(graph, view, current, first + place, new[place:])
            sizes[first + place : first + place + 1] = [result[d], inner]
            current = add(
                torch.ops.prims.split_dim.default, current, first + place, outer
            )
    return current


def _add(
    graph: torch.fx.Graph, view: torch.fx.Node, value: Any, target: Any, *args: Any
) -> torch.fx.Node:
    """A node in place of ``view``, and what it gives."""
    node = graph.call_function(target, args)
    node.meta = {k: v for k, v in view.meta.items() if k != "tensor_meta"}
    node.meta["val"] = value
    return node


def _size(
    graph: torch.fx.Graph,
    view: torch.fx.Node,
    current: torch.fx.Node,
    dim: int,
    pieces: Sequence[int],
) -> Any:
    """The first of the ``pieces`` that ``dim`` of ``current`` is split into."""
    result, given = view.meta["val"].shape, view.args[1]
    known = result[pieces[0]]
    if isinstance(known, int):
        return known
    if isinstance(given[pieces[0]], torch.fx.Node):
        return given[pieces[0]]

    # It was given as -1.
    whole = current.meta["val"].shape[dim]
    size: Any = _add(graph, view, whole, torch.ops.aten.sym_size.int, current, dim)
    for d in pieces[1:]:
        divisor = result[d] if isinstance(result[d], int) else given[d]
        whole = whole // result[d]
        size = _add(graph, view, whole, operator.floordiv, size, divisor)
    return size
