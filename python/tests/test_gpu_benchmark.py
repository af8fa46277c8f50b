# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""benchmarks/gpu without a GPU: what it checks, what it reports, what it survives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from elfatt.tools import find_tool

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "gpu"))

import device as devices  # noqa: E402
import gpu_report  # noqa: E402
import gpu_shapes  # noqa: E402
import make_bundles  # noqa: E402
import paths  # noqa: E402
import peers  # noqa: E402
import run  # noqa: E402


def test_the_folder_works_alone_and_says_what_it_did_not_measure(
    tmp_path: Path,
) -> None:
    """prepare.sh, then run.py in the folder it made, on the host's CPU."""
    tool = find_tool("elfatt-compile")
    assert tool, "elfatt-compile is not built: run 'cmake --build --preset release'"
    build, kit = Path(tool).resolve().parents[1], tmp_path / "kit"
    environment = {**os.environ, "PYTHON": sys.executable, "ELFATT_BUILD": str(build)}
    environment.pop("PYTHONPATH", None)
    command = [ROOT / "benchmarks/gpu/prepare.sh", kit, "--chips=cpu,sm_87"]
    command += ["--only=7x7 c512", f"--runtime={build}/lib/libelfatt_runtime.so"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = {path.name for path in kit.glob("bundles/*/*")}
    assert "kernels.sm_87.ptx" in files and "runtime" not in files

    options = ["--device=host", "--rounds=2", "--samples=1", "--types=bf16"]
    options += ["--peers=ours; copy; eager; exact, cuDNN", "--only=7x7 c512"]
    done = subprocess.run(
        [sys.executable, "run.py", *options],
        cwd=kit, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((kit / "results/gpu-attention.json").read_text())
    assert record["is_gpu_time"] is False
    (case,) = record["cases"]
    figures = case["figures"]
    assert gpu_report.judge(case) == "right"
    assert len(figures["ours"]["rounds"]) == len(figures["eager"]["rounds"]) == 2
    assert "cuDNN is for GPUs" in figures["exact, cuDNN"]["failed"]
    page = (kit / "results/gpu-attention.md").read_text()
    assert (
        "not measured: no GPU" in page and "No figure here is a time of a GPU" in page
    )
    assert "a call on the host's CPU" in page

    options = ["--device=host", "--check-only", "--types=bf16", "--only=7x7 c512"]
    done = subprocess.run(
        [sys.executable, "run.py", *options, "--output=checked"],
        cwd=kit, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (case,) = json.loads((kit / "checked/gpu-attention.json").read_text())["cases"]
    assert list(case["figures"]) == ["ours", "eager"]
    assert not any(figure["rounds"] for figure in case["figures"].values())


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="there is a GPU")
def test_without_a_gpu_the_results_say_so(tmp_path: Path, capsys: Any) -> None:
    assert run.main(["--check-only", f"--output={tmp_path}"]) == 2
    assert "error: not checked: no GPU (" in capsys.readouterr().err
    assert run.main(["--quick", f"--output={tmp_path}"]) == 2
    assert "error: not measured: no GPU (" in capsys.readouterr().err
    record = json.loads((tmp_path / "gpu-attention.json").read_text())
    assert record["status"].startswith("not measured: no GPU") and not record["cases"]
    assert "not measured: no GPU" in (tmp_path / "gpu-attention.md").read_text()


def test_the_simulator_checks_and_predicts(tmp_path: Path, monkeypatch: Any) -> None:
    tool = find_tool("elfatt-run")
    assert tool, "elfatt-run is not built: run 'cmake --build --preset release'"
    monkeypatch.setenv("PATH", f"{Path(tool).parent}{os.pathsep}{os.environ['PATH']}")
    small = gpu_shapes.Elfatt(14, 64, 2, 7, 64), gpu_shapes.Exact("x", 9, 1, 49, 49, 32)
    monkeypatch.setattr(gpu_shapes, "QUICK", small)
    options = ["--quick", "--types=f16", "--device=simulator", "--chips=sm_80,sm_87"]
    assert run.main([*options, f"--output={tmp_path}"]) == 0
    record = json.loads((tmp_path / "gpu-attention.json").read_text())
    assert [gpu_report.judge(case) for case in record["cases"]] == ["right"] * 4
    assert [case["fields"]["batch"] for case in record["cases"]] == [2] * 4
    for case in record["cases"]:
        assert case["predicted"]["us"] > 0
        assert not any(figure["rounds"] for figure in case["figures"].values())
    page = (tmp_path / "gpu-attention.md").read_text()
    assert "f16 on sm_87" in page and "predicted, us (no measurement)" in page
    assert "Microseconds" not in page


WORKER = """
import json, os, sys

def say(**event):
    print(json.dumps(event), flush=True)

say(device={"kind": "cuda", "name": "fake"}, is_gpu_time=False)
for line in sys.stdin:
    request = json.loads(line)
    for name in request["who"]:
        say(began=name)
        if name == "eager":
            os._exit(3)
        if name == "copy":
            say(failed=name, why="RuntimeError: out of memory")
        elif name == "exact, math":
            say(failed=name, why="RuntimeError: an illegal memory access")
            say(done=True, lost=name)
            break
        else:
            say(checked=name, error=1e-3, graph=True, note=None)
            say(timed=name, us=[1.0, 5.0, 2.0])
    else:
        say(done=True, lost=None)
"""


def test_one_contestant_that_fails_does_not_lose_the_rest(
    tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(paths, "HERE", tmp_path)
    session = run.Session("cuda")
    who = ["ours", "copy", "eager", "exact, math", "max-autotune"]
    figures = session.measure({"who": who})
    session.close()
    assert set(figures) == set(who)
    assert figures["ours"]["rounds"] == figures["max-autotune"]["rounds"] == [2.0]
    assert figures["copy"]["failed"] == "RuntimeError: out of memory"
    assert "process ended" in figures["eager"]["failed"]
    assert "illegal memory access" in figures["exact, math"]["failed"]


def test_a_worker_that_hangs_is_ended(tmp_path: Path, monkeypatch: Any) -> None:
    text = WORKER.replace("os._exit(3)", "import time; time.sleep(100)")
    (tmp_path / "worker.py").write_text(text)
    monkeypatch.setattr(paths, "HERE", tmp_path)
    session = run.Session("cuda")
    monkeypatch.setattr(run, "SECONDS_A_STEP", 1)
    figures = session.measure({"who": ["eager", "ours"]})
    session.close()
    assert figures["ours"]["rounds"] == [2.0]
    assert "took too long" in figures["eager"]["failed"]


def make_record(is_gpu_time: bool, **ours: Any) -> Dict[str, Any]:
    figures = {
        "ours": {"rounds": [10.0, 12.0], "error": 1e-3, **ours},
        "copy": {"rounds": [8.0, 10.0], "error": None},
        "eager": {"rounds": [100.0, 96.0], "error": 4e-3},
        "torch.compile": {"rounds": [], "failed": "OutOfMemoryError: CUDA"},
    }
    shape = gpu_shapes.QUICK[0]
    case = {**run.describe(shape, "bf16"), "figures": figures, "predicted": None}
    device = {"kind": "cuda", "name": "GPU", "capability": "9.0", "sms": 132}
    return {
        "date": "2025-01-01T00:00:00+00:00",
        "revision": "abc",
        "command": "python run.py",
        "device": {**device, "cuda": "13.0", "torch": "2"},
        "is_gpu_time": is_gpu_time,
        "status": "measured" if is_gpu_time else "not measured: no GPU was used",
        "rounds": 2,
        "samples": 20,
        "cases": [case],
    }


def test_the_report_of_a_gpu(tmp_path: Path, capsys: Any) -> None:
    record = make_record(is_gpu_time=True)
    gpu_report.write(record, tmp_path)
    page = (tmp_path / "gpu-attention.md").read_text()
    assert (
        "Measured on GPU (compute capability 9.0" in page and "not measured" not in page
    )
    # Within a round: 10 / 8 and 12 / 10; 100 / 10 and 96 / 12.
    assert "| 9.0 | **11.0** (1.23x) | 98.0 (9.0x) | failed |" in page
    assert "torch.compile: OutOfMemoryError: CUDA" in page
    assert not gpu_report.find_faults(record)


@pytest.mark.parametrize(
    "ours, verdict",
    [
        ({"error": 4.9e-3}, "right"),
        ({"error": 5.1e-3}, "WRONG"),
        ({"error": float("inf")}, "WRONG"),
        ({"failed": "Failure: no code", "rounds": []}, "failed"),
    ],
)
def test_kernels_are_judged_by_the_eager_formula(
    ours: Dict[str, Any], verdict: str
) -> None:
    record = make_record(True, **ours)
    assert gpu_report.judge(record["cases"][0]) == verdict
    assert len(gpu_report.find_faults(record)) == (verdict != "right")
    page = gpu_report.make_page(record)
    assert ("Kernels that are wrong or did not run" in page) == (verdict != "right")


def test_what_is_no_gpu_time_is_not_shown_as_one(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    record = make_record(is_gpu_time=False)
    assert "No figure here is a time of a GPU" in gpu_report.make_page(record)
    assert gpu_report.plot(record, tmp_path)
    assert "NOT GPU times" in (tmp_path / "gpu-attention.svg").read_text()


class FakeCuda:
    """As much of torch as CudaDevice uses; it writes down what is asked for."""

    def __init__(self, captures: bool) -> None:
        log: List[str] = []
        self.log, self.cuda, self.uint8 = log, self, None
        self.backends = self.matmul = self.cudnn = self
        owner = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                log.append("event")

            def elapsed_time(self, end: Any) -> float:
                return 0.25

        class Graph:
            def replay(self) -> None:
                log.append("replay")

        class Scope:
            def __init__(self, *_: Any) -> None:
                pass

            def __enter__(self) -> None:
                pass

            def __exit__(self, *_: Any) -> None:
                pass

        class Capture(Scope):
            def __enter__(self) -> None:
                if not captures:
                    raise RuntimeError(
                        "operation not permitted when stream is capturing"
                    )

        class Stream:
            cuda_stream = 7

            def wait_stream(self, other: Any) -> None:
                pass

        self.Event, self.CUDAGraph, self.graph, self.Stream = (
            Event,
            Graph,
            Capture,
            Stream,
        )
        self.stream, self.current_stream = Scope, Stream
        self.zero_ = lambda: log.append("flush")
        self.empty = lambda *_, **__: owner
        self.synchronize = lambda: None

    def get_device_properties(self, _: int) -> Any:
        return self


@pytest.mark.parametrize("captures", [True, False])
def test_calls_are_timed_behind_a_flush(captures: bool) -> None:
    torch = FakeCuda(captures)
    device = devices.CudaDevice(torch)
    assert device.stream() == 7
    runner = device.prepare(lambda: torch.log.append("call"))
    assert runner.is_graph == captures and bool(runner.note) != captures
    torch.log.clear()
    assert device.time(runner, 2) == [250.0, 250.0]
    turn = ["flush", "event", "replay" if captures else "call", "event"]
    assert torch.log == 2 * turn


def test_a_chip_that_lacks_a_kernel_does_not_lose_the_others(tmp_path: Path) -> None:
    tool = find_tool("elfatt-compile")
    assert tool, "elfatt-compile is not built: run 'cmake --build --preset release'"
    text = gpu_shapes.Exact("x", 1, 1, 64, 64, 16).mlir("bf16")
    chips = ["sm_88", "sm_87"]
    failed = make_bundles.compile_bundle(tool, tmp_path / "bundle", chips, text)
    assert list(failed) == ["sm_88"] and "unknown chip 'sm_88'" in failed["sm_88"]
    manifest = json.loads((tmp_path / "bundle/manifest.json").read_text())
    assert {code["target"] for code in manifest["code"]} == {"sm_87"}


def test_every_shape_has_a_name_of_its_own() -> None:
    names = [gpu_shapes.slug(s, e) for s in gpu_shapes.ALL for e in gpu_shapes.WIDTHS]
    assert len(set(names)) == len(names)
    for shape in gpu_shapes.ALL:
        assert (
            gpu_shapes.from_json(json.loads(json.dumps(gpu_shapes.to_json(shape))))
            == shape
        )
    assert peers.OURS == peers.ELFATT_PEERS[0] == peers.EXACT_PEERS[0]
