# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The main job on real models: ``python -m elfatt.demo``.

For each model: imports it from PyTorch, finds its attention, runs it exactly on
this machine's CPU and compares with PyTorch, runs it with ELFATT in place of the
exact attention, and writes the GPU code. Each step is a command that a user can
type as well; the commands are printed, and what they write is kept.

Two errors are kept apart: the *implementation error* is what our exact model
differs from PyTorch by; the *approximation error* is what ELFATT differs from our
exact model by.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from elfatt.demo_table import Row, explain, table
from elfatt.tools import find_tool

OK, DIFFERS, BAD_INPUT = 0, 1, 2
"""Exit status: all steps done; a result differs or a step failed; bad usage."""

EXACT_RTOL = 1e-5
"""Allowed implementation error, relative to the largest output: f32 has 6e-8 a
rounding, and a model of 12 layers adds up some thousand of them."""


@dataclasses.dataclass(frozen=True)
class Model:
    """One model of ``elfatt.models``, and how it is approximated.

    ``approximate`` holds the options of elfatt-approximate; None for a model
    whose attention is ELFATT already.
    """

    name: str
    what: str
    approximate: Optional[str]


MODELS = {
    m.name: m
    for m in (
        Model("minilm", "trained sentence encoder, padding mask", "window=8"),
        Model("vit_small", "ViT-small at 224 px", "window=7x7"),
        Model("dinov2_small", "DINOv2-small at 224 px", "window=8x8"),
        Model("elfatt_stage", "CSWin-ELFATT stage, 56x56, batch 8", None),
    )
}
DEFAULT_MODELS = "minilm,vit_small,elfatt_stage"


class StepFailed(Exception):
    """A command ended with another status than 0; the text is its last error."""


