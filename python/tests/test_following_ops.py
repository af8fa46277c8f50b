# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise ops behind attention, computed on its rows before they are stored:
whole functions on the CPU against float64."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import pytest
from kernel_case import Array, Case, check, half_ulp, run, tensor
from kernel_ops import elfatt, linear, normal, rounded, sdpa
from kernel_tables import qkv

WIDEN = "arith.extf {0} : {1} to f32"


def follow(
    case: Case,
    text: str,
    type_: str,
    formula: Callable[[Array], Array],
    stored: str,
    dynamic: str = "",
) -> Case:
    """`case` with the lines `text` behind its op %o, which end in %z of `type_`.
    Attention writes into a tensor that is empty, of type `stored`."""
    init = case.result
    begin = case.body[-1].index("outs(") + len("outs(")
    end = case.body[-1].index(" :", begin)
    case.body[-1] = case.body[-1][:begin] + "%init" + case.body[-1][end:]
    case.body.insert(-1, f"%init = tensor.empty({dynamic}) : {init[1]}")
    case.body += text.splitlines()
    case.result = ("%z", type_)
    case.dtype = type_.rstrip(">").split("x")[-1]
    if stored in ("f16", "bf16"):
        # Of attention's own rounding; no formula here makes it larger.
        case.slack = half_ulp(case.expected, stored)
    attention = case.expected, case.plain
    case.expected = formula(attention[0])
    case.plain = formula(rounded(attention[1], stored)).astype(case.computed)
    return case


def add(ins: str, out: str, dtype: str = "f32", name: str = "%z") -> str:
    return (
        f"%e = tensor.empty() : {out}\n"
        f"{name} = linalg.add ins({ins} : {out}, {out}) outs(%e : {out}) -> {out}"
    )


def generic(
    maps: str, ins: str, types: str, out: str, body: str, empty: str = ""
) -> str:
    """linalg.generic with one map an operand, of dims like "bnc"; `0` is a constant."""
    domain = maps.split()[-1]
    affine = ", ".join(
        f"affine_map<({','.join(domain)}) -> ({','.join(dims if dims != '-' else '')})>"
        for dims in maps.split()
    )
    kinds = [t.strip().rstrip(">").split("x")[-1] for t in [*types.split(", "), out]]
    kinds = [k.replace("tensor<", "") for k in kinds]
    names = [f"%x{i}: {k}" for i, k in enumerate(kinds)]
    parallel = ", ".join(['"parallel"'] * len(domain))
    return (
        f"%e = tensor.empty({empty}) : {out}\n"
        f"%z = linalg.generic {{indexing_maps = [{affine}], iterator_types = [{parallel}]}}"
        f" ins({ins} : {types}) outs(%e : {out}) {{\n"
        f"^bb0({', '.join(names)}):\n{body}\n}} -> {out}"
    )


def residual_of_elfatt(name: str, prefix: int = 0, d: int = 32, **options: Any) -> Case:
    """[B,N,H,D] seen as [B,N,C], to which a tensor is added."""
    n = 196 + prefix
    case = elfatt(
        name, *qkv(name, 2, 3, n, n, d), (14, 14), (7, 7), 1,
        prefix=prefix, lepe=not prefix, **options,
    )  # fmt: skip
    out = tensor((2, n, 3 * d), "f32")
    (x,) = normal(name + "x", (2, n, 3 * d))
    value, _ = case.argument(x)
    x = rounded(x, "f32")
    text = (
        f"%c = tensor.collapse_shape %o [[0], [1], [2, 3]]"
        f" : {tensor((2, n, 3, d), 'f32')} into {out}\n" + add(f"%c, {value}", out)
    )
    return follow(case, text, out, lambda o: o.reshape(x.shape) + x, "f32")


