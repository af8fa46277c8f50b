# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The same cases on the simulator: errors as computed there, a predicted time that
is no measurement, and none of the other contestants' times."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict

import paths  # noqa: F401

import device as devices
import peers

LARGEST_BATCH = 2
"""A simulated batch costs seconds, and its elements do not differ in kind."""


def shrink(shape: Any) -> Any:
    return dataclasses.replace(shape, batch=min(shape.batch, LARGEST_BATCH))


def measure(shape: Any, element: str, chip: str) -> Dict[str, Any]:
    """Figures as run.py has them, without times, and what the simulator predicts."""
    import numpy as np
    import torch

    figures: Dict[str, Any] = {}
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        case = peers.Case(torch, devices.HostDevice(torch), shape, element)
        result = case.make(peers.EAGER, None, None)()
        figures[peers.EAGER] = {"error": case.check(result), "rounds": []}
        ir, arrays = Path(folder) / "op.mlir", Path(folder) / "in.npz"
        out, stats = Path(folder) / "out.npz", Path(folder) / "stats.json"
        ir.write_text(shape.mlir(element))
        np.savez(
            arrays,
            **{f"arg{i}": x.float().numpy() for i, x in enumerate(case.inputs)},
        )
        tool = shutil.which("elfatt-run")
        if not tool:
            raise SystemExit("error: elfatt-run is not built")
        done = subprocess.run(
            [
                tool, str(ir), f"--target=sim:{chip}", f"--inputs={arrays}",
                f"--save={out}", f"--stats={stats}",
            ],
            text=True, capture_output=True,
        )  # fmt: skip
        if done.returncode:
            lines = [x for x in done.stderr.splitlines() if "error:" in x]
            why = (lines or ["elfatt-run failed"])[0][-300:]
            figures[peers.OURS] = {"failed": why, "rounds": []}
            return {"figures": figures, "predicted": None}
        bits = np.load(out)["out0"]
        if bits.dtype == np.uint16:
            bits = (bits.astype(np.uint32) << 16).view(np.float32)
        result = torch.from_numpy(bits.astype(np.float64)).view(case.result_shape())
        figures[peers.OURS] = {"error": case.check(result), "rounds": []}
        kernels = json.loads(stats.read_text())["kernels"]
    slowest = max(kernels, key=lambda k: k["predicted_us"])
    predicted = {
        "chip": chip,
        "us": sum(k["predicted_us"] for k in kernels),
        "launches": len(kernels),
        "limited_by": slowest["limited_by"],
    }
    return {"figures": figures, "predicted": predicted}
