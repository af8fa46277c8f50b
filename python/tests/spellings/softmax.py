# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Spellings of the softmax over the keys, and of the product with the values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Callable, List, Optional

import numpy as np

from .compute import elementwise, reduce, simple
from .draft import LARGEST, Arrays, Draft, Step
from .emitter import LOWEST, Dim, Dims, Emitter, Tensor
from .movement import reshape
from .twist import Twist

LOG2E = 1.4426950408889634


@dataclass
class Parts:
    """What the softmax leaves: P, or exponentials with their sums still to divide by."""

    probabilities: Tensor
    divisor: Optional[Tensor] = None
    #: In the product's body: the element of P from those of ``probabilities`` and
    #: ``extra``.
    extra: List[Tensor] = field(default_factory=list)
    prologue: Optional[Callable[[List[str]], str]] = None


def _reduced(draft: Draft, name: str, tensor: Tensor, kept: Dims) -> Tensor:
    """A reduction's result, with or without the reduced dim as a unit dim."""
    if draft.c(f"{name}.keepdims", ["no", "yes"]) == "no":
        return tensor
    dims = tuple(d if d in tensor.dims else ("u9",) for d in kept)
    if not tensor.dims:
        return tensor
    return reshape(draft.e, tensor, dims)


def maximum(draft: Draft, name: str, scores: Tensor, axis: Dim, twist: Twist) -> Tensor:
    e, c, element = draft.e, draft.c, scores.element
    combine = c(f"{name}.by", ["maximumf", "maxnumf", "cmpf", "two results"])
    starts = {
        "-inf": -math.inf,
        "lowest": LOWEST.get(element, -1.7976931348623157e308),
        "-65504": -65504.0,
    }
    if element == "bf16":
        del starts["-65504"]
    if combine == "maxnumf":
        starts["nan"] = math.nan
    start = starts[c(f"{name}.start", list(starts))]
    if start == -65504.0:
        draft.may_lose_range = True
    if twist.max_start is not None:
        start = twist.max_start
    if combine == "two results":
        return _max_with_index(draft, scores, axis, start)

    def larger(x: str, acc: str) -> str:
        if combine != "cmpf":
            return e.op(f"arith.{combine}", [x, acc], element)
        return e.select(e.op("arith.cmpf", [x, acc], element, "ogt, "), x, acc, element)

    return reduce(e, c, name, scores, [axis], start, larger)


def _max_with_index(draft: Draft, scores: Tensor, axis: Dim, start: float) -> Tensor:
    """`max.dim` of PyTorch: the values, and the positions that nobody uses."""
    e, element = draft.e, scores.element
    dims = tuple(d for d in scores.dims if d != axis)
    zero = e.fresh()
    positions = e.empty(dims, "i64")
    e.line(f"{zero} = arith.constant 0 : i64")
    filled = Tensor(e.fresh(), dims, "i64")
    type_ = e.type_of(filled)
    e.line(
        f"{filled.name} = linalg.fill ins({zero} : i64) outs({positions.name} : {type_}) -> {type_}"
    )

    def body(xs: List[str], outs: List[str]) -> List[str]:
        at = e.fresh()
        e.line(
            f"{at} = arith.index_cast {e.index(scores.dims.index(axis))} : index to i64"
        )
        value = e.op("arith.maximumf", [xs[0], outs[0]], element)
        after = e.op("arith.cmpf", [xs[0], outs[0]], element, "ogt, ")
        return [value, e.select(after, at, outs[1], "i64")]

    inits = [e.fill(dims, element, start), filled]
    return e.generic([scores], inits, body, scores.dims)[0]


def exponential(e: Emitter, x: str, element: str, base: str, twist: Twist) -> str:
    """exp(x), also by powers of 2."""
    if twist.power is not None:
        return e.op("math.powf", [e.constant(twist.power, element), x], element)
    if base == "exp":
        return e.op("math.exp", [x], element)
    if "scaled" not in base:
        x = e.op("arith.mulf", [x, e.constant(LOG2E, element)], element)
    if base.startswith("powf"):
        return e.op("math.powf", [e.constant(2.0, element), x], element)
    return e.op("math.exp2", [x], element)


def draw_base(draft: Draft) -> str:
    """ "scaled": log2(e) is multiplied into the scores before their maximum."""
    return draft.c.rarely("base", ["exp", "exp2", "powf", "exp2 scaled", "powf scaled"])


