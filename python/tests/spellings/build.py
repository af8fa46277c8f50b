# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One case out of choices: softmax(steps(scale * Q K^T)) V, in some spelling."""

from __future__ import annotations

from typing import Dict, List, Tuple

from .choices import Choices
from .compute import contract, elementwise
from .draft import Attention, Case, Draft, Types
from .emitter import Dim, Dims, Emitter, Tensor, flat
from .movement import conform
from .operands import arrive, draw_scale, prepare, scaled
from .scores import apply_steps, draw_steps
from .softmax import Parts, softmax
from .twist import Twist

#: Types of arguments, what is multiplied, scores, softmax, P, products, the result.
TYPES: Dict[str, Types] = {
    "f32": Types("f32", "f32", "f32", "f32", "f32", "f32", "f32"),
    "f64": Types("f64", "f64", "f64", "f64", "f64", "f64", "f64"),
    "f16 widened": Types("f16", "f32", "f32", "f32", "f32", "f32", "f16"),
    "bf16 widened": Types("bf16", "f32", "f32", "f32", "f32", "f32", "bf16"),
    "f16 widened, f32 out": Types("f16", "f32", "f32", "f32", "f32", "f32", "f32"),
    "f16 to f32 products": Types("f16", "f16", "f32", "f32", "f32", "f32", "f16"),
    "bf16 to f32 products": Types("bf16", "bf16", "f32", "f32", "bf16", "f32", "bf16"),
    "f16, f32 softmax": Types("f16", "f16", "f16", "f32", "f16", "f16", "f16"),
    "bf16, f32 softmax": Types("bf16", "bf16", "bf16", "f32", "bf16", "bf16", "bf16"),
    "f16": Types("f16", "f16", "f16", "f16", "f16", "f16", "f16"),
}
PASSES = [
    "",
    "--linalg-fuse-elementwise-ops",
    "--linalg-generalize-named-ops --linalg-fuse-elementwise-ops --canonicalize --cse",
    "--linalg-fold-unit-extent-dims --canonicalize",
    "--canonicalize --cse",
]


def build(c: Choices, twist: Twist = Twist()) -> Case:
    draft = _start(c)
    e, types = draft.e, draft.types
    q, k, v = arrive(draft)
    q, k, v = (prepare(draft, name, t) for name, t in zip("qkv", (q, k, v)))
    where, scale = draw_scale(draft)
    draft.scale = scale
    q, k = _scale_operands(draft, where, scale, q, k)
    draw_steps(draft)
    if twist.operand:
        q, k, v = (twist.operand(draft, name, t) for name, t in zip("qkv", (q, k, v)))
    scores = (twist.product or _product)(draft, q, k)
    scores = _cast(draft, "scores.cast", scores, types.softmax)
    scores = _scale_scores(draft, where, scale, scores)
    scores = apply_steps(draft, scores)
    scores = _regroup(draft, "softmax", scores, bool(twist.axis or twist.max_axis))
    if twist.softmax:
        parts = Parts(twist.softmax(draft, scores))
    else:
        parts = softmax(draft, scores, twist)
    if twist.probabilities:
        parts.probabilities = twist.probabilities(draft, parts.probabilities)
    results = _weigh(draft, parts, v)
    results += _others(draft, scores, parts, k, v)
    return Case(
        record=c.record,
        text=e.finish("case", results),
        arguments=draft.arguments,
        results=results,
        sizes=draft.sizes,
        types=types,
        meaning=Attention(
            draft.operands, draft.scale, draft.steps, draft.guard, types.softmax
        ),
        may_lose_range=draft.may_lose_range,
        passes=_passes(draft),
    )


def _passes(draft: Draft) -> str:
    """Upstream passes before ours."""
    passes = PASSES
    if 1 in (draft.sizes["d"], draft.sizes["j"]):
        # Without unit dims the product is no contraction any more.
        passes = [p for p in PASSES if "unit-extent" not in p]
    return draft.c.rarely("passes", passes)


