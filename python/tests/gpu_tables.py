# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The cases of test_gpu_kernels.py: every kernel in every type on every family of chips.
What the suite runs is a part of what the sweep runs: a type and a chip for each shape,
taken in turn."""

from __future__ import annotations

import functools
import itertools
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import kernel_tables
import numpy as np
from kernel_case import Case
from kernel_ops import PACKED, elfatt, linear, sdpa
from kernel_tables import qkv

CHIPS = ("sm_53", "sm_72", "sm_75", "sm_87", "sm_90")
"""One of each family: products by FMA, m8n8k4, m16n8k8, m16n8k16, and a chip of servers."""
ALL_CHIPS = (
    *("sm_53", "sm_72", "sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100"),
    *("sm_103", "sm_110", "sm_120", "sm_121"),
)
TYPES = ("f32", "f16", "bf16")
CHANNELS = (1, 8, 16, 20, 24, 32, 40, 64, 72, 80, 96, 128, 160, 256)
TOKENS = (17, 49, 61, 97)


class Item(NamedTuple):
    """One case on one chip; what is expected of it is computed when it is made."""

    chip: str
    name: str
    make: Callable[[], Case]


# Each kernel as (name, D, N, type).


def short(name: str, d: int, n: int, dtype: str) -> Case:
    """Rows of scores that are whole in registers."""
    return sdpa(name, *qkv(name, 1, 2, n, 2 * n + 1, d), dtype=dtype)


def long(name: str, d: int, n: int, dtype: str) -> Case:
    """Rows of scores in blocks, with an online softmax."""
    return sdpa(name, *qkv(name, 1, 1, n, 331, d), dtype=dtype, layout="tokens first")


def masked(name: str, d: int, n: int, dtype: str) -> Case:
    q, k, v = qkv(name, 1, 2, n, n, d)
    (added,) = kernel_tables.normal(name + "bias", (2, n, n))
    of_heads = (added, "hij", dtype)
    return sdpa(name, q, k, v, dtype=dtype, bias=[of_heads], causal=True, normal=False)


def kept(name: str, d: int, n: int, dtype: str) -> Case:
    """A mask in rows of whole fours of bits, a byte each."""
    q, k, v = qkv(name, 1, 2, n, 68, d)
    keep = np.random.default_rng(n).random((n, 68)) < 0.5
    return sdpa(name, q, k, v, dtype=dtype, bias=[(keep, "ij", "i1")], normal=False)


def context(name: str, d: int, n: int, dtype: str) -> Case:
    return linear(name, *qkv(name, 1, 2, n, n, d), dtype=dtype)


def windows(name: str, d: int, n: int, dtype: str) -> Case:
    return elfatt(name, *qkv(name, 1, 1, 98, 98, d), (14, 7), (7, 7), 0, dtype=dtype)


def lepe(name: str, d: int, n: int, dtype: str) -> Case:
    """The window branch alone, with LePE."""
    inputs, grids = qkv(name, 2, 1, 48, 48, d), ((8, 6), (4, 2))
    return elfatt(name, *inputs, *grids, 0, dtype=dtype, lepe=True)


def whole(name: str, d: int, n: int, dtype: str) -> Case:
    """Both branches and LePE, from packed Q, K and V."""
    inputs, grids = qkv(name, 1, 2, 49, 49, d), ((7, 7), (7, 7))
    return elfatt(name, *inputs, *grids, 1, dtype=dtype, lepe=True, layout=PACKED)


def with_prefix(name: str, d: int, n: int, dtype: str) -> Case:
    inputs, grids = qkv(name, 1, 3, 67, 67, d), ((8, 8), (4, 4))
    return elfatt(name, *inputs, *grids, 1, dtype=dtype, lepe=True, prefix=3)


KERNELS = (short, long, masked, kept, context, windows, lepe, whole, with_prefix)


def kernels() -> List[Item]:
    """Every kernel with every number of channels, in every type, on every chip."""
    items = []
    for kernel, d, dtype, chip in itertools.product(KERNELS, CHANNELS, TYPES, CHIPS):
        n = TOKENS[(d // 4 + len(dtype)) % len(TOKENS)]
        name = f"{kernel.__name__}-d{d}-n{n}-{dtype}"
        items.append(Item(chip, name, functools.partial(kernel, name, d, n, dtype)))
    return items


def newest() -> List[Item]:
    items = []
    for kernel, dtype in itertools.product(KERNELS, TYPES):
        name = f"{kernel.__name__}-d32-n49-{dtype}"
        items.append(
            Item("sm_120", name, functools.partial(kernel, name, 32, 49, dtype))
        )
    return items


def few_tokens() -> List[Item]:
    """Contexts where one weight is most of a sum: one kernel for many values."""
    names = ["context-d20-n17-f16", *(f"few-tokens-{i}-f16" for i in range(24))]
    return [
        Item("sm_87", name, functools.partial(context, name, 20, 17, "f16"))
        for name in names
    ]


def wide() -> List[Item]:
    """Heads whose context, or whose rows around a window, fill shared memory."""

    def image(d: int, dtype: str, name: str) -> Case:
        grids = ((16, 16), (8, 8))
        inputs = qkv(name, 1, 2, 256, 256, d)
        return elfatt(name, *inputs, *grids, 1, dtype=dtype, lepe=True, layout=PACKED)

    cases = [("sm_120", 160, "bf16"), ("sm_53", 128, "f32"), ("sm_75", 152, "f16")]
    items = []
    for chip, d, dtype in cases:
        name = f"wide-d{d}-{dtype}"
        items.append(Item(chip, name, functools.partial(image, d, dtype, name)))
    return items


def few_heads() -> List[Item]:
    """Contexts of so few heads that segments of their tokens are summed apart."""

    def image(dtype: str, name: str) -> Case:
        inputs = qkv(name, 1, 2, 1024, 1024, 32)
        grids = ((32, 32), (8, 8))
        return elfatt(name, *inputs, *grids, 1, dtype=dtype, lepe=True, layout=PACKED)

    def tokens(n: int, d: int, dtype: str, name: str) -> Case:
        return linear(name, *qkv(name, 1, 1, n, n, d), dtype=dtype)

    return [
        Item(
            "sm_90", "segments-bf16", functools.partial(image, "bf16", "segments-bf16")
        ),
        # A prime number of tokens has a rest; rows and columns are padded.
        Item(
            "sm_90",
            "rest-f32",
            functools.partial(tokens, 1109, 20, "f32", "rest-f32"),
        ),
        Item(
            "sm_75",
            "wide-rest-f16",
            functools.partial(tokens, 523, 136, "f16", "wide-rest-f16"),
        ),
    ]


def not_finite() -> List[Item]:
    """LePE of values that are not finite, on an edge and inside of a line: a product with a
    diagonal matrix would spread them over neighbouring channels."""

    def image(global_heads: int, dtype: str, name: str) -> Case:
        q, k, v = qkv(name, 1, 1, 98, 98, 16)
        v[0, 0, 20, 3], v[0, 0, 27, 9], v[0, 0, 97, 0] = np.inf, np.nan, -np.inf
        grids, options = ((14, 7), (7, 7)), dict(lepe=True, normal=False)
        return elfatt(name, q, k, v, *grids, global_heads, dtype=dtype, **options)

    items = []
    for global_heads, dtype, chip in itertools.product((0, 1), TYPES, CHIPS):
        name = f"not-finite-g{global_heads}-{dtype}"
        make = functools.partial(image, global_heads, dtype, name)
        items.append(Item(chip, name, make))
    return items


# Heads beside each other in memory as (name, D, images, type), enough of them for a worker of two
# on each multiprocessor. Rows of 16-bit heads are whole sectors in twos where D is 24, 40 or 72.


def beside(name: str, d: int, b: int, dtype: str) -> Case:
    inputs = qkv(name, b, 4, 33, 49, d)
    return sdpa(name, *inputs, dtype=dtype, layout="tokens first")


def three(name: str, d: int, b: int, dtype: str) -> Case:
    """No twos: all three, or of wide heads a block each."""
    inputs = qkv(name, 2 * b, 3, 17, 33, d)
    return sdpa(name, *inputs, dtype=dtype, layout="tokens first")


def causal_of_all(name: str, d: int, b: int, dtype: str) -> Case:
    """Packed, causal, and with a bias that heads share."""
    q, k, v = qkv(name, b, 4, 49, 49, d)
    (added,) = kernel_tables.normal(name + "bias", (49, 49))
    options: Dict[str, Any] = dict(bias=[(added, "ij", dtype)], causal=True)
    return sdpa(name, q, k, v, dtype=dtype, layout=PACKED, normal=False, **options)


def bias_of_head(name: str, d: int, b: int, dtype: str) -> Case:
    """A bias of each: a block each."""
    q, k, v = qkv(name, b, 4, 17, 17, d)
    (added,) = kernel_tables.normal(name + "bias", (4, 17, 17))
    options: Dict[str, Any] = dict(bias=[(added, "hij", dtype)], layout="tokens first")
    return sdpa(name, q, k, v, dtype=dtype, normal=False, **options)


def inside(name: str, d: int, b: int, dtype: str) -> Case:
    """Parts of larger tensors: heads that are no neighbours, and do not begin with sectors."""
    inputs = qkv(name, b, 4, 17, 33, d)
    return sdpa(name, *inputs, dtype=dtype, layout="tokens first", sliced=True)


def windows_beside(name: str, d: int, b: int, dtype: str) -> Case:
    inputs, grids = qkv(name, b, 4, 49, 49, d), ((7, 7), (7, 7))
    return elfatt(name, *inputs, *grids, 0, dtype=dtype, lepe=True, layout=PACKED)


def halves_beside(name: str, d: int, b: int, dtype: str) -> Case:
    """Two heads a half; windows of 5 x 4 are no whole fragments."""
    inputs, grids = qkv(name, b, 4, 40, 40, d), ((10, 4), (5, 4))
    return elfatt(name, *inputs, *grids, 2, dtype=dtype, lepe=True, layout=PACKED)


def threes_beside(name: str, d: int, b: int, dtype: str) -> Case:
    """Three heads a half."""
    inputs, grids = qkv(name, 2 * b, 6, 40, 40, d), ((10, 4), (5, 4))
    return elfatt(name, *inputs, *grids, 3, dtype=dtype, lepe=True, layout=PACKED)


def segments_beside(name: str, dtype: str) -> Case:
    """Contexts of two heads at once, summed in segments, and their rows."""
    inputs, grids = qkv(name, 1, 8, 256, 256, 24), ((16, 16), (4, 8))
    return elfatt(name, *inputs, *grids, 4, dtype=dtype, lepe=True, layout=PACKED)


def segments() -> List[Item]:
    """Of few heads for a chip's multiprocessors."""
    items = []
    for dtype in ("f16", "bf16"):
        name = f"segments_beside-{dtype}"
        items.append(
            Item("sm_75", name, functools.partial(segments_beside, name, dtype))
        )
    return items


