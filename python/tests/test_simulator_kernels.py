# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kernels that are not ours, in upstream's dialects, on the simulator."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np
import pytest
from elfatt.tools import find_tool

KERNELS = Path(__file__).parent / "data" / "kernels"


class Run(NamedTuple):
    status: int
    stderr: str
    result: Optional[np.ndarray]
    kernels: List[Dict]
    path: Path


@pytest.fixture
def simulate(tmp_path: Path) -> Callable[..., Run]:
    tool = find_tool("elfatt-run")
    assert tool, "elfatt-run is not built: run 'cmake --build --preset release'"

    def run(text: str, *arrays: np.ndarray, chip: str = "sm_80") -> Run:
        source, inputs = tmp_path / "m.mlir", tmp_path / "in.npz"
        out, stats = tmp_path / "out.npz", tmp_path / "stats.json"
        source.write_text(text)
        np.savez(inputs, **{f"arg{i}": a for i, a in enumerate(arrays)})
        options = [f"--inputs={inputs}", f"--save={out}", f"--stats={stats}"]
        done = subprocess.run(
            [tool, str(source), f"--target=sim:{chip}", *options],
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            return Run(done.returncode, done.stderr, None, [], out)
        kernels = json.loads(stats.read_text())["kernels"]
        return Run(0, done.stderr, np.load(out)["out0"], kernels, out)

    return run


def read(name: str) -> str:
    return (KERNELS / f"{name}.mlir").read_text()


def change(text: str, old: str, new: str, count: int = 1) -> str:
    assert old in text, old
    return text.replace(old, new, count)


def draw(seed: int, *shape: int) -> np.ndarray:
    return (
        np.random.default_rng(seed)
        .standard_normal(shape)
        .astype(np.float16)
        .astype(np.float32)
    )


A, B = draw(1, 128, 64), draw(2, 64, 32)


def test_matmul(simulate) -> None:
    run = simulate(read("matmul"), A, B)
    assert run.status == 0, run.stderr
    expected = A.astype(np.float64) @ B.astype(np.float64)
    # f32 sums of 64 products of f16.
    assert np.abs(run.result - expected).max() <= 64 * 2**-24 * np.abs(expected).max()
    (kernel,) = run.kernels
    # 2 blocks of 4 warps, 4 steps in k, 4 columns of tiles.
    assert kernel["mma"] == 2 * 4 * 4 * 4
    # A once, B by each block.
    assert kernel["global_bytes_read"] == 128 * 64 * 2 + 2 * 64 * 32 * 2
    assert kernel["dram_bytes_read"] == 128 * 64 * 2 + 64 * 32 * 2
    assert kernel["dram_bytes_written"] == 128 * 32 * 4
    assert kernel["barriers"] == 2 * 4 * 2
    assert kernel["poison_reads"] == 0


MATMUL_MUTATIONS = {
    "wait-for-no-group": ("numGroups = 1", "numGroups = 2", "what cp.async has not delivered"),
    "no-barrier-behind-the-wait": (
        "{numGroups = 1 : i32}\n      gpu.barrier",
        "{numGroups = 1 : i32}",
        "cp.async|race",
    ),
    "no-barrier-before-the-next-copy": (
        "gpu.barrier\n      scf.yield",
        "scf.yield",
        "with no barrier between: a race",
    ),
    "one-row-too-far": ("%aGlobalRow = arith.addi", "%c65 = arith.constant 65 : index\n"
        "%aShifted = arith.addi %blockRow, %c65 : index\n%aGlobalRow = arith.addi %c1, %aShifted : "
        "index\n%unused = arith.addi", "out of bounds"),
    "half-a-chunk": ("%fragColumn = arith.muli %half, %c8", "%fragColumn = arith.muli %half, %c4",
                     "ldmatrix.* is misaligned"),
}  # fmt: skip


@pytest.mark.parametrize("mutation", MATMUL_MUTATIONS)
def test_mutations_of_the_matmul_are_seen(simulate, mutation: str) -> None:
    old, new, message = MATMUL_MUTATIONS[mutation]
    run = simulate(change(read("matmul"), old, new), A, B)
    assert run.status == 2
    assert re.search(message, run.stderr), run.stderr
    # The place in the file, the block and the thread.
    assert re.search(
        r"block \(\d, 0, 0\), thread \d+: .* \(m\.mlir:\d+:\d+\)", run.stderr
    )


def test_matmul_needs_a_chip_with_cp_async(simulate) -> None:
    run = simulate(read("matmul"), A, B, chip="sm_75")
    assert run.status == 2
    assert re.search(
        r"kernel 'main_kernel': sm_75 with PTX 6\.5 has no \S.*; there is: ", run.stderr
    )


@pytest.mark.parametrize("n", [1, 255, 256, 1000, 4097])
def test_reduction(simulate, n: int) -> None:
    x = draw(n, n)
    run = simulate(read("reduction"), x)
    assert run.status == 0, run.stderr
    assert run.result[0] == pytest.approx(x.astype(np.float64).sum(), abs=1e-6 * n)
    (kernel,) = run.kernels
    assert kernel["grid"] == [-(-n // 256), 1, 1]
    assert kernel["dram_bytes_read"] <= n * 4 + 64


def test_reduction_reads_its_own_elements_alone(simulate) -> None:
    text = change(read("reduction"), "arith.cmpi ult, %i, %n", "arith.cmpi ule, %i, %n")
    run = simulate(text, draw(3, 1000))
    assert run.status == 2
    assert (
        "out of bounds: bytes 4000 to 4003 of 'argument 1', which has 4000"
        in run.stderr
    )


def test_transpose(simulate) -> None:
    x = draw(4, 64, 96)
    run = simulate(read("transpose"), x)
    assert run.status == 0, run.stderr
    assert (run.result == x.T).all()
    (kernel,) = run.kernels
    assert kernel["global_bytes_read"] == kernel["global_bytes_written"] == x.nbytes
    assert kernel["sector_efficiency"] == 1
    assert kernel["bank_conflicts"] == 0


def test_transpose_without_padding_has_conflicts(simulate) -> None:
    text = change(read("transpose"), "constant(33 : i32)", "constant(32 : i32)")
    run = simulate(text, draw(4, 64, 96))
    assert run.status == 0, run.stderr
    # 6 blocks read 32 columns of 32 elements, each in one bank.
    assert run.kernels[0]["bank_conflicts"] == 6 * 32 * 31


def test_stores_to_an_argument_of_the_model(simulate) -> None:
    text = change(
        read("transpose"),
        "%out = llvm.getelementptr %y[%h]",
        "%out = llvm.getelementptr %x[%h]",
    )
    run = simulate(text, draw(5, 64, 96))
    assert run.status == 2
    assert "writes to 'argument 0 (arg0 of @main)', which is read-only" in run.stderr


def test_unknown_instruction_is_named(simulate) -> None:
    text = change(
        read("transpose"), "nvvm.barrier0", "nvvm.barrier0\n      nvvm.cluster.arrive"
    )
    run = simulate(text, draw(6, 64, 96), chip="sm_90")
    assert run.status == 2
    assert "the simulator does not know llvm.nvvm.barrier.cluster.arrive" in run.stderr


def test_memrefs_of_the_caller_are_results(simulate) -> None:
    text = """
func.func @main(%x: memref<4x64xf32>, %y: memref<4x64xf32>) {
  %c1 = arith.constant 1 : index
  %c4 = arith.constant 4 : index
  %c64 = arith.constant 64 : index
  gpu.launch blocks(%bx, %by, %bz) in (%gx = %c4, %gy = %c1, %gz = %c1)
             threads(%tx, %ty, %tz) in (%sx = %c64, %sy = %c1, %sz = %c1) {
    %v = memref.load %x[%bx, %tx] : memref<4x64xf32>
    %w = math.exp %v : f32
    memref.store %w, %y[%bx, %tx] : memref<4x64xf32>
    gpu.terminator
  }
  return
}"""
    x = draw(7, 4, 64)
    run = simulate(text, x, np.zeros_like(x))
    assert run.status == 0, run.stderr
    # Results are the arguments, in order.
    assert (run.result == x).all()
    written = np.load(run.path)["out1"]
    assert np.abs(written / np.exp(x.astype(np.float64)) - 1).max() < 2**-21
    assert run.kernels[0]["ex2"] == x.size


def test_all_reduce_of_upstream(simulate) -> None:
    # A power of two of warps: with three, lanes that have no result write theirs too (MLIR 22).
    text = """
func.func @main(%x: memref<2x128xf32>, %y: memref<2x128xf32>) {
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c128 = arith.constant 128 : index
  gpu.launch blocks(%bx, %by, %bz) in (%gx = %c2, %gy = %c1, %gz = %c1)
             threads(%tx, %ty, %tz) in (%sx = %c128, %sy = %c1, %sz = %c1) {
    %v = memref.load %x[%bx, %tx] : memref<2x128xf32>
    %w = gpu.all_reduce add %v uniform {} : (f32) -> (f32)
    memref.store %w, %y[%bx, %tx] : memref<2x128xf32>
    gpu.terminator
  }
  return
}"""
    x = draw(9, 2, 128)
    run = simulate(text, x, np.zeros_like(x))
    assert run.status == 0, run.stderr
    sums = x.astype(np.float64).sum(axis=1, keepdims=True)
    assert np.abs(np.load(run.path)["out1"] - sums).max() < 1e-4


def test_tf32_product_of_nvgpu(simulate) -> None:
    elements = [("a0", "%a[%g, %t]", "16x8"), ("a1", "%a[%g8, %t]", "16x8")]
    elements += [("a2", "%a[%g, %t4]", "16x8"), ("a3", "%a[%g8, %t4]", "16x8")]
    elements += [("b0", "%b[%t, %g]", "8x8"), ("b1", "%b[%t4, %g]", "8x8")]
    loads = "\n".join(
        f"%{n} = memref.load {at} : memref<{s}xf32>" for n, at, s in elements
    )
    text = f"""
func.func @main(%a: memref<16x8xf32>, %b: memref<8x8xf32>, %c: memref<16x8xf32>) {{
  %c1 = arith.constant 1 : index
  %c32 = arith.constant 32 : index
  gpu.launch blocks(%bx, %by, %bz) in (%gx = %c1, %gy = %c1, %gz = %c1)
             threads(%tx, %ty, %tz) in (%sx = %c32, %sy = %c1, %sz = %c1) {{
    %c2 = arith.constant 2 : index
    %c4 = arith.constant 4 : index
    %c8 = arith.constant 8 : index
    %g = arith.divui %tx, %c4 : index
    %t = arith.remui %tx, %c4 : index
    %g8 = arith.addi %g, %c8 : index
    %t4 = arith.addi %t, %c4 : index
    {loads}
    %va = vector.from_elements %a0, %a1, %a2, %a3 : vector<4x1xf32>
    %vb = vector.from_elements %b0, %b1 : vector<2x1xf32>
    %z = arith.constant dense<0.0> : vector<2x2xf32>
    %d = nvgpu.mma.sync(%va, %vb, %z) {{mmaShape = [16, 8, 8], tf32Enabled}}
        : (vector<4x1xf32>, vector<2x1xf32>, vector<2x2xf32>) -> vector<2x2xf32>
    %p = arith.muli %t, %c2 : index
    %lo = vector.extract %d[0] : vector<2xf32> from vector<2x2xf32>
    %hi = vector.extract %d[1] : vector<2xf32> from vector<2x2xf32>
    vector.store %lo, %c[%g, %p] : memref<16x8xf32>, vector<2xf32>
    vector.store %hi, %c[%g8, %p] : memref<16x8xf32>, vector<2xf32>
    gpu.terminator
  }}
  return
}}"""
    # f16 holds 11 bits, tf32 too: the operands are exact.
    a, b = draw(10, 16, 8), draw(11, 8, 8)
    run = simulate(text, a, b, np.zeros((16, 8), np.float32))
    assert run.status == 0, run.stderr
    expected = a.astype(np.float64) @ b.astype(np.float64)
    assert np.abs(np.load(run.path)["out2"] - expected).max() < 1e-5


def test_one_wave_of_blocks_stands_for_all(tmp_path: Path) -> None:
    tool = find_tool("elfatt-run")
    assert tool
    x = draw(8, 100_000)
    inputs, kernels = tmp_path / "in.npz", []
    np.savez(inputs, arg0=x)
    for option in ([], ["--sample-blocks"]):
        stats = tmp_path / "stats.json"
        command = [tool, str(KERNELS / "reduction.mlir"), "--target=sim:sm_53"]
        command += [f"--inputs={inputs}", f"--stats={stats}", *option]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        kernels += json.loads(stats.read_text())["kernels"]
    whole, sample = kernels
    for key in (
        "global_bytes_read",
        "barriers",
        "dram_bytes_read",
        "shared_wavefronts",
    ):
        assert sample[key] == pytest.approx(whole[key], rel=0.01)


@pytest.mark.parametrize(
    "option", ["--save=x.npz", "--expect=x.npz", "--compare=exact"]
)
def test_a_sample_has_no_results(option: str) -> None:
    tool = find_tool("elfatt-run")
    assert tool
    command = [
        tool,
        str(KERNELS / "reduction.mlir"),
        "--target=sim:sm_53",
        "--sample-blocks",
    ]
    done = subprocess.run(
        [*command, option], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert "--sample-blocks leaves the results incomplete" in done.stderr


def test_list_of_instructions() -> None:
    tool = find_tool("elfatt-run")
    assert tool
    done = subprocess.run(
        [tool, "--list-instructions"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    for name in ("llvm.nvvm.mma of m16n8k16 bf16", "ldmatrix", "cp.async", "__nv_expf"):
        assert name in done.stdout
