# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What may stand between the product and the softmax: one function per kind.

Each gives the ops and, beside them, what they mean in float64.
"""

from __future__ import annotations

from typing import Callable, Dict, List

import numpy as np

from .draft import SCORE_LABELS, Arrays, Draft, Step, spread
from .emitter import Dims, Tensor
from .masks import causal, causal_and_padding, mask, padding, sliding_window


def _head_dims(draft: Draft) -> Dims:
    heads = tuple(label for label in draft.batch if label in "gr")
    return (heads,) if heads else ()


def _bias_dims(draft: Draft, name: str) -> Dims:
    """Some of the dims of the scores, and unit dims in place of others."""
    batch = (("b",),) if "b" in draft.batch else ()
    heads = _head_dims(draft)
    shapes: Dict[str, Dims] = {
        "pairs": (("i",), ("j",)),
        "keys": (("j",),),
        "heads": (*heads, ("i",), ("j",)),
        "batch_keys": (*batch, ("j",)),
        "batch_units_keys": (*batch, ("u0",), ("u1",), ("j",)),
        "unit_heads": (("u0",), *heads, ("i",), ("j",)),
        "all": (*batch, *heads, ("i",), ("j",)),
        "queries": (*heads, ("i",), ("u0",)),
        "transposed": (("j",), *heads, ("i",)),
    }
    return shapes[draft.c(f"{name}.dims", list(shapes))]


def bias(draft: Draft, name: str) -> Step:
    """A float tensor is added, of any broadcast shape and float type."""
    own = draft.types.softmax
    elements = [own] + [t for t in ("f16", "bf16", "f32", "f64") if t != own]
    element = draft.c(f"{name}.element", elements)
    tensor = draft.argument("bias", _bias_dims(draft, name), element)
    at = draft.position(tensor)
    swapped = draft.c(f"{name}.order", ["plain", "swapped"]) == "swapped"

    def body(score: str, inputs: List[str], _: Callable[[str], str]) -> str:
        added = draft.e.cast(inputs[0], element, own)
        order = [added, score] if swapped else [score, added]
        return draft.e.op("arith.addf", order, own)

    def meaning(s: np.ndarray, arrays: Arrays) -> np.ndarray:
        return s + spread(arrays[at], tensor.dims, draft.sizes, SCORE_LABELS)

    return Step([tensor], body, meaning, "additive")


def alibi(draft: Draft, name: str) -> Step:
    """slope[head] * (j - i), the distance by linalg.index."""
    e, own = draft.e, draft.types.softmax
    slopes = draft.argument("slopes", _head_dims(draft), own)
    at = draft.position(slopes)

    def body(score: str, inputs: List[str], index: Callable[[str], str]) -> str:
        distance = e.op("arith.subi", [index("j"), index("i")], "index")
        integer, number = e.fresh(), e.fresh()
        e.line(f"{integer} = arith.index_cast {distance} : index to i64")
        e.line(f"{number} = arith.sitofp {integer} : i64 to {own}")
        return e.op(
            "arith.addf", [score, e.op("arith.mulf", [inputs[0], number], own)], own
        )

    def meaning(s: np.ndarray, arrays: Arrays) -> np.ndarray:
        slope = spread(arrays[at], slopes.dims, draft.sizes, SCORE_LABELS)
        i, j = np.ogrid[: draft.sizes["i"], : draft.sizes["j"]]
        return s + slope * (j - i)

    return Step([slopes], body, meaning, "function", needs_index=True)


def softcap(draft: Draft, name: str) -> Step:
    """c * tanh(s / c)."""
    e, own = draft.e, draft.types.softmax
    cap = draft.c(f"{name}.cap", [2.0, 30.0])
    divides = draft.c(f"{name}.by", ["div", "mul"]) == "div"

    def body(score: str, _: List[str], __: Callable[[str], str]) -> str:
        if divides:
            inner = e.op("arith.divf", [score, e.constant(cap, own)], own)
        else:
            inner = e.op("arith.mulf", [score, e.constant(1 / cap, own)], own)
        return e.op(
            "arith.mulf", [e.op("math.tanh", [inner], own), e.constant(cap, own)], own
        )

    return Step([], body, lambda s, _: cap * np.tanh(s / cap), "function")


def leaky(draft: Draft, name: str) -> Step:
    """select(s > 0, s, slope * s)."""
    e, own = draft.e, draft.types.softmax

    def body(score: str, _: List[str], __: Callable[[str], str]) -> str:
        positive = e.op("arith.cmpf", [score, e.constant(0.0, own)], own, "ogt, ")
        small = e.op("arith.mulf", [score, e.constant(0.125, own)], own)
        return e.select(positive, score, small, own)

    return Step([], body, lambda s, _: np.where(s > 0, s, 0.125 * s), "function")


def clamp(draft: Draft, name: str) -> Step:
    """min(max(s, -c), c)."""
    e, own = draft.e, draft.types.softmax

    def body(score: str, _: List[str], __: Callable[[str], str]) -> str:
        low = e.op("arith.maximumf", [score, e.constant(-3.0, own)], own)
        return e.op("arith.minimumf", [low, e.constant(3.0, own)], own)

    return Step([], body, lambda s, _: np.clip(s, -3.0, 3.0), "function")


def square(draft: Draft, name: str) -> Step:
    """-s * s: distances instead of products."""
    e, own = draft.e, draft.types.softmax

    def body(score: str, _: List[str], __: Callable[[str], str]) -> str:
        return e.op("arith.negf", [e.op("arith.mulf", [score, score], own)], own)

    return Step([], body, lambda s, _: -s * s, "function")


def temperature(draft: Draft, name: str) -> Step:
    """The scores times a number per head."""
    e, own = draft.e, draft.types.softmax
    factors = draft.argument("slopes", _head_dims(draft), own)
    at = draft.position(factors)

    def body(score: str, inputs: List[str], _: Callable[[str], str]) -> str:
        return e.op("arith.mulf", [score, inputs[0]], own)

    def meaning(s: np.ndarray, arrays: Arrays) -> np.ndarray:
        return s * spread(arrays[at], factors.dims, draft.sizes, SCORE_LABELS)

    return Step([factors], body, meaning, "function")


def zero(draft: Draft, name: str) -> Step:
    """A mask of zeros is added: nothing."""
    e, own = draft.e, draft.types.softmax
    tensor = (
        e.dense((("i",), ("j",)), own, "0.0") if not e.dynamic & {"i", "j"} else None
    )

    def body(score: str, inputs: List[str], _: Callable[[str], str]) -> str:
        added = inputs[0] if inputs else e.constant(0.0, own)
        return e.op("arith.addf", [score, added], own)

    return Step([tensor] if tensor else [], body, lambda s, _: s, "nothing")


Kind = Callable[[Draft, str], Step]
KINDS: Dict[str, Kind] = {
    "bias": bias,
    "mask": mask,
    "causal": causal,
    "padding": padding,
    "causal_and_padding": causal_and_padding,
    "softcap": softcap,
    "alibi": alibi,
    "window": sliding_window,
    "leaky": leaky,
    "clamp": clamp,
    "square": square,
    "temperature": temperature,
    "zero": zero,
}
COUNTS = [0, 1, 1, 2, 3]


def draw_steps(draft: Draft) -> None:
    """Up to three kinds, in any order."""
    count = draft.c("steps", [0, 1, 2, 3])
    for i in range(count):
        kind = draft.c(f"step{i}", list(KINDS))
        draft.steps.append(KINDS[kind](draft, f"step{i}"))


def apply_steps(draft: Draft, scores: Tensor) -> Tensor:
    """The ops of all steps on ``scores``: in one body, or one op each."""
    if not draft.steps:
        return scores
    fused = draft.c("steps.as", ["one op each", "one op"]) == "one op"
    for group in [draft.steps] if fused else [[step] for step in draft.steps]:
        scores = _apply(draft, group, scores)
    return scores


def _apply(draft: Draft, steps: List[Step], scores: Tensor) -> Tensor:
    from .compute import elementwise

    e = draft.e
    inputs = [tensor for step in steps for tensor in step.inputs]

    def body(xs: List[str]) -> str:
        score, rest = xs[0], xs[1:]
        for step in steps:
            own, rest = rest[: len(step.inputs)], rest[len(step.inputs) :]
            score = step.body(
                score, own, lambda label: e.index(scores.dims.index((label,)))
            )
        return score

    return elementwise(
        e, draft.c, "steps", [scores, *inputs], scores.dims, scores.element, body
    )