BESIDE = (
    beside,
    three,
    causal_of_all,
    bias_of_head,
    inside,
    windows_beside,
    halves_beside,
    threes_beside,
)


def neighbours() -> List[Item]:
    items = []
    chips = (("sm_53", 1), ("sm_87", 8))
    for kernel, d, dtype, (chip, b) in itertools.product(
        BESIDE, (20, 24, 40, 72), ("f16", "bf16"), chips
    ):
        name = f"{kernel.__name__}-d{d}-b{b}-{dtype}"
        items.append(Item(chip, name, functools.partial(kernel, name, d, b, dtype)))
    return items


@functools.cache
def table(make: Callable[[str], List[Case]], dtype: str) -> Dict[str, Case]:
    cases = {}
    for case in make(dtype):
        case.name += f"-{dtype}"
        cases[case.name] = case
    return cases


def of_table(
    make: Callable[[str], List[Case]], types: Sequence[str] = TYPES
) -> List[Item]:
    return [
        Item(chip, name, functools.partial(table(make, dtype).__getitem__, name))
        for dtype, chip in itertools.product(types, CHIPS)
        for name in table(make, dtype)
    ]


class Group(NamedTuple):
    items: Callable[[], List[Item]]
    # The suite runs one item in so many: prime to the numbers of types, chips and cases,
    # so that each comes with each in turn.
    stride: int


