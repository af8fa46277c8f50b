# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cases that differ from attention in one thing: each must be refused, or mean the
same after raising all the same."""

from __future__ import annotations

from typing import Callable, List


from .build import build
from .choices import Choices
from .compute import elementwise, reduce
from .draft import Case, Draft
from .emitter import Dims, Tensor, flat
from .movement import conform, fit
from .twist import Twist


def _by(
    draft: Draft,
    name: str,
    tensor: Tensor,
    body: Callable[[List[str]], str],
    *more: Tensor,
) -> Tensor:
    """An elementwise function of ``tensor`` and of others that are broadcast to it."""
    return elementwise(
        draft.e, draft.c, name, [tensor, *more], tensor.dims, tensor.element, body
    )


def _op(
    draft: Draft, tensor: Tensor, op: str, constant: float
) -> Callable[[List[str]], str]:
    e, element = draft.e, tensor.element
    return lambda xs: e.op(op, [xs[0], e.constant(constant, element)], element)


def _per(draft: Draft, labels: str, element: str) -> Tensor:
    """An argument with positive numbers over some dims of the scores."""
    present = [x for x in labels if x in (*draft.batch, "i", "j")]
    return draft.argument("slopes", tuple((x,) for x in present), element)


def _shuffle(draft: Draft, name: str, t: Tensor, label: str) -> Tensor:
    """``t`` read backwards along ``label``: another row, head or batch."""
    dims = tuple((x,) for x in flat(t.dims) if not x.startswith("u"))
    t = conform(draft.e, draft.c, name, t, dims)
    e = draft.e
    place = dims.index((label,))

    def body(_: List[str], __: List[str]) -> List[str]:
        indices = [e.index(i) for i in range(len(dims))]
        last = e.fresh()
        e.line(f"{last} = arith.constant {e.sizes[label] - 1} : index")
        indices[place] = e.op("arith.subi", [last, indices[place]], "index")
        read = e.fresh()
        e.line(
            f"{read} = tensor.extract {t.name}[{', '.join(indices)}] : {e.type_of(t)}"
        )
        return [read]

    return e.generic([], [e.empty(dims, t.element)], body)[0]


def _swapped_heads(draft: Draft, name: str, t: Tensor) -> Tensor:
    """Batch for heads and heads for batch, where they are as many."""
    sizes, batch = draft.sizes, draft.batch
    if name != draft.c("swapped in", ["k", "v"]) or draft.e.dynamic:
        return t
    if not {"b", "g"} <= set(batch) or sizes["b"] != sizes["g"]:
        return _shuffle(draft, f"{name}.shuffle", t, batch[0] if batch else "j")
    dims = tuple((x,) for x in flat(t.dims) if not x.startswith("u"))
    t = conform(draft.e, draft.c, f"{name}.swap", t, dims)
    other = {"b": "g", "g": "b"}
    return Tensor(t.name, tuple((other.get(x, x),) for (x,) in dims), t.element)


def _reversed_keys(draft: Draft, name: str, t: Tensor) -> Tensor:
    """K backwards in time, V not."""
    return _shuffle(draft, "reversed", t, "j") if name == "k" else t


def _scaled_keys(draft: Draft, name: str, t: Tensor) -> Tensor:
    """Not one scale but one per channel."""
    if name != "k":
        return t
    factors = draft.argument("slopes", (("d",),), t.element)
    return _by(
        draft,
        "channels",
        t,
        lambda xs: draft.e.op("arith.mulf", xs, t.element),
        factors,
    )


def _scores(
    draft: Draft,
    q: Tensor,
    k: Tensor,
    body: Callable[[List[str], str], str],
    keys: Dims,
    start: float = 0.0,
) -> Tensor:
    """A product of its own: ``body`` of the elements and of what is summed so far."""
    e, c = draft.e, draft.c
    batch = tuple((x,) for x in draft.batch)
    q = fit(e, c, "product.q", q, (*batch, ("i",), ("d",)))
    k = fit(e, c, "product.k", k, keys)
    init = e.fill((*batch, ("i",), ("j",)), draft.types.scores, start)
    loops = (*init.dims, ("d",))

    def wide(xs: List[str], outs: List[str]) -> List[str]:
        own = [e.cast(x, t.element, init.element) for x, t in zip(xs, (q, k))]
        return [body(own, outs[0])]

    return e.generic([q, k], [init], wide, loops)[0]


def _keys_per_query(draft: Draft, q: Tensor, _: Tensor) -> Tensor:
    e, batch = draft.e, tuple((x,) for x in draft.batch if x != "r")
    keys = (*batch, ("i",), ("j",), ("d",))
    k = draft.argument("operand", keys, q.element)
    element = draft.types.scores
    return _scores(
        draft,
        q,
        k,
        lambda xs, acc: e.op(
            "arith.addf", [acc, e.op("arith.mulf", xs, element)], element
        ),
        keys,
    )


def _product_by(
    op: str, start: float = 0.0
) -> Callable[[Draft, Tensor, Tensor], Tensor]:
    """Scores by other than products: ``op`` of the elements is summed."""

    def product(draft: Draft, q: Tensor, k: Tensor) -> Tensor:
        e, element = draft.e, draft.types.scores
        keys = (*((x,) for x in draft.batch), ("j",), ("d",))
        return _scores(
            draft,
            q,
            k,
            lambda xs, acc: e.op("arith.addf", [acc, e.op(op, xs, element)], element),
            keys,
            start,
        )

    return product


def _largest_product(draft: Draft, q: Tensor, k: Tensor) -> Tensor:
    e, element = draft.e, draft.types.scores
    keys = (*((x,) for x in draft.batch), ("j",), ("d",))
    return _scores(
        draft,
        q,
        k,
        lambda xs, acc: e.op(
            "arith.maximumf", [acc, e.op("arith.mulf", xs, element)], element
        ),
        keys,
    )


def _sum_of_slice(draft: Draft, exponentials: Tensor, _: Tensor) -> Tensor:
    """Only the first keys count in the sum: the others become 0."""
    e, element = draft.e, exponentials.element
    place = next(i for i, d in enumerate(exponentials.dims) if "j" in d)

    def body(xs: List[str]) -> str:
        limit = e.fresh()
        e.line(f"{limit} = arith.constant 2 : index")
        early = e.op("arith.cmpi", [e.index(place), limit], "index", "slt, ")
        return e.select(early, xs[0], e.constant(0.0, element), element)

    return _by(draft, "slice", exponentials, body)


def _sigmoid(draft: Draft, scores: Tensor) -> Tensor:
    e, element = draft.e, scores.element

    def body(xs: List[str]) -> str:
        away = e.op("math.exp", [e.op("arith.negf", xs, element)], element)
        one = e.constant(1.0, element)
        return e.op(
            "arith.divf", [one, e.op("arith.addf", [one, away], element)], element
        )

    return _by(draft, "sigmoid", scores, body)


def _relu(draft: Draft, scores: Tensor) -> Tensor:
    return _by(draft, "relu", scores, _op(draft, scores, "arith.maximumf", 0.0))


def _exponential_alone(draft: Draft, scores: Tensor) -> Tensor:
    return _by(
        draft,
        "exponential",
        scores,
        lambda xs: draft.e.op("math.exp", xs, scores.element),
    )


def _normalised_by_absolutes(draft: Draft, scores: Tensor) -> Tensor:
    """s / sum |s|."""
    e, element = draft.e, scores.element
    absolute = _by(draft, "absolute", scores, lambda xs: e.op("math.absf", xs, element))
    sums = reduce(
        e,
        draft.c,
        "absolutes",
        absolute,
        [("j",)],
        0.0,
        lambda x, acc: e.op("arith.addf", [x, acc], element),
    )
    return _by(
        draft, "quotient", scores, lambda xs: e.op("arith.divf", xs, element), sums
    )


def _key_weights(draft: Draft, p: Tensor) -> Tensor:
    factors = _per(draft, "j", p.element)
    return _by(
        draft, "weights", p, lambda xs: draft.e.op("arith.mulf", xs, p.element), factors
    )


def _mask_of_pairs(draft: Draft, p: Tensor) -> Tensor:
    factors = draft.argument("mask", (("i",), ("j",)), p.element)
    return _by(
        draft, "mask", p, lambda xs: draft.e.op("arith.mulf", xs, p.element), factors
    )


def _bias_on_probabilities(draft: Draft, p: Tensor) -> Tensor:
    added = draft.argument("bias", (("i",), ("j",)), p.element)
    return _by(
        draft,
        "bias after",
        p,
        lambda xs: draft.e.op("arith.addf", xs, p.element),
        added,
    )


def _squared(draft: Draft, t: Tensor) -> Tensor:
    return _by(
        draft,
        "squared",
        t,
        lambda xs: draft.e.op("arith.mulf", [xs[0], xs[0]], t.element),
    )


def _numerator_bias(draft: Draft, exponentials: Tensor, shifted: Tensor) -> Tensor:
    """The sum lacks a factor that the exponentials above the line have."""
    e, element = draft.e, exponentials.element
    factors = _per(draft, "j", element)
    return _by(
        draft,
        "unbiased",
        exponentials,
        lambda xs: e.op("arith.divf", xs, element),
        factors,
    )


def _other_scores(draft: Draft, scores: Tensor) -> Tensor:
    """Scores of their own, which are not those that are exponentiated."""
    factors = _per(draft, "j", scores.element)
    return _by(
        draft,
        "others",
        scores,
        lambda xs: draft.e.op("arith.mulf", xs, scores.element),
        factors,
    )


def _scaled(constant: float) -> Callable[..., Tensor]:
    return lambda draft, t, *_: _by(
        draft, "by", t, _op(draft, t, "arith.mulf", constant)
    )


def _plus(constant: float) -> Callable[..., Tensor]:
    return lambda draft, t, *_: _by(
        draft, "plus", t, _op(draft, t, "arith.addf", constant)
    )


TWISTS: List[Twist] = [
    Twist("softmax over the queries", axis="i"),
    Twist("maximum over the queries", max_axis="i"),
    Twist("sum over one more", sum_start=1.0),
    Twist("maximum from 0", max_start=0.0),
    Twist("maximum from 5", max_start=5.0),
    Twist("sum from -1", sum_start=-1.0),
    Twist("base 3", power=3.0),
    Twist("base 2", power=2.0),
    Twist("base 10", power=10.0),
    Twist("maximum of other scores", max_of=_other_scores),
    Twist("maximum of shifted scores", max_of=lambda draft, s: _plus(-3.0)(draft, s)),
    Twist("maximum of doubled scores", max_of=lambda draft, s: _scaled(2.0)(draft, s)),
    Twist("sum of the scores", summed=lambda draft, _, shifted: shifted),
    Twist("sum of squares", summed=lambda draft, e, _: _squared(draft, e)),
    Twist("sum of a slice", summed=_sum_of_slice),
    Twist("sum without a bias", summed=_numerator_bias),
    Twist("sum of halves", summed=lambda draft, e, _: _scaled(0.5)(draft, e)),
    Twist("sum plus a little", summed=lambda draft, e, _: _plus(1e-2)(draft, e)),
    Twist("exponentials plus 1", exponentials=lambda draft, e: _plus(1.0)(draft, e)),
    Twist("exponentials squared", exponentials=lambda draft, e: _squared(draft, e)),
    Twist(
        "exponentials weighted", exponentials=lambda draft, e: _key_weights(draft, e)
    ),
    Twist("sigmoid", softmax=_sigmoid),
    Twist("relu", softmax=_relu),
    Twist("no softmax", softmax=lambda draft, s: s),
    Twist("no sum", softmax=_exponential_alone),
    Twist("sum of absolutes", softmax=_normalised_by_absolutes),
    Twist("weights per key", probabilities=_key_weights),
    Twist("mask after", probabilities=_mask_of_pairs),
    Twist("bias after", probabilities=_bias_on_probabilities),
    Twist("squared probabilities", probabilities=_squared),
    Twist("scaled probabilities", probabilities=_scaled(2.0)),
    Twist("probabilities plus a little", probabilities=_plus(0.1)),
    Twist("heads for batch", operand=_swapped_heads),
    Twist("keys in reverse", operand=_reversed_keys),
    Twist("a scale per channel", operand=_scaled_keys),
    Twist("keys per query", product=_keys_per_query),
    Twist("differences", product=_product_by("arith.subf")),
    Twist("sums", product=_product_by("arith.addf")),
    Twist("smaller ones", product=_product_by("arith.minimumf")),
    Twist("product from 1", product=_product_by("arith.mulf", 1.0)),
    Twist("largest product", product=_largest_product),
]


def build_near_miss(c: Choices) -> Case:
    """A case with one twist; its meaning is what its own ops compute."""
    twist: Twist = c("twist", TWISTS)
    case = build(c, twist)
    case.meaning = None
    return case
