# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention on a GPU, side by side: checked against float64, then measured.

    python run.py [--quick] [--only=TEXT]... [--types=bf16,...] [--rounds=5]
    python run.py --check-only      # every kernel against float64, nothing timed

Ours (bundles through libelfatt_runtime, on PyTorch's stream and tensors) beside a
device copy of the same bytes; the same formula in PyTorch eager, torch.compile and
max-autotune; exact attention by its math, FlashAttention-2 and cuDNN back ends. Each
call is captured into a CUDA graph and replayed between two events, the L2 flushed
before; in each round every contestant has a turn. What fails is a line of the
table. Results are written after each case: results/gpu-attention.json, .md, .svg.

Without a GPU nothing is measured, and the results say so. --device=simulator (in
the repository, with its tools built) checks the kernels on the simulator of
--chips=sm_90 and gives its predictions, which are no times of a GPU;
--device=host runs CPU bundles through this program, to test it.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import json
import os
import platform
import queue
import shlex
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import paths

try:
    import numpy  # noqa: F401
except ImportError:
    sys.exit("error: this Python has no NumPy; all that is needed is NumPy and PyTorch")

import common
import device as devices
import gpu_report
import gpu_shapes
import peers
import simulated

SECONDS_A_STEP = 900
"""Longer than max-autotune takes for one shape; a step that takes more is ended."""

Figures = Dict[str, Dict[str, Any]]


class Session:
    """A worker process, started again where a fault ended it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.process: Optional[subprocess.Popen[str]] = None
        self.about: Dict[str, Any] = {}
        self._start()

    def _start(self) -> None:
        script = str(paths.HERE / "worker.py")
        self.process = subprocess.Popen(
            [sys.executable, script, self.kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        lines: queue.Queue[Optional[str]] = queue.Queue()
        output = self.process.stdout

        def read() -> None:
            for line in output or ():
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        self.lines = lines
        about = self._next()
        if about is None:
            raise SystemExit("error: the worker process does not start")
        self.about = about

    def _next(self) -> Optional[Dict[str, Any]]:
        """The next event; None when the process ended or takes too long."""
        try:
            line = self.lines.get(timeout=SECONDS_A_STEP)
        except queue.Empty:
            line = None
        return json.loads(line) if line is not None else None

    def close(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def measure(self, request: Dict[str, Any]) -> Figures:
        """A figure for each contestant of `who`. One that takes the process with it
        is left out of another attempt."""
        figures: Figures = {}
        while True:
            who = [name for name in request["who"] if name not in failed(figures)]
            figures = {k: v for k, v in figures.items() if "failed" in v}
            lost = self._attempt({**request, "who": who}, figures)
            if lost is None:
                return figures
            figures.setdefault(lost, {"rounds": []})
            figures[lost].setdefault("failed", "the process ended, or took too long")
            self.close()
            self._start()

    def _attempt(self, request: Dict[str, Any], figures: Figures) -> Optional[str]:
        """None when done, else the contestant at which it broke off."""
        assert self.process and self.process.stdin
        current = request["who"][0] if request["who"] else None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return current
        while True:
            event = self._next()
            if event is None:
                return current
            if "began" in event:
                current = event["began"]
            elif "checked" in event:
                keys = ("error", "graph", "note")
                figures[event["checked"]] = {
                    "rounds": [],
                    **{key: event[key] for key in keys},
                }
            elif "timed" in event:
                rounds = figures[event["timed"]]["rounds"]
                rounds.append(statistics.median(event["us"]))
            elif "failed" in event:
                for name in [event["failed"]] if event["failed"] else request["who"]:
                    figures[name] = {"rounds": [], "failed": event["why"]}
            elif "done" in event:
                return event["lost"]


def failed(figures: Figures) -> List[str]:
    return [name for name, figure in figures.items() if "failed" in figure]


class Results:
    """The record, written after each case."""

    def __init__(self, folder: Path, head: Dict[str, Any]) -> None:
        self.folder, self.record = folder, {**head, "cases": []}
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, case: Dict[str, Any]) -> None:
        self.record["cases"].append(case)
        self.write()

    def write(self) -> None:
        path = self.folder / "gpu-attention.json"
        temporary = path.with_suffix(".json.new")
        temporary.write_text(json.dumps(self.record, indent=2) + "\n")
        os.replace(temporary, path)


def find_library() -> Optional[str]:
    """libelfatt_runtime.so: of the build, or the one for this machine in the kit."""
    if not paths.IS_KIT:
        path = paths.ROOT / "build" / "lib" / "libelfatt_runtime.so"
        return str(path) if path.exists() else None
    path = paths.HERE / "lib" / platform.machine() / "libelfatt_runtime.so"
    try:
        ctypes.CDLL(str(path))
        return str(path)
    except OSError:
        print(f"{path.relative_to(paths.HERE)} is missing or not for this machine")
    built = paths.HERE / "lib" / "built" / "libelfatt_runtime.so"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        script = str(paths.HERE / "runtime" / "build.sh")
        done = subprocess.run(
            ["sh", script, str(built)], capture_output=True, text=True
        )
        if done.returncode:
            print(f"the runtime does not build here: {done.stderr.strip()[-300:]}")
            return None
    return str(built)


def find_revision() -> str:
    if paths.IS_KIT:
        return json.loads((paths.HERE / "kit.json").read_text())["revision"]
    return common.revision()


def list_cases(arguments: argparse.Namespace) -> List[Any]:
    """(shape, type): bf16 everywhere, the other types at the quick shapes unless
    they are asked for."""
    types = arguments.types.split(",") if arguments.types else None
    cases = []
    for shape in gpu_shapes.QUICK if arguments.quick else gpu_shapes.ALL:
        is_quick = shape in gpu_shapes.QUICK
        for element in types or (("bf16", "f16", "f32") if is_quick else ("bf16",)):
            if gpu_shapes.choose([shape], arguments.only):
                cases.append((shape, element))
    return cases


def describe(shape: Any, element: str) -> Dict[str, Any]:
    cost = shape.cost(gpu_shapes.WIDTHS[element])
    return {
        **gpu_shapes.to_json(shape),
        "name": shape.name,
        "type": element,
        "cost": vars(cost),
    }


def parse(words: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three shapes")
    parser.add_argument("--only", action="append", default=[], help="part of a name")
    parser.add_argument("--types", default="", help="f16, bf16, f32")
    parser.add_argument(
        "--check-only", action="store_true", help="check the kernels, time nothing"
    )
    parser.add_argument("--peers", default="", help="these contestants alone")
    parser.add_argument("--chips", default="sm_90", help="of the simulator")
    parser.add_argument(
        "--device", choices=["cuda", "simulator", "host"], default="cuda"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=20, help="calls a round")
    parser.add_argument("--bundles", type=Path, default=find_bundles())
    parser.add_argument("--output", type=Path, default=None, help="default: results")
    arguments = parser.parse_args(words)
    for element in arguments.types.split(",") if arguments.types else ():
        if element not in gpu_shapes.WIDTHS:
            known = ", ".join(gpu_shapes.WIDTHS)
            parser.error(f"unknown type '{element}', expected {known}")
    for name in split_peers(arguments):
        if name not in peers.ELFATT_PEERS:
            known = "; ".join(peers.ELFATT_PEERS)
            parser.error(f"unknown contestant '{name}', expected {known}")
    if arguments.rounds < 1 or arguments.samples < 1:
        parser.error("expected --rounds >= 1 and --samples >= 1")
    return arguments


def find_bundles() -> Path:
    """Beside this file in the kit, else of the kit that prepare.sh made last."""
    folder = paths.HERE if paths.IS_KIT else paths.ROOT / "build" / "gpu-benchmark"
    return folder / "bundles"


def split_peers(arguments: argparse.Namespace) -> List[str]:
    """Names contain commas, so that they are divided by semicolons."""
    if arguments.check_only and not arguments.peers:
        # The bound of our error follows from that of the same formula there.
        return [peers.OURS, peers.EAGER]
    return [name.strip() for name in arguments.peers.split(";") if name.strip()]


def default_folder() -> Path:
    return (
        paths.HERE / "results" if paths.IS_KIT else paths.ROOT / "build" / "benchmarks"
    )


def make_head(arguments: argparse.Namespace, words: Sequence[str]) -> Dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "date": now.isoformat("T", "seconds"),
        "revision": find_revision(),
        "command": shlex.join(["python", "run.py", *words]),
        "machine": common.machine(),
        "device": None,
        "is_gpu_time": False,
        "rounds": 0 if arguments.check_only else arguments.rounds,
        "samples": arguments.samples,
    }


def main(words: Optional[Sequence[str]] = None) -> int:
    arguments = parse(words)
    words = list(sys.argv[1:] if words is None else words)
    cases = list_cases(arguments)
    if not cases:
        sys.exit(f"error: no shape's name contains {' or '.join(arguments.only)}")
    folder = arguments.output or default_folder()
    results = Results(folder, make_head(arguments, words))
    record = results.record
    if arguments.device == "cuda":
        has_gpu, reason = devices.find_gpu()
        did = "checked" if arguments.check_only else "measured"
        record["status"] = did if has_gpu else f"not {did}: no GPU ({reason})"
        if not has_gpu:
            results.write()
            gpu_report.write(record, folder)
            print(f"error: {record['status']}", file=sys.stderr)
            return 2
    if arguments.device == "simulator":
        run_simulator(arguments, cases, results)
    else:
        run_device(arguments, cases, results)
    gpu_report.write(record, folder)
    return 1 if gpu_report.find_faults(record) else 0


def run_simulator(
    arguments: argparse.Namespace, cases: List[Any], results: Results
) -> None:
    record = results.record
    record["status"] = "not measured: no GPU was used, errors are of the simulator"
    record["device"] = {"kind": "simulator", "name": f"simulator of {arguments.chips}"}
    begin = time.monotonic()
    cases = [(*case, chip) for case in cases for chip in arguments.chips.split(",")]
    for number, (shape, element, chip) in enumerate(cases):
        shape = simulated.shrink(shape)
        found = simulated.measure(shape, element, chip)
        results.add({**describe(shape, element), "chip": chip, **found})
        say(begin, number, cases, record["cases"][-1])


def run_device(
    arguments: argparse.Namespace, cases: List[Any], results: Results
) -> None:
    record = results.record
    session = Session(arguments.device)
    record["device"] = session.about["device"]
    record["is_gpu_time"] = session.about["is_gpu_time"]
    if not record["is_gpu_time"]:
        record["status"] = "not measured: no GPU was used, times are of the host's CPU"
    library = find_library()
    if not library:
        print("there is no libelfatt_runtime.so for this machine: ours is left out")
    begin = time.monotonic()
    for number, (shape, element) in enumerate(cases):
        exact = isinstance(shape, gpu_shapes.Exact)
        names = peers.EXACT_PEERS if exact else peers.ELFATT_PEERS
        wanted = split_peers(arguments)
        bundle = arguments.bundles / gpu_shapes.slug(shape, element)
        request = {
            "shape": gpu_shapes.to_json(shape),
            "element": element,
            "bundle": str(bundle) if bundle.exists() else None,
            "library": library,
            "who": [name for name in names if not wanted or name in wanted],
            "rounds": 0 if arguments.check_only else arguments.rounds,
            "samples": arguments.samples,
        }
        figures = session.measure(request)
        results.add({**describe(shape, element), "figures": figures, "predicted": None})
        say(begin, number, cases, record["cases"][-1])
    session.close()


def say(begin: float, number: int, cases: List[Any], case: Dict[str, Any]) -> None:
    seconds = time.monotonic() - begin
    print(
        f"[{seconds:4.0f} s, {number + 1} of {len(cases)}] {case['name']}, "
        f"{gpu_report.show_type(case)}: {gpu_report.summarise(case)}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
