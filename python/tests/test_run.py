# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From SOURCE to a checked result by the commands a user types."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import elfatt
import numpy as np
import pytest
from elfatt import models

# float32 through two layers against PyTorch, outputs of order one.
TOLERANCE = ["--atol=1e-5", "--rtol=1e-5"]


def run(tool: str, folder: Path, *arguments: str) -> Any:
    return subprocess.run(
        [tool, "m.mlir", *arguments], cwd=folder, capture_output=True, text=True
    )


def save(sample: models.Sample, folder: Path) -> None:
    """Writes m.mlir and io.npz (arg0, ..., out0)."""
    module, inputs = sample
    (folder / "m.mlir").write_text(elfatt.import_torch(module, *inputs))
    arrays = {f"arg{i}": value.numpy() for i, value in enumerate(inputs)}
    arrays["out0"] = module(*inputs).detach().numpy()
    np.savez(folder / "io.npz", **arrays)


@pytest.mark.parametrize(
    "make",
    [
        models.vit_tiny_test,
        models.bert_padding_tiny,
        models.elfatt_tiny_test,
    ],
    ids=lambda make: make.__name__,
)
def test_imported_model_runs(elfatt_run: str, tmp_path: Path, make: Any) -> None:
    save(make(), tmp_path)
    result = run(
        elfatt_run, tmp_path, "--inputs=io.npz", "--expect=io.npz", *TOLERANCE
    )
    assert result.returncode == 0, result.stderr + result.stdout


def test_a_different_result_gives_status_1(elfatt_run: str, tmp_path: Path) -> None:
    save(models.elfatt_attention_tiny_test(), tmp_path)
    wrong = dict(np.load(tmp_path / "io.npz"))
    wrong["out0"][0, 100, 3] += 0.01
    np.savez(tmp_path / "io.npz", **wrong)
    result = run(
        elfatt_run, tmp_path, "--inputs=io.npz", "--expect=io.npz", *TOLERANCE
    )
    assert result.returncode == 1, result.stderr


def test_saved_outputs_are_the_results(elfatt_run: str, tmp_path: Path) -> None:
    save(models.elfatt_attention_tiny_test(), tmp_path)
    result = run(elfatt_run, tmp_path, "--inputs=io.npz", "--save=out.npz")
    assert result.returncode == 0, result.stderr
    got = np.load(tmp_path / "out.npz")["out0"]
    np.testing.assert_allclose(got, np.load(tmp_path / "io.npz")["out0"], 1e-5, 1e-5)


def test_bad_inputs_give_status_2(elfatt_run: str, tmp_path: Path) -> None:
    save(models.elfatt_attention_tiny_test(), tmp_path)
    np.savez(tmp_path / "shape.npz", arg0=np.zeros((2, 2), np.float32))
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    for name in ("shape.npz", "broken.npz", "missing.npz"):
        result = run(elfatt_run, tmp_path, f"--inputs={name}", "--save=out.npz")
        assert result.returncode == 2, (name, result.stderr)
        assert "error:" in result.stderr
        assert not (tmp_path / "out.npz").exists()
