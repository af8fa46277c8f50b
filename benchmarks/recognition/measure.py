# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One family, imported, raised, executed and compared."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

# Loaded here once, not in the process of each family.
import elfatt
import elfatt.importer.torch_frontend  # noqa: F401
import numpy as np
import torch
from elfatt.tools import find_opt
from execute import execute
from torch.utils._pytree import tree_leaves


def measure(
    family: Any, implementation: str, frontend: str, keep: Optional[Path]
) -> Dict[str, Any]:
    """What became of one family: `sites` and `error`, or the `failure` and its step."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    step = "build"
    try:
        model, inputs = family.build(implementation)
        with torch.no_grad():
            expected = [np.asarray(leaf) for leaf in tree_leaves(model(*inputs))]
        step = "import"
        text = FRONTENDS[frontend](family, model, inputs)
        if keep:
            name = re.sub(r"\W+", "_", f"{family.name}_{implementation}_{frontend}")
            (keep / f"{name}.mlir").write_text(text)
        step = "raise"
        raised, sites = raise_text(text)
        step = "execute"
        got = execute(raised, [np.asarray(value) for value in inputs])
        error = difference(got, expected)
    except Exception as exception:  # noqa: BLE001 - any failure is a row of the table
        return {"failure": f"{step}: {type(exception).__name__}: {exception}"}
    return {"sites": sites, "error": error}


def from_torch(family: Any, model: Any, inputs: Any) -> str:
    return str(elfatt.import_torch(model, *inputs, dynamic=family.dynamic))


def from_onnx(family: Any, model: Any, inputs: Any, **options: Any) -> str:
    """By PyTorch's export to ONNX; open dimensions stay open."""
    if family.dynamic:
        sizes: Dict[int, Dict[int, Any]] = {i: {} for i in range(len(inputs))}
        for argument, dim in family.dynamic:
            sizes[argument][dim] = torch.export.Dim.DYNAMIC
        options["dynamic_shapes"] = (tuple(sizes.values()),)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        torch.onnx.export(
            model,
            tuple(inputs),
            path,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            **options,
        )
        return str(elfatt.import_onnx(path))


def from_onnx_script(family: Any, model: Any, inputs: Any) -> str:
    """By PyTorch's older export, which most ONNX files in the world come from."""
    axes: Dict[str, Dict[int, str]] = {}
    for argument, dim in family.dynamic:
        # Inputs that share a size give it one name.
        axes.setdefault(f"arg{argument}", {})[dim] = f"size{dim}"
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        torch.onnx.export(
            model,
            tuple(inputs),
            path,
            dynamo=False,
            opset_version=OPSET,
            dynamic_axes=axes,
            input_names=[f"arg{i}" for i in range(len(inputs))],
        )
        return str(elfatt.import_onnx(path))


def from_jax(family: Any, function: Any, inputs: Any) -> str:
    import jax

    return str(elfatt.import_stablehlo(jax.jit(function).lower(*inputs).as_text()))


FRONTENDS = {
    "torch": from_torch,
    "onnx": from_onnx,
    "onnx (TorchScript)": from_onnx_script,
    "stablehlo": from_jax,
}
OPSET = 18


def raise_text(text: str) -> Any:
    """The module raised and decomposed again, and the records of its sites."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "sites.json"
        made = subprocess.run(
            [
                str(find_opt()),
                "-",
                "--elfatt-raise",
                f"--elfatt-report=file={report}",
                "--elfatt-decompose",
            ],
            input=text,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            lines = [s for s in made.stderr.splitlines() if "error:" in s] or [
                made.stderr
            ]
            raise RuntimeError(f"exit status {made.returncode}: {lines[0][-300:]}")
        return made.stdout, json.loads(report.read_text())


def difference(got: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """The largest difference over the largest output; NaN must stand where it stood."""
    worst = 0.0
    for one, other in zip(got, expected, strict=True):
        if one.shape != other.shape:
            raise ValueError(f"expected shape {other.shape}, got {one.shape}")
        if not np.array_equal(np.isfinite(one), np.isfinite(other)):
            return float("inf")
        finite = np.isfinite(other)
        scale = np.abs(other[finite]).max(initial=1e-30)
        worst = max(worst, float(np.abs(one - other)[finite].max(initial=0) / scale))
    return worst
