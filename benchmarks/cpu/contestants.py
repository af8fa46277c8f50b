# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Who is measured: ours through the command a user types, the others through workers."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Optional

import common

OURS = "elfatt-run"
IREE = "IREE"
EXACT = "exact SDPA"
EAGER = "eager"
COMPILE = "torch.compile"
AUTOTUNE = "max-autotune"
_TORCH = {EXACT: "exact", EAGER: "eager", COMPILE: "compile", AUTOTUNE: "autotune"}


class Failed(Exception):
    """A contestant could not do it; the text says why."""


class Worker:
    """A process of workers.py."""

    def __init__(self, kind: str, threads: int, cache: Path) -> None:
        script = Path(__file__).resolve().parent / "workers.py"
        self.log = open(cache / f"{kind}.log", "w")
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(script),
                kind,
                f"--threads={threads}",
                f"--cache={cache}",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def ask(self, do: str, **arguments: Any) -> Dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"error: a worker ended, see {self.log.name}")
        answer = json.loads(line)
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


@dataclasses.dataclass
class Figure:
    """What one contestant reached at one shape."""

    rounds: List[float] = dataclasses.field(default_factory=list)  # medians, ms
    error: Optional[float] = None  # against float64, relative to max |V|
    failed: Optional[str] = None

    @property
    def ms(self) -> Optional[float]:
        return statistics.median(self.rounds) if self.rounds else None

    def to_json(self) -> Dict[str, Any]:
        return {"ms": self.ms, **dataclasses.asdict(self)}


class Arena:
    """Measures shapes; keeps what the compilers made in ``cache``."""

    def __init__(self, threads: int, rounds: int, seconds: float, cache: Path) -> None:
        self.threads, self.rounds, self.seconds = threads, rounds, seconds
        cache.mkdir(parents=True, exist_ok=True)
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.torch = Worker("torch", threads, cache)
        self.iree = Worker("iree", threads, cache)

    def close(self) -> None:
        for worker in (self.torch, self.iree):
            worker.close()
        self.temporary.cleanup()

    def measure(
        self, shape: Any, element: str, who: List[str], rounds: Optional[int] = None
    ) -> Dict[str, Any]:
        """One figure a contestant of ``who``, and what elfatt-run says of itself."""
        self.inputs, self.ir = self.folder / "in.npz", self.folder / "op.mlir"
        self.element, self.shape = element, shape
        self.ir.write_text(shape.mlir(element))
        kind = type(shape).__name__
        self.torch.ask(
            "open",
            kind=kind,
            fields=vars(shape),
            element=element,
            inputs=str(self.inputs),
            module=bool({EAGER, COMPILE, AUTOTUNE} & set(who)),
        )
        figures = {name: Figure() for name in who}
        self.own: Dict[str, Any] = {}
        for number in range(rounds or self.rounds):
            for name, figure in figures.items():
                if figure.failed:
                    continue
                try:
                    times = self.turn(name, figure, is_first=number == 0)
                except Failed as failure:
                    figure.failed = str(failure)
                    continue
                figure.rounds.append(statistics.median(times))
        return {"figures": figures, "own": self.own}

    def turn(self, name: str, figure: Figure, is_first: bool) -> List[float]:
        if name == OURS:
            return self.run_ours(figure, is_first)
        if name == IREE:
            return self.run_iree(figure, is_first)
        answer = self.torch.ask(
            "measure", who=_TORCH[name], seconds=self.seconds, check=is_first
        )
        if is_first:
            figure.error = answer["error"]
        return answer["times"]

    def run_ours(self, figure: Figure, is_first: bool) -> List[float]:
        stats, out = self.folder / "stats.json", self.folder / "out.npz"
        words = [
            str(self.ir), f"--inputs={self.inputs}", f"--threads={self.threads}",
            f"--benchmark={self.seconds}", f"--stats={stats}",
        ]  # fmt: skip
        if is_first:
            words.append(f"--save={out}")
        tool = shutil.which("elfatt-run")
        if not tool:
            raise SystemExit("error: elfatt-run is not built")
        result = subprocess.run([tool, *words], text=True, capture_output=True)
        if result.returncode:
            lines = [w for w in result.stderr.splitlines() if "error:" in w]
            raise Failed((lines or ["elfatt-run failed"])[0][-300:])
        benchmark = json.loads(stats.read_text())
        if is_first:
            figure.error = self.torch.ask("check", path=str(out))["error"]
            compiled = re.search(r"compiled exact model in ([\d.]+) s", result.stdout)
            self.own = {
                "compile_s": float(compiled[1]) if compiled else None,
                "kernels": benchmark["kernels"],
            }
        return [benchmark["benchmark"]["median_ms"]]

    def run_iree(self, figure: Figure, is_first: bool) -> List[float]:
        out = self.folder / "iree.npy"
        if is_first:
            plain = self.folder / "plain.mlir"
            common.run(
                "elfatt-opt", str(self.ir), "--elfatt-decompose", "-o", str(plain)
            )
            self.iree.ask(
                "open", mlir=str(plain), element=self.element, inputs=str(self.inputs)
            )
        answer = self.iree.ask(
            "measure", seconds=self.seconds, save=str(out) if is_first else None
        )
        if is_first:
            figure.error = self.torch.ask("check", path=str(out))["error"]
        return answer["times"]
