# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GPU kernels, executed on the simulator by elfatt-run, against the float64
reference. The kernels are the compiler's own, from the attention op down."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, Sequence, Tuple

import numpy as np
import pytest
import reference
from elfatt.tools import find_tool

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "cpu"))

import shapes  # noqa: E402

# Relative to the largest output. Inputs are the rounded ones on both sides.
# f32: sums in another order, and ex2.approx (2^-22). 16 bit: probabilities and
# the global branch's context are rounded once before their product (2^-11,
# 2^-8), and so is the result.
TOLERANCE = {"f32": 5e-6, "f16": 2e-3, "bf16": 1.6e-2}

SDPA = """
func.func @main(%q: {q}, %k: {k}, %v: {v}) -> {o} {{
  %init = tensor.empty() : {o}
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>, affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>, affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
       ins(%q, %k, %v : {q}, {k}, {v}) outs(%init : {o}) {causal} -> {o}
  return %o : {o}
}}
"""

LINEAR = """
func.func @main(%q: {q}, %k: {k}, %v: {v}) -> {o} {{
  %init = tensor.empty() : {o}
  %o = attention.linear indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>, affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>, affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
       ins(%q, %k, %v : {q}, {k}, {v}) outs(%init : {o}) -> {o}
  return %o : {o}
}}
"""

ELFATT = """
func.func @main(%q: {q}, %k: {k}, %v: {v}, %w: {w}, %c: {c}, %lw: {w}, %lc: {c}) -> {o} {{
  %init = tensor.empty() : {o}
  %o = attention.elfatt indexing_maps = [
         affine_map<(b, h, n, d, e) -> (b, h, n, d)>, affine_map<(b, h, n, d, e) -> (b, h, n, d)>,
         affine_map<(b, h, n, d, e) -> (b, h, n, e)>, affine_map<(b, h, n, d, e) -> (b, h, n, e)>]
       ins(%q, %k, %v : {q}, {k}, {v})
       global_lepe(%w, %c : {w}, {c}) local_lepe(%lw, %lc : {w}, {c})
       outs(%init : {o})
       global_heads = 1 grid = [{grid[0]}, {grid[1]}] window = [{window[0]}, {window[1]}] -> {o}
  return %o : {o}
}}
"""


def tensor(shape: Sequence[int], dtype: str) -> str:
    return f"tensor<{'x'.join(map(str, shape))}x{dtype}>"


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    """float32 values that `dtype` holds."""
    array = array.astype(np.float32)
    if dtype == "f16":
        return array.astype(np.float16).astype(np.float32)
    if dtype == "bf16":
        bits = array.view(np.uint32)
        bits = bits + 0x7FFF + ((bits >> 16) & 1)
        return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return array


def number(array: np.ndarray) -> np.ndarray:
    """A result as float64; bf16 comes as its bits."""
    if array.dtype == np.uint16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float64)


