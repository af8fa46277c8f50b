# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention on the CPU, side by side: ours, PyTorch, IREE and the machine's limit.

    python benchmarks/cpu/attention.py [--short] [--shapes=TEXT,...] [--types=f32,bf16]

ELFATT (packed qkv to concatenated heads, LePE included) beside PyTorch's exact
attention of the same tokens, and the same formula in PyTorch eager, torch.compile,
max-autotune and IREE; exact attention beside PyTorch's; growth with the tokens. In
each round every contestant has a turn, warm, on the same number of threads, and
each result is compared with float64. The limit is max(bytes / copy rate, flops /
multiply-add rate + exponentials / exponential rate) at rates that probe.cpp
measures in the same run.

A whole run takes about 12 minutes once PyTorch's and IREE's code is in
build/benchmarks (twice that the first time), and writes
benchmarks/results/cpu-attention.json, .md and .svg. A part of it (--short, --shapes,
--types, --tables) writes them to build/benchmarks instead, or with --update puts its
lines into the results of the whole run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import common  # noqa: E402
import report  # noqa: E402
import shapes  # noqa: E402
from contestants import (  # noqa: E402
    AUTOTUNE,
    COMPILE,
    EAGER,
    EXACT,
    IREE,
    OURS,
    Arena,
    Failed,
)

CACHE = ROOT / "build" / "benchmarks"
WIDTHS = {"f32": 4, "bf16": 2}
TABLES = ("elfatt", "exact", "growth")
SLOW_EXPONENTIALS = 2e9


class Progress:
    def __init__(self, total: int) -> None:
        self.total, self.done, self.begin = total, 0, time.monotonic()

    def say(self, text: str) -> None:
        self.done += 1
        seconds = time.monotonic() - self.begin
        print(f"[{seconds:4.0f} s, {self.done} of {self.total}] {text}", flush=True)


def measure_rates(threads: int, sizes: Sequence[int]) -> Dict[str, Any]:
    """Flops, exponentials and, for each size, bytes a second."""
    source, program = Path(__file__).parent / "probe.cpp", CACHE / "probe"
    compiler = shutil.which("clang++-22") or shutil.which("g++")
    if not compiler:
        sys.exit("error: neither clang++-22 nor g++ to compile probe.cpp")
    common.run(
        compiler, "-O3", "-march=native", "-std=c++20", "-pthread", str(source),
        "-o", str(program),
    )  # fmt: skip
    found = common.run(str(program), str(threads), *map(str, sorted(set(sizes))))
    return json.loads(found.stdout)


def best_rates(first: Dict[str, Any], second: Dict[str, Any]) -> Dict[str, Any]:
    """A limit is what the machine can do when nothing disturbs it."""
    return {
        "flops": max(first["flops"], second["flops"]),
        "exponentials": max(first["exponentials"], second["exponentials"]),
        "copies": {s: max(r, second["copies"][s]) for s, r in first["copies"].items()},
    }


def set_limits(lines: List[Dict[str, Any]], rates: Dict[str, Any]) -> None:
    for line in lines:
        cost = shapes.Cost(**line["cost"])
        own = {**rates, "bytes": rates["copies"][str(cost.bytes)]}
        line["limit_ms"] = cost.seconds(own) * 1e3


def replace_lines(old: Dict[str, Any], new: Dict[str, Any]) -> Dict[str, Any]:
    """The figures of ``old`` with the lines of ``new`` in place of theirs."""

    def key(line: Dict[str, Any]) -> Any:
        return line["table"], line["name"], line["type"]

    again = {key(line): line for line in new["lines"]}
    lines = [again.pop(key(line), line) for line in old["lines"]]
    copies = {**old["rates"]["copies"], **new["rates"]["copies"]}
    rates = best_rates(
        {**old["rates"], "copies": copies},
        {**new["rates"], "copies": {**copies, **old["rates"]["copies"]}},
    )
    lines += again.values()
    set_limits(lines, rates)
    figures = {k: old[k] for k in ("threads", "rounds", "seconds_a_round")}
    commands = [*old.get("earlier", []), f"{old['revision']}: {old['command']}"]
    return {**figures, "rates": rates, "earlier": commands, "lines": lines}