def softmax(draft: Draft, scores: Tensor, twist: Twist) -> Parts:
    e, c = draft.e, draft.c
    element = scores.element
    if c.rarely("softmax", ["written out", "linalg.softmax"]) == "linalg.softmax":
        if not twist.any():
            return Parts(_softmax_op(draft, scores))
    axis: Dim = (twist.axis or "j",)
    dims = scores.dims
    base = draw_base(draft)
    guarded = scores
    if "scaled" in base:
        scores = simple_by(draft, "log2e", scores, LOG2E)
        draft.steps.append(_overflowing(element))
    maxima = c("max", ["once", "none", "twice", "and -inf"])
    shifted = scores
    if maxima == "none":
        draft.may_lose_range = True
    for i in range({"none": 0, "twice": 2}.get(maxima, 1)):
        of = twist.max_of(draft, scores) if twist.max_of else shifted
        largest = maximum(draft, f"max{i}", of, (twist.max_axis or axis[0],), twist)
        if maxima == "and -inf":
            largest = elementwise(
                e,
                c,
                "max again",
                [largest],
                largest.dims,
                element,
                lambda xs: e.op(
                    "arith.maximumf", [xs[0], e.constant(-math.inf, element)], element
                ),
            )
        largest = _reduced(draft, f"max{i}", largest, dims)
        is_last = i == (1 if maxima == "twice" else 0)
        if is_last and c("exp.as", ["own op", "with the subtraction"]) != "own op":
            exponentials = elementwise(
                e,
                c,
                "exp",
                [shifted, largest],
                dims,
                element,
                lambda xs: exponential(
                    e, e.op("arith.subf", xs, element), element, base, twist
                ),
            )
            break
        shifted = simple(e, c, f"sub{i}", "arith.subf", [shifted, largest], dims)
    else:
        exponentials = elementwise(
            e,
            c,
            "exp",
            [shifted],
            dims,
            element,
            lambda xs: exponential(e, xs[0], element, base, twist),
        )
    if twist.exponentials:
        exponentials = twist.exponentials(draft, exponentials)
    summed = (
        twist.summed(draft, exponentials, shifted) if twist.summed else exponentials
    )
    start = c("sum.start", [0.0, -0.0]) if twist.sum_start is None else twist.sum_start
    sums = reduce(
        e,
        c,
        "sum",
        summed,
        [axis],
        start,
        lambda x, acc: e.op("arith.addf", [x, acc], element),
    )
    return _divide(draft, exponentials, sums, guarded, twist)


def _overflowing(element: str) -> Step:
    """The largest numbers times log2(e) are infinite."""
    limit = LARGEST[element] / LOG2E

    def meaning(s: np.ndarray, _: Arrays) -> np.ndarray:
        return np.where(abs(s) > limit, np.copysign(np.inf, s), s)

    return Step([], lambda score, *_: score, meaning, "nothing")


def simple_by(draft: Draft, name: str, tensor: Tensor, factor: float) -> Tensor:
    e, element = draft.e, tensor.element
    return elementwise(
        e,
        draft.c,
        name,
        [tensor],
        tensor.dims,
        element,
        lambda xs: e.op("arith.mulf", [xs[0], e.constant(factor, element)], element),
    )


def _softmax_op(draft: Draft, scores: Tensor) -> Tensor:
    init = draft.e.empty(scores.dims, scores.element)
    at = scores.dims.index(("j",))
    result = Tensor(draft.e.fresh(), scores.dims, scores.element)
    type_ = draft.e.type_of(scores)
    draft.e.line(
        f"{result.name} = linalg.softmax dimension({at}) ins({scores.name} : {type_}) "
        f"outs({init.name} : {type_}) -> {type_}"
    )
    return result


def _divide(
    draft: Draft, exponentials: Tensor, sums: Tensor, scores: Tensor, twist: Twist
) -> Parts:
    """P = E / Z at once, in the body of the product, or after it."""
    e, c, element, dims = draft.e, draft.c, exponentials.element, exponentials.dims
    by = c("divide.by", ["div", "reciprocal"])
    when = c("divide", ["before", "after", "in the product"])
    if twist.probabilities or (twist.axis and when == "after"):
        when = "before"
    reciprocal = element
    factor = sums
    if by == "reciprocal":
        factor = elementwise(
            e,
            c,
            "reciprocal",
            [sums],
            sums.dims,
            element,
            lambda xs: e.op("arith.divf", [e.constant(1.0, element), xs[0]], element),
        )
    op = "arith.divf" if by == "div" else "arith.mulf"
    if when == "after":
        return Parts(
            exponentials, divisor=factor, prologue=None, extra=[Tensor(op, (), "")]
        )
    if when == "in the product":
        return Parts(
            exponentials,
            extra=[factor],
            prologue=lambda xs: e.op(op, [xs[0], xs[1]], reciprocal),
        )
    factor = _reduced(draft, "sum", factor, dims)
    probabilities = simple(e, c, "divide", op, [exponentials, factor], dims)
    return Parts(_guard(draft, probabilities, scores))


def _guard(draft: Draft, probabilities: Tensor, scores: Tensor) -> Tensor:
    """Rows without a finite score become 0, if anything says so."""
    e, c, element, dims = draft.e, draft.c, scores.element, scores.dims
    draft.guard = c.rarely("guard", ["none", "safe", "nan-guard"])
    if draft.guard == "none":
        return probabilities
    if draft.guard == "nan-guard":
        draft.may_lose_range = True

        def replace(xs: List[str]) -> str:
            bad = e.op(
                "arith.cmpf", [xs[0], xs[0]], element, c("guard.by", ["une, ", "uno, "])
            )
            return e.select(bad, e.constant(0.0, element), xs[0], element)

        return elementwise(e, c, "guard", [probabilities], dims, element, replace)
    masked = elementwise(
        e,
        c,
        "masked",
        [scores],
        dims,
        "i1",
        lambda xs: e.op(
            "arith.cmpf", [xs[0], e.constant(-math.inf, element)], element, "oeq, "
        ),
    )
    kept = tuple(d for d in dims if d != ("j",))
    init = e.empty(kept, "i1")
    truth, filled = e.truth(True), Tensor(e.fresh(), kept, "i1")
    type_ = e.type_of(filled)
    e.line(
        f"{filled.name} = linalg.fill ins({truth} : i1) outs({init.name} : {type_}) -> {type_}"
    )
    every = e.generic(
        [masked],
        [filled],
        lambda xs, os: [e.op("arith.andi", [xs[0], os[0]], "i1")],
        dims,
    )[0]
    return elementwise(
        e,
        c,
        "guard",
        [probabilities, every],
        dims,
        element,
        lambda xs: e.select(xs[1], e.constant(0.0, element), xs[0], element),
    )