def mixed_elfatt(name: str) -> Case:
    """bf16: widened, a bias added, tanh taken, a residual added, rounded."""
    case = elfatt(
        name, *qkv(name, 1, 4, 144, 144, 24), (12, 12), (6, 6), 2, dtype="bf16"
    )
    x, bias = normal(name + "x", (1, 144, 4, 24), (4, 24))
    a, b = case.argument(x, "bf16"), case.argument(bias, "f32")
    out = tensor(x.shape, "bf16")
    body = (
        "%0 = arith.extf %x0 : bf16 to f32\n%1 = arith.addf %0, %x2 : f32\n"
        "%2 = math.tanh %1 : f32\n%3 = arith.extf %x1 : bf16 to f32\n"
        "%4 = arith.addf %2, %3 : f32\n%5 = arith.truncf %4 : f32 to bf16\n"
        "linalg.yield %5 : bf16"
    )
    text = generic(
        "bnhd bnhd hd bnhd", f"%o, {a[0]}, {b[0]}", f"{out}, {a[1]}, {b[1]}", out, body
    )
    x, bias = rounded(x, "bf16"), rounded(bias, "f32")
    return follow(case, text, out, lambda o: np.tanh(o + bias) + x, "bf16")


def permuted_cast(name: str, n: int, m: int, d: int, **options: Any) -> Case:
    """sdpa [B,H,N,D] to [B,N,H,D], a residual of one image added, rounded to bf16."""
    case = sdpa(name, *qkv(name, 2, 3, n, m, d), **options)
    (x,) = normal(name + "x", (1, n, 3, d))
    value, type_ = case.argument(x)
    out = tensor((2, n, 3, d), "bf16")
    body = (
        "%0 = arith.addf %x0, %x1 : f32\n%1 = arith.truncf %0 : f32 to bf16\n"
        "linalg.yield %1 : bf16"
    )
    from_ = tensor((2, 3, n, d), "f32")
    text = generic("bhnd 0nhd bnhd", f"%o, {value}", f"{from_}, {type_}", out, body)
    x = rounded(x, "f32")
    return follow(case, text, out, lambda o: o.transpose(0, 2, 1, 3) + x, "f32")


def rowwise_linear(name: str, dtype: str) -> Case:
    """linear attention of a dynamic number of tokens, with a factor a row, one a batch
    and a scalar; to another type."""
    case = linear(name, *qkv(name, 2, 2, 211, 211, 40), dynamic=True)
    row, batch = normal(name + "x", (2, 211), (2,))
    a, b = case.argument(row, "f32", [1]), case.argument(batch)
    out = f"tensor<?x2x?x40x{dtype}>"
    body = (
        "%0 = arith.mulf %x0, %x1 : f32\n%1 = arith.addf %0, %x2 : f32\n"
        "%2 = arith.maximumf %1, %x3 : f32\n"
        + (
            f"%3 = arith.truncf %2 : f32 to {dtype}\nlinalg.yield %3 : {dtype}"
            if dtype != "f32"
            else "linalg.yield %2 : f32"
        )
    )
    like = "tensor<?x2x?x40xf32>"
    text = (
        "%low = arith.constant -0.5 : f32\n"
        f"%n = tensor.dim %o, %two : {like}\n%m = tensor.dim %o, %zero : {like}\n"
    ) + generic(
        "bhnd bn b - bhnd",
        f"%o, {a[0]}, {b[0]}, %low",
        f"{like}, {a[1]}, {b[1]}, f32",
        out,
        body,
        empty="%m, %n",
    )
    row, batch = rounded(row, "f32"), rounded(batch, "f32")

    def formula(o: Array) -> Array:
        o = o * row[:, None, :, None] + batch[:, None, None, None]
        return np.maximum(o, -0.5)

    case.body[:0] = [
        "%zero = arith.constant 0 : index\n%two = arith.constant 2 : index",
        f"%b = tensor.dim %a0, %zero : {case.arguments[0][1]}",
        f"%t = tensor.dim %a0, %two : {case.arguments[0][1]}",
    ]
    return follow(case, text, out, formula, "f32", dynamic="%b, %t")


