# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Removes masks that mask nothing from an exported program.

While it is exported, a `transformers` 5 model cannot look at its mask, so it always
builds one, out of ``arange``: a ViT without any mask adds ``where(arange >= 0, 0,
-inf)`` to its scores, and a padding mask is gathered with the indices 0, 1, 2, ...
What depends on no input is evaluated here, and then

- an element-wise op with its neutral element is its other operand
  (``x + 0``, ``x & true``, ``x * 1``),
- a tensor with one value is ``full``,
- ``x[arange, arange]`` over all dimensions in order is a view of x.

Changes numerics: no, but for the sign of a zero (-0 + 0 is +0).
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import torch
from torch.fx import Graph, Node

aten = torch.ops.aten

# A mask of a long sequence is evaluated and thrown away: bound the memory.
_MAX_ELEMENTS = 1 << 24

_NEUTRAL: Dict[Any, Any] = {
    aten.add.Tensor: 0,
    aten.mul.Tensor: 1,
    aten.bitwise_and.Tensor: True,
    aten.logical_and.default: True,
}


def fold_constants(program: torch.export.ExportedProgram) -> None:
    """Folds in place; see the module's docstring."""
    graph = program.graph
    values = _evaluate(graph)
    returned = set(graph.output_node().all_input_nodes)
    for node in list(graph.nodes):
        # The program's signature names what is returned.
        if node.op != "call_function" or node in returned:
            continue
        with graph.inserting_before(node):
            other = _fold_neutral(node, values) or _fold_index(node, values)
            if other is None and node in values:
                other = _fold_uniform(node, values[node])
                if other is not None:
                    values[other] = values[node]
        if other is not None:
            node.replace_all_uses_with(other)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def _evaluate(graph: Graph) -> Dict[Node, torch.Tensor]:
    """Values of the nodes that depend on no input, parameter or buffer."""
    values: Dict[Node, torch.Tensor] = {}
    for node in graph.nodes:
        if not _is_evaluable(node, values):
            continue
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), values.get)
        if node.target is aten.full_like.default:
            # Of its first argument only the shape and the type matter.
            args = (torch.empty(node.meta["val"].shape), *args[1:])
            kwargs = {**kwargs, "dtype": node.meta["val"].dtype}
        try:
            values[node] = node.target(*args, **kwargs)
        except (RuntimeError, TypeError, ValueError):
            # Left to run time, which is what the model says anyway.
            continue
    return values


def _is_evaluable(node: Node, values: Dict[Node, torch.Tensor]) -> bool:
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    if torch.Tag.nondeterministic_seeded in node.target.tags:
        return False
    # What empty holds is unknown (what full_like makes of it is not).
    if node.target.__name__.startswith(("empty", "new_empty")):
        return False
    shape = _static_shape(node)
    if shape is None or shape.numel() > _MAX_ELEMENTS:
        return False
    if node.target is aten.full_like.default:
        return True
    return all(source in values for source in node.all_input_nodes)


def _static_shape(node: Node) -> Optional[torch.Size]:
    value = node.meta.get("val")
    if not isinstance(value, torch.Tensor):
        return None
    if any(not isinstance(size, int) for size in value.shape):
        return None
    return value.shape


def _fold_neutral(node: Node, values: Dict[Node, torch.Tensor]) -> Optional[Node]:
    """x op neutral -> x, expanded to the shape of the result."""
    if node.target not in _NEUTRAL or node in values or node.kwargs:
        return None
    for kept, dropped in (node.args[:2], node.args[1::-1]):
        if not isinstance(kept, Node) or dropped not in values:
            continue
        value, result, before = values[dropped], node.meta["val"], kept.meta["val"]
        # A size that is open is a number, not a tensor.
        if not isinstance(before, torch.Tensor) or before.dtype != result.dtype:
            continue
        if _static_shape(node) is not None and (value == _NEUTRAL[node.target]).all():
            if before.shape == result.shape:
                return kept
            return _replacement(node, aten.expand.default, (kept, list(result.shape)))
    return None


def _fold_uniform(node: Node, value: torch.Tensor) -> Optional[Node]:
    """A tensor with one value -> full(shape, value); scalars stay as they are."""
    if node.target is aten.full.default or value.dim() == 0 or value.numel() == 0:
        return None
    first = value.reshape(-1)[0]
    if not (value == first).all():
        return None
    return _replacement(
        node,
        aten.full.default,
        (list(value.shape), first.item()),
        {"dtype": value.dtype, "device": value.device, "pin_memory": False},
    )


def _fold_index(node: Node, values: Dict[Node, torch.Tensor]) -> Optional[Node]:
    """x[arange(n0), arange(n1), ...], each along an axis of its own -> view(x)."""
    if node.target is not aten.index.Tensor:
        return None
    source, indices = node.args[:2]
    assert isinstance(source, Node) and isinstance(indices, (list, tuple))
    shape, result = _static_shape(source), _static_shape(node)
    if shape is None or result is None or len(indices) != len(shape):
        return None
    if not all(isinstance(i, Node) and i in values for i in indices):
        return None
    axes: List[int] = []
    for size, index in zip(shape, (values[i] for i in indices)):  # type: ignore[index]
        # Broadcasting aligns shapes at their last axis.
        wide = [1] * (len(result) - index.dim()) + list(index.shape)
        long = [axis for axis, n in enumerate(wide) if n != 1]
        if len(long) != 1 or not torch.equal(index.reshape(-1), torch.arange(size)):
            return None
        axes += long
    if axes != sorted(set(axes)):
        return None
    return _replacement(node, aten.view.default, (source, list(result)))


def _replacement(
    node: Node, target: Any, args: Any, kwargs: Optional[Dict[str, Any]] = None
) -> Node:
    """A new node with the name in the model, line and type of the one it is for."""
    new = node.graph.call_function(target, args, kwargs or {})
    new.meta.update(node.meta)
    return new
