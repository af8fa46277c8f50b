# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ELFATT attention of one vision stage on the CPU, beside PyTorch.

    python benchmarks/cpu/stage.py [--rounds=5] [--seconds=1] [--threads=2]

56x56 tokens, 64 channels, 2 heads, windows of 7x7, batch 8, f32, from the packed
qkv tensor to the concatenated heads, LePE included. Contestants, one after the
other in each round: elfatt-run; torch.compile of the same formula; the same
formula in PyTorch eager; exact softmax attention (F.scaled_dot_product_attention
over all 3136 tokens, no LePE), which is what ELFATT stands in for.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common  # noqa: E402

MODEL = "elfatt.models:elfatt_attention_only"


def torch_contestants(threads: int, seconds: float) -> Dict[str, Callable[[], float]]:
    # The compiler that torch.compile calls; g++ where there is one.
    if not shutil.which("g++"):
        os.environ.setdefault("CXX", "clang++-22")
    import torch
    from torch.nn import functional as F

    from elfatt import models

    torch.set_num_threads(threads)
    module, (qkv,) = models.elfatt_attention_only()
    compiled = torch.compile(module)

    def exact(x: Any) -> Any:
        batch, tokens, channels = x.shape
        q, k, v = x.view(batch, tokens, 3, 2, channels // 6).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v)
        return out.transpose(1, 2).reshape(batch, tokens, channels // 3)

    def contestant(call: Callable[[Any], Any]) -> Callable[[], float]:
        def measure() -> float:
            with torch.inference_mode():
                call(qkv)  # Compiles, or warms up the caches.
                return statistics.median(common.time_calls(lambda: call(qkv), seconds))

        return measure

    return {
        "torch.compile": contestant(compiled),
        "PyTorch eager": contestant(module),
        "exact SDPA": contestant(exact),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        common.run(
            "elfatt-import", MODEL, "-q", "-o", str(folder / "m.mlirbc"),
            "--inputs-out", str(folder / "in.npz"), "--expect-out", str(folder / "out.npz"),
        )  # fmt: skip
        error: Dict[str, float] = {}

        def elfatt() -> float:
            common.run(
                "elfatt-run", str(folder / "m.mlirbc"), f"--inputs={folder}/in.npz",
                f"--expect={folder}/out.npz", "--atol=0", "--rtol=1e-5",
                f"--benchmark={arguments.seconds}", f"--threads={arguments.threads}",
                f"--stats={folder}/stats.json",
            )  # fmt: skip
            stats = json.loads((folder / "stats.json").read_text())
            error.update(stats["error"])
            return stats["benchmark"]["median_ms"]

        contestants = {"elfatt-run": elfatt}
        contestants.update(torch_contestants(arguments.threads, arguments.seconds))
        times = common.interleave(contestants, arguments.rounds)

    print()
    figures = {}
    lines = [["56x56 c64 h2 window 7 batch 8 f32", "median ms", "against elfatt-run"]]
    for name, values in times.items():
        figures[name] = {
            "median_ms": statistics.median(values),
            "rounds_ms": values,
            "ratio_to_elfatt": common.ratio(values, times["elfatt-run"]),
        }
        figure = figures[name]
        lines.append(
            [name, f"{figure['median_ms']:.2f}", f"{figure['ratio_to_elfatt']:.2f}"]
        )
    common.print_table(lines)
    print(
        f"\nelfatt-run against PyTorch eager: {error['max_rel']:.1e} of the largest output"
    )
    common.write_results(
        "cpu-stage",
        {"threads": arguments.threads, "error": error, "contestants": figures},
        sys.argv,
    )


if __name__ == "__main__":
    main()
