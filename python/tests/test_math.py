# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The functions that compiled code computes by itself: exp2 of the kernels' vectors,
and the polynomials of the layers around them, against NumPy in extended precision.

    python python/tests/test_math.py [ELFATT-RUN]     exp2 of all 2^32 floats
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
import pytest

Array = np.ndarray
KINDS: Dict[str, Any] = {"f32": np.float32, "f64": np.float64}


def run(
    tool: str, folder: Path, text: str, x: Array, options: Sequence[str] = ()
) -> List[Array]:
    """What @main, a function of one array, gives."""
    (folder / "m.mlir").write_text(text)
    np.savez(folder / "in.npz", arg0=x)
    done = subprocess.run(
        [tool, "m.mlir", "--inputs=in.npz", "--save=out.npz", *options],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out.npz") as out:
        return [out[f"out{i}"] for i in range(len(out))]


def ulps(got: Array, exact: Array) -> float:
    """The largest distance, in units in the last place of what is exact."""
    with np.errstate(over="ignore"):
        unit = np.spacing(np.abs(exact).astype(got.dtype))
    return float((np.abs(got - exact) / unit).max())


# --- exp2 of vectors --------------------------------------------------------------


def exp2(tool: str, folder: Path, x: Array, lanes: int = 16) -> Array:
    """2^x by the code of the kernels: vectors of `lanes` elements."""
    kind = {np.float32: "f32", np.float64: "f64"}[x.dtype.type]
    n = x.size
    x = np.pad(x, (0, -n % lanes))
    array, vector = f"tensor<{x.size}x{kind}>", f"vector<{lanes}x{kind}>"
    text = f"""
func.func @main(%x: {array}) -> {array} {{
  %c0 = arith.constant 0 : index
  %n = arith.constant {x.size} : index
  %lanes = arith.constant {lanes} : index
  %pad = arith.constant 0.0 : {kind}
  %empty = tensor.empty() : {array}
  %all = scf.for %i = %c0 to %n step %lanes iter_args(%out = %empty) -> ({array}) {{
    %0 = vector.transfer_read %x[%i], %pad {{in_bounds = [true]}} : {array}, {vector}
    %1 = math.exp2 %0 : {vector}
    %2 = vector.transfer_write %1, %out[%i] {{in_bounds = [true]}} : {vector}, {array}
    scf.yield %2 : {array}
  }}
  return %all : {array}
}}"""
    return run(tool, folder, text, x)[0][:n]


def sweep(kind: Any, low: int, high: int) -> Array:
    """Inputs of every binade from 2^-40 to beyond the range [low, high) of normal
    results, both signs, and all floats near each multiple of 1/2 in the range."""
    rng = np.random.default_rng(1)
    binades = np.ldexp(1.0, np.arange(-40, 12))[:, None]
    x = (binades * rng.uniform(1, 2, (1, 4096))).ravel()
    halves = np.arange(2 * low - 4, 2 * high + 4) / 2
    near = halves[:, None] + np.spacing(halves.astype(kind))[:, None] * np.arange(
        -32, 33
    )
    return np.concatenate([x, -x, near.ravel(), [0.0, -0.0]]).astype(kind)


@pytest.mark.parametrize("kind, low, high", [("f32", -126, 128), ("f64", -1022, 1024)])
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_exp2_is_within_2_ulp(
    elfatt_run: str, tmp_path: Path, kind: str, low: int, high: int, lanes: int
) -> None:
    x = sweep(KINDS[kind], low, high)
    got = exp2(elfatt_run, tmp_path, x, lanes)
    normal = (x >= low) & (x < high)
    assert normal.sum() > 200_000
    assert ulps(got[normal], np.exp2(x[normal].astype(np.longdouble))) <= 2
    assert (got[x >= high] == np.inf).all()
    # Results below the normal range: 0 or as near as subnormal numbers are.
    small = x < low
    info = np.finfo(KINDS[kind])
    exact = np.exp2(x[small].astype(np.longdouble))
    near = np.abs(got[small] - exact) <= 2 * info.smallest_subnormal
    assert ((got[small] == 0) | near).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lanes", [8, 16])
def test_exp2_of_special_values(
    elfatt_run: str, tmp_path: Path, kind: str, lanes: int
) -> None:
    special = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e30, -1e30, 127, -126]
    got = exp2(elfatt_run, tmp_path, np.array(special, KINDS[kind]), lanes)
    with np.errstate(over="ignore"):
        expected = np.exp2(np.array(special, np.longdouble)).astype(KINDS[kind])
    np.testing.assert_array_equal(got, expected)