class Demo:
    """Runs the steps of one model after another."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.output = Path(arguments.output)
        self.begin = time.monotonic()
        # elfatt-import is a script beside the interpreter that runs us.
        os.environ["PATH"] = (
            f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        )

    def say(self, text: str) -> None:
        seconds = time.monotonic() - self.begin
        print(f"demo: [{seconds:6.1f} s] {text}", flush=True)

    def command(self, *words: str) -> None:
        """Runs one of our commands; its progress goes to the terminal."""
        tool = find_tool(words[0])
        if tool is None:
            raise StepFailed(f"{words[0]} is not built")
        self.say("$ " + " ".join(shlex.quote(w) for w in words))
        with open(self.output / "commands.log", "a", encoding="utf-8") as log:
            log.write(shlex.join(words) + "\n")
        process = subprocess.Popen(
            [tool, *words[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if not line.startswith("{") and len(line) < 200 and ": remark:" not in line:
                print("      " + line.rstrip(), flush=True)
        if process.wait():
            errors = (
                [line for line in lines if "error:" in line]
                or lines[-1:]
                or ["no output"]
            )
            raise StepFailed(f"{errors[0]} (exit status {process.returncode})")

    # ------------------------------------------------------------ the steps

    def import_model(self, model: Model, row: Row) -> None:
        begin = time.monotonic()
        self.command(
            "elfatt-import",
            f"elfatt.models:{model.name}",
            "-o",
            self.path(model, ".mlirbc"),
            "--inputs-out",
            self.path(model, ".in.npz"),
            "--expect-out",
            self.path(model, ".out.npz"),
        )
        row.import_seconds = time.monotonic() - begin

    def find_sites(self, model: Model, row: Row) -> None:
        row.sites = self.report(model, "raised")

    def report(self, model: Model, name: str, *passes: str) -> List[Dict[str, Any]]:
        """Raises, runs ``passes``, keeps the module as NAME; its sites."""
        report = self.path(model, f".{name}.json")
        self.command(
            "elfatt-opt",
            self.path(model, ".mlirbc"),
            "--elfatt-raise=remarks=false",
            *passes,
            f"--elfatt-report=file={report}",
            "--emit-bytecode",
            "-o",
            self.path(model, f".{name}.mlirbc"),
        )
        return json.loads(Path(report).read_text(encoding="utf-8"))

    def run_exact(self, model: Model, row: Row) -> None:
        row.exact = self.run(
            model,
            "exact",
            f"--expect={self.path(model, '.out.npz')}",
            "--atol=0",
            f"--rtol={EXACT_RTOL}",
        )

    def run_approximate(self, model: Model, row: Row) -> None:
        if model.approximate is None:
            return
        row.approximated = self.report(
            model, "elfatt", f"--elfatt-approximate={model.approximate}"
        )
        if not row.served():
            return  # Running the exact model again would say nothing.
        row.approximate = self.run(
            model,
            "elfatt",
            f"--approximate={model.approximate}",
            "--compare=exact",
            f"--save={self.path(model, '.elfatt.npz')}",
        )

    def run(self, model: Model, name: str, *options: str) -> Dict[str, Any]:
        """elfatt-run with a benchmark; its statistics."""
        stats = self.path(model, f".{name}.stats.json")
        self.command(
            "elfatt-run",
            self.path(model, ".mlirbc"),
            f"--inputs={self.path(model, '.in.npz')}",
            *options,
            f"--benchmark={self.arguments.seconds}",
            f"--threads={self.arguments.threads}",
            f"--stats={stats}",
        )
        return json.loads(Path(stats).read_text(encoding="utf-8"))

    def run_torch(self, model: Model, row: Row) -> None:
        self.say(f"PyTorch eager, {self.arguments.threads} threads")
        row.torch_ms = time_torch(
            model.name, self.arguments.threads, self.arguments.seconds
        )

    def compile_gpu(self, model: Model, row: Row) -> None:
        folder = self.path(model, ".gpu")
        self.command(
            "elfatt-compile",
            self.path(model, ".elfatt.mlirbc" if row.served() else ".mlirbc"),
            f"--target={self.arguments.gpu}",
            "-o",
            folder,
        )
        row.gpu_code = sorted(
            (p.name, p.stat().st_size) for p in Path(folder).glob("kernels.*")
        )

    # ------------------------------------------------------------ all of it

    def path(self, model: Model, ending: str) -> str:
        return str(self.output / (model.name + ending))

    def run_model(self, model: Model) -> Row:
        self.say(f"==== {model.name}: {model.what}")
        row = Row(model.name, model.what)
        # A step that needs the one before is skipped with it.
        try:
            self.import_model(model, row)
        except StepFailed as failure:
            row.failures["import"] = str(failure)
            return row
        steps = {
            "sites": self.find_sites,
            "exact": self.run_exact,
            "ELFATT": self.run_approximate,
            "PyTorch": self.run_torch,
            "GPU": self.compile_gpu,
        }
        for name, step in steps.items():
            try:
                step(model, row)
            except StepFailed as failure:
                row.failures[name] = str(failure)
                self.say(f"{name}: {failure}")
        return row


def time_torch(name: str, threads: int, seconds: float) -> float:
    """Median milliseconds of a call of ``elfatt.models.NAME`` in PyTorch eager."""
    import torch

    from elfatt import models

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        module, inputs = getattr(models, name)()
        times: List[float] = []
        with torch.inference_mode():
            for _ in range(2):
                module(*inputs)
            end = time.perf_counter() + seconds
            while len(times) < 3 or time.perf_counter() < end:
                begin = time.perf_counter()
                module(*inputs)
                times.append((time.perf_counter() - begin) * 1e3)
    finally:
        torch.set_num_threads(before)
    return sorted(times)[len(times) // 2]


def _parse(words: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="elfatt-demo",
        description=__doc__.splitlines()[0],
        epilog="models: " + "; ".join(f"{m.name} ({m.what})" for m in MODELS.values()),
    )
    parser.add_argument(
        "--models", default=DEFAULT_MODELS, help=f"default: {DEFAULT_MODELS}"
    )
    parser.add_argument(
        "--output", default="build/demo", help="folder; default: build/demo"
    )
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="length of each benchmark"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="default: all cores",
    )
    parser.add_argument(
        "--gpu",
        default="sm_87,sm_89",
        help="chips; default: sm_87 (Jetson Orin), sm_89 (Ada)",
    )
    arguments = parser.parse_args(words)
    if arguments.threads < 1 or arguments.seconds <= 0:
        parser.error("expected --threads >= 1 and --seconds > 0")
    unknown = [n for n in arguments.models.split(",") if n not in MODELS]
    if unknown:
        parser.error(
            f"unknown model '{unknown[0]}', expected some of {', '.join(MODELS)}"
        )
    return arguments


def main(words: Optional[Sequence[str]] = None) -> int:
    arguments = _parse(words)
    demo = Demo(arguments)
    try:
        demo.output.mkdir(parents=True, exist_ok=True)
        (demo.output / "commands.log").write_text("", encoding="utf-8")
    except OSError as error:
        print(f"elfatt-demo: error: cannot write '{demo.output}': {error.strerror}")
        return BAD_INPUT
    rows = [demo.run_model(MODELS[name]) for name in arguments.models.split(",")]

    text = table(rows, arguments.threads) + "\n" + explain(rows, demo.output)
    print("\n" + text)
    (demo.output / "table.txt").write_text(text + "\n", encoding="utf-8")
    return DIFFERS if any(row.failures for row in rows) else OK


if __name__ == "__main__":
    sys.exit(main())
