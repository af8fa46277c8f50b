# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How queries, keys and values arrive: packed or apart, in what layout and type,
and where the scale is."""

from __future__ import annotations

import math
from typing import Dict, List, Sequence, Tuple

import numpy as np

from .compute import elementwise
from .draft import Arrays, Draft, spread
from .emitter import Dim, Dims, Tensor, flat, singles
from .movement import cut, rename, reshape, take

#: Labels of each operand, with the batch labels that it has.
TOKENS = {"q": "i", "k": "j", "v": "j"}
CHANNELS = {"q": "d", "k": "d", "v": "e"}
BATCH = {"q": "bgr", "k": "bg", "v": "bg"}


def _heads(draft: Draft, operand: str) -> Dim:
    return tuple(x for x in draft.batch if x in "gr" and x in BATCH[operand])


def _layout(
    draft: Draft, name: str, b: Dims, heads: Dim, token: str, channel: str
) -> Dims:
    """Where batch, heads, tokens and channels stand in an argument."""
    h: Dims = (heads,) if heads else ()
    layouts: Dict[str, Dims] = {
        "bhnd": (*b, *h, (token,), (channel,)),
        "bnhd": (*b, (token,), *h, (channel,)),
        "bhdn": (*b, *h, (channel,), (token,)),
        "bn(hd)": (*b, (token,), (*heads, channel)),
        "(bh)nd": ((*flat(b), *heads), (token,), (channel,)),
        "nbhd": ((token,), *b, *h, (channel,)),
        "(bn)(hd)": ((*flat(b), token), (*heads, channel)),
        "units": (*b, ("u0",), *h, (token,), ("u1",), (channel,)),
        "fine": singles(*flat(b), *heads, token, channel),
    }
    allowed = list(layouts)
    if draft.e.dynamic:
        allowed = ["bhnd", "bnhd", "bhdn", "nbhd", "bn(hd)", "fine"]
    # A dim of no labels is a unit dim that nothing names.
    allowed = [a for a in allowed if all(layouts[a])]
    return layouts[draft.c(name, allowed)]


def _is_self(draft: Draft) -> bool:
    s = draft.sizes
    return s["i"] == s["j"] and s["d"] == s["e"] and "r" not in draft.batch


def arrive(draft: Draft) -> Tuple[Tensor, Tensor, Tensor]:
    """Q, K and V, in some layout, in the type of the arguments."""
    packings = ["apart"]
    if draft.sizes["d"] == draft.sizes["e"] and not draft.e.dynamic:
        packings.append("kv")
        if _is_self(draft):
            packings.append("qkv")
    packing = draft.c("packing", packings)
    if packing == "qkv":
        return tuple(_unpack(draft, "qkv", ["q", "k", "v"]))  # type: ignore[return-value]
    if packing == "kv":
        k, v = _unpack(draft, "kv", ["k", "v"])
        return _apart(draft, "q"), k, v
    return _apart(draft, "q"), _apart(draft, "k"), _apart(draft, "v")


def _kind(operand: str) -> str:
    """Values may be NaN, but not infinite: 0 * inf and a tiny number * inf differ, and
    which of them it is depends on rounding."""
    return "values" if operand == "v" else "operand"


def _apart(draft: Draft, operand: str) -> Tensor:
    """An argument of its own, or a slice of one."""
    token, channel = TOKENS[operand], CHANNELS[operand]
    b: Dims = (("b",),) if "b" in draft.batch else ()
    heads = _heads(draft, operand)
    dims = _layout(draft, f"{operand}.layout", b, heads, token, channel)
    labels = [
        f"{label}"
        for label in (token, channel)
        if (label,) in dims and label not in draft.e.dynamic
    ]
    part = draft.c.rarely(f"{operand}.part of", ["all", *labels])
    labels_of = ("b", "g", "r", token, channel)
    if part == "all":
        tensor = draft.argument(_kind(operand), dims, draft.types.argument)
        at = draft.position(tensor)
        draft.operands[operand] = lambda arrays: spread(
            arrays[at], dims, draft.sizes, labels_of
        )
        return tensor
    wide = f"wide_{operand}"
    draft.sizes[wide] = draft.sizes[part] + 3
    offset = draft.c(f"{operand}.offset", [0, 2, 3])
    whole = tuple((wide,) if dim == (part,) else dim for dim in dims)
    tensor = draft.argument(_kind(operand), whole, draft.types.argument)
    at, axis, end = (
        draft.position(tensor),
        whole.index((wide,)),
        offset + draft.sizes[part],
    )

    def read(arrays: Arrays) -> np.ndarray:
        index = [slice(None)] * len(whole)
        index[axis] = slice(offset, end)
        return spread(arrays[at][tuple(index)], dims, draft.sizes, labels_of)

    draft.operands[operand] = read
    return cut(draft.e, tensor, wide, part, offset)


def _unpack(draft: Draft, name: str, operands: Sequence[str]) -> List[Tensor]:
    """Slices of one argument that holds several operands."""
    sizes = draft.sizes
    sizes["t"], sizes["n"] = len(operands), sizes["j"]
    b: Dims = (("b",),) if "b" in draft.batch else ()
    heads = tuple(x for x in draft.batch if x == "g")
    h: Dims = (heads,) if heads else ()
    layouts: Dict[str, Dims] = {
        "bn(thd)": (*b, ("n",), ("t", *heads, "d")),
        "bnthd": (*b, ("n",), ("t",), *h, ("d",)),
        "bn(htd)": (*b, ("n",), (*heads, "t", "d")),
        "tbhnd": (("t",), *b, *h, ("n",), ("d",)),
        "(bn)(thd)": ((*flat(b), "n"), ("t", *heads, "d")),
        "b(hn)td": (*b, (*heads, "n"), ("t",), ("d",)),
    }
    dims = layouts[draft.c(f"{name}.layout", list(layouts))]
    tensor = draft.argument("values", dims, draft.types.argument)
    at = draft.position(tensor)
    whole = tensor
    moved = draft.c(f"{name}.moved", ["as it is", "split first", "moved first"])
    if moved != "as it is":
        whole = reshape(draft.e, tensor, singles(*flat(dims)))
    if moved == "moved first":
        from .movement import transpose

        order = ("t", *(x for x in flat(dims) if x in "bg"), "n", "d")
        whole = transpose(draft.e, draft.c, name, whole, singles(*order))
    parts = []
    for place, operand in enumerate(operands):

        def read(arrays: Arrays, place: int = place) -> np.ndarray:
            array = spread(arrays[at], dims, sizes, ("t", "b", "g", "n", "d"))[place]
            return array[:, :, None]

        draft.operands[operand] = read
        part = take(draft.e, whole, "t", place)
        parts.append(rename(part, n=TOKENS[operand], d=CHANNELS[operand]))
    return parts


def prepare(draft: Draft, operand: str, tensor: Tensor) -> Tensor:
    """Casts to the type that is multiplied; a rounding on the way is in the source."""
    types, e = draft.types, draft.e
    target = types.operand
    if tensor.element != target:
        source = tensor.element
        return elementwise(
            e,
            draft.c,
            f"{operand}.cast",
            [tensor],
            tensor.dims,
            target,
            lambda xs: e.cast(xs[0], source, target),
        )
    rounded = draft.c.rarely(f"{operand}.rounded", ["no", "f16", "bf16"])
    if rounded != "no" and target == "f32":
        exact = draft.operands[operand]
        draft.operands[operand] = lambda arrays: round_to(exact(arrays), rounded)
        return elementwise(
            e,
            draft.c,
            f"{operand}.cast",
            [tensor],
            tensor.dims,
            target,
            lambda xs: e.cast(e.cast(xs[0], target, rounded), rounded, target),
        )
    return tensor


def round_to(values: np.ndarray, element: str) -> np.ndarray:
    """Values as ``element`` holds them, in float64."""
    if element == "f64":
        return values.astype(np.float64)
    single = values.astype(np.float32)
    if element == "f16":
        return single.astype(np.float16).astype(np.float64)
    if element == "bf16":
        return from_bits(to_bits(single)).astype(np.float64)
    return single.astype(np.float64)


def to_bits(values: np.ndarray) -> np.ndarray:
    """The bits of bf16, rounded to nearest even."""
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def from_bits(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


# The scale.


def draw_scale(draft: Draft) -> Tuple[str, float]:
    """Where the scale is, and what it is."""
    places = [
        "none",
        "q",
        "k",
        "both",
        "scores",
        "scores_div",
        "q_div",
        "negated",
        "q and scores",
    ]
    where = draft.c("scale", places)
    if where == "none":
        return where, 1.0
    default = 1 / math.sqrt(draft.sizes["d"])
    value = draft.c("scale.value", ["default", 0.3, -0.25, 1.0, 2.5])
    number = default if value == "default" else float(value)
    if where == "both":
        number = abs(number)
    return where, number


def scaled(
    draft: Draft, name: str, tensor: Tensor, number: float, divides: bool = False
) -> Tensor:
    """``tensor`` times, or divided by, a number that is written in some way."""
    e, element = draft.e, tensor.element
    if divides:
        number = 1 / number
    ways = ["constant", "splat", "argument", "unit argument"]
    way = draft.c(f"{name}.as", ways)
    inputs = [tensor]
    if way == "splat":
        dims = tuple(d for d in tensor.dims if not e.dynamic & set(d))
        inputs.append(e.dense(dims, element, f"{number:.17e}"))
    elif way == "argument":
        inputs.append(draft.argument("scalar", (), element, number))
    elif way == "unit argument":
        inputs.append(draft.argument("scalar", (("u0",), ("u1",)), element, number))
    op = "arith.divf" if divides else "arith.mulf"
    swapped = (
        not divides and draft.c(f"{name}.order", ["plain", "swapped"]) == "swapped"
    )

    def body(xs: List[str]) -> str:
        factor = xs[1] if len(xs) > 1 else e.constant(number, element)
        order = [factor, xs[0]] if swapped else [xs[0], factor]
        return e.op(op, order, element)

    return elementwise(e, draft.c, name, inputs, tensor.dims, element, body)
