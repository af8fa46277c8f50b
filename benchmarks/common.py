# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What all benchmarks share: commands, machine description, results."""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "python"))
# elfatt-import lies beside the interpreter, the other commands in build/bin.
os.environ["PATH"] = os.pathsep.join(
    [str(ROOT / "build" / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
)


def run(*words: str, **options: Any) -> subprocess.CompletedProcess:
    """Runs a command; ends the benchmark with its error when it fails."""
    result = subprocess.run(words, text=True, capture_output=True, **options)
    if result.returncode:
        lines = [w for w in result.stderr.splitlines() if "error: " in w]
        sys.exit(
            f"error: {shlex.join(words)} ended with status {result.returncode}: "
            + (lines[0] if lines else result.stderr[-500:])
        )
    return result


def _first_match(path: str, key: str) -> str:
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return "unknown"


def machine() -> Dict[str, Any]:
    """What the figures depend on."""
    flags = _first_match("/proc/cpuinfo", "flags").split()
    return {
        "cpu": _first_match("/proc/cpuinfo", "model name"),
        # Virtual machines give generations the same name.
        "cpu_model": "/".join(
            _first_match("/proc/cpuinfo", key) for key in ("cpu family", "model\t")
        ),
        "cores": len(os.sched_getaffinity(0)),
        "simd": [f for f in ("avx2", "avx512f", "amx_tile", "asimd") if f in flags],
        "memory": _first_match("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "load": os.getloadavg()[0],
    }


def revision() -> str:
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        text=True,
        capture_output=True,
    ).stdout.strip()


def write_results(
    name: str, figures: Dict[str, Any], command: Sequence[str], folder: Path = RESULTS
) -> Dict[str, Any]:
    """Writes ``FOLDER/NAME.json``, with machine, revision and command; the record."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    record = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat("T", "seconds"),
        "revision": revision(),
        "command": shlex.join(["python", *command]),
        "machine": machine(),
        **figures,
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"\nwritten to {path.relative_to(ROOT)}")
    return record


def time_calls(call: Callable[[], Any], seconds: float, least: int = 3) -> List[float]:
    """Milliseconds of each call, for about ``seconds``; at least ``least`` calls."""
    times: List[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e3)
    return times


def interleave(
    contestants: Dict[str, Callable[[], float]], rounds: int
) -> Dict[str, List[float]]:
    """Lets each contestant run once a round, so that all see the same machine."""
    results: Dict[str, List[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, measure in contestants.items():
            results[name].append(measure())
            print(
                f"round {number + 1} of {rounds}: {name} {results[name][-1]:.2f} ms",
                flush=True,
            )
    return results


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """The median over the rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(of, to))


def print_table(lines: Sequence[Sequence[str]]) -> None:
    """The first line is the head, the first column is text."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(line[1:], widths[1:])]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("-" * (sum(widths) + 2 * (len(widths) - 1)))
