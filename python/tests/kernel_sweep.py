# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random attention ops as compiled kernels against float64: every extent, layout,
type, mask and value beside every other, for as long as one likes.

    python python/tests/kernel_sweep.py [--cases=200] [--seed=0] [--guard=after]
                                        [--seconds=60] [--only=sdpa]
                                        [--target=sim:sm_87,sim:sm_53]

Prints each case that is out of bounds, then how many there were. Cases take the
targets in turn; ``--target=sim`` is every chip. ``--seconds`` is the longest that one
case may take, compiled and run. On a simulated chip, what no kernel serves is printed
and counted apart, and so is what spills registers with up to 128 channels.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import kernel_tables
import numpy as np
from elfatt.tools import find_tool
from gpu_tables import ALL_CHIPS
from kernel_case import Case, Result, check, run
from kernel_dims import grouped
from kernel_ops import LAYOUTS, PACKED, elfatt, linear, normal, sdpa

Random = np.random.Generator
UNSPILLED = 128
"""Kernels of so many channels spill nothing."""


def pick(rng: Random, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def channels(rng: Random) -> int:
    """Any number up to 256, mostly those of models."""
    if rng.random() < 0.6:
        return int(pick(rng, kernel_tables.CHANNELS))
    return int(rng.integers(1, 257))


def is_prime(n: int) -> bool:
    return n > 1 and all(n % i for i in range(2, int(n**0.5) + 1))


def tokens(rng: Random) -> int:
    """A number of the table's, any number, or a prime one."""
    if rng.random() < 0.4:
        return int(pick(rng, kernel_tables.TOKENS))
    n = int(np.exp(rng.uniform(0, np.log(600))))
    if rng.random() < 0.5:
        while not is_prime(n):
            n += 1
    return n


Values = Tuple[List[np.ndarray], bool]
"""Q, K, V; and whether they are unit-normal."""


def inputs(rng: Random, name: str, n: int, m: int, d: int, e: int) -> Values:
    lead = (int(rng.integers(1, 4)), int(rng.integers(1, 5)))
    if max(n, m) < 64 and rng.random() < 0.15:
        # Blocks for all multiprocessors, and heads that share them.
        lead = (int(rng.integers(4, 33)), int(rng.integers(2, 9)))
    arrays = normal(name, (*lead, n, d), (*lead, m, d), (*lead, m, e))
    kind = rng.random()
    if kind < 0.7:
        return arrays, True
    if kind < 0.8:
        by = float(pick(rng, [1e-30, 1e-3, 3, 30]))
        return [arrays[0] * by, arrays[1], arrays[2]], False
    index = int(rng.integers(3))
    if kind < 0.9:
        # One of them, or a part of all.
        if rng.random() < 0.5:
            arrays[index] = np.sign(arrays[index]) * 1e4
            return arrays, False
        seed = int(rng.integers(1 << 30))
        return [
            kernel_tables.large(x, 1e4, seed + i) for i, x in enumerate(arrays)
        ], False
    at = tuple(int(rng.integers(extent)) for extent in arrays[index].shape)
    if rng.random() < 0.3:
        at = at[:-1]
    value = float(pick(rng, [np.nan, np.inf, -np.inf]))
    arrays[index] = kernel_tables.one(arrays[index], value, at)
    return arrays, False


TYPES = ["f32"] * 5 + ["bf16", "f16", "f64"]


def common(rng: Random) -> Dict[str, Any]:
    dynamic = rng.random() < 0.15
    return {
        "dtype": pick(rng, TYPES),
        "layout": pick(rng, [*LAYOUTS, PACKED]),
        "dynamic": dynamic,
        "sliced": not dynamic and rng.random() < 0.2,
    }


Bias = List[Tuple[np.ndarray, str, str]]


def random_bias(rng: Random, kind: str, shape: Tuple[int, ...]) -> Bias:
    """Of scores [b,h,i,j]; some rows are masked whole."""
    dims = pick(rng, ["bhij", "hij", "bij", "ij", "bj", "j"])
    if kind == "mask":
        dims = pick(rng, ["bhij", "hij", "bij", "ij"])
    elif kind == "padding":
        dims = "bj"
    extents = [shape["bhij".index(c)] for c in dims]
    seen = rng.random(extents) < 0.7
    if "i" in dims:
        seen &= rng.random(extents[:-1])[..., None] < 0.9
    elif kind == "padding":
        seen = np.arange(shape[3])[None] < rng.integers(0, shape[3] + 1, (shape[0], 1))
    if kind in ("mask", "padding"):
        return [(seen, dims, "i1")]
    added = rng.standard_normal(extents)
    return [(np.where(seen, added, -np.inf) if kind == "-inf" else added, dims, "f32")]


def random_grouped(rng: Random, d: int, e: int, options: Dict[str, Any]) -> Case:
    return grouped(
        tokens(rng),
        tokens(rng),
        options["dtype"],
        batch=int(rng.integers(1, 4)),
        dynamic=options["dynamic"],
        causal=bool(rng.random() < 0.3),
        mask=bool(rng.random() < 0.3),
        heads=int(rng.integers(1, 4)),
        group=int(rng.integers(2, 6)),
        d=d,
        e=e,
    )


def random_sdpa(rng: Random, name: str, d: int, e: int) -> Case:
    options = common(rng)
    if rng.random() < 0.15:
        return random_grouped(rng, d, e, options)
    n, m = tokens(rng), tokens(rng)
    if options["layout"] == PACKED:
        m, e = n, d
    arrays, is_normal = inputs(rng, name, n, m, d, e)
    kind = pick(rng, ["", "", "", "causal", "bias", "-inf", "mask", "padding", "score"])
    bias: Bias = []
    if kind == "causal":
        options["causal"] = True
    elif kind == "score" and options["dtype"] != "f64":
        options["score"] = kernel_tables.SOFTCAP
        options["scored"] = kernel_tables.softcap
    elif kind in ("bias", "-inf", "mask", "padding"):
        bias = random_bias(rng, kind, (*arrays[0].shape[:2], n, m))
        options["masked_rows"] = pick(rng, ["zero", "nan"])
    if rng.random() < 0.2:
        options["scale"] = float(np.float32(rng.normal()))
    regular = is_normal and not kind and "scale" not in options
    return sdpa(name, *arrays, bias=bias, normal=regular, **options)


def random_linear(rng: Random, name: str, d: int, e: int) -> Case:
    options = common(rng)
    n, m = tokens(rng), tokens(rng)
    if options["layout"] == PACKED:
        m, e = n, d
    arrays, is_normal = inputs(rng, name, n, m, d, e)
    return linear(name, *arrays, normal=is_normal, **options)


def random_elfatt(rng: Random, name: str, d: int, e: int) -> Case:
    options = common(rng)
    axes = int(pick(rng, [1, 2, 2, 2, 3]))
    most = {1: 60, 2: 14, 3: 5}[axes]
    window = [int(rng.integers(1, most + 1)) for _ in range(axes)]
    grid = [w * int(rng.integers(1, max(2, 2 * most // w))) for w in window]
    prefix = int(pick(rng, [0, 0, 1, 5, 17]))
    n = prefix + int(np.prod(grid))
    if options["layout"] == PACKED:
        e = d
    arrays, is_normal = inputs(rng, name, n, n, d, e)
    heads = arrays[0].shape[1]
    return elfatt(
        name,
        *arrays,
        grid,
        window,
        int(rng.integers(0, heads + 1)),
        prefix=prefix,
        lepe=rng.random() < 0.5,
        local_first=rng.random() < 0.3,
        normal=is_normal,
        **options,
    )


MAKERS = {"sdpa": random_sdpa, "linear": random_linear, "elfatt": random_elfatt}


def describe(case: Case) -> str:
    arguments = ", ".join(type_ for _, type_ in case.arguments)
    return f"{case.name}: {arguments}\n    {case.body[-1]}"


def refusal(result: Result) -> str:
    """The diagnostic of a compiler that has no kernel for the case, or nothing."""
    if not isinstance(result, str) or not result.startswith("exit status 2"):
        return ""
    if "could not be compiled for" not in result:
        return ""
    return result[result.index("error: ") :].splitlines()[0]


def spills(stats: Path) -> List[str]:
    kernels = json.loads(stats.read_text())["kernels"] if stats.exists() else []
    return [
        f"{kernel['name']} spills {kernel['spill_bytes']} bytes"
        for kernel in kernels
        if kernel.get("spill_bytes")
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--guard", choices=["before", "after"])
    parser.add_argument("--only", choices=MAKERS)
    parser.add_argument("--target", default="cpu")
    given = parser.parse_args()
    tool = find_tool("elfatt-run")
    if tool is None:
        parser.error("elfatt-run is not built")
    guard = [f"--guard={given.guard}"] if given.guard else []
    targets = given.target.split(",")
    if targets == ["sim"]:
        targets = [f"sim:{chip}" for chip in ALL_CHIPS]
    simulated = targets != ["cpu"]
    if simulated:
        TYPES[:] = ["f32", "bf16", "f16"]
        # The packages of this Python, as in an active virtual environment: ptxas.
        os.environ.setdefault("VIRTUAL_ENV", sys.prefix)
    failed, refused, spilled = 0, 0, 0
    for index in range(given.cases):
        rng = np.random.default_rng([given.seed, index])
        op = given.only or pick(rng, list(MAKERS))
        d, e = channels(rng), channels(rng)
        case = MAKERS[op](rng, f"{op}-{given.seed}-{index}", d, e)
        target = targets[index % len(targets)]
        options = [f"--target={target}", "--stats=stats.json", *guard]
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = run(tool, Path(folder), [case], options, seconds=given.seconds)
                if simulated and (why := refusal(result[case.name])):
                    refused += 1
                    print(f"{target} {describe(case)}\n    {why}", flush=True)
                    continue
                found = spills(Path(folder, "0", "stats.json"))
                if found and max(d, e) <= UNSPILLED:
                    spilled += 1
                    print(f"{target} {describe(case)}\n    {found}", flush=True)
                check(case, result[case.name], eager=simulated)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"{target} {describe(case)}\n    {str(error)[:500]}", flush=True)
    counts = f"{refused} refused, {spilled} spilled, " if simulated else ""
    print(f"{given.cases} cases, {counts}{failed} out of bounds")
    return 1 if failed or spilled else 0


if __name__ == "__main__":
    sys.exit(main())
