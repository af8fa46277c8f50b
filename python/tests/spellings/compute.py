# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise ops, reductions and contractions, each in one of several forms."""

from __future__ import annotations

from typing import Callable, List, Optional, Sequence, Tuple

from .choices import Choices
from .emitter import Dim, Dims, Emitter, Tensor, flat
from .movement import broadcast, conform, fit, reshape

Scalars = List[str]
_NAMED = {
    "arith.subf": "linalg.sub",
    "arith.divf": "linalg.div",
    "arith.mulf": "linalg.mul",
    "arith.addf": "linalg.add",
    "math.exp": "linalg.exp",
}


def elementwise(
    e: Emitter,
    c: Choices,
    name: str,
    inputs: Sequence[Tensor],
    dims: Dims,
    element: str,
    body: Callable[[Scalars], str],
) -> Tensor:
    """``body`` of the elements of ``inputs``, each broadcast to ``dims``."""
    fitted = [fit(e, c, f"{name}.{i}", t, dims) for i, t in enumerate(inputs)]
    init = e.empty(dims, element)
    return e.generic(fitted, [init], lambda xs, _: [body(xs)])[0]


def simple(
    e: Emitter, c: Choices, name: str, op: str, inputs: Sequence[Tensor], dims: Dims
) -> Tensor:
    """One arith or math op, as a generic, a named op or a map."""
    element = inputs[0].element
    form = c.rarely(f"{name}.form", ["generic", "named", "map"])
    if form == "generic":
        return elementwise(
            e, c, name, inputs, dims, element, lambda xs: e.op(op, xs, element)
        )
    whole = [broadcast_to(e, c, f"{name}.{i}", t, dims) for i, t in enumerate(inputs)]
    init = e.empty(dims, element)
    if form == "named":
        return e.named(_NAMED[op], whole, init)
    result = Tensor(e.fresh(), dims, element)
    names = ", ".join(t.name for t in whole)
    types = ", ".join(e.type_of(t) for t in whole)
    e.line(
        f"{result.name} = linalg.map ins({names} : {types}) outs({init.name} : {e.type_of(init)})"
    )
    xs, out = [e.fresh() for _ in whole], e.fresh()
    e.line("(" + ", ".join(f"{x}: {element}" for x in (*xs, out)) + ") {")
    e.line(f"linalg.yield {e.op(op, xs, element)} : {element}")
    e.line("}")
    return result


def broadcast_to(e: Emitter, c: Choices, name: str, t: Tensor, dims: Dims) -> Tensor:
    if t.dims == dims:
        return t
    own = tuple(d for d in fit(e, c, name, t, dims).dims)
    t = fit(e, c, name, t, dims)
    kept = tuple(d for d in own if d in dims)
    t = reshape(e, t, kept) if kept != own else t
    order = tuple(d for d in dims if d in t.dims)
    return broadcast(e, c, name, conform(e, c, name, t, order), dims)


def reduce(
    e: Emitter,
    c: Choices,
    name: str,
    t: Tensor,
    axis: Sequence[Dim],
    start: float,
    combine: Callable[[str, str], str],
) -> Tensor:
    """``combine`` over the dims ``axis`` of ``t``."""
    dims = tuple(d for d in t.dims if d not in axis)
    init = e.fill(dims, t.element, start)
    form = c(f"{name}.form", ["reduce", "generic"])
    if form == "generic":
        return e.generic([t], [init], lambda xs, os: [combine(xs[0], os[0])], t.dims)[0]
    result = Tensor(e.fresh(), dims, t.element)
    x, acc = e.fresh(), e.fresh()
    e.line(
        f"{result.name} = linalg.reduce ins({t.name} : {e.type_of(t)}) "
        f"outs({init.name} : {e.type_of(init)}) "
        f"dimensions = {[i for i, d in enumerate(t.dims) if d in axis]}"
    )
    e.line(f"({x}: {t.element}, {acc}: {t.element}) {{")
    e.line(f"linalg.yield {combine(x, acc)} : {t.element}")
    e.line("}")
    return result


