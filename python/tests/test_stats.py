# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The records of attention ops in ``elfatt-run --stats`` on the CPU."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import elfatt
import pytest
from elfatt import models


def get_stats(tool: str, folder: Path, sample: models.Sample, *options: str) -> Any:
    module, inputs = sample
    (folder / "m.mlir").write_text(str(elfatt.import_torch(module, *inputs)))
    subprocess.run(
        [tool, "m.mlir", "--stats=stats.json", "--threads=1", *options],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return json.loads((folder / "stats.json").read_text())


def test_elfatt_is_counted_predicted_and_measured(
    elfatt_run: str, tmp_path: Path
) -> None:
    # 14 x 14 tokens, 2 heads of 16 channels, windows of 7 x 7, LePE in both.
    stats = get_stats(
        elfatt_run, tmp_path, models.elfatt_attention_tiny_test(), "--benchmark=0.05"
    )
    (record,) = stats["kernels"]
    tokens, window, channels, taps = 196, 49, 16, 9
    assert record["op"] == 0 and record["op_name"] == "attention.elfatt"
    assert record["target"] == "cpu"
    # Q, K, V and O of both heads in float32.
    assert record["floor_bytes"] == 4 * tokens * 2 * channels * 4
    assert record["exponentials"] == tokens * window + 2 * tokens * channels
    assert record["flops"] == 2 * tokens * (
        window * 2 * channels + 2 * channels * channels + 2 * taps * channels
    )
    assert record["limited_by"] in ("memory", "flops", "exponentials")
    loops: List[Dict[str, Any]] = record["loops"]
    assert record["name"] == ", ".join(loop["name"] for loop in loops)
    assert record["measured_us"] == pytest.approx(
        sum(loop["measured_us"] for loop in loops)
    )
    # Nothing is faster than the limit.
    assert 0 < record["predicted_us"] < record["measured_us"]
    benchmark = stats["benchmark"]
    assert 0 < benchmark["limit_ms"] < benchmark["median_ms"]


def test_layers_that_share_kernels_have_their_own_records(
    elfatt_run: str, tmp_path: Path
) -> None:
    stats = get_stats(elfatt_run, tmp_path, models.vit_tiny_test(), "--benchmark=0.05")
    first, second = stats["kernels"]
    assert (first["op"], second["op"]) == (0, 1)
    assert first["name"] == second["name"] != ""
    assert first["measured_us"] > 0 and second["measured_us"] > 0


def test_without_a_benchmark_nothing_is_measured(
    elfatt_run: str, tmp_path: Path
) -> None:
    stats = get_stats(elfatt_run, tmp_path, models.vit_tiny_test())
    assert all(r["measured_us"] is None for r in stats["kernels"])
    assert all(r["predicted_us"] > 0 for r in stats["kernels"])