class Benchmark:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.elements = arguments.types.split(",")
        self.plan: List[Any] = []  # (table, shape, element, contestants)
        if "elfatt" in arguments.tables:
            for shape in self.choose(shapes.elfatt_shapes()):
                for element in self.elements:
                    self.plan.append(
                        ("elfatt", shape, element, self.rivals(shape, element))
                    )
        if "exact" in arguments.tables:
            for shape in self.choose(shapes.exact_shapes()):
                for element in self.elements:
                    self.plan.append(("exact", shape, element, [OURS, EXACT]))
        if "growth" in arguments.tables:
            pairs = shapes.GROWTH[:3] if arguments.short else shapes.GROWTH
            for shape in self.choose([s for pair in pairs for s in pair], short=False):
                peer = EXACT if isinstance(shape, shapes.Exact) else COMPILE
                self.plan.append(("growth", shape, "f32", [OURS, peer]))

    def choose(self, all_shapes: List[Any], short: bool = True) -> List[Any]:
        if self.arguments.short and short:
            all_shapes = [all_shapes[i] for i in (0, 3, 6) if i < len(all_shapes)]
        if self.arguments.shapes:
            parts = self.arguments.shapes.split(",")
            all_shapes = [s for s in all_shapes if any(p in s.name for p in parts)]
        return all_shapes

    def rivals(self, shape: Any, element: str) -> List[str]:
        mode = self.arguments.autotune
        tuned = mode == "all" or (
            mode == "some" and shape.autotune and element == "f32"
        )
        return [OURS, EXACT, EAGER, COMPILE, *([AUTOTUNE] if tuned else []), IREE]

    def run(self) -> Dict[str, Any]:
        arguments = self.arguments
        progress = Progress(len(self.plan))
        costs = [shape.cost(WIDTHS[e]) for _, shape, e, _ in self.plan]
        sizes = [cost.bytes for cost in costs]
        before = measure_rates(arguments.threads, sizes)
        arena = Arena(arguments.threads, arguments.rounds, arguments.seconds, CACHE)
        lines: List[Dict[str, Any]] = []
        for (table, shape, element, who), cost in zip(self.plan, costs):
            line = {
                "table": table,
                "name": shape.name,
                "type": element,
                "kind": type(shape).__name__,
                "shape": vars(shape),
                "cost": vars(cost),
            }
            try:
                # Seconds a call: one round has to do.
                is_slow = cost.exponentials > SLOW_EXPONENTIALS
                line.update(arena.measure(shape, element, who, 1 if is_slow else None))
            except Failed as failure:
                sys.exit(f"error: {shape.name} {element}: {failure}")
            lines.append(line)
            progress.say(self.describe(line))
        arena.close()
        rates = best_rates(before, measure_rates(arguments.threads, sizes))
        for line in lines:
            line["figures"] = {n: f.to_json() for n, f in line["figures"].items()}
        set_limits(lines, rates)
        return {
            "threads": arguments.threads,
            "rounds": arguments.rounds,
            "seconds_a_round": arguments.seconds,
            "rates": rates,
            "lines": lines,
        }

    @staticmethod
    def describe(line: Dict[str, Any]) -> str:
        figures = [
            f"{name} {figure.ms:.2f}" if figure.ms else f"{name} failed"
            for name, figure in line["figures"].items()
        ]
        return f"{line['name']} {line['type']}, ms: " + ", ".join(figures)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="three shapes a table")
    parser.add_argument("--shapes", default="", help="names that contain one of these")
    parser.add_argument("--types", default="f32,bf16")
    parser.add_argument("--tables", default=",".join(TABLES), help="default: all")
    parser.add_argument(
        "--autotune",
        choices=["none", "some", "all"],
        default="some",
        help="max-autotune, which takes up to half a minute a shape: for f32 at the "
        "shapes marked in shapes.py, for none or for all",
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="put the lines that are measured into the committed results, in place of "
        "those that something disturbed",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    arguments.tables = arguments.tables.split(",")
    for what, given, known in (
        ("type", arguments.types.split(","), WIDTHS),
        ("table", arguments.tables, TABLES),
    ):
        unknown = [g for g in given if g not in known]
        if unknown:
            parser.error(f"unknown {what} '{unknown[0]}', expected {', '.join(known)}")
    if arguments.rounds < 1 or arguments.seconds <= 0 or arguments.threads < 1:
        parser.error("expected --rounds >= 1, --seconds > 0 and --threads >= 1")
    return arguments


def main() -> None:
    arguments = parse()
    CACHE.mkdir(parents=True, exist_ok=True)
    benchmark = Benchmark(arguments)
    if not benchmark.plan:
        sys.exit(f"error: no shape's name contains '{arguments.shapes}'")
    figures = benchmark.run()
    is_whole = not arguments.short and not arguments.shapes
    is_whole &= benchmark.elements == list(WIDTHS)
    is_whole &= arguments.tables == list(TABLES)
    folder = common.RESULTS if is_whole or arguments.update else CACHE
    if arguments.update and not is_whole:
        old = json.loads((folder / "cpu-attention.json").read_text())
        here = common.machine()
        if any(old["machine"].get(k) != here[k] for k in ("cpu", "cpu_model", "cores")):
            sys.exit("error: the committed results are of another machine: measure all")
        figures = replace_lines(old, figures)
    record = common.write_results("cpu-attention", figures, sys.argv, folder)
    report.write(record, folder)


if __name__ == "__main__":
    main()
