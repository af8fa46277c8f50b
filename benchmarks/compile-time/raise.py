# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How elfatt-raise grows with the module: time and memory for 1 to 1000 layers.

    python benchmarks/compile-time/raise.py [--layers=1,10,100,1000] [--rounds=5]

Time is that of the pass alone, without parsing and printing, the least of the
rounds. Memory is the largest resident set, less that of an empty module: once the
module is parsed, and once it is raised as well. Nothing is printed in either, since
that takes memory too. Below 200 layers the start of the command outweighs the rest.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common  # noqa: E402
from raise_modules import generators  # noqa: E402

# What issue 4 asks of a module of 100 layers.
LIMIT_S = 2.0
RAISE = "--elfatt-raise=remarks=false"
# Leaves nothing to print.
DROP_ALL = ("--symbol-privatize", "--symbol-dce")
MIN_LAYERS_FOR_MEMORY = 200


class Point(NamedTuple):
    layers: int
    ops: int
    seconds: float
    parsed_mib: Optional[float]
    raised_mib: Optional[float]


# A process starts with the largest resident set of the one it was forked from: this
# one, with PyTorch in it. So a small one stands between.
_SPAWN = """import os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))"""


def run_opt(path: Path, *words: str) -> Tuple[str, float]:
    """Runs elfatt-opt; returns its errors and its largest resident set in MiB."""
    command = ["elfatt-opt", str(path), *words, *DROP_ALL, "-o", os.devnull]
    done = common.run(sys.executable, "-S", "-c", _SPAWN, *command)
    return done.stderr, int(done.stdout) / 1024


def pass_seconds(path: Path) -> float:
    text, _ = run_opt(path, RAISE, "--mlir-timing", "--mlir-timing-display=list")
    return float(re.search(r"^ *([\d.]+) \( *[\d.]+%\) +RaisePass$", text, re.M)[1])


def measure(text: str, layers: int, rounds: int, folder: Path, empty: float) -> Point:
    path = folder / "m.mlirbc"
    common.run("elfatt-opt", "-", "--emit-bytecode", "-o", str(path), input=text)
    remarks = common.run(
        "elfatt-opt", str(path), "--elfatt-raise", "-o", os.devnull
    ).stderr
    found = remarks.count("remark: raised to attention.sdpa")
    if found != layers:
        sys.exit(f"error: expected {layers} raised sites, got {found}")
    # One line an op, but for the ends of regions.
    ops = sum(1 for line in text.splitlines() if re.match(r" +(%|linalg|return)", line))
    seconds = min(pass_seconds(path) for _ in range(rounds))
    parsed = raised = None
    if layers >= MIN_LAYERS_FOR_MEMORY:
        parsed, raised = (run_opt(path, *words)[1] - empty for words in ((), (RAISE,)))
    return Point(layers, ops, seconds, parsed, raised)


def plot(points: Dict[str, List[Point]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "elfatt"
    import matplotlib.pyplot as plt

    figure, (times, memory) = plt.subplots(1, 2, figsize=(10, 4))
    for name, line in points.items():
        layers = [p.layers for p in line]
        times.loglog(layers, [p.seconds * 1e3 for p in line], marker="o", label=name)
        heavy = [p for p in line if p.parsed_mib]
        of = [p.layers for p in heavy]
        memory.plot(of, [p.parsed_mib for p in heavy], marker="o", label=name)
        color = memory.lines[-1].get_color()
        memory.plot(
            of, [p.raised_mib for p in heavy], marker="x", linestyle=":", color=color
        )
    first = next(iter(points.values()))[0]
    ends = [first.layers, first.layers * 1000]
    each = first.seconds * 1e3 / first.layers
    times.loglog(
        ends, [each * n for n in ends], color="gray", linewidth=0.7, label="linear"
    )
    times.set(xlabel="layers", ylabel="elfatt-raise, ms", title="Time")
    memory.set(
        xlabel="layers",
        ylabel="MiB",
        title="Peak memory: parsed (solid), raised (dotted)",
    )
    memory.set_ylim(bottom=0)
    for axes in (times, memory):
        axes.grid(True, which="major", linewidth=0.3)
    times.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    print(f"plot: {path.relative_to(common.ROOT)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", default="1,2,5,10,20,50,100,200,500,1000")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    counts = [int(n) for n in arguments.layers.split(",")]
    points: Dict[str, List[Point]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "empty.mlir").write_text("module {}\n")
        _, empty = run_opt(folder / "empty.mlir", RAISE)
        for name, build in generators().items():
            points[name] = []
            for layers in counts:
                if "whole" in name and layers % 2:
                    continue  # It comes in pairs of layers.
                point = measure(build(layers), layers, arguments.rounds, folder, empty)
                points[name].append(point)
    lines = [["", "layers", "ops", "ms", "us a layer", "parsed MiB", "raised MiB"]]
    for name, line in points.items():
        for p in line:
            memory = [
                "" if m is None else f"{m:.1f}" for m in (p.parsed_mib, p.raised_mib)
            ]
            each = p.seconds / p.layers
            times = [f"{p.seconds * 1e3:.1f}", f"{each * 1e6:.0f}"]
            lines.append([name, str(p.layers), str(p.ops), *times, *memory])
    common.print_table(lines)
    for name, line in points.items():
        for p in line:
            if p.layers == 100 and p.seconds > LIMIT_S:
                print(
                    f"{name}: 100 layers take {p.seconds:.1f} s, more than {LIMIT_S} s"
                )
    common.RESULTS.mkdir(parents=True, exist_ok=True)
    plot(points, common.RESULTS / "raise.svg")
    common.write_results(
        "raise",
        {
            "points": {
                name: [p._asdict() for p in line] for name, line in points.items()
            }
        },
        sys.argv,
    )


if __name__ == "__main__":
    main()