def part(make: Callable[[str], List[Case]], stride: int) -> Group:
    return Group(functools.partial(of_table, make), stride)


GROUPS: Dict[str, Group] = {
    "kernels": Group(kernels, 53),
    "few tokens": Group(few_tokens, 1),
    "newest": Group(newest, 5),
    "wide": Group(wide, 1),
    "few heads": Group(few_heads, 1),
    # f16 has no such values.
    "values": Group(
        functools.partial(of_table, kernel_tables.values, ("f32", "bf16")), 23
    ),
    "neighbours": Group(neighbours, 9),
    "segments": Group(segments, 1),
    "not finite": Group(not_finite, 7),
    "tokens": part(kernel_tables.tokens, 23),
    "layouts": part(kernel_tables.layouts, 29),
    "masks": part(kernel_tables.masks, 13),
    "dynamic": part(kernel_tables.dynamic, 19),
    "empty": part(kernel_tables.empty, 7),
    "grids": part(kernel_tables.grids, 31),
}


class Refusal(NamedTuple):
    """What no kernel serves: cases by name, and the diagnostic that says why."""

    cases: str
    message: str
    chip: str
    example: Callable[[], Case]


REFUSED: List[Refusal] = [
    # A line of the image, or the state of a softmax over a prefix, of very wide heads.
    Refusal(
        r"with_prefix-d256-n\d+-f32",
        r"needs \d+ bytes of shared memory a block, expected at most \d+ \(sm_\d+\)",
        "sm_53",
        lambda: with_prefix("with_prefix-d256-n49-f32", 256, 49, "f32"),
    ),
    Refusal(
        r"-f64",
        r"no kernel computes in 'f64', expected operands of type f16, bf16 or f32",
        "sm_90",
        lambda: short("short-d16-n17-f64", 16, 17, "f64"),
    ),
]


def find_refusal(name: str) -> Optional[Refusal]:
    return next((r for r in REFUSED if re.match(f".*({r.cases})", name)), None)
