# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every op of the dialect, decomposed to linalg and run by another compiler
(torch-mlir's JIT), against the float64 reference."""

from __future__ import annotations

import subprocess
from typing import Dict, List, Sequence, Tuple

import numpy as np
import pytest
import reference
import torch
from elfatt.tools import find_opt
from execute import execute

# Of the largest output. f64 and f32: a few roundings in each of a few hundred
# terms. f16 and bf16: the parts round their results (2^-11, 2^-8), LePE adds to
# one; the reference is given the rounded inputs.
TOLERANCE = {"f64": 1e-12, "f32": 1e-5, "f16": 2e-3, "bf16": 1.6e-2}

Shape = Sequence[int]


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    """What an array of `dtype` holds of it, as float64 or float32."""
    if dtype == "f64":
        return array.astype(np.float64)
    kind = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype]
    return torch.from_numpy(array).to(kind).to(torch.float32).numpy()


class Program:
    """A module around one op. `@main` takes float32 (float64, bool) arrays and
    rounds them to the type that the op is to see; dims named in `dynamic` are
    dynamic to the op."""

    def __init__(self, dtype: str = "f32") -> None:
        self.dtype = dtype
        self.outer = "f64" if dtype == "f64" else "f32"
        self.arguments: List[str] = []
        self.arrays: List[np.ndarray] = []
        self.body: List[str] = []

    def argument(
        self, array: np.ndarray, dynamic: Sequence[int] = (), dtype: str = ""
    ) -> Tuple[str, str]:
        """Passes an array; returns its value's name and type."""
        dtype = dtype or self.dtype
        outer = dtype if dtype in ("i1", "f64") else "f32"
        name = f"%a{len(self.arrays)}"
        self.arguments.append(f"{name}: {tensor(array.shape, outer)}")
        self.arrays.append(
            array
            if dtype == "i1"
            else array.astype(np.float64 if outer == "f64" else np.float32)
        )
        static = tensor(array.shape, dtype)
        if dtype != outer:
            name = self.convert(name, array.shape, outer, dtype, "truncf")
        if dynamic:
            shape = ["?" if i in dynamic else n for i, n in enumerate(array.shape)]
            self.body.append(
                f"{name}d = tensor.cast {name} : {static} to {tensor(shape, dtype)}"
            )
            return f"{name}d", tensor(shape, dtype)
        return name, static

    def convert(self, name: str, shape: Shape, have: str, want: str, op: str) -> str:
        dims = ", ".join(f"d{i}" for i in range(len(shape)))
        same = f"affine_map<({dims}) -> ({dims})>"
        kinds = ", ".join(['"parallel"'] * len(shape))
        self.body.append(
            f"""{name}e = tensor.empty() : {tensor(shape, want)}
            {name}c = linalg.generic {{indexing_maps = [{same}, {same}],
                                       iterator_types = [{kinds}]}}
              ins({name} : {tensor(shape, have)}) outs({name}e : {tensor(shape, want)}) {{
              ^bb0(%in: {have}, %out: {want}):
                %0 = arith.{op} %in : {have} to {want}
                linalg.yield %0 : {want}
            }} -> {tensor(shape, want)}"""
        )
        return f"{name}c"

    def run(self, op: str, out: Tuple[str, str], shape: Shape) -> np.ndarray:
        """Runs `op`, which defines %o of the type of `out`."""
        self.body.append(op)
        static = tensor(shape, self.dtype)
        result = "%o"
        if out[1] != static:
            self.body.append(f"%os = tensor.cast %o : {out[1]} to {static}")
            result = "%os"
        if self.dtype != self.outer:
            result = self.convert(result, shape, self.dtype, self.outer, "extf")
        text = (
            f"func.func @main({', '.join(self.arguments)}) -> {tensor(shape, self.outer)} {{\n"
            + "\n".join(self.body)
            + f"\nreturn {result} : {tensor(shape, self.outer)}\n}}\n"
        )
        return execute(decompose(text), self.arrays)[0]


