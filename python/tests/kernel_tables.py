# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The cases of test_cpu_kernels.py, and much of test_gpu_kernels.py, in groups: extents
of channels and tokens, layouts, types, masks, grids, and values that overflow."""

from __future__ import annotations

import functools
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np
from kernel_case import Array, Case
from kernel_dims import grouped, image
from kernel_ops import LAYOUTS, PACKED, Shape, elfatt, linear, normal, sdpa

CHANNELS = (1, 2, 3, 5, 7, 8, 16, 20, 24, 32, 40, 64, 72, 80, 96, 128, 160, 256)
VALUES = (8, 3, 1, 256, 20, 7, 40, 5, 96, 72, 64, 2, 80, 160, 16, 24, 32, 128)
"""Dv beside each D; nowhere the same."""
TOKENS = (1, 2, 3, 17, 49, 97, 197, 211, 257, 1009)


def qkv(
    name: str, batch: int, heads: int, n: int, m: int, d: int, e: int = 0
) -> List[Array]:
    lead = (batch, heads)
    return normal(name, (*lead, n, d), (*lead, m, d), (*lead, m, e or d))


def ops_in(dtype: str) -> List[Callable[..., Case]]:
    return [functools.partial(op, dtype=dtype) for op in (sdpa, linear, elfatt)]


def channels() -> List[Case]:
    cases = []
    for index, (d, e) in enumerate(zip(CHANNELS, VALUES)):
        n, m = TOKENS[index % 6], TOKENS[2 + (index + 3) % 5]
        name = f"sdpa-d{d}-e{e}-n{n}-m{m}"
        cases.append(sdpa(name, *qkv(name, 1, 2, n, m, d, e)))
        n, m = m, TOKENS[index % 4]
        name = f"linear-d{d}-e{e}-n{n}-m{m}"
        cases.append(linear(name, *qkv(name, 1, 2, n, m, d, e)))
    return cases


def tokens(dtype: str = "f32") -> List[Case]:
    """Short and long rows of scores; whole rows end at about 256 keys."""
    sdpa, linear, elfatt = ops_in(dtype)
    extents = [(1, 1), (1, 257), (2, 3), (49, 49), (17, 255), (3, 256), (97, 197)]
    extents += [(211, 257), (257, 211), (1009, 1009), (1, 1009), (1009, 1)]
    cases = []
    for index, (n, m) in enumerate(extents):
        d = (32, 40, 64, 20)[index % 4]
        name = f"sdpa-n{n}-m{m}-d{d}"
        cases.append(sdpa(name, *qkv(name, 1, 1, n, m, d)))
    for n, m in [(1, 1), (3, 2), (197, 197), (257, 1009), (1009, 211)]:
        name = f"linear-n{n}-m{m}"
        cases.append(linear(name, *qkv(name, 1, 1, n, m, 32)))
    return cases


def types() -> List[Case]:
    cases = []
    for dtype in ("f16", "bf16", "f64"):
        extents = [(17, 49, 32, 32), (97, 257, 40, 20), (3, 5, 7, 1), (1, 77, 40, 40)]
        for n, m, d, e in extents:
            name = f"sdpa-{dtype}-n{n}-m{m}-d{d}-e{e}"
            cases.append(sdpa(name, *qkv(name, 2, 1, n, m, d, e), dtype=dtype))
        name = f"linear-{dtype}"
        cases.append(linear(name, *qkv(name, 1, 2, 97, 211, 16, 24), dtype=dtype))
        for lepe in (False, True):
            name = f"elfatt-{dtype}" + "-lepe" * lepe
            inputs = qkv(name, 1, 2, 50, 50, 24)
            cases.append(
                elfatt(
                    name, *inputs, (7, 7), (7, 7), 1, prefix=1, lepe=lepe, dtype=dtype
                )
            )
    name = "sdpa-bf16-to-f32"
    inputs = qkv(name, 1, 2, 17, 49, 32)
    cases.append(sdpa(name, *inputs, dtype="bf16", out_dtype="f32"))
    name = "sdpa-f32-to-f16"
    cases.append(sdpa(name, *qkv(name, 1, 2, 17, 49, 32), out_dtype="f16"))
    return cases


def layouts(dtype: str = "f32") -> List[Case]:
    sdpa, linear, elfatt = ops_in(dtype)
    cases = []
    for layout in (*LAYOUTS, PACKED):
        for sliced in (False, True):
            end = f"-{layout}".replace(" ", "-") + "-sliced" * sliced
            n, d = (19, 20) if sliced else (49, 32)
            name = "sdpa" + end
            inputs = qkv(name, 2, 3, n, n, d)
            cases.append(sdpa(name, *inputs, layout=layout, sliced=sliced))
            name = "linear" + end
            inputs = qkv(name, 2, 3, n, n, d)
            cases.append(linear(name, *inputs, layout=layout, sliced=sliced))
            name = "elfatt" + end
            inputs = qkv(name, 2, 3, 24, 24, d)
            cases.append(
                elfatt(name, *inputs, (4, 6), (2, 3), 1, layout=layout, sliced=sliced)
            )
    return cases


def masks(dtype: str = "f32") -> List[Case]:
    """Biases, masks, triangles, score regions, grouped heads; short and long."""
    sdpa, linear, elfatt = ops_in(dtype)
    cases = []

    def add(name: str, n: int, m: int, **options: object) -> None:
        name = f"sdpa-{name}-n{n}-m{m}"
        inputs = qkv(name, 2, 2, n, m, 24)
        cases.append(sdpa(name, *inputs, normal=False, **options))  # type: ignore[arg-type]

    for n, m in [(17, 49), (31, 300)]:
        rng = np.random.default_rng(n)
        full, of_heads = (
            rng.standard_normal((2, 2, n, m)),
            rng.standard_normal((2, n, m)),
        )
        keep = rng.random((2, n, m)) < 0.5
        # The first row sees nothing, the second its last key only.
        keep[0, :2] = False
        keep[0, 1, -1] = True
        padding = np.arange(m)[None] < np.array([[m // 3], [m]])
        add("bias", n, m, bias=[(full, "bhij", "f32")])
        add("bias-of-heads", n, m, bias=[(of_heads, "hij", "bf16")])
        add("bias-of-keys", n, m, bias=[(full[:, :1, :1], "b00j", "f32")])
        for rows in ("zero", "nan"):
            add(f"mask-{rows}", n, m, bias=[(keep, "bij", "i1")], masked_rows=rows)
        add("padding", n, m, bias=[(padding, "bj", "i1")])
        add(
            "mask-and-bias",
            n,
            m,
            bias=[(of_heads, "hij", "f32"), (keep, "bij", "i1")],
        )
        add("causal", n, m, causal=True)
        add(
            "causal-bias-sliced",
            n,
            m,
            causal=True,
            bias=[(full, "bhij", "f32")],
            sliced=True,
        )
        add("scale", n, m, scale=-0.75)
        add("scale-0", n, m, scale=0.0)
        add(
            "softcap",
            n,
            m,
            score=SOFTCAP,
            scored=softcap,
        )
    # One query meets keys in rows.
    seen = np.arange(77)[None] < np.array([[20], [77]])
    add("padding", 1, 77, bias=[(seen, "bj", "i1")])
    add("scale", 1, 77, scale=-0.75)
    add("causal-channels-first", 211, 49, causal=True, layout="channels first")
    for n, m in [(257, 257), (300, 17), (1, 1)]:
        add("causal", n, m, causal=True)
    # The tokens of one group may be more than a worker's rows.
    cases += [grouped(n, m, dtype) for n, m in [(7, 49), (33, 257), (600, 40)]]
    return cases


SOFTCAP = """score {
  ^bb0(%score: f32, %of_b: index, %of_h: index, %of_i: index, %of_j: index):
    %half = arith.constant 0.5 : f32
    %two = arith.constant 2.0 : f32
    %0 = arith.mulf %score, %half : f32
    %1 = math.tanh %0 : f32
    %2 = arith.mulf %1, %two : f32
    attention.yield %2 : f32
}"""


def softcap(scores: Array) -> Array:
    return np.tanh(scores * scores.dtype.type(0.5)) * 2


def dynamic(dtype: str = "f32") -> List[Case]:
    """Extents known when the program runs; one kernel each, so few."""
    sdpa, linear, elfatt = ops_in(dtype)
    cases = []
    extents: Sequence[Tuple[int, int, int]] = [(2, 17, 49), (1, 1, 1), (3, 97, 257)]
    extents = [*extents, (0, 5, 5), (2, 0, 5), (2, 3, 0)]
    for batch, n, m in extents:
        name = f"sdpa-dynamic-b{batch}-n{n}-m{m}"
        cases.append(sdpa(name, *qkv(name, batch, 2, n, m, 20), dynamic=True))
        name = f"linear-dynamic-b{batch}-n{n}-m{m}"
        if m:
            cases.append(linear(name, *qkv(name, batch, 2, n, m, 16), dynamic=True))
    cases.append(image(dtype))
    # A token behind a cache, few tokens, and more than a worker's rows.
    for batch, n, m in [(2, 1, 64), (1, 7, 7), (2, 197, 197), (1, 0, 5)]:
        for causal, mask in [(False, False), (True, True)]:
            cases.append(grouped(n, m, dtype, batch, True, causal, mask))
    name = "sdpa-dynamic-channels-first"
    inputs = qkv(name, 2, 2, 17, 300, 20)
    cases.append(sdpa(name, *inputs, dynamic=True, layout="channels first"))
    for batch, prefix in [(2, 0), (0, 0), (1, 3)]:
        name = f"elfatt-dynamic-b{batch}-p{prefix}"
        inputs = qkv(name, batch, 2, prefix + 24, prefix + 24, 16)
        cases.append(
            elfatt(name, *inputs, (4, 6), (2, 3), 1, prefix=prefix, dynamic=True)
        )
    return cases


def empty(dtype: str = "f32") -> List[Case]:
    sdpa, linear, elfatt = ops_in(dtype)
    cases = []
    for batch, n, m in [(0, 7, 9), (2, 0, 9), (2, 7, 0), (1, 0, 0)]:
        name = f"sdpa-b{batch}-n{n}-m{m}"
        cases.append(sdpa(name, *qkv(name, batch, 2, n, m, 8)))
        name = f"linear-b{batch}-n{n}-m{m}"
        cases.append(linear(name, *qkv(name, batch, 2, n, m, 8)))
    name = "elfatt-b0"
    cases.append(elfatt(name, *qkv(name, 0, 2, 16, 16, 8), (4, 4), (2, 2), 1))
    name = "elfatt-prefix-alone"
    inputs = qkv(name, 2, 2, 5, 5, 8)
    cases.append(elfatt(name, *inputs, (0, 0), (2, 2), 1, prefix=5))
    return cases


GRIDS: Sequence[Tuple[Shape, Shape]] = [
    ((1, 1), (1, 1)),
    ((5, 7), (1, 1)),
    ((14, 14), (7, 7)),
    ((28, 28), (28, 28)),
    ((28, 28), (14, 14)),
    ((12, 24), (12, 12)),
    ((6, 35), (2, 5)),
    ((1, 17), (1, 17)),
    ((22, 3), (11, 1)),
    ((8, 16), (8, 4)),
    ((49,), (7,)),
    ((197,), (197,)),
    ((1009,), (1,)),
    ((2, 6, 9), (1, 3, 3)),
    ((4, 4, 4), (4, 2, 4)),
]


def grids(dtype: str = "f32") -> List[Case]:
    sdpa, linear, elfatt = ops_in(dtype)
    cases = []
    for index, (grid, window) in enumerate(GRIDS):
        d = (32, 20, 7, 16, 24, 1)[index % 6]
        prefix = (0, 1, 0, 0, 5)[index % 5]
        lepe = index % 3 != 0
        shape = "x".join(map(str, grid)) + "-w" + "x".join(map(str, window))
        name = f"elfatt-{shape}-d{d}-p{prefix}" + "-lepe" * lepe
        n = prefix + int(np.prod(grid))
        inputs = qkv(name, 1, 2, n, n, d)
        cases.append(elfatt(name, *inputs, grid, window, 1, prefix=prefix, lepe=lepe))
    for global_heads, heads in [(0, 1), (1, 1), (0, 3), (3, 3), (1, 4), (3, 4)]:
        name = f"elfatt-heads{heads}-global{global_heads}"
        inputs = qkv(name, 1, heads, 42, 42, 16)
        cases.append(elfatt(name, *inputs, (6, 7), (3, 7), global_heads, lepe=True))
    name = "elfatt-values-of-5"
    inputs = qkv(name, 1, 2, 49, 49, 12, 5)
    options = dict(prefix=0, lepe=True, layout="heads first")
    cases.append(elfatt(name, *inputs, (7, 7), (7, 7), 1, **options))  # type: ignore[arg-type]
    name = "elfatt-local-first-scale"
    inputs = qkv(name, 1, 3, 37, 37, 8)
    cases.append(
        elfatt(name, *inputs, (6, 6), (3, 2), 2, prefix=1, local_first=True, scale=0.25)
    )
    for d in (1, 3, 8, 20, 72, 96):
        name = f"elfatt-d{d}"
        inputs = qkv(name, 1, 2, 16, 16, d)
        cases.append(elfatt(name, *inputs, (4, 4), (2, 4), 1, lepe=d % 16 == 0))
    return cases


def large(array: Array, by: float, seed: int) -> Array:
    """`array` with one element in four times `by`."""
    picked = np.random.default_rng(seed).random(array.shape) < 0.25
    return np.where(picked, array * by, array)


def one(array: Array, value: float, at: Tuple[int, ...]) -> Array:
    array = array.copy()
    array[at] = value
    return array


def at_one_channel(
    x: List[Array], query: float, key: float, step: float
) -> List[Array]:
    """Scores that f32 holds exactly: products of +-`query` and of `key` with some steps."""
    q, k, v = x
    first = np.arange(q.shape[-1]) == 0
    sign = np.where(np.arange(q.shape[-2]) % 2, -1.0, 1.0)[:, None]
    return [query * sign * first + 0 * q, (key + np.round(2 * k) * step) * first, v]


def values(dtype: str = "f32") -> List[Case]:
    """Scores and values of every size, inf and NaN: an error near that of a plain
    evaluation, and its pattern of inf and NaN."""
    sdpa, linear, elfatt = ops_in(dtype)
    made: Dict[str, Callable[[List[Array]], List[Array]]] = {
        "sigma-30": lambda x: [x[0] * 30, x[1] * 30, x[2]],
        "keys-1e4": lambda x: [x[0], x[1] * 1e4, x[2]],
        "keys-about-1e4": lambda x: [x[0], x[1] + 1e4, x[2]],
        "queries-about-minus-1e4": lambda x: [x[0] - 1e4, x[1], x[2]],
        "all-1e4": lambda x: [y * 1e4 for y in x],
        "some-1e4": lambda x: [large(y, 1e4, i) for i, y in enumerate(x)],
        "values-1e30": lambda x: [x[0], x[1], x[2] * 1e30],
        "one-key-1e30": lambda x: [x[0], one(x[1], 1e30, (0, 0, 3, 1)), x[2]],
        "one-key-minus-1e30": lambda x: [x[0], one(x[1], -1e30, (0, 0, 3, 1)), x[2]],
        "one-query-1e30": lambda x: [one(x[0], 1e30, (0, 1, 2, 0)), x[1], x[2]],
        "queries-and-keys-1e30": lambda x: [
            one(x[0], -1e30, (0, 1, 2, 0)),
            one(x[1], 1e30, (0, 1, 3, 0)),
            x[2],
        ],
        "keys-all-minus-1e30": lambda x: [x[0], np.full_like(x[1], -1e30), x[2]],
        # A plain evaluation has these scores, 1e4 and more, without an error.
        "scores-about-1e4": lambda x: [
            np.round(x[0]) * (np.arange(16) > 0) + (np.arange(16) == 0),
            np.round(x[1]) + 4e4 * (np.arange(16) == 0),
            x[2],
        ],
        # The same of 1e8; and where kernels change what weights are computed by (2^29 and, in
        # f16, 2^27 in powers of two), one way and the other.
        "scores-about-1e8": lambda x: at_one_channel(x, 2.0**13, 12288, 2.0**-10),
        "scores-about-4e8": lambda x: at_one_channel(x, 2.0**15, 11356, 2.0**-10),
        "scores-about-1e9": lambda x: at_one_channel(x, 2.0**15, 45426.5, 2.0**-8),
        "scores-1e38": lambda x: [
            one(np.zeros_like(x[0]), 1.0, (0, 1, 2, 0)),
            one(x[1], 3e38, (0, 1, 3, 0)),
            x[2],
        ],
        "keys-3e38": lambda x: [x[0], one(x[1], 3e38, (0, 0, 3, 1)), x[2]],
        "keys-minus-3e38": lambda x: [x[0] * 0, np.full_like(x[1], -3e38), x[2]],
        "queries-3e38": lambda x: [np.full_like(x[0], 3e38), x[1] * 0, x[2]],
        "values-1e38": lambda x: [x[0], x[1], np.full_like(x[2], 1e38)],
        "tiny": lambda x: [y * 1e-30 for y in x],
        "nan-query": lambda x: [one(x[0], np.nan, (0, 0, 2, 1)), x[1], x[2]],
        "nan-key": lambda x: [x[0], one(x[1], np.nan, (0, 1, 5, 1)), x[2]],
        "nan-value": lambda x: [x[0], x[1], one(x[2], np.nan, (0, 1, 5, 1))],
        "inf-query": lambda x: [one(x[0], np.inf, (0, 0, 2, 1)), x[1], x[2]],
        "inf-key": lambda x: [x[0], one(x[1], np.inf, (0, 1, 5, 1)), x[2]],
        "minus-inf-key": lambda x: [x[0], one(x[1], -np.inf, (0, 1, 5, 1)), x[2]],
        "inf-value": lambda x: [x[0], x[1], one(x[2], np.inf, (0, 1, 5, 1))],
        "minus-inf-row": lambda x: [x[0], one(x[1], -np.inf, (0, 1, 5)), x[2]],
        "minus-inf-query-row": lambda x: [one(x[0], -np.inf, (0, 1, 5)), x[1], x[2]],
    }
    cases = []
    for what, make in made.items():
        for n, m in [(19, 49), (19, 301)]:
            name = f"sdpa-{what}-m{m}"
            inputs = make(qkv(what, 1, 2, n, m, 16))
            cases.append(sdpa(name, *inputs, normal=False, masked_rows="nan"))
        name = f"linear-{what}"
        cases.append(linear(name, *make(qkv(what, 1, 2, 49, 49, 16)), normal=False))
        name = f"elfatt-{what}"
        inputs = make(qkv(what, 1, 2, 51, 51, 16))
        cases.append(elfatt(name, *inputs, (7, 7), (7, 7), 1, prefix=2, normal=False))
    return cases


def edges() -> List[Case]:
    """Results that end where their memory does: a multiple of 64 bytes, from rows
    that are no whole vectors."""
    cases = []
    for d, e, n, m in [(5, 7, 3, 11), (20, 1, 17, 3), (33, 40, 7, 257), (1, 3, 1, 1)]:
        for op in (sdpa, linear):
            name = f"{op.__name__}-d{d}-e{e}-n{n}-m{m}"
            cases.append(op(name, *qkv(name, 2, 8, n, m, d, e)))
    for layout in (PACKED, "channels first"):
        name = f"elfatt-{layout}".replace(" ", "-")
        inputs = qkv(name, 2, 8, 22, 22, 5)
        grid: Tuple[Shape, Shape] = (3, 7), (1, 7)
        options = dict(prefix=1, lepe=True, layout=layout)
        cases.append(elfatt(name, *inputs, *grid, 4, **options))  # type: ignore[arg-type]
    name = "sdpa-f16"
    cases.append(sdpa(name, *qkv(name, 4, 8, 5, 19, 7), dtype="f16"))
    name = "sdpa-bias"
    bias = normal(name, (8, 3, 13))
    inputs = qkv(name, 2, 8, 3, 13, 7)
    cases.append(sdpa(name, *inputs, bias=[(bias[0], "hij", "f32")], normal=False))
    return cases


def divided() -> List[Case]:
    """Work for several threads: few heads and many tokens, many heads and few."""
    cases = [
        sdpa("sdpa-long", *qkv("sdpa-long", 1, 1, 1009, 521, 20)),
        sdpa("sdpa-many", *qkv("sdpa-many", 5, 3, 17, 49, 20)),
        linear("linear-long", *qkv("linear-long", 1, 1, 1009, 4099, 16)),
        linear("linear-many", *qkv("linear-many", 5, 3, 97, 97, 16)),
    ]
    for batch in (1, 3):
        name = f"elfatt-b{batch}"
        inputs = qkv(name, batch, 2, 787, 787, 16)
        grid: Tuple[Shape, Shape] = (28, 28), (7, 14)
        cases.append(elfatt(name, *inputs, *grid, 1, prefix=3, lepe=True))
    return cases


GROUPS: Dict[str, Callable[[], List[Case]]] = {
    group.__name__: group
    for group in (
        channels,
        tokens,
        types,
        layouts,
        masks,
        dynamic,
        empty,
        grids,
        values,
    )
}
