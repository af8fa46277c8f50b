# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""From SOURCE to a checked result by the commands a user types."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, List

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
    (folder / "m.mlir").write_text(str(elfatt.import_torch(module, *inputs)))
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
    result = run(elfatt_run, tmp_path, "--inputs=io.npz", "--expect=io.npz", *TOLERANCE)
    assert result.returncode == 0, result.stderr + result.stdout


ON_TENSORS = """
func.func @main(%x: tensor<?x4xf32>, %y: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %sum = arith.addf %x, %y : tensor<?x4xf32>
  %isLess = arith.cmpf olt, %x, %y : tensor<?x4xf32>
  %exp = math.exp %sum : tensor<?x4xf32>
  %out = arith.select %isLess, %exp, %sum : tensor<?x4xi1>, tensor<?x4xf32>
  return %out : tensor<?x4xf32>
}"""

IN_TOSA = """
func.func @main(%x: tensor<2x4xf32>, %y: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %sum = tosa.add %x, %y : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  %isLess = tosa.greater %y, %x : (tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xi1>
  %exp = tosa.exp %sum : (tensor<2x4xf32>) -> tensor<2x4xf32>
  %out = tosa.select %isLess, %exp, %sum
      : (tensor<2x4xi1>, tensor<2x4xf32>, tensor<2x4xf32>) -> tensor<2x4xf32>
  return %out : tensor<2x4xf32>
}"""


@pytest.mark.parametrize(
    "text, options",
    [(ON_TENSORS, []), (ON_TENSORS, ["--no-raise"]), (IN_TOSA, [])],
    ids=["arith", "arith as it is", "tosa"],
)
def test_ops_on_tensors_run(
    elfatt_run: str, tmp_path: Path, text: str, options: List[str]
) -> None:
    random = np.random.default_rng(0)
    x, y = random.standard_normal((2, 2, 4))
    out = np.where(x < y, np.exp(x + y), x + y)
    arrays = {"arg0": x, "arg1": y, "out0": out}
    np.savez(
        tmp_path / "io.npz", **{k: v.astype(np.float32) for k, v in arrays.items()}
    )
    (tmp_path / "m.mlir").write_text(text)
    result = run(elfatt_run, tmp_path, "--inputs=io.npz", "--expect=io.npz", *options)
    assert result.returncode == 0, result.stderr + result.stdout


def test_a_different_result_gives_status_1(elfatt_run: str, tmp_path: Path) -> None:
    save(models.elfatt_attention_tiny_test(), tmp_path)
    wrong = dict(np.load(tmp_path / "io.npz"))
    wrong["out0"][0, 100, 3] += 0.01
    np.savez(tmp_path / "io.npz", **wrong)
    result = run(elfatt_run, tmp_path, "--inputs=io.npz", "--expect=io.npz", *TOLERANCE)
    assert result.returncode == 1, result.stderr


def test_saved_outputs_are_the_results(elfatt_run: str, tmp_path: Path) -> None:
    save(models.elfatt_attention_tiny_test(), tmp_path)
    result = run(elfatt_run, tmp_path, "--inputs=io.npz", "--save=out.npz")
    assert result.returncode == 0, result.stderr
    got = np.load(tmp_path / "out.npz")["out0"]
    np.testing.assert_allclose(got, np.load(tmp_path / "io.npz")["out0"], 1e-5, 1e-5)


IDENTITY = """
func.func @main(%x: tensor<2x3xf32>, %n: tensor<4xi64>) -> (tensor<2x3xf32>, tensor<4xi64>) {
  %e = tensor.empty() : tensor<2x3xf32>
  %0 = linalg.negf ins(%x : tensor<2x3xf32>) outs(%e : tensor<2x3xf32>) -> tensor<2x3xf32>
  return %0, %n : tensor<2x3xf32>, tensor<4xi64>
}
"""
"""-x and n: small enough to be compiled for every bad input there is."""


def write_identity(folder: Path, element: str = "f32") -> None:
    (folder / "m.mlir").write_text(IDENTITY.replace("xf32", "x" + element))


GOOD = {"arg0": np.ones((2, 3), np.float32), "arg1": np.arange(4)}