def expanded(name: str) -> Case:
    """sdpa of one head on [B,N,C], seen as an image, to which two others are added."""
    case = sdpa(
        name, *qkv(name, 2, 1, 600, 600, 32), causal=True, layout="tokens first"
    )
    x, y = normal(name + "x", (2, 20, 30, 32), (2, 20, 30, 32))
    a, b = case.argument(x), case.argument(y)
    out = tensor(x.shape, "f32")
    text = (
        f"%c = tensor.collapse_shape %o [[0], [1], [2, 3]]"
        f" : {tensor((2, 600, 1, 32), 'f32')} into {tensor((2, 600, 32), 'f32')}\n"
        "%i = tensor.expand_shape %c [[0], [1, 2], [3]] output_shape [2, 20, 30, 32]"
        f" : {tensor((2, 600, 32), 'f32')} into {out}\n"
        f"%e0 = tensor.empty() : {out}\n"
        f"%y = linalg.add ins({a[0]}, {b[0]} : {out}, {out}) outs(%e0 : {out}) -> {out}\n"
        + add("%i, %y", out)
    )
    x, y = rounded(x, "f32"), rounded(y, "f32")
    return follow(case, text, out, lambda o: o.reshape(x.shape) + (x + y), "f32")


def gated(name: str) -> Case:
    """y = o * (o + 3) in two ops that both read attention's result, as LeViT's hard
    swish does."""
    case = sdpa(name, *qkv(name, 1, 2, 100, 100, 16), layout="tokens first")
    whole, out = tensor((1, 100, 2, 16), "f32"), tensor((1, 100, 32), "f32")
    body = "%0 = arith.addf %x0, %x1 : f32\nlinalg.yield %0 : f32"
    shifted = generic("bnc - bnc", "%c, %three", f"{out}, f32", out, body)
    text = (
        "%three = arith.constant 3.0 : f32\n"
        f"%c = tensor.collapse_shape %o [[0], [1], [2, 3]] : {whole} into {out}\n"
        + shifted.replace("%e =", "%e0 =")
        .replace("(%e :", "(%e0 :")
        .replace("%z =", "%s =")
        + f"\n%e = tensor.empty() : {out}\n"
        f"%z = linalg.mul ins(%s, %c : {out}, {out}) outs(%e : {out}) -> {out}"
    )
    return follow(case, text, out, lambda o: (o * (o + 3)).reshape(1, 100, 32), "f32")


@functools.cache
def cases() -> Dict[str, Case]:
    all_cases: List[Case] = [
        residual_of_elfatt("elfatt"),
        residual_of_elfatt("elfatt-local-first", local_first=True, d=20),
        residual_of_elfatt("elfatt-prefix", prefix=1),
        mixed_elfatt("elfatt-bf16"),
        permuted_cast("sdpa-cast-short", 49, 49, 32),
        permuted_cast("sdpa-cast-tails", 211, 300, 20),
        rowwise_linear("linear-dynamic", "f32"),
        rowwise_linear("linear-dynamic-cast", "f16"),
        expanded("sdpa-image"),
        gated("sdpa-gated"),
    ]
    return {case.name: case for case in all_cases}


NAMES = (
    "elfatt", "elfatt-local-first", "elfatt-prefix", "elfatt-bf16", "sdpa-cast-short",
    "sdpa-cast-tails", "linear-dynamic", "linear-dynamic-cast", "sdpa-image", "sdpa-gated",
)  # fmt: skip


@pytest.fixture(scope="module")
def results(
    elfatt_run: str, tmp_path_factory: pytest.TempPathFactory
) -> Dict[str, Any]:
    folder: Path = tmp_path_factory.mktemp("following")
    return run(elfatt_run, folder, list(cases().values()), ["--guard=after"], 5)


@pytest.mark.parametrize("name", NAMES)
def test_following_op(results: Dict[str, Any], name: str) -> None:
    check(cases()[name], results[name])


@pytest.mark.parametrize("name", ["elfatt", "linear-dynamic", "sdpa-gated"])
def test_following_op_in_a_kernel(elfatt_run: str, tmp_path: Path, name: str) -> None:
    case = cases()[name]
    check(case, run(elfatt_run, tmp_path, [case], ["--target=sim:sm_87"])[name])