#: Computes the left element of a product in the contraction's body.
Prologue = Callable[[Scalars], str]


def contract(
    e: Emitter,
    c: Choices,
    name: str,
    lhs: Tensor,
    rhs: Tensor,
    batch: Dims,
    rows: Dim,
    columns: Dim,
    summed: Dim,
    element: str,
    extra: Sequence[Tensor] = (),
    prologue: Optional[Prologue] = None,
) -> Tensor:
    """sum over ``summed`` of lhs[batch, rows] * rhs[batch, columns].

    With a ``prologue`` the left factor is computed in the body of a generic, from
    the elements of ``lhs`` and ``extra``.
    """
    forms = ["generic"]
    if prologue is None:
        forms.append("contract")
        if len(batch) == 1:
            forms = ["batch_matmul", "batch_matmul_map", *forms]
        if not batch:
            forms = ["matmul", *forms]
    form = c(f"{name}.as", forms)
    if prologue is None and c(f"{name}.operands", ["plain", "swapped"]) == "swapped":
        lhs, rhs, rows, columns = rhs, lhs, columns, rows
    left = (*batch, rows, summed)
    right = (*batch, summed, columns)
    if form == "batch_matmul_map":
        right = (*batch, columns, summed)
    out = (*batch, rows, columns)
    if form in ("generic", "contract"):
        left = _shuffled(c, f"{name}.left", left)
        right = _shuffled(c, f"{name}.right", right)
        out = _shuffled(c, f"{name}.out", out)
    # What only the other side runs over may stay away.
    if (
        form == "generic"
        and c(f"{name}.repeat", ["implicit", "explicit"]) == "implicit"
    ):
        left = tuple(d for d in left if set(d) & set(flat(lhs.dims)))
        right = tuple(d for d in right if set(d) & set(flat(rhs.dims)))
    lhs = conform(e, c, f"{name}.lhs", lhs, left)
    rhs = conform(e, c, f"{name}.rhs", rhs, right)
    init = e.fill(out, element, 0.0)
    loops = (*batch, rows, columns, summed)
    if form == "matmul" or form == "batch_matmul":
        return e.named(f"linalg.{form}", [lhs, rhs], init)
    if form in ("batch_matmul_map", "contract"):
        maps = ", ".join(e.map_of(t.dims, loops) for t in (lhs, rhs, init))
        op = "linalg.contract" if form == "contract" else "linalg.batch_matmul"
        return e.named(op, [lhs, rhs], init, f"indexing_maps = [{maps}]")
    fitted = [fit(e, c, f"{name}.extra{i}", t, loops) for i, t in enumerate(extra)]

    def body(xs: Scalars, outs: Scalars) -> Sequence[str]:
        factor = xs[0] if prologue is None else prologue([xs[0], *xs[2:]])
        kinds: Tuple[str, ...] = (lhs.element, rhs.element)
        a = e.cast(factor, kinds[0], element)
        b = e.cast(xs[1], kinds[1], element)
        order = (
            [a, b] if c(f"{name}.factors", ["plain", "swapped"]) == "plain" else [b, a]
        )
        product = e.op("arith.mulf", order, element)
        return [e.op("arith.addf", [outs[0], product], element)]

    return e.generic([lhs, rhs, *fitted], [init], body, loops)[0]


def _shuffled(c: Choices, name: str, dims: Dims) -> Dims:
    """The dims in one of a few orders: as they are, the last two swapped, the
    batch dims behind the first of the others."""
    order = c.rarely(f"{name}.order", ["plain", "swapped", "tokens_first", "reversed"])
    if order == "swapped":
        return (*dims[:-2], dims[-1], dims[-2])
    if order == "tokens_first":
        return (dims[-2], *dims[:-2], dims[-1])
    if order == "reversed":
        return tuple(reversed(dims))
    return dims
