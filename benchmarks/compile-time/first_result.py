# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From a PyTorch model to its first result here, step by step.

python benchmarks/compile-time/first_result.py [--model=vit_small] [--threads=2]
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common  # noqa: E402


def import_steps(model: str, folder: Path) -> Dict[str, float]:
    """Seconds of each step, from the progress that elfatt-import prints."""
    begin = time.perf_counter()
    result = common.run(
        "elfatt-import", f"elfatt.models:{model}", "-o", str(folder / "m.mlirbc"),
        "--inputs-out", str(folder / "in.npz"),
    )  # fmt: skip
    whole = time.perf_counter() - begin
    marks = [
        (float(seconds), step)
        for seconds, step in re.findall(r"\[ *([\d.]+) s\] (.*)", result.stderr)
    ]
    steps = {"import: start Python": marks[0][0]}
    for (at, step), (until, _) in zip(marks, marks[1:]):
        step = "writing" if step.startswith("writing") else step
        step = "loading" if step.startswith("loading") else step
        steps[f"import: {step}"] = until - at
    steps["import: end"] = max(whole - marks[-1][0], 0)
    return steps


def pass_seconds(path: Path, *passes: str) -> float:
    """Wall seconds of ``passes`` alone, without parsing and printing."""
    timing = common.run(
        "elfatt-opt", str(path), *passes, "--mlir-timing", "--mlir-timing-display=list",
        "--emit-bytecode", "-o", "/dev/null",
    ).stderr  # fmt: skip
    total = 0.0
    for seconds, name in re.findall(r"^ *([\d.]+) \( *[\d.]+%\) +(.*)$", timing, re.M):
        if name.strip() not in ("Parser", "Output", "Rest", "Total", "root"):
            total += float(seconds)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_small")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        steps = import_steps(arguments.model, folder)
        begin = time.perf_counter()
        result = common.run(
            "elfatt-run", str(folder / "m.mlirbc"), f"--inputs={folder}/in.npz",
            f"--threads={arguments.threads}",
        )  # fmt: skip
        whole = time.perf_counter() - begin
        for what, seconds in re.findall(
            r"^(\w+).* in ([\d.]+) s$", result.stdout, re.M
        ):
            steps[f"run: {what}"] = float(seconds)
            whole -= float(seconds)
        steps["run: start, call, end"] = whole
        raising = pass_seconds(folder / "m.mlirbc", "--elfatt-raise=remarks=false")
    total = sum(steps.values())
    lines = [[arguments.model, "seconds"]]
    lines += [[step, f"{seconds:.2f}"] for step, seconds in steps.items()]
    lines.append(["all", f"{total:.2f}"])
    lines.append(["of it elfatt-raise", f"{raising:.2f}"])
    common.print_table(lines)
    common.write_results(
        f"first-result-{arguments.model}",
        {
            "threads": arguments.threads,
            "steps_s": steps,
            "all_s": total,
            "raise_s": raising,
        },
        sys.argv,
    )


if __name__ == "__main__":
    main()