def _start(c: Choices) -> Draft:
    batch = tuple(c("batch", ["bg", "bgr", "brg", "g", "b", ""]))
    sizes = {
        label: c(f"extent.{label}", extents)
        for label, extents in (
            ("b", [2, 1, 3]),
            ("g", [2, 1, 3]),
            ("r", [2, 3]),
            ("i", [4, 1, 5, 6]),
            ("j", [4, 1, 3, 7]),
            ("d", [4, 1, 2, 8]),
            ("e", [4, 1, 3]),
        )
    }
    if (
        "r" not in batch
        and c("tokens", ["two sequences", "one sequence"]) == "one sequence"
    ):
        sizes.update(j=sizes["i"], e=sizes["d"])
    for label in "bgr":
        if label not in batch:
            sizes[label] = 1
    sizes.update({f"u{i}": 1 for i in range(10)})
    dynamic = c.rarely("dynamic", ["", "b", "ij", "bij"])
    known = frozenset(x for x in dynamic if x in (*batch, "i", "j"))
    types = TYPES[c.rarely("types", list(TYPES))]
    return Draft(Emitter(sizes, known), c, types, batch)


def _cast(draft: Draft, name: str, tensor: Tensor, element: str) -> Tensor:
    e, source = draft.e, tensor.element
    if source == element:
        return tensor
    return elementwise(
        e,
        draft.c,
        name,
        [tensor],
        tensor.dims,
        element,
        lambda xs: e.cast(xs[0], source, element),
    )


def _scale_operands(
    draft: Draft, where: str, scale: float, q: Tensor, k: Tensor
) -> Tuple[Tensor, Tensor]:
    if where == "q":
        q = scaled(draft, "scale", q, scale)
    elif where == "q_div":
        q = scaled(draft, "scale", q, scale, divides=True)
    elif where == "k":
        k = scaled(draft, "scale", k, scale)
    elif where == "both":
        q, k = (
            scaled(draft, "scale", q, scale**0.5),
            scaled(draft, "scale.k", k, scale**0.5),
        )
    elif where == "q and scores":
        q = scaled(draft, "scale.q", q, 0.5)
    return q, k


def _scale_scores(draft: Draft, where: str, scale: float, scores: Tensor) -> Tensor:
    e, element = draft.e, scores.element
    if where == "scores":
        return scaled(draft, "scale", scores, scale)
    if where == "scores_div":
        return scaled(draft, "scale", scores, scale, divides=True)
    if where == "q and scores":
        return scaled(draft, "scale", scores, 2 * scale)
    if where == "negated":
        draft.scale = -scale
        scores = elementwise(
            e,
            draft.c,
            "negated",
            [scores],
            scores.dims,
            element,
            lambda xs: e.op("arith.negf", xs, element),
        )
        return scaled(draft, "scale", scores, scale)
    return scores


def _grain(draft: Draft, name: str) -> Dims:
    """How the batch labels are grouped to dims."""
    batch = draft.batch
    if not batch:
        return ()
    b: Dims = (("b",),) if "b" in batch else ()
    heads: Dim = tuple(x for x in batch if x != "b")
    h: Dims = (heads,) if heads else ()
    grains: Dict[str, Dims] = {
        "merged": (batch,),
        "heads": (*b, *h),
        "apart": tuple((x,) for x in batch),
    }
    return grains[draft.c(f"{name}.batch", list(grains))]


def _product(draft: Draft, q: Tensor, k: Tensor) -> Tensor:
    return contract(
        draft.e,
        draft.c,
        "qk",
        q,
        k,
        _grain(draft, "qk"),
        ("i",),
        ("j",),
        ("d",),
        draft.types.scores,
    )


