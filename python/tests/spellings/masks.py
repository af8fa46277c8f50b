# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Masks of the scores: given, computed, or constant; by select or by addition."""

from __future__ import annotations

from typing import Callable, List, Tuple

import numpy as np

from .draft import SCORE_LABELS, Arrays, Draft, Step, spread
from .emitter import LOWEST, Dims, Tensor

#: Whether a score is kept: ops that give an i1, and the same in NumPy.
Keep = Callable[[List[str], Callable[[str], str]], str]
Kept = Callable[[Arrays], np.ndarray]


def _hidden(draft: Draft, name: str) -> float:
    """What stands in the place of a masked score."""
    element = draft.types.softmax
    lowest = LOWEST.get(element, -1.7976931348623157e308)
    constants = {"-inf": -np.inf, "lowest": lowest, "-1e4": -1e4, "-100": -100.0}
    if element == "f16" and draft.c("steps", [0, 1, 2, 3]) > 1:
        # Another step would make it infinite in f16, and the op computes in f32.
        del constants["lowest"]
    return constants[draft.c(f"{name}.hidden", list(constants))]


def _masking_step(
    draft: Draft,
    name: str,
    inputs: List[Tensor],
    keep: Keep,
    kept: Kept,
    kind: str,
    needs_index: bool = False,
) -> Step:
    """Hides scores where not ``keep``: by select, or by adding 0 or a constant."""
    e, own = draft.e, draft.types.softmax
    hidden = _hidden(draft, name)
    form = draft.c(
        f"{name}.by", ["select", "select_not", "add", "add_not", "add_twice"]
    )
    if form == "add_twice" and not np.isinf(hidden):
        form = "add"

    def invert(condition: str) -> str:
        return e.op("arith.xori", [condition, e.truth(True)], "i1")

    def body(score: str, xs: List[str], index: Callable[[str], str]) -> str:
        condition = keep(xs, index)
        constant = e.constant(hidden, own)
        if form.endswith("_not"):
            condition = invert(condition)
        if form == "select":
            return e.select(condition, score, constant, own)
        if form == "select_not":
            return e.select(condition, constant, score, own)
        nothing = e.constant(0.0, own)
        pair = [nothing, constant] if form != "add_not" else [constant, nothing]
        added = e.select(condition, *pair, own)
        score = e.op("arith.addf", [score, added], own)
        return e.op("arith.addf", [score, added], own) if form == "add_twice" else score

    def meaning(s: np.ndarray, arrays: Arrays) -> np.ndarray:
        where = kept(arrays)
        if form.startswith("select"):
            return np.where(where, s, hidden)
        return s + np.where(where, 0.0, hidden)

    if form.startswith("add") or (hidden < -1e4 and not np.isinf(hidden)):
        draft.may_lose_range = True
    return Step(
        inputs, body, meaning, kind if np.isinf(hidden) else "function", needs_index
    )


def _given(draft: Draft, name: str, dims: Dims) -> Tuple[Tensor, Keep, Kept]:
    """A mask that is an argument: of i1, of integers, or of floats that are 0 or 1."""
    e = draft.e
    element = draft.c(f"{name}.element", ["i1", "i64", "f32"])
    tensor = draft.argument("mask", dims, element)
    at = draft.position(tensor)

    def keep(xs: List[str], _: Callable[[str], str]) -> str:
        if element == "i1":
            return xs[0]
        if element == "i64":
            zero = e.fresh()
            e.line(f"{zero} = arith.constant 0 : i64")
            return e.op("arith.cmpi", [xs[0], zero], "i64", "ne, ")
        return e.op("arith.cmpf", [xs[0], e.constant(0.0, element)], element, "une, ")

    def kept(arrays: Arrays) -> np.ndarray:
        return spread(arrays[at], tensor.dims, draft.sizes, SCORE_LABELS) != 0

    return tensor, keep, kept


def _dims(draft: Draft, labels: str) -> Dims:
    return tuple((label,) for label in labels if label in (*draft.batch, "i", "j"))


def mask(draft: Draft, name: str) -> Step:
    """A mask over any dims of the scores."""
    labels = draft.c(f"{name}.dims", ["ij", "bij", "bgrij", "gij", "ji"])
    tensor, keep, kept = _given(draft, name, _dims(draft, labels))
    return _masking_step(draft, name, [tensor], keep, kept, "mask")


def padding(draft: Draft, name: str) -> Step:
    """A mask over the keys of each batch; or floats, as (1 - mask) * constant."""
    if draft.c(f"{name}.as", ["mask", "float"]) == "mask":
        tensor, keep, kept = _given(draft, name, _dims(draft, "bj"))
        return _masking_step(draft, name, [tensor], keep, kept, "mask")
    e, own = draft.e, draft.types.softmax
    dims = _dims(draft, "bj")
    dims = (*dims[:-1], ("u0",), ("u1",), dims[-1])
    tensor = draft.argument("mask", dims, own)
    at = draft.position(tensor)
    hidden = draft.c(f"{name}.hidden", [-1e4, LOWEST.get(own, -1e4)])

    def body(score: str, xs: List[str], _: Callable[[str], str]) -> str:
        away = e.op("arith.subf", [e.constant(1.0, own), xs[0]], own)
        return e.op(
            "arith.addf",
            [score, e.op("arith.mulf", [away, e.constant(hidden, own)], own)],
            own,
        )

    def meaning(s: np.ndarray, arrays: Arrays) -> np.ndarray:
        return s + (1 - spread(arrays[at], dims, draft.sizes, SCORE_LABELS)) * hidden

    return Step([tensor], body, meaning, "additive")


