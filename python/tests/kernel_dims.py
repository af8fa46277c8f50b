# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cases of attention.sdpa whose heads or tokens are two dims each."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from kernel_case import Array, Case, tensor
from kernel_ops import normal, sdpa


def grouped(
    n: int,
    m: int,
    dtype: str,
    batch: int = 2,
    dynamic: bool = False,
    causal: bool = False,
    mask: bool = False,
    heads: int = 2,
    group: int = 3,
    d: int = 20,
    e: int = 5,
) -> Case:
    """`group` query heads to each of `heads` heads of keys; with `mask`, one for each
    sample that says which keys a token sees."""
    options = "-dynamic" * dynamic + "-causal" * causal + "-mask" * mask
    name = f"sdpa-grouped{options}-b{batch}-h{heads}x{group}-n{n}-m{m}-d{d}-e{e}"
    of_queries, of_keys = (batch, heads * group, n), (batch, heads, m)
    q, k, v = normal(name, (*of_queries, d), (*of_keys, d), (*of_keys, e))
    seen = normal(name, (batch, n, m))[0] > -0.5
    wide = sdpa(
        name,
        q,
        k.repeat(group, axis=1),
        v.repeat(group, axis=1),
        dtype=dtype,
        causal=causal,
        bias=[(seen, "bij", "i1")] if mask else [],
    )
    case = Case(name, dtype)
    q = q.reshape(batch, heads, group, n, d)

    def argument(array: Array, dims: str, kind: str = "") -> Tuple[str, str]:
        extents = [at for at, dim in enumerate(dims) if dynamic and dim in "bij"]
        return case.argument(array, kind, extents)

    stored = ["bhgid", "bhjd", "bhje"]
    values = [argument(x, dims) for x, dims in zip((q, k, v), stored)]
    bias = ""
    if mask:
        stored.append("bij")
        bias = "bias({} : {})".format(*argument(seen, "bij", "i1"))
    stored.append("bhgie")
    shape = (batch, heads, group, n, e)
    init = argument(np.full(shape, np.nan), stored[-1])
    case.destinations.append(len(case.arguments) - 1)
    ins, of = (", ".join(x) for x in zip(*values))
    dims = "b,h,g,i,j,d,e"
    maps = ", ".join(f"affine_map<({dims}) -> ({','.join(x)})>" for x in stored)
    case.body.append(
        f"%o = attention.sdpa indexing_maps = [{maps}] ins({ins} : {of}) {bias}"
        f" outs({init[0]} : {init[1]}) {'causal' * causal} -> {init[1]}"
    )
    case.result = ("%o", init[1])
    case.expected, case.plain = wide.expected.reshape(shape), wide.plain.reshape(shape)
    case.scale = wide.scale
    if peer := wide.eager:
        case.eager = lambda: peer().reshape(shape)
    return case


def image(dtype: str) -> Case:
    """The tokens of an image of any size as its rows and columns, beside keys of one dim."""
    name = "sdpa-dynamic-image"
    q, k, v = normal(name, (2, 35, 20), (2, 35, 20), (2, 35, 5))
    flat = sdpa(name, q[:, None], k[:, None], v[:, None], dtype=dtype)
    case = Case(name, dtype, scale=flat.scale)
    values = [case.argument(x, "", [1]) for x in (q, k, v)]
    init = case.argument(np.full((2, 5, 7, 5), np.nan), "", [1, 2])
    case.destinations.append(3)
    rows = tensor([2, "?", "?", 20], dtype)
    ins = ", ".join(["%q", *(value for value, _ in values[1:])])
    types = ", ".join([rows, *(type_ for _, type_ in values[1:])])
    maps = ", ".join(
        f"affine_map<(b,y,x,j,d,e) -> ({','.join(dims)})>"
        for dims in ("byxd", "bjd", "bje", "byxe")
    )
    case.body += [
        "%c1 = arith.constant 1 : index",
        "%c2 = arith.constant 2 : index",
        f"%y = tensor.dim {init[0]}, %c1 : {init[1]}",
        f"%x = tensor.dim {init[0]}, %c2 : {init[1]}",
        f"%q = tensor.expand_shape {values[0][0]} [[0], [1, 2], [3]]"
        f" output_shape [2, %y, %x, 20] : {values[0][1]} into {rows}",
        f"%o = attention.sdpa indexing_maps = [{maps}] ins({ins} : {types})"
        f" outs({init[0]} : {init[1]}) -> {init[1]}",
    ]
    case.result = ("%o", init[1])
    shape = (2, 5, 7, 5)
    case.expected, case.plain = flat.expected.reshape(shape), flat.plain.reshape(shape)
    if peer := flat.eager:
        case.eager = lambda: peer().reshape(shape)
    return case