@pytest.fixture
def simulate(tmp_path: Path) -> Callable[..., np.ndarray]:
    """Runs a module's @main on the simulated chip; returns its result."""
    tool = find_tool("elfatt-run")
    assert tool, "elfatt-run is not built: run 'cmake --build --preset release'"

    def run(
        text: str, arrays: Sequence[np.ndarray], chip: str = "sm_87", tile: str = ""
    ) -> np.ndarray:
        source, inputs, out = (
            tmp_path / name for name in ("m.mlir", "in.npz", "out.npz")
        )
        source.write_text(text)
        np.savez(inputs, **{f"arg{i}": a for i, a in enumerate(arrays)})
        options = [f"--tile={tile}"] if tile else []
        done = subprocess.run(
            [
                tool,
                str(source),
                f"--target=sim:{chip}",
                f"--inputs={inputs}",
                f"--save={out}",
            ]
            + options,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return number(np.load(out)["out0"])

    return run


def draw(seed: int, dtype: str, *shapes: Sequence[int]) -> Tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    return tuple(rounded(random.standard_normal(shape), dtype) for shape in shapes)


def types(q: np.ndarray, k: np.ndarray, v: np.ndarray, dtype: str) -> Dict[str, str]:
    output = (*q.shape[:3], v.shape[3])
    return {
        "q": tensor(q.shape, dtype),
        "k": tensor(k.shape, dtype),
        "v": tensor(v.shape, dtype),
        "o": tensor(output, dtype),
    }


def error(got: np.ndarray, expected: np.ndarray) -> float:
    assert got.shape == expected.shape
    assert np.isfinite(got).all()
    return float(np.abs(got - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize(
    "tokens,keys,channels",
    [(49, 49, 32), (17, 37, 8), (16, 131, 40), (65, 64, 64)],
    ids=["window", "odd-tokens-d8", "several-key-blocks-d40", "one-row-more-d64"],
)
def test_sdpa(simulate, dtype: str, tokens: int, keys: int, channels: int) -> None:
    q, k, v = draw(
        1,
        dtype,
        (1, 2, tokens, channels),
        (1, 2, keys, channels),
        (1, 2, keys, channels),
    )
    text = SDPA.format(**types(q, k, v, dtype), causal="")
    assert error(simulate(text, [q, k, v]), reference.sdpa(q, k, v)) <= TOLERANCE[dtype]


@pytest.mark.parametrize(
    "tile",
    [
        "rows-per-block=16 warps-per-block=1",
        "rows-per-block=48 warps-per-block=2 keys-per-step=24",
        "warps-per-block=5 keys-per-step=8",
    ],
)
def test_sdpa_is_right_in_other_tile_sizes(simulate, tile: str) -> None:
    q, k, v = draw(1, "f16", (1, 2, 65, 40), (1, 2, 131, 40), (1, 2, 131, 40))
    text = SDPA.format(**types(q, k, v, "f16"), causal="")
    got = simulate(text, [q, k, v], tile=tile)
    assert error(got, reference.sdpa(q, k, v)) <= TOLERANCE["f16"]


@pytest.mark.parametrize(
    "tile", ["context-tokens=16 context-warps=1", "context-tokens=48 context-warps=3"]
)
def test_linear_is_right_in_other_tile_sizes(simulate, tile: str) -> None:
    q, k, v = draw(3, "bf16", *[(2, 1, 99, 32)] * 3)
    got = simulate(LINEAR.format(**types(q, k, v, "bf16")), [q, k, v], tile=tile)
    assert error(got, reference.linear(q, k, v)) <= TOLERANCE["bf16"]


def test_sdpa_masks_the_future(simulate) -> None:
    q, k, v = draw(2, "f16", (1, 1, 33, 16), (1, 1, 33, 16), (1, 1, 33, 16))
    text = SDPA.format(**types(q, k, v, "f16"), causal="causal")
    expected = reference.sdpa(q, k, v, causal=True)
    assert error(simulate(text, [q, k, v]), expected) <= TOLERANCE["f16"]


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("tokens,channels", [(99, 16), (64, 32)])
def test_linear(simulate, dtype: str, tokens: int, channels: int) -> None:
    q, k, v = draw(3, dtype, *[(2, 1, tokens, channels)] * 3)
    text = LINEAR.format(**types(q, k, v, dtype))
    assert (
        error(simulate(text, [q, k, v]), reference.linear(q, k, v)) <= TOLERANCE[dtype]
    )


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
def test_elfatt_with_lepe(simulate, dtype: str) -> None:
    grid, window, channels = (14, 7), (7, 7), 32
    q, k, v = draw(4, dtype, *[(1, 2, grid[0] * grid[1], channels)] * 3)
    w, c, lw, lc = draw(5, dtype, *[(3, 3, 1, channels), (1, channels)] * 2)
    kinds = types(q, k, v, dtype)
    text = ELFATT.format(
        **kinds,
        w=tensor(w.shape, dtype),
        c=tensor(c.shape, dtype),
        grid=grid,
        window=window,
    )
    expected = reference.elfatt(
        q, k, v, grid, window, global_heads=1, global_lepe=(w, c), local_lepe=(lw, lc)
    )
    got = simulate(text, [q, k, v, w, c, lw, lc])
    assert error(got, expected) <= TOLERANCE[dtype]


def test_simulates_28_by_28_in_seconds(simulate) -> None:
    grid, window, channels, dtype = (28, 28), (7, 7), 32, "bf16"
    q, k, v = draw(10, dtype, *[(1, 2, grid[0] * grid[1], channels)] * 3)
    w, c, lw, lc = draw(11, dtype, *[(3, 3, 1, channels), (1, channels)] * 2)
    text = ELFATT.format(
        **types(q, k, v, dtype),
        w=tensor(w.shape, dtype),
        c=tensor(c.shape, dtype),
        grid=grid,
        window=window,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    got = simulate(text, [q, k, v, w, c, lw, lc])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    expected = reference.elfatt(
        q, k, v, grid, window, global_heads=1, global_lepe=(w, c), local_lepe=(lw, lc)
    )
    assert error(got, expected) <= TOLERANCE[dtype]
    # Processor time, compiling too. It takes 0.6 s on one core.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


def test_chip_without_tensor_cores_multiplies_in_f32(simulate) -> None:
    q, k, v = draw(6, "f16", *[(1, 1, 20, 16)] * 3)
    text = SDPA.format(**types(q, k, v, "f16"), causal="")
    got = simulate(text, [q, k, v], chip="sm_53")
    assert error(got, reference.sdpa(q, k, v)) <= TOLERANCE["f16"]


@pytest.mark.parametrize(
    "break_formula",
    [
        lambda q, k, v: reference.sdpa(q, k, v, scale=1.0),
        lambda q, k, v: reference.sdpa(k, q, v),
        lambda q, k, v: reference.sdpa(q, k, np.roll(v, 1, axis=2)),
        lambda q, k, v: reference.sdpa(q, k[:, :, :-1], v[:, :, :-1]),
    ],
    ids=["no-scale", "q-and-k-swapped", "v-off-by-one", "last-key-dropped"],
)
def test_mutation_of_the_formula_is_seen(simulate, break_formula) -> None:
    q, k, v = draw(7, "bf16", *[(1, 1, 49, 32)] * 3)
    text = SDPA.format(**types(q, k, v, "bf16"), causal="")
    # The loosest tolerance must see it.
    assert error(simulate(text, [q, k, v]), break_formula(q, k, v)) > TOLERANCE["bf16"]


# What the lowered kernels look like, and what becomes of them.
KERNEL_MUTATIONS = {
    "swapped-fragment-halves": (
        r"A\[(%\S+), (%\S+), (%\S+), (%\S+)\]",
        r"A[\2, \1, \3, \4]",
    ),
    "swapped-k-halves": (r"B\[(%\S+), (%\S+)\]", r"B[\2, \1]"),
    "wrong-shuffle": (r"nvvm\.shfl\.sync\s+bfly", "nvvm.shfl.sync idx"),
}


def lower(text: str) -> str:
    """@main on tensors around the lowered kernels and their launches."""
    tool = find_tool("elfatt-opt")
    assert tool, "elfatt-opt is not built: run 'cmake --build --preset release'"
    done = subprocess.run(
        [tool, "-", "--elfatt-to-gpu=chip=sm_87", "--stop-after=nvvm"],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("func.func @main(", "func.func private @lowered(")


def call_lowered(lowered: str, shape: Sequence[int], dtype: str) -> str:
    """Adds a @main on tensors that calls @lowered on buffers."""
    t, m = tensor(shape, dtype), tensor(shape, dtype).replace("tensor", "memref")
    main = f"""
  func.func @main(%q: {t}, %k: {t}, %v: {t}) -> {t} {{
    %a = bufferization.to_buffer %q : {t} to {m}
    %b = bufferization.to_buffer %k : {t} to {m}
    %c = bufferization.to_buffer %v : {t} to {m}
    %r = call @lowered(%a, %b, %c) : ({m}, {m}, {m}) -> {m}
    %o = bufferization.to_tensor %r restrict : {m} to {t}
    return %o : {t}
  }}
"""
    at = lowered.rindex("}")
    return lowered[:at] + main + lowered[at:]


@pytest.mark.parametrize("mutation", ["none", *KERNEL_MUTATIONS])
def test_mutation_of_the_kernel_is_seen(simulate, mutation: str) -> None:
    shape = (1, 1, 49, 32)
    q, k, v = draw(8, "f16", *[shape] * 3)
    lowered = lower(SDPA.format(**types(q, k, v, "f16"), causal=""))
    if mutation != "none":
        pattern, replacement = KERNEL_MUTATIONS[mutation]
        lowered, count = re.subn(pattern, replacement, lowered)
        assert count > 0, f"nothing to mutate: {pattern}"
    got = simulate(call_lowered(lowered, shape, "f16"), [q, k, v])
    expected = reference.sdpa(q, k, v)
    same = bool(np.isfinite(got).all()) and error(got, expected) <= TOLERANCE["f16"]
    assert same == (mutation == "none")


@pytest.fixture
def run_tool(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs elfatt-run on a module's text, with random inputs."""
    tool = find_tool("elfatt-run")
    assert tool, "elfatt-run is not built: run 'cmake --build --preset release'"

    def run(text: str, *options: str) -> subprocess.CompletedProcess:
        source = tmp_path / "m.mlir"
        source.write_text(text)
        return subprocess.run(
            [tool, str(source), *options], capture_output=True, text=True, timeout=120
        )

    return run


def test_dropped_barrier_is_a_race(run_tool) -> None:
    shape = (1, 1, 49, 32)
    q, k, v = draw(8, "f16", *[shape] * 3)
    lowered = lower(SDPA.format(**types(q, k, v, "f16"), causal=""))
    lowered, count = re.subn(r"\n\s*nvvm\.barrier[^\n]*", "", lowered)
    assert count > 0
    done = run_tool(call_lowered(lowered, shape, "f16"), "--target=sim:sm_87")
    assert done.returncode == 2
    # The place is that of the lowered module, line and column.
    assert re.search(
        r"error: kernel '\w+': block \(0, 0, 0\), thread \d+: [\w.]+ in \w+ "
        r"\(m\.mlir:\d+:\d+\) .* with no barrier between: a race",
        done.stderr,
    ), done.stderr


STATS_KEYS = {
    "name", "op", "target", "grid", "block", "global_bytes_read", "global_bytes_written",
    "dram_bytes_read", "dram_bytes_written", "floor_bytes", "sector_efficiency", "bank_conflicts",
    "mma", "ex2", "barriers", "poison_reads", "registers", "shared_bytes", "spill_bytes", "blocks_per_sm",
    "predicted_us", "limited_by",
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_agrees_with_the_code_for_the_host(
    run_tool, tmp_path: Path, dtype: str
) -> None:
    """The same module through the other back end: other code, same formulas."""
    text = LINEAR.format(**types(*draw(12, dtype, *[(2, 2, 70, 32)] * 3), dtype))
    saved = tmp_path / "host.npz"
    host = run_tool(text, f"--save={saved}")
    assert host.returncode == 0, host.stderr
    # Both make the same random inputs.
    sim = run_tool(
        text,
        "--target=sim:sm_90",
        f"--expect={saved}",
        "--atol=0",
        f"--rtol={TOLERANCE[dtype]}",
    )
    assert sim.returncode == 0, sim.stdout + sim.stderr


def test_the_release_must_know_the_chip(run_tool) -> None:
    text = SDPA.format(
        **types(*draw(9, "f16", *[(1, 1, 16, 16)] * 3), "f16"), causal=""
    )
    assert run_tool(text, "--target=sim:sm_87:cuda=12.6").returncode == 0
    old = run_tool(text, "--target=sim:sm_87:cuda=10.2")
    assert old.returncode == 2
    assert (
        "sm_87 needs PTX 7.4, but drivers of CUDA 10.2 load PTX up to 6.5" in old.stderr
    )
    wrong = run_tool(text, "--target=sim:sm_87,cuda=12.6")
    assert wrong.returncode == 2 and "unknown chip 'sm_87,cuda=12.6'" in wrong.stderr


# sm_75 has ex2 of f16, PTX from 7.0 on.
EX2 = """
module attributes {gpu.container_module} {
  gpu.module @kernels {
    gpu.func @k(%x: memref<32xf16>) kernel {
      %i = gpu.thread_id x
      %v = memref.load %x[%i] : memref<32xf16>
      %t = llvm.call_intrinsic "llvm.nvvm.ex2.approx.f16"(%v) : (f16) -> f16
      memref.store %t, %x[%i] : memref<32xf16>
      gpu.return
    }
  }
  func.func @main(%x: memref<32xf16>) {
    %one = arith.constant 1 : index
    %n = arith.constant 32 : index
    gpu.launch_func @kernels::@k blocks in (%one, %one, %one) threads in (%n, %one, %one)
      args(%x : memref<32xf16>)
    return
  }
}
"""


def test_instructions_follow_from_the_release(run_tool) -> None:
    assert run_tool(EX2, "--target=sim:sm_75:cuda=11.4").returncode == 0
    old = run_tool(EX2, "--target=sim:sm_75:cuda=10.2")
    assert old.returncode == 2
    assert (
        "sm_75 with PTX 6.5 has no ex2 of f16 (it needs PTX 7.0); there is: ex2 of f32"
        in old.stderr
    )


# Launches of several parts: windows, heads with their context, prefix rows; larger than
# the Nano's L2 and than what is sampled.
@pytest.mark.parametrize(
    "shape",
    [
        shapes.Elfatt(size=14, channels=32, heads=2, window=7, batch=64),
        shapes.Elfatt(size=7, channels=64, heads=4, window=7, batch=64, prefix=1),
    ],
    ids=["merged", "prefix"],
)
def test_a_sample_of_merged_parts_counts_as_the_whole(
    run_tool, tmp_path: Path, shape
) -> None:
    stats, kernels = tmp_path / "stats.json", []
    for option in ([], ["--sample-blocks"]):
        done = run_tool(
            shape.mlir("f16"), "--target=sim:sm_53", f"--stats={stats}", *option
        )
        assert done.returncode == 0, done.stderr
        kernels.append(json.loads(stats.read_text())["kernels"])
    for whole, sample in zip(*kernels):
        assert whole["grid"][0] > 256, "more than is sampled"
        for key in (
            "global_bytes_read", "global_bytes_written", "dram_bytes_written", "mma", "ex2",
            "barriers", "issue_slots", "shared_wavefronts", "bank_conflicts",
        ):  # fmt: skip
            assert sample[key] == whole[key], key
        # A wave begins with a cold cache, and ends with what it has read.
        assert sample["dram_bytes_read"] == pytest.approx(
            whole["dram_bytes_read"], rel=0.04
        )


@pytest.mark.parametrize("chip", ["sm_53", "sm_87"])
def test_stats(run_tool, tmp_path: Path, chip: str) -> None:
    q, k, v = draw(9, "f16", *[(2, 4, 98, 32)] * 3)
    stats = tmp_path / "stats.json"
    text = SDPA.format(**types(q, k, v, "f16"), causal="")
    done = run_tool(text, f"--target=sim:{chip}", f"--stats={stats}")
    assert done.returncode == 0, done.stderr
    kernels = json.loads(stats.read_text())["kernels"]
    assert kernels
    for kernel in kernels:
        assert STATS_KEYS <= kernel.keys()
        assert kernel["op"] == 0
        assert kernel["target"] == f"sim:{chip}"
        # Q, K, V and O, two bytes each.
        assert kernel["floor_bytes"] == 4 * 2 * 4 * 98 * 32 * 2
        assert 0 < kernel["sector_efficiency"] <= 1
        assert kernel["predicted_us"] == max(kernel["terms_us"].values()) > 0
        assert kernel["limited_by"] in kernel["terms_us"]
        assert kernel["blocks_per_sm"] >= 1
    written = sum(kernel["global_bytes_written"] for kernel in kernels)
    assert written >= 2 * 4 * 98 * 32 * 2
    # All of it fits into the caches of both: memory sees each byte once.
    read = sum(kernel["dram_bytes_read"] for kernel in kernels)
    assert read == pytest.approx(3 * 2 * 4 * 98 * 32 * 2, rel=0.02)
    assert sum(kernel["ex2"] for kernel in kernels) >= 2 * 4 * 98 * 98
    assert (sum(kernel["mma"] for kernel in kernels) > 0) == (chip == "sm_87")
