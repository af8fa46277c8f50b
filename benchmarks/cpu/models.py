# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whole models on the CPU, exact, beside PyTorch and IREE.

    python benchmarks/cpu/models.py [--models=NAME,...] [--rounds=3] [--threads=2]

For each model of elfatt.models: the error against PyTorch, and the time of
elfatt-run, PyTorch eager, torch.compile and IREE, one after the other in each round.
What the others compiled is kept in build/benchmarks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common  # noqa: E402
from contestants import COMPILE, IREE, OURS, Failed, Worker  # noqa: E402

MODELS = "minilm,vit_small,dinov2_small,elfatt_stage"
CACHE = common.ROOT / "build" / "benchmarks"
EAGER = "PyTorch eager"


def measure(
    name: str, rounds: int, seconds: float, threads: int, workers: Dict[str, Worker]
) -> Dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(f"{name}: importing", flush=True)
        common.run(
            "elfatt-import", f"elfatt.models:{name}", "-q", "-o", str(folder / "m.mlirbc"),
            "--inputs-out", str(folder / "in.npz"), "--expect-out", str(folder / "out.npz"),
        )  # fmt: skip
        stats: Dict[str, Any] = {}

        def elfatt() -> float:
            # The error is a figure here, not a failure: any is allowed.
            common.run(
                "elfatt-run", str(folder / "m.mlirbc"), f"--inputs={folder}/in.npz",
                f"--expect={folder}/out.npz", "--atol=1e30", f"--benchmark={seconds}",
                f"--threads={threads}", f"--stats={folder}/stats.json",
            )  # fmt: skip
            stats.update(json.loads((folder / "stats.json").read_text()))
            return stats["benchmark"]["median_ms"]

        def torch(who: str) -> Callable[[], float]:
            return lambda: statistics.median(
                workers["torch"].ask("measure", who=who, seconds=seconds, check=False)[
                    "times"
                ]
            )

        def iree() -> float:
            answer = workers["iree"].ask("measure", seconds=seconds, save=None)
            return statistics.median(answer["times"])

        workers["torch"].ask("model", name=name)
        contestants = {OURS: elfatt, EAGER: torch("eager"), COMPILE: torch("compile")}
        try:
            print(f"{name}: IREE compiles", flush=True)
            # Bytecode of another MLIR is not read everywhere; text is.
            common.run(
                "elfatt-opt", str(folder / "m.mlirbc"), "-o", str(folder / "m.mlir")
            )
            workers["iree"].ask(
                "open",
                mlir=str(folder / "m.mlir"),
                element="f32",
                inputs=str(folder / "in.npz"),
            )
            contestants[IREE] = iree
        except Failed as failure:
            print(f"{name}: IREE failed: {failure}", flush=True)
        times = common.interleave(contestants, rounds)
    return {
        "error": stats["error"],
        "limit_ms": stats["benchmark"]["limit_ms"],
        "ms": {who: statistics.median(values) for who, values in times.items()},
        "rounds_ms": times,
        "ours_to": {
            who: common.ratio(times[OURS], values)
            for who, values in times.items()
            if who != OURS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    workers = {k: Worker(k, arguments.threads, CACHE) for k in ("torch", "iree")}
    figures = {
        name: measure(
            name, arguments.rounds, arguments.seconds, arguments.threads, workers
        )
        for name in arguments.models.split(",")
    }
    for worker in workers.values():
        worker.close()
    print()
    peers = (EAGER, COMPILE, IREE)
    lines = [["model, ms (ours / theirs)", "error", "limit", "ours", *peers]]
    for name, f in figures.items():
        theirs = [
            f"{f['ms'][who]:.1f} ({f['ours_to'][who]:.2f})"
            if who in f["ms"]
            else "failed"
            for who in peers
        ]
        limit = f["limit_ms"]
        lines.append(
            [
                name,
                f"{f['error']['max_rel']:.1e}",
                f"{limit:.1f}" if limit else "",
                f"{f['ms'][OURS]:.1f}",
                *theirs,
            ]
        )
    common.print_table(lines)
    print("\nerror: largest difference to PyTorch over the largest output")
    common.write_results(
        "cpu-models", {"threads": arguments.threads, "models": figures}, sys.argv
    )


if __name__ == "__main__":
    main()
