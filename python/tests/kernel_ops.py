# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cases of the attention ops. Arrays are given as ``[B, H, N, D]`` and stored as the
case's layout says; formulas are those of ``reference``, nothing of the compiler's."""

from __future__ import annotations

import zlib
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import eager
import numpy as np
import reference
from kernel_case import DTYPES, Array, Case, half_ulp, tensor

# How Q, K, V and O are stored: b, h, then i or j tokens, d or e channels.
LAYOUTS: Dict[str, Tuple[str, str, str, str]] = {
    "heads first": ("bhid", "bhjd", "bhje", "bhie"),
    "tokens first": ("bihd", "bjhd", "bjhe", "bihe"),
    "sequence first": ("ibhd", "jbhd", "jbhe", "ibhe"),
    "channels first": ("bhdi", "bhdj", "bhej", "bhei"),
    "transposed keys": ("bhid", "bhdj", "bhje", "bihe"),
}
PACKED = "packed"
"""One array [B,N,3,H,D] of Q, K and V; O is [B,N,H,D]."""

Shape = Sequence[int]


def normal(name: str, *shapes: Shape) -> List[Array]:
    """Unit-normal arrays, the same at each call with one name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return [rng.standard_normal(shape) for shape in shapes]


def rounded(array: Array, dtype: str) -> Array:
    """What an array of `dtype` holds of it."""
    with np.errstate(over="ignore"):
        stored = np.asarray(array).astype(DTYPES[dtype])
    return stored if dtype in ("f64", "i1") else stored.astype(np.float32)


def store(array: Array, have: str, want: str) -> Array:
    return np.ascontiguousarray(array.transpose([have.index(c) for c in want]))


def view_maps(domain: str, *stored: str) -> str:
    results = ", ".join(
        f"affine_map<({','.join(domain)}) -> ({','.join(dims)})>" for dims in stored
    )
    return f"[{results}]"


def operands(
    case: Case,
    arrays: Sequence[Array],
    dims: Tuple[str, str, str],
    layout: str,
    types: Sequence[str],
    dynamic: bool,
    sliced: bool,
) -> Tuple[List[Tuple[str, str]], List[str]]:
    """Passes Q, K and V; returns their values and types, and how they are stored."""

    def extents(stored: str) -> List[int]:
        return [i for i, c in enumerate(stored) if dynamic and c in "bijn"]

    if layout == PACKED:
        b, h, n, d = dims[0]
        qkv = np.stack([x.transpose(0, 2, 1, 3) for x in arrays], axis=2)
        value = case.argument(qkv, types[0], extents(b + n + "3" + h + d), sliced)
        return [value] * 3, [f"{x[0]}{x[2]}{i}{x[1]}{x[3]}" for i, x in enumerate(dims)]
    tokens = {"i": dims[0][2], "j": dims[1][2]}
    stored = ["".join(tokens.get(c, c) for c in names) for names in LAYOUTS[layout][:3]]
    values = [
        case.argument(store(a, have, want), t, extents(want), sliced)
        for a, have, want, t in zip(arrays, dims, stored, types)
    ]
    return values, stored


def finish(
    case: Case,
    text: Callable[[str, str], str],
    like: Array,
    dims: str,
    stored: str,
    dynamic: bool,
    sliced: bool,
) -> None:
    """The op `text(destination, type)` with its result %o, stored in a tensor of
    its own; with `sliced`, inside of a larger one of zeros."""
    shape = store(like, dims, stored).shape
    extents = [i for i, c in enumerate(stored) if dynamic and c in "bin"]
    if not sliced:
        # NaN shows where nothing is written.
        init = case.argument(np.full(shape, np.nan), "", extents)
        case.destinations.append(len(case.arguments) - 1)
        case.body.append(text(*init))
        case.result = ("%o", init[1])
        return
    outer = case.argument(np.zeros([n + 3 for n in shape]))
    case.destinations.append(len(case.arguments) - 1)
    ones, type_ = [1] * len(shape), tensor(shape, case.dtype)
    case.body += [
        f"%i = tensor.extract_slice {outer[0]}{ones} {list(shape)} {ones}"
        f" : {outer[1]} to {type_}",
        text("%i", type_),
        f"%r = tensor.insert_slice %o into {outer[0]}{ones} {list(shape)} {ones}"
        f" : {type_} into {outer[1]}",
    ]
    case.result = ("%r", outer[1])