def _regroup(draft: Draft, name: str, scores: Tensor, keeps_rows: bool) -> Tensor:
    """The scores with their batch dims, and maybe the rows, grouped anew."""
    c = draft.c
    forms = ["as they are", "regrouped", "keys first"] + ["two dims"] * (not keeps_rows)
    form = c.rarely(f"{name}.dims", forms)
    if form == "as they are":
        return scores
    if form == "regrouped":
        return conform(draft.e, c, name, scores, (*_grain(draft, name), ("i",), ("j",)))
    if form == "two dims":
        return conform(draft.e, c, name, scores, ((*draft.batch, "i"), ("j",)))
    return conform(draft.e, c, name, scores, (("j",), *_grain(draft, name), ("i",)))


def _weigh(draft: Draft, parts: Parts, v: Tensor) -> List[Tensor]:
    """P V, with what is left of the division, in the type and layout of the result."""
    e, c, types = draft.e, draft.c, draft.types
    p = parts.probabilities
    grain = _grain(draft, "pv")
    if parts.prologue:
        # The body has elements of its own: P in the dims that it is read with.
        p = conform(e, c, "pv.p", p, (*grain, ("i",), ("j",)))
        out = contract(
            e,
            c,
            "pv",
            p,
            v,
            grain,
            ("i",),
            ("e",),
            ("j",),
            types.products,
            parts.extra,
            parts.prologue,
        )
    else:
        p = _cast(draft, "probabilities.cast", p, types.probabilities)
        if parts.divisor is None:
            p = _dropped(draft, p)
        out = contract(e, c, "pv", p, v, grain, ("i",), ("e",), ("j",), types.products)
    if parts.divisor is not None:
        op = parts.extra[0].name
        divisor, element = parts.divisor, parts.divisor.element
        out = _cast(draft, "sums.cast", out, element)
        out = elementwise(
            e,
            c,
            "after",
            [out, divisor],
            out.dims,
            element,
            lambda xs: e.op(op, xs, element),
        )
    out = _cast(draft, "result.cast", out, types.result)
    return [conform(e, c, "result", out, _result_dims(draft))]


def _dropped(draft: Draft, p: Tensor) -> Tensor:
    """Dropout that drops nothing."""
    e, element = draft.e, p.element
    form = draft.c.rarely(
        "dropout", ["none", "times 1", "over 1", "all kept", "identity", "plus 0"]
    )
    if form == "none":
        return p

    def body(xs: List[str]) -> str:
        if form == "times 1":
            return e.op("arith.mulf", [xs[0], e.constant(1.0, element)], element)
        if form == "over 1":
            return e.op("arith.divf", [xs[0], e.constant(1.0, element)], element)
        if form == "all kept":
            return e.select(e.truth(True), xs[0], e.constant(0.0, element), element)
        if form == "plus 0":
            return e.op("arith.addf", [xs[0], e.constant(0.0, element)], element)
        return xs[0]

    return elementwise(e, draft.c, "dropout", [p], p.dims, element, body)


def _result_dims(draft: Draft) -> Dims:
    b: Dims = (("b",),) if "b" in draft.batch else ()
    heads: Dim = tuple(x for x in draft.batch if x != "b")
    h: Dims = (heads,) if heads else ()
    layouts: Dict[str, Dims] = {
        "bhne": (*b, *h, ("i",), ("e",)),
        "bn(he)": (*b, ("i",), (*heads, "e")),
        "bnhe": (*b, ("i",), *h, ("e",)),
        "behn": (*b, ("e",), *h, ("i",)),
    }
    if draft.batch:
        layouts["(bh)ne"] = (draft.batch, ("i",), ("e",))
    if not draft.e.dynamic:
        layouts["(bn)(he)"] = ((*flat(b), "i"), (*heads, "e"))
    return layouts[draft.c("result.layout", list(layouts))]


def _others(
    draft: Draft, scores: Tensor, parts: Parts, k: Tensor, v: Tensor
) -> List[Tensor]:
    """Something inside of the attention is a result too."""
    other = draft.c.rarely("also", ["nothing", "probabilities", "scores", "k", "v"])
    if other == "nothing":
        return []
    return [
        {"probabilities": parts.probabilities, "scores": scores, "k": k, "v": v}[other]
    ]
