# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random attention ops as compiled kernels against float64: every extent, layout,
type and mask beside every other, for as long as one likes.

    python python/tests/kernel_sweep.py [--cases=200] [--seed=0] [--guard=after]
                                        [--seconds=60] [--only=sdpa]
                                        [--target=sim:sm_87]

Prints each case that is out of bounds, then how many there were. ``--seconds`` is
the longest that one case may take, compiled and run. On a simulated chip, what no
kernel serves is printed and counted apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import kernel_tables
import numpy as np
from elfatt.tools import find_tool
from kernel_case import Case, Result, check, run
from kernel_ops import LAYOUTS, PACKED, elfatt, linear, normal, sdpa

Random = np.random.Generator


def pick(rng: Random, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def channels(rng: Random) -> int:
    """Any number up to 256, mostly those of models."""
    if rng.random() < 0.6:
        return int(pick(rng, kernel_tables.CHANNELS))
    return int(rng.integers(1, 257))


def tokens(rng: Random) -> int:
    if rng.random() < 0.4:
        return int(pick(rng, kernel_tables.TOKENS))
    return int(np.exp(rng.uniform(0, np.log(600))))


def inputs(
    rng: Random, name: str, n: int, m: int, d: int, e: int
) -> Tuple[List[np.ndarray], bool]:
    """Q, K, V; and whether they are unit-normal."""
    lead = (int(rng.integers(1, 4)), int(rng.integers(1, 5)))
    arrays = normal(name, (*lead, n, d), (*lead, m, d), (*lead, m, e))
    if rng.random() < 0.8:
        return arrays, True
    by = float(pick(rng, [1e-30, 1e-3, 3, 30]))
    return [arrays[0] * by, arrays[1], arrays[2]], False


TYPES = ["f32"] * 5 + ["bf16", "f16", "f64"]


def common(rng: Random) -> Dict[str, Any]:
    dynamic = rng.random() < 0.15
    return {
        "dtype": pick(rng, TYPES),
        "layout": pick(rng, [*LAYOUTS, PACKED]),
        "dynamic": dynamic,
        "sliced": not dynamic and rng.random() < 0.2,
    }


def random_sdpa(rng: Random, name: str) -> Case:
    options = common(rng)
    n, m, d, e = tokens(rng), tokens(rng), channels(rng), channels(rng)
    if options["layout"] == PACKED:
        m, e = n, d
    arrays, is_normal = inputs(rng, name, n, m, d, e)
    shape = (*arrays[0].shape[:2], n, m)
    kind = pick(rng, ["none", "none", "causal", "bias", "mask", "padding"])
    bias: List[Tuple[np.ndarray, str, str]] = []
    if options["dynamic"]:
        kind = "none"
    if kind == "causal":
        options["causal"] = True
    elif kind == "bias":
        dims = pick(rng, ["bhij", "hij", "ij", "bj", "j"])
        extents = [shape["bhij".index(c)] for c in dims]
        bias = [(rng.standard_normal(extents), dims, "f32")]
    elif kind == "mask":
        bias = [(rng.random(shape[1:]) < 0.7, "hij", "i1")]
        options["masked_rows"] = pick(rng, ["zero", "nan"])
    elif kind == "padding":
        bias = [
            (np.arange(m)[None] < rng.integers(0, m + 1, (shape[0], 1)), "bj", "i1")
        ]
    if rng.random() < 0.2:
        options["scale"] = float(np.float32(rng.normal()))
    regular = is_normal and kind == "none" and "scale" not in options
    return sdpa(name, *arrays, bias=bias, normal=regular, **options)


def random_linear(rng: Random, name: str) -> Case:
    options = common(rng)
    n, m, d, e = tokens(rng), tokens(rng), channels(rng), channels(rng)
    if options["layout"] == PACKED:
        m, e = n, d
    arrays, is_normal = inputs(rng, name, n, m, d, e)
    return linear(name, *arrays, normal=is_normal, **options)


def random_elfatt(rng: Random, name: str) -> Case:
    options = common(rng)
    axes = int(pick(rng, [1, 2, 2, 2, 3]))
    most = {1: 60, 2: 14, 3: 5}[axes]
    window = [int(rng.integers(1, most + 1)) for _ in range(axes)]
    grid = [w * int(rng.integers(1, max(2, 2 * most // w))) for w in window]
    prefix = int(pick(rng, [0, 0, 1, 5, 17]))
    n = prefix + int(np.prod(grid))
    d = channels(rng)
    # A context and a window of many channels take long to make.
    e = d if options["layout"] == PACKED or rng.random() < 0.5 else channels(rng)
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
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
    options = [f"--guard={given.guard}"] if given.guard else []
    options.append(f"--target={given.target}")
    simulated = given.target != "cpu"
    if simulated:
        TYPES[:] = ["f32", "bf16", "f16"]
    failed, refused = 0, 0
    for index in range(given.cases):
        rng = np.random.default_rng([given.seed, index])
        op = given.only or pick(rng, list(MAKERS))
        case = MAKERS[op](rng, f"{op}-{given.seed}-{index}")
        with tempfile.TemporaryDirectory() as folder:
            try:
                result = run(tool, Path(folder), [case], options, seconds=given.seconds)
                if simulated and (why := refusal(result[case.name])):
                    refused += 1
                    print(f"{case.name}: {why}", flush=True)
                else:
                    check(case, result[case.name], eager=simulated)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"{describe(case)}\n    {str(error)[:500]}", flush=True)
    print(f"{given.cases} cases, {refused} refused, {failed} out of bounds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