def expect(
    case: Case,
    formula: Callable[[Any], Array],
    in_torch: Optional[Callable[[], Array]],
    dims: str,
    stored: str,
    v: Array,
    sliced: bool,
) -> None:
    """What `formula(dtype)` [b,h,i,e] gives exactly and in a plain evaluation, and
    `in_torch`, if there is a peer."""

    def stored_alike(result: Array) -> Array:
        result = store(result, dims, stored)
        return np.pad(result, [(1, 2)] * result.ndim) if sliced else result

    exact = np.longdouble if case.computed == np.float64 else np.float64
    with np.errstate(all="ignore"):
        results = [formula(exact), formula(case.computed)]
    case.expected, case.plain = (stored_alike(x) for x in results)
    if in_torch is not None:
        case.eager = lambda: stored_alike(in_torch())
    finite = np.abs(v[np.isfinite(v)])
    case.scale = float(finite.max(initial=0)) or 1.0


def sdpa(
    name: str,
    q: Array,
    k: Array,
    v: Array,
    *,
    dtype: str = "f32",
    out_dtype: str = "",
    layout: str = "heads first",
    dynamic: bool = False,
    sliced: bool = False,
    scale: Optional[float] = None,
    bias: Sequence[Tuple[Array, str, str]] = (),
    causal: bool = False,
    masked_rows: str = "zero",
    score: str = "",
    scored: Optional[Callable[[Array], Array]] = None,
    normal: bool = True,
) -> Case:
    """attention.sdpa. A bias is (array, its dims of b, h, i, j or 0, type); `score` is
    the body of a score region, of which `scored` is the function on [b,h,i,j]."""
    case = Case(name, out_dtype or dtype, normal=normal)
    case.computed = np.float64 if dtype == "f64" else np.float32
    q, k, v = (rounded(x, dtype) for x in (q, k, v))
    values, stored = operands(
        case, (q, k, v), ("bhid", "bhjd", "bhje"), layout, [dtype] * 3, dynamic, sliced
    )
    out = "bihe" if layout == PACKED else LAYOUTS[layout][3]
    extra = [
        case.argument(
            a, t, [i for i, c in enumerate(d) if dynamic and c in "bij"], sliced
        )
        for a, d, t in bias
    ]
    attributes = ""
    if extra:
        attributes += " bias({} : {})".format(*(", ".join(x) for x in zip(*extra)))
    if scale is not None:
        kind = "f64" if dtype == "f64" else "f32"
        case.body.append(f"%s = arith.constant {float(scale)!r} : {kind}")
        attributes += f" scale(%s : {kind})"
    tail = f"{score} {'causal' if causal else ''} masked_rows = {masked_rows}"
    maps = view_maps("bhijde", *stored, *(d for _, d, _ in bias), out)
    ins, types = (", ".join(x) for x in zip(*values))

    def text(init: str, type_: str) -> str:
        return (
            f"%o = attention.sdpa indexing_maps = {maps} ins({ins} : {types})"
            f"{attributes} outs({init} : {type_}) {tail} -> {type_}"
        )

    def formula(kind: Any) -> Array:
        if k.shape[2] == 0:
            return np.zeros((*q.shape[:3], v.shape[3]), kind)
        if scored is not None:
            raw = np.einsum("bhid,bhjd->bhij", q.astype(kind), k.astype(kind))
            by = kind(scale) if scale is not None else 1 / np.sqrt(kind(q.shape[3]))
            p = reference.softmax(scored(by * raw), -1, masked_rows, kind)
            return np.einsum("bhij,bhjd->bhid", p, v.astype(kind))
        biases = [to_scores(rounded(a, t), d) for a, d, t in bias]
        return reference.sdpa(q, k, v, scale, biases, causal, masked_rows, kind)

    def in_torch() -> Array:
        added = [to_scores(rounded(a, t), d) for a, d, t in bias]
        added = [np.where(x, 0, -np.inf) if x.dtype == bool else x for x in added]
        total = sum(added[1:], added[0]) if added else None
        return eager.sdpa(q, k, v, dtype, scale, total, causal, masked_rows, scored)

    like = np.empty((*q.shape[:3], v.shape[3]))
    finish(case, text, like, "bhie", out, dynamic, sliced)
    peer = in_torch if dtype in eager.TYPES else None
    expect(case, formula, peer, "bhie", out, v, sliced)
    return case


def to_scores(array: Array, dims: str) -> Array:
    """A bias with the dims `dims`, to be broadcast over [b,h,i,j]."""
    kept = "".join(c for c in dims if c != "0")
    array = array.reshape([n for n, c in zip(array.shape, dims) if c != "0"])
    array = array.transpose([kept.index(c) for c in "bhij" if c in kept])
    sizes = iter(array.shape)
    return array.reshape([next(sizes) if c in kept else 1 for c in "bhij"])