def test_exp2_of_integers_is_exact(elfatt_run: str, tmp_path: Path) -> None:
    x = np.arange(-126, 128, dtype=np.float32)
    np.testing.assert_array_equal(
        exp2(elfatt_run, tmp_path, x), np.ldexp(np.float32(1), x.astype(int))
    )


# --- Functions of the layers around the attention ---------------------------------

# In units in the last place. erf's polynomial is made for the absolute error.
FUNCTIONS = {
    "exp": (np.exp, -87.0, 88.0, 4),
    "expm1": (np.expm1, -10.0, 88.0, 8),
    "log": (np.log, 1e-37, 1e38, 4),
    "log1p": (np.log1p, -0.99, 1e38, 8),
    "tanh": (np.tanh, -12.0, 12.0, 8),
    "erf": (np.vectorize(math.erf, [np.longdouble]), -5.0, 5.0, 8),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_polynomials_keep_the_accuracy_of_f32(
    elfatt_run: str, tmp_path: Path, name: str
) -> None:
    exact, low, high, most = FUNCTIONS[name]
    rng = np.random.default_rng(2)
    uniform = rng.uniform(low, min(high, 100.0), 20_000)
    # As many of each size as of another, 1e-6 to the end.
    sizes = np.exp(rng.uniform(np.log(1e-6), np.log(high), 20_000))
    x = np.concatenate([uniform, sizes, -sizes]).astype(np.float32)
    x = x[(x >= low) & (x <= high)]
    array = f"tensor<{x.size}xf32>"
    text = f"""
func.func @main(%x: {array}) -> {array} {{
  %e = tensor.empty() : {array}
  %0 = linalg.generic {{indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
                       iterator_types = ["parallel"]}}
      ins(%x : {array}) outs(%e : {array}) {{
  ^bb0(%in: f32, %out: f32):
    %1 = math.{name} %in : f32
    linalg.yield %1 : f32
  }} -> {array}
  return %0 : {array}
}}"""
    got = run(elfatt_run, tmp_path, text, x)[0]
    assert ulps(got, exact(x.astype(np.longdouble))) <= most


def _sweep_all(tool: str) -> int:
    """exp2 of every float; the largest error in the normal range."""
    worst, at, block = 0.0, 0.0, 1 << 24
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, 1 << 32, block):
            x = np.arange(start, start + block, dtype=np.uint32).view(np.float32)
            got = exp2(tool, Path(folder), x)
            with np.errstate(over="ignore", invalid="ignore"):
                exact = np.exp2(x.astype(np.float64))
                normal = (x >= -126) & (x < 128)
                error = np.abs(got - exact) / np.spacing(exact.astype(np.float32))
            error[~normal] = 0
            if error.max() > worst:
                worst, at = float(error.max()), float(x[error.argmax()])
            assert (np.isnan(got) == np.isnan(x)).all(), f"NaN, block {start}"
            assert (got[x >= 128] == np.inf).all(), f"inf, block {start}"
            assert (got[x < -126] <= 2.0**-126).all(), f"small, block {start}"
    print(f"exp2: {worst:.3f} units in the last place at most, at {at!r}")
    return 0 if worst <= 2 else 1


if __name__ == "__main__":
    from elfatt.tools import find_tool

    sys.exit(
        _sweep_all(sys.argv[1] if len(sys.argv) > 1 else find_tool("elfatt-run") or "")
    )