def decompose(text: str) -> str:
    """The text of a module after --elfatt-decompose: without the dialect."""
    done = subprocess.run(
        [find_opt(), "--elfatt-decompose", "-"],
        input=text,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr + text
    assert "attention." not in done.stdout
    return done.stdout


def tensor(shape: Sequence[object], dtype: str) -> str:
    return "tensor<" + "".join(f"{n}x" for n in shape) + dtype + ">"


def maps(dims: str, *results: str) -> str:
    return "[" + ", ".join(f"affine_map<({dims}) -> ({r})>" for r in results) + "]"


def random(seed: int, *shapes: Shape) -> List[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def check(result: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    """Equal in NaN, and near elsewhere."""
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    scale = np.nanmax(np.abs(expected))
    error = np.nanmax(np.abs(result - expected)) / scale
    assert error <= TOLERANCE[dtype], f"error {error:.2e} of the largest output"


# --- attention.sdpa ---------------------------------------------------------------

B, H, N, M, D, E = 2, 3, 7, 11, 8, 5
SDPA = "b, h, i, j, d, e"
SHAPES = ((B, H, N, D), (B, H, M, D), (B, H, M, E))


def run_sdpa(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    dtype: str = "f32",
    bias: Sequence[Tuple[np.ndarray, str, str]] = (),
    scale: str = "",
    tail: str = "",
    dynamic: bool = False,
) -> np.ndarray:
    """attention.sdpa on [B,H,N,D]; a bias is (array, map results, type)."""
    p = Program(dtype)
    tokens = [0, 2] if dynamic else []
    out_shape = (*q.shape[:3], v.shape[-1])
    a = [p.argument(rounded(x, dtype), tokens) for x in (q, k, v)]
    c = [p.argument(x, (), t) for x, _, t in bias]
    init = p.argument(np.full(out_shape, np.nan), tokens)
    biases = ""
    if c:
        biases = f"bias({', '.join(n for n, _ in c)} : {', '.join(t for _, t in c)})"
    if scale:
        p.body.append(f"%scale = arith.constant {scale} : f32")
        scale = "scale(%scale : f32)"
    views = maps(
        SDPA, "b,h,i,d", "b,h,j,d", "b,h,j,e", *(m for _, m, _ in bias), "b,h,i,e"
    )
    return p.run(
        f"""%o = attention.sdpa indexing_maps = {views}
          ins({", ".join(n for n, _ in a)} : {", ".join(t for _, t in a)}) {biases} {scale}
          outs({init[0]} : {init[1]}) {tail} -> {init[1]}""",
        init,
        out_shape,
    )


@pytest.fixture
def qkv() -> List[np.ndarray]:
    return random(1, *SHAPES)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("dynamic", [False, True])
def test_sdpa(qkv: List[np.ndarray], dtype: str, dynamic: bool) -> None:
    expected = reference.sdpa(*(rounded(x, dtype) for x in qkv))
    check(run_sdpa(*qkv, dtype=dtype, dynamic=dynamic), expected, dtype)


def test_sdpa_scale(qkv: List[np.ndarray]) -> None:
    check(run_sdpa(*qkv, scale="-0.75"), reference.sdpa(*qkv, scale=-0.75), "f32")


def test_sdpa_bias_is_added(qkv: List[np.ndarray]) -> None:
    of_heads, of_all = random(2, (H, N, M), (B, N, M))
    expected = reference.sdpa(*qkv, bias=of_heads[None] + of_all[:, None])
    bias = [(of_heads, "h,i,j", "f32"), (of_all, "b,i,j", "f32")]
    check(run_sdpa(*qkv, bias=bias), expected, "f32")


@pytest.mark.parametrize("rows", ["zero", "nan"])
def test_sdpa_mask_keeps_where_true(qkv: List[np.ndarray], rows: str) -> None:
    mask = np.random.default_rng(3).random((B, N, M)) < 0.5
    mask[0, 3] = False
    expected = reference.sdpa(
        *qkv, bias=np.where(mask, 0.0, -np.inf)[:, None], masked_rows=rows
    )
    assert np.isnan(expected).any() == (rows == "nan")
    result = run_sdpa(*qkv, bias=[(mask, "b,i,j", "i1")], tail=f"masked_rows = {rows}")
    check(result, expected, "f32")


def test_sdpa_bias_of_one_row_and_constant_dims(qkv: List[np.ndarray]) -> None:
    (of_keys,) = random(4, (B, 1, 1, M))
    check(
        run_sdpa(*qkv, bias=[(of_keys, "b,0,0,j", "f32")]),
        reference.sdpa(*qkv, bias=of_keys),
        "f32",
    )


def test_sdpa_causal() -> None:
    q, k, v = random(5, (B, H, N, D), (B, H, N, D), (B, H, N, E))
    check(run_sdpa(q, k, v, tail="causal"), reference.sdpa(q, k, v, causal=True), "f32")


def test_sdpa_score_region_sees_scores_and_indices(qkv: List[np.ndarray]) -> None:
    # ALiBi: the slope of a head times the distance.
    slopes = np.array([0.5, 0.25, 0.125])
    i, j = np.indices((N, M))
    expected = reference.sdpa(*qkv, bias=(slopes[:, None, None] * (j - i))[None])
    score = """score {
      ^bb0(%s: f32, %slope: f32, %b: index, %h: index, %i: index, %j: index):
        %d = arith.subi %j, %i : index
        %di = arith.index_cast %d : index to i32
        %df = arith.sitofp %di : i32 to f32
        %m = arith.mulf %df, %slope : f32
        %r = arith.addf %s, %m : f32
        attention.yield %r : f32
    }"""
    check(run_sdpa(*qkv, bias=[(slopes, "h", "f32")], tail=score), expected, "f32")


def test_sdpa_grouped_heads_share_keys() -> None:
    q, k, v = random(6, (B, 2, 3, N, D), (B, 2, M, D), (B, 2, M, E))
    p = Program()
    a = [p.argument(x) for x in (q, k, v)]
    init = p.argument(np.zeros((B, 2, 3, N, E)))
    views = maps("b,h,g,i,j,d,e", "b,h,g,i,d", "b,h,j,d", "b,h,j,e", "b,h,g,i,e")
    result = p.run(
        f"""%o = attention.sdpa indexing_maps = {views}
          ins({", ".join(n for n, _ in a)} : {", ".join(t for _, t in a)})
          outs({init[0]} : {init[1]}) -> {init[1]}""",
        init,
        (B, 2, 3, N, E),
    )
    expected = reference.sdpa(
        q.reshape(B, 6, N, D), k.repeat(3, axis=1), v.repeat(3, axis=1)
    ).reshape(B, 2, 3, N, E)
    check(result, expected, "f32")


# --- attention.linear -------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("dynamic", [False, True])
def test_linear(qkv: List[np.ndarray], dtype: str, dynamic: bool) -> None:
    p = Program(dtype)
    tokens = [0, 2] if dynamic else []
    a = [p.argument(rounded(x, dtype), tokens) for x in qkv]
    init = p.argument(np.zeros((B, H, N, E)), tokens)
    result = p.run(
        f"""%o = attention.linear
          indexing_maps = {maps(SDPA, "b,h,i,d", "b,h,j,d", "b,h,j,e", "b,h,i,e")}
          ins({", ".join(n for n, _ in a)} : {", ".join(t for _, t in a)})
          outs({init[0]} : {init[1]}) -> {init[1]}""",
        init,
        (B, H, N, E),
    )
    check(result, reference.linear(*(rounded(x, dtype) for x in qkv)), dtype)


# --- attention.elfatt -------------------------------------------------------------


def run_elfatt(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    grid: Shape,
    window: Shape,
    global_heads: int,
    prefix: int = 0,
    lepe: Dict[str, reference.Lepe] = {},
    local_first: bool = False,
    dtype: str = "f32",
    written_grid: str = "",
    dynamic: bool = False,
) -> np.ndarray:
    """attention.elfatt on Q, K, V of [B,H,N,D], stored packed as [B,N,3,H,D]."""
    p = Program(dtype)
    qkv = np.stack([x.transpose(0, 2, 1, 3) for x in (q, k, v)], axis=2)
    tokens = [0, 1] if dynamic else []
    packed, packed_type = p.argument(rounded(qkv, dtype), tokens)
    batch, n, _, heads, channels = qkv.shape
    init = p.argument(np.full((batch, n, heads, channels), np.nan), tokens)
    attributes = ""
    for name, (weights, bias) in lepe.items():
        w, c = p.argument(rounded(weights, dtype)), p.argument(rounded(bias, dtype))
        attributes += f" {name}_lepe({w[0]}, {c[0]} : {w[1]}, {c[1]})"
    if "%" in written_grid:
        # Extents that are not known before the program runs.
        like, like_type = p.argument(np.zeros(grid), range(len(grid)))
        for axis in range(len(grid)):
            p.body.append(f"%c{axis} = arith.constant {axis} : index")
            p.body.append(f"%g{axis} = tensor.dim {like}, %c{axis} : {like_type}")
    written_grid = written_grid or str(list(grid))
    views = maps("b,h,n,d,e", "b,n,0,h,d", "b,n,1,h,d", "b,n,2,h,e", "b,n,h,e")
    result = p.run(
        f"""%o = attention.elfatt indexing_maps = {views}
          ins({packed}, {packed}, {packed} : {packed_type}, {packed_type}, {packed_type})
          {attributes} outs({init[0]} : {init[1]}) global_heads = {global_heads}
          {"local_first" if local_first else ""} grid = {written_grid}
          window = {list(window)} prefix = {prefix} -> {init[1]}""",
        init,
        (batch, n, heads, channels),
    )
    return result.transpose(0, 2, 1, 3)


def elfatt_inputs(grid: Shape, prefix: int, heads: int = 4) -> List[np.ndarray]:
    n = prefix + int(np.prod(grid))
    return random(7, *[(2, heads, n, 6)] * 3)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("prefix", [0, 5])
def test_elfatt(dtype: str, prefix: int) -> None:
    inputs = elfatt_inputs((4, 6), prefix)
    expected = reference.elfatt(
        *(rounded(x, dtype) for x in inputs), (4, 6), (2, 3), 2, prefix
    )
    check(run_elfatt(*inputs, (4, 6), (2, 3), 2, prefix, dtype=dtype), expected, dtype)


@pytest.mark.parametrize(
    "grid, window, prefix, global_heads",
    [
        *(
            (grid, window, prefix, 1)
            for grid, window in [
                ((12,), (4,)),
                ((6, 4), (3, 2)),
                ((2, 4, 6), (1, 2, 3)),
            ]
            for prefix in (0, 1, 5)
        ),
        ((4, 4), (4, 4), 0, 2),
        ((6, 4), (3, 2), 5, 0),
        ((6, 4), (3, 2), 5, 4),
    ],
    ids=str,
)
def test_elfatt_with_lepe(
    grid: Shape, window: Shape, prefix: int, global_heads: int
) -> None:
    inputs = elfatt_inputs(grid, prefix)
    lepe = {}
    for seed, (name, heads) in enumerate(
        [("global", global_heads), ("local", 4 - global_heads)]
    ):
        if heads:
            lepe[name] = tuple(random(seed, (*[3] * len(grid), heads, 6), (heads, 6)))
    expected = reference.elfatt(
        *inputs,
        grid,
        window,
        global_heads,
        prefix,
        lepe.get("global"),
        lepe.get("local"),
    )
    check(
        run_elfatt(*inputs, grid, window, global_heads, prefix, lepe), expected, "f32"
    )


def test_elfatt_local_heads_first() -> None:
    inputs = elfatt_inputs((4, 4), 1)
    result = run_elfatt(*inputs, (4, 4), (2, 2), 3, 1, local_first=True)
    swapped = [np.roll(x, -1, axis=1) for x in inputs]
    expected = np.roll(reference.elfatt(*swapped, (4, 4), (2, 2), 3, 1), 1, axis=1)
    check(result, expected, "f32")


@pytest.mark.parametrize(
    "written, dynamic",
    [
        ("[4, 6]", True),
        ("[4, -1]", False),
        ("[4, -1]", True),
        ("[-1, 6]", True),
        ("[%g0, %g1]", False),
        ("[%g0, %g1]", True),
        ("[%g0, -1]", True),
    ],
)
@pytest.mark.parametrize("prefix", [0, 2])
def test_elfatt_dynamic_grid(written: str, dynamic: bool, prefix: int) -> None:
    inputs = elfatt_inputs((4, 6), prefix)
    lepe = {
        name: tuple(random(8, (3, 3, 2, 6), (2, 6))) for name in ("global", "local")
    }
    expected = reference.elfatt(
        *inputs, (4, 6), (2, 3), 2, prefix, lepe["global"], lepe["local"]
    )
    result = run_elfatt(
        *inputs, (4, 6), (2, 3), 2, prefix, lepe, written_grid=written, dynamic=dynamic
    )
    check(result, expected, "f32")


def test_elfatt_of_prefix_tokens_alone_is_exact_attention() -> None:
    inputs = random(9, *[(2, 4, 5, 6)] * 3)
    result = run_elfatt(*inputs, (0, 0), (7, 7), 2, prefix=5)
    check(result, reference.sdpa(*inputs), "f32")


@pytest.mark.parametrize("prefix", [0, 5])
def test_elfatt_keeps_a_constant_value(prefix: int) -> None:
    q, k, v = elfatt_inputs((4, 6), prefix)
    result = run_elfatt(q, k, np.full_like(v, 3.0), (4, 6), (2, 3), 2, prefix)
    np.testing.assert_allclose(result, 3.0, rtol=1e-5)