@pytest.mark.parametrize(
    "arrays, message",
    [
        (
            {"arg0": np.ones((3, 2), np.float32)},
            "arg0: expected shape [2x3], got [3x2]",
        ),
        ({"arg0": np.ones(6, np.float32)}, "arg0: expected shape [2x3], got [6]"),
        ({"arg0": np.ones((2, 3))}, "arg0: expected dtype float32, got float64"),
        ({"arg1": np.ones(4, np.int32)}, "arg1: expected dtype int64, got int32"),
        ({"arg1": np.ones(4, np.float32)}, "arg1: expected dtype int64, got float32"),
        ({"arg2": np.ones(4, np.float32)}, "arg2: @main has 2 arguments"),
        ({"arg0": np.array(["a"])}, "element type '<U1' is not served"),
    ],
)
def test_wrong_arrays_are_named(
    elfatt_run: str, tmp_path: Path, arrays: Any, message: str
) -> None:
    write_identity(tmp_path)
    np.savez(tmp_path / "in.npz", **(GOOD | arrays))
    result = run(elfatt_run, tmp_path, "--inputs=in.npz", "--save=out.npz")
    assert result.returncode == 2
    assert message in result.stderr
    assert not (tmp_path / "out.npz").exists()


def test_a_damaged_archive_is_refused_wherever_it_is_cut(
    elfatt_run: str, tmp_path: Path
) -> None:
    write_identity(tmp_path)
    np.savez_compressed(tmp_path / "whole.npz", **GOOD)
    whole = (tmp_path / "whole.npz").read_bytes()
    damaged = [whole[: len(whole) * i // 8] for i in range(8)]
    # A byte of the compressed data itself: the sum does not fit any more.
    damaged.append(whole[:60] + bytes([whole[60] ^ 0xFF]) + whole[61:])
    for data in damaged:
        (tmp_path / "in.npz").write_bytes(data)
        result = run(elfatt_run, tmp_path, "--inputs=in.npz")
        assert result.returncode == 2, len(data)
        assert "elfatt-run: error: in.npz:" in result.stderr


def test_expected_arrays_must_fit(elfatt_run: str, tmp_path: Path) -> None:
    write_identity(tmp_path)
    np.savez(tmp_path / "none.npz", other=np.ones(3))
    np.savez(tmp_path / "shape.npz", out0=np.ones(3))
    for name in ("none.npz", "shape.npz"):
        result = run(elfatt_run, tmp_path, f"--expect={name}")
        assert result.returncode == 2
        assert "out0" in result.stderr


def test_nan_and_inf_go_through(elfatt_run: str, tmp_path: Path) -> None:
    write_identity(tmp_path)
    x = np.array([[np.nan, np.inf, -np.inf], [0, 1, 2]], np.float32)
    np.savez(tmp_path / "io.npz", arg0=x, arg1=np.arange(4), out0=-x, out1=np.arange(4))
    result = run(elfatt_run, tmp_path, "--inputs=io.npz", "--expect=io.npz")
    assert result.returncode == 0, result.stdout + result.stderr
    np.savez(tmp_path / "finite.npz", out0=np.zeros((2, 3)), out1=np.arange(4))
    result = run(elfatt_run, tmp_path, "--inputs=io.npz", "--expect=finite.npz")
    assert result.returncode == 1


@pytest.mark.parametrize("element", ["f16", "bf16"])
def test_float32_serves_half_types_by_rounding(
    elfatt_run: str, tmp_path: Path, element: str
) -> None:
    write_identity(tmp_path, element)
    x = np.array([[1.0009, -2, 3], [0.1, 65504, 0]], np.float32)
    np.savez(tmp_path / "in.npz", arg0=x, arg1=np.arange(4))
    result = run(elfatt_run, tmp_path, "--inputs=in.npz", "--save=out.npz")
    assert result.returncode == 0, result.stderr
    got = np.load(tmp_path / "out.npz")["out0"]
    if element == "bf16":
        assert got.dtype == np.uint16
        got = (got.astype(np.uint32) << 16).view(np.float32)
        np.testing.assert_allclose(got, -x, rtol=2**-8)
    else:
        np.testing.assert_array_equal(got, -x.astype(np.float16))


def test_random_inputs_are_the_same_each_time(elfatt_run: str, tmp_path: Path) -> None:
    write_identity(tmp_path)
    for name in ("a.npz", "b.npz"):
        assert run(elfatt_run, tmp_path, f"--save={name}").returncode == 0
    a, b = np.load(tmp_path / "a.npz"), np.load(tmp_path / "b.npz")
    np.testing.assert_array_equal(a["out0"], b["out0"])
    assert set(a["out1"]) <= {0, 1}


def test_stats_have_the_keys_of_the_contract(elfatt_run: str, tmp_path: Path) -> None:
    write_identity(tmp_path)
    np.savez(tmp_path / "io.npz", **GOOD, out0=-GOOD["arg0"], out1=GOOD["arg1"])
    result = run(
        elfatt_run,
        tmp_path,
        "--inputs=io.npz",
        "--expect=io.npz",
        "--benchmark=0.05",
        "--threads=1",
        "--stats=stats.json",
    )
    assert result.returncode == 0, result.stderr
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert set(stats["benchmark"]) == {
        "median_ms",
        "min_ms",
        "max_ms",
        "copy_ms",
        "limit_ms",
        "threads",
    }
    assert stats["benchmark"]["threads"] == 1
    assert stats["error"] == {"max_abs": 0, "max_rel": 0}
    assert isinstance(stats["kernels"], list)


@pytest.mark.parametrize("option", ["--save", "--stats"])
def test_a_full_disk_gives_status_2(
    elfatt_run: str, tmp_path: Path, option: str
) -> None:
    write_identity(tmp_path)
    result = run(elfatt_run, tmp_path, f"{option}=/dev/full")
    assert result.returncode == 2
    assert "No space left on device" in result.stderr


@pytest.mark.parametrize("target", ["sim:sm_12", "cuda:0", "riscv"])
def test_targets_that_are_not_built_are_named(
    elfatt_run: str, tmp_path: Path, target: str
) -> None:
    write_identity(tmp_path)
    result = run(elfatt_run, tmp_path, f"--target={target}")
    assert result.returncode == 2
    assert target in result.stderr


@pytest.mark.parametrize(
    "text, message",
    [
        ("func.func @main(", "m.mlir:1:"),
        ("func.func @other() { return }", "no function @main"),
        ("func.func @main() { return }", "@main has no results"),
        (
            "func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> { return %x : tensor<?xf32> }",
            "arg0: shape [?] is not static",
        ),
        ("func.func @main(%x: f32) -> f32 { return %x : f32 }", "argument 0 of @main"),
    ],
)
def test_modules_that_cannot_run_are_refused(
    elfatt_run: str, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "m.mlir").write_text(text)
    result = run(elfatt_run, tmp_path)
    assert result.returncode == 2, result.stdout
    assert message in result.stderr


def test_a_failed_assertion_is_an_error(elfatt_run: str, tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_text(
        """
func.func @main(%x: tensor<4xi64>) -> tensor<4xi64> {
  %c2 = arith.constant 2 : i64
  %e = tensor.empty() : tensor<4xi64>
  %0 = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
                       iterator_types = ["parallel"]}
      ins(%x : tensor<4xi64>) outs(%e : tensor<4xi64>) {
  ^bb0(%in: i64, %out: i64):
    %small = arith.cmpi slt, %in, %c2 : i64
    cf.assert %small, "index is too large"
    linalg.yield %in : i64
  } -> tensor<4xi64>
  return %0 : tensor<4xi64>
}
"""
    )
    np.savez(tmp_path / "good.npz", arg0=np.zeros(4, np.int64))
    np.savez(tmp_path / "bad.npz", arg0=np.full(4, 7))
    assert run(elfatt_run, tmp_path, "--inputs=good.npz").returncode == 0
    result = run(elfatt_run, tmp_path, "--inputs=bad.npz", "--save=out.npz")
    assert result.returncode == 2
    assert "index is too large" in result.stderr
    assert not (tmp_path / "out.npz").exists()


def test_results_do_not_depend_on_threads(elfatt_run: str, tmp_path: Path) -> None:
    save(models.vit_tiny_test(), tmp_path)
    outputs = []
    for threads in (1, 2, 3):
        result = run(elfatt_run, tmp_path, f"--threads={threads}", "--save=out.npz")
        assert result.returncode == 0, result.stderr
        outputs.append(np.load(tmp_path / "out.npz")["out0"])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_bad_inputs_give_status_2(elfatt_run: str, tmp_path: Path) -> None:
    save(models.elfatt_attention_tiny_test(), tmp_path)
    np.savez(tmp_path / "shape.npz", arg0=np.zeros((2, 2), np.float32))
    (tmp_path / "broken.npz").write_bytes(b"no zip")
    for name in ("shape.npz", "broken.npz", "missing.npz"):
        result = run(elfatt_run, tmp_path, f"--inputs={name}", "--save=out.npz")
        assert result.returncode == 2, (name, result.stderr)
        assert "error:" in result.stderr
        assert not (tmp_path / "out.npz").exists()