def _triangle(draft: Draft, name: str, offset: int) -> Tuple[List[Tensor], Keep, bool]:
    """j <= i + offset: by index in the body, as a constant, or computed as a tensor
    of truths or of ones and zeros."""
    e, c = draft.e, draft.c
    forms = ["index", "constant", "computed", "tril"]
    if e.dynamic & {"i", "j"}:
        forms.remove("constant")
    form = c(f"{name}.triangle", forms)

    def compare(index: Callable[[str], str]) -> str:
        i, j = index("i"), index("j")
        if offset:
            shift = e.fresh()
            e.line(f"{shift} = arith.constant {offset} : index")
            i = e.op("arith.addi", [i, shift], "index")
        spelling = c(
            f"{name}.compare", ["j<=i", "i>=j", "j<i+1", "not j>i", "i-j>=0", "i64"]
        )
        return _compare(draft, spelling, i, j)

    if form == "index":
        return [], lambda _, index: compare(index), True
    dims = (("i",), ("j",))
    if form == "constant":
        n, m = draft.sizes["i"], draft.sizes["j"]
        rows = (
            ", ".join(str(j <= i + offset).lower() for j in range(m)) for i in range(n)
        )
        text = "[" + ", ".join(f"[{row}]" for row in rows) + "]"
        return [e.dense(dims, "i1", text)], lambda xs, _: xs[0], False

    def place(label: str) -> str:
        return e.index(dims.index((label,)))

    if form == "computed":
        init = e.empty(dims, "i1")
        return (
            e.generic([], [init], lambda *_: [compare(place)]),
            lambda xs, _: xs[0],
            False,
        )
    own = draft.types.softmax
    ones = e.fill(dims, own, 1.0)
    init = e.empty(dims, own)
    tril = e.generic(
        [ones],
        [init],
        lambda xs, _: [e.select(compare(place), xs[0], e.constant(0.0, own), own)],
    )

    def keep(xs: List[str], _: Callable[[str], str]) -> str:
        return e.op("arith.cmpf", [xs[0], e.constant(0.0, own)], own, "one, ")

    return tril, keep, False


def _compare(draft: Draft, spelling: str, i: str, j: str) -> str:
    e = draft.e
    one = e.fresh()
    if spelling == "i64":
        casts = []
        for value in (i, j):
            casts.append(e.fresh())
            e.line(f"{casts[-1]} = arith.index_cast {value} : index to i64")
        return e.op("arith.cmpi", [casts[1], casts[0]], "i64", "sle, ")
    if spelling == "j<i+1":
        e.line(f"{one} = arith.constant 1 : index")
        return e.op(
            "arith.cmpi", [j, e.op("arith.addi", [i, one], "index")], "index", "slt, "
        )
    if spelling == "not j>i":
        after = e.op("arith.cmpi", [j, i], "index", "sgt, ")
        return e.op("arith.xori", [after, e.truth(True)], "i1")
    if spelling == "i-j>=0":
        e.line(f"{one} = arith.constant 0 : index")
        return e.op(
            "arith.cmpi", [e.op("arith.subi", [i, j], "index"), one], "index", "sge, "
        )
    if spelling == "i>=j":
        return e.op("arith.cmpi", [i, j], "index", "sge, ")
    return e.op("arith.cmpi", [j, i], "index", "sle, ")


def _below(draft: Draft, offset: int) -> np.ndarray:
    i, j = np.ogrid[: draft.sizes["i"], : draft.sizes["j"]]
    return j <= i + offset


def causal(draft: Draft, name: str) -> Step:
    """Keys after the query are hidden; with an offset, keys after another one."""
    # A single query that sees no key is no attention any more.
    offset = draft.c.rarely(
        f"{name}.offset", [0, 1, -1] if draft.sizes["i"] > 1 else [0, 1]
    )
    inputs, keep, needs_index = _triangle(draft, name, offset)
    kind = "causal" if offset == 0 else "mask"
    return _masking_step(
        draft, name, inputs, keep, lambda _: _below(draft, offset), kind, needs_index
    )


def causal_and_padding(draft: Draft, name: str) -> Step:
    """Both in one condition."""
    given, keep_given, kept = _given(draft, name, _dims(draft, "bj"))
    inputs, keep_before, needs_index = _triangle(draft, name, 0)

    def keep(xs: List[str], index: Callable[[str], str]) -> str:
        both = [keep_given(xs[:1], index), keep_before(xs[1:], index)]
        return draft.e.op("arith.andi", both, "i1")

    return _masking_step(
        draft,
        name,
        [given, *inputs],
        keep,
        lambda a: kept(a) & _below(draft, 0),
        "causal or mask",
        needs_index,
    )


def sliding_window(draft: Draft, name: str) -> Step:
    """|i - j| < w."""
    e = draft.e
    width = draft.c(f"{name}.width", [2, 1, 3])

    def keep(_: List[str], index: Callable[[str], str]) -> str:
        integer = []
        for label in "ij":
            integer.append(e.fresh())
            e.line(f"{integer[-1]} = arith.index_cast {index(label)} : index to i64")
        distance = e.op("arith.subi", integer, "i64")
        limits = []
        for limit in (-width, width):
            limits.append(e.fresh())
            e.line(f"{limits[-1]} = arith.constant {limit} : i64")
        above = e.op("arith.cmpi", [distance, limits[0]], "i64", "sgt, ")
        below = e.op("arith.cmpi", [distance, limits[1]], "i64", "slt, ")
        return e.op("arith.andi", [above, below], "i1")

    def kept(_: Arrays) -> np.ndarray:
        i, j = np.ogrid[: draft.sizes["i"], : draft.sizes["j"]]
        return abs(i - j) < width

    return _masking_step(draft, name, [], keep, kept, "mask", needs_index=True)
