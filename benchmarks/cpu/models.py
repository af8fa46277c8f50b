# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whole models on the CPU, exact, beside PyTorch eager.

    python benchmarks/cpu/models.py [--models=NAME,...] [--rounds=3] [--threads=2]

For each model of elfatt.models: the error against PyTorch, and the time of
elfatt-run and of PyTorch eager, one after the other in each round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common  # noqa: E402

MODELS = "minilm,vit_small,dinov2_small,elfatt_stage"


def measure(name: str, rounds: int, seconds: float, threads: int) -> Dict[str, Any]:
    from elfatt.demo import time_torch

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

        times = common.interleave(
            {
                "elfatt-run": elfatt,
                "PyTorch eager": lambda: time_torch(name, threads, seconds),
            },
            rounds,
        )
    return {
        "error": stats["error"],
        "elfatt_ms": statistics.median(times["elfatt-run"]),
        "eager_ms": statistics.median(times["PyTorch eager"]),
        "rounds_ms": times,
        "ratio_to_eager": common.ratio(times["elfatt-run"], times["PyTorch eager"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    figures = {
        name: measure(name, arguments.rounds, arguments.seconds, arguments.threads)
        for name in arguments.models.split(",")
    }
    print()
    lines = [["model", "error", "elfatt ms", "eager ms", "elfatt / eager"]]
    for name, f in figures.items():
        lines.append(
            [
                name,
                f"{f['error']['max_rel']:.1e}",
                f"{f['elfatt_ms']:.1f}",
                f"{f['eager_ms']:.1f}",
                f"{f['ratio_to_eager']:.2f}",
            ]
        )
    common.print_table(lines)
    print("\nerror: largest difference to PyTorch over the largest output")
    common.write_results(
        "cpu-models", {"threads": arguments.threads, "models": figures}, sys.argv
    )


if __name__ == "__main__":
    main()
