# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Products by mma.m8n8k4 (sm_72) in every order of an operand's dims, read where they lie in
shared memory or held by lanes, against float64; and products one after the other, between which
lanes hand elements on. The simulator executes the instruction from the PTX manual's fragments."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from elfatt.tools import find_tool

PASSES = ",".join(
    f"elfatt-gpu-{name}{{chip=sm_72}}" for name in ("assign-layouts", "distribute")
)
CONTRACT = """vector.contract {{indexing_maps = [affine_map<(i, j, k) -> ({left})>,
  affine_map<(i, j, k) -> ({right})>, affine_map<(i, j, k) -> (i, j)>],
  iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}}"""


def simulate(
    tmp_path: Path, arguments: str, body: str, *arrays: np.ndarray
) -> np.ndarray:
    """What one warp leaves in the last argument; `body` is the kernel's, on the tile level."""
    opt, run = find_tool("elfatt-opt"), find_tool("elfatt-run")
    assert opt and run, "not built: run 'cmake --build --preset release'"
    names = [a.split(":")[0] for a in arguments.split(", ")]
    operands = ", ".join(a.replace(": ", " : ") for a in arguments.split(", "))
    text = f"""module attributes {{gpu.container_module}} {{
func.func @main({arguments}) {{
  %c1 = arith.constant 1 : index
  %c32 = arith.constant 32 : index
  gpu.launch_func @kernels::@product blocks in (%c1, %c1, %c1) threads in (%c32, %c1, %c1)
    args({operands})
  return
}}
gpu.module @kernels [#nvvm.target<chip = "sm_72", features = "+ptx65">] {{
  gpu.func @product({arguments}) kernel attributes {{known_block_size = array<i32: 32, 1, 1>}} {{
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    {body}
    gpu.return
  }}
}}
}}"""
    (tmp_path / "tile.mlir").write_text(text)
    pipeline = f"--pass-pipeline=builtin.module(gpu.module(gpu.func({PASSES})))"
    done = subprocess.run(
        [opt, "tile.mlir", pipeline, "-o", "lanes.mlir"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "nvvm.mma.sync" in (tmp_path / "lanes.mlir").read_text()
    np.savez(tmp_path / "in.npz", **{f"arg{i}": x for i, x in enumerate(arrays)})
    files = ["--inputs=in.npz", "--save=out.npz"]
    done = subprocess.run(
        [run, "lanes.mlir", "--target=sim:sm_72", *files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as out:
        return out[f"out{len(names) - 1}"]


def tile(rows: int, columns: int, element: str = "f16") -> str:
    return f"{rows}x{columns}x{element}"


def read(name: str, shape: str) -> str:
    return (
        f"vector.transfer_read {name}[%c0, %c0], %zero {{in_bounds = [true, true]}} : "
        f"memref<{shape}>, vector<{shape}>"
    )


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float16)


@pytest.mark.parametrize("right", ("k, j", "j, k"))
@pytest.mark.parametrize("left", ("i, k", "k, i"))
@pytest.mark.parametrize("columns", (8, 24, 32))
def test_product(tmp_path: Path, left: str, right: str, columns: int) -> None:
    """Operands in global memory, which lanes hold whole; 24 columns are a block and a half."""
    rows, sums = 32, 24
    a, b = draw(1, rows, sums), draw(2, sums, columns)
    given = (a if left == "i, k" else a.T.copy(), b if right == "k, j" else b.T.copy())
    shapes = [tile(*x.shape) for x in given]
    result = tile(rows, columns, "f32")
    body = f"""
    %acc = arith.constant dense<1.0> : vector<{result}>
    %x = {read("%a", shapes[0])}
    %y = {read("%b", shapes[1])}
    %z = {CONTRACT.format(left=left, right=right)} %x, %y, %acc
      : vector<{shapes[0]}>, vector<{shapes[1]}> into vector<{result}>
    vector.transfer_write %z, %c[%c0, %c0] {{in_bounds = [true, true]}}
      : vector<{result}>, memref<{result}>"""
    arguments = (
        f"%a: memref<{shapes[0]}>, %b: memref<{shapes[1]}>, %c: memref<{result}>"
    )
    out = simulate(
        tmp_path, arguments, body, *given, np.zeros((rows, columns), np.float32)
    )
    expected = 1 + a.astype(np.float64) @ b.astype(np.float64)
    assert np.abs(out - expected).max() < 1e-5


@pytest.mark.parametrize("keys", (8, 40, 48))
def test_result_as_left_operand(tmp_path: Path, keys: int) -> None:
    """Rows that differ, and columns that differ, so that no element is another's."""
    q, k, v = draw(3, 16, 8), draw(4, keys, 8), draw(5, keys, 16)
    shapes = [tile(*x.shape) for x in (q, k, v)]
    scores, result = tile(16, keys, "f32"), tile(16, 16, "f32")
    body = f"""
    %none = arith.constant dense<0.0> : vector<{scores}>
    %acc = arith.constant dense<0.0> : vector<{result}>
    %x = {read("%q", shapes[0])}
    %y = {read("%k", shapes[1])}
    %s = {CONTRACT.format(left="i, k", right="j, k")} %x, %y, %none
      : vector<{shapes[0]}>, vector<{shapes[1]}> into vector<{scores}>
    %p = arith.truncf %s : vector<{scores}> to vector<{tile(16, keys)}>
    %w = {read("%v", shapes[2])}
    %z = {CONTRACT.format(left="i, k", right="k, j")} %p, %w, %acc
      : vector<{tile(16, keys)}>, vector<{shapes[2]}> into vector<{result}>
    vector.transfer_write %z, %o[%c0, %c0] {{in_bounds = [true, true]}}
      : vector<{result}>, memref<{result}>"""
    arguments = ", ".join(f"%{n}: memref<{s}>" for n, s in zip("qkv", shapes))
    arguments += f", %o: memref<{result}>"
    out = simulate(tmp_path, arguments, body, q, k, v, np.zeros((16, 16), np.float32))
    scores_of = (q.astype(np.float64) @ k.astype(np.float64).T).astype(np.float16)
    expected = scores_of.astype(np.float64) @ v.astype(np.float64)
    # A score on a border between two f16 may round to either.
    assert np.abs(out - expected).max() < 2**-9 * np.abs(expected).max()