def linear(
    name: str,
    q: Array,
    k: Array,
    v: Array,
    *,
    dtype: str = "f32",
    layout: str = "heads first",
    dynamic: bool = False,
    sliced: bool = False,
    normal: bool = True,
) -> Case:
    """attention.linear."""
    case = Case(name, dtype, normal=normal)
    case.computed = np.float64 if dtype == "f64" else np.float32
    q, k, v = (rounded(x, dtype) for x in (q, k, v))
    values, stored = operands(
        case, (q, k, v), ("bhid", "bhjd", "bhje"), layout, [dtype] * 3, dynamic, sliced
    )
    out = "bihe" if layout == PACKED else LAYOUTS[layout][3]
    ins, types = (", ".join(x) for x in zip(*values))

    def text(init: str, type_: str) -> str:
        return (
            f"%o = attention.linear indexing_maps = {view_maps('bhijde', *stored, out)}"
            f" ins({ins} : {types}) outs({init} : {type_}) -> {type_}"
        )

    def formula(kind: Any) -> Array:
        if k.shape[2] == 0:
            return np.zeros((*q.shape[:3], v.shape[3]), kind)
        return reference.linear(q, k, v, kind)

    finish(
        case, text, np.empty((*q.shape[:3], v.shape[3])), "bhie", out, dynamic, sliced
    )
    peer = (lambda: eager.linear(q, k, v, dtype)) if dtype in eager.TYPES else None
    expect(case, formula, peer, "bhie", out, v, sliced)
    return case


def elfatt(
    name: str,
    q: Array,
    k: Array,
    v: Array,
    grid: Shape,
    window: Shape,
    global_heads: int,
    *,
    prefix: int = 0,
    lepe: bool = False,
    local_first: bool = False,
    dtype: str = "f32",
    layout: str = PACKED,
    dynamic: bool = False,
    sliced: bool = False,
    scale: Optional[float] = None,
    normal: bool = True,
) -> Case:
    """attention.elfatt; `lepe` gives random weights to both branches."""
    case = Case(name, dtype, normal=normal and not lepe)
    case.computed = np.float64 if dtype == "f64" else np.float32
    q, k, v = (rounded(x, dtype) for x in (q, k, v))
    heads, channels = v.shape[1], v.shape[3]
    dims = ("bhnd", "bhnd", "bhne")
    values, stored = operands(
        case, (q, k, v), dims, layout, [dtype] * 3, dynamic, sliced
    )
    out = "bnhe" if layout == PACKED else LAYOUTS[layout][3].replace("i", "n")
    branches: Dict[str, reference.Lepe] = {}
    attributes = ""
    for which, count in [("global", global_heads), ("local", heads - global_heads)]:
        if lepe and count:
            weights, added = (
                rounded(x, dtype)
                for x in random_lepe(name + which, grid, count, channels)
            )
            branches[which] = (weights, added)
            w, c = case.argument(weights), case.argument(added)
            attributes += f" {which}_lepe({w[0]}, {c[0]} : {w[1]}, {c[1]})"
    if scale is not None:
        case.body.append(f"%s = arith.constant {float(scale)!r} : f32")
        attributes += " scale(%s : f32)"
    ins, types = (", ".join(x) for x in zip(*values))

    def text(init: str, type_: str) -> str:
        return (
            f"%o = attention.elfatt indexing_maps = {view_maps('bhnde', *stored, out)}"
            f" ins({ins} : {types}) {attributes} outs({init} : {type_})"
            f" global_heads = {global_heads} {'local_first' if local_first else ''}"
            f" grid = {list(grid)} window = {list(window)} prefix = {prefix} -> {type_}"
        )

    def evaluate(function: Any, kind: Any, with_lepe: bool = True) -> Array:
        inputs = (q, k, v)
        if local_first:
            inputs = tuple(np.roll(x, global_heads, axis=1) for x in inputs)
        result = function(
            *inputs,
            grid,
            window,
            global_heads,
            prefix,
            branches.get("global") if with_lepe else None,
            branches.get("local") if with_lepe else None,
            scale,
            kind,
        )
        return np.roll(result, -global_heads, axis=1) if local_first else result

    def formula(kind: Any) -> Array:
        return evaluate(reference.elfatt, kind)

    def in_torch() -> Array:
        return evaluate(eager.elfatt, dtype)

    finish(case, text, np.empty(v.shape), "bhne", out, dynamic, sliced)
    peer = in_torch if dtype in eager.TYPES else None
    expect(case, formula, peer, "bhne", out, v, sliced)
    if lepe and dtype in ("f16", "bf16"):
        # The part that attends is rounded, then the sum of it and LePE.
        slack = store(
            half_ulp(np.abs(evaluate(reference.elfatt, np.float64, False)), dtype),
            "bhne",
            out,
        )
        case.slack = np.pad(slack, [(1, 2)] * slack.ndim) if sliced else slack
    return case


def random_lepe(name: str, grid: Shape, heads: int, channels: int) -> List[Array]:
    taps = [3] * len(grid)
    return normal(name, (*taps, heads, channels), (heads, channels))
