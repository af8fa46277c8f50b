# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""CPU bundles through the C API: right numbers, same bits, and no fault on bad input."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import bundles
import numpy as np
import pytest
from bundles import Failure, Runtime, tensor
from elfatt.tools import find_tool

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the bundles are for x86-64"
)

HEADS, TOKENS, DIM = 3, 37, 20
LEVELS = ["x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"]


def attention(element: str) -> str:
    """softmax(Q K^T / sqrt(DIM)) V for packed Q, K and V."""
    packed = f"tensor<{TOKENS}x3x{HEADS}x{DIM}x{element}>"
    result = f"tensor<{TOKENS}x{HEADS}x{DIM}x{element}>"
    operands = ", ".join(
        f"affine_map<(h, i, j, d, e) -> ({row}, {part}, h, {column})>"
        for part, (row, column) in enumerate([("i", "d"), ("j", "d"), ("j", "e")])
    )
    return f"""
func.func @main(%qkv: {packed}) -> {result} {{
  %init = tensor.empty() : {result}
  %o = attention.sdpa indexing_maps = [{operands},
         affine_map<(h, i, j, d, e) -> (i, h, e)>]
       ins(%qkv, %qkv, %qkv : {packed}, {packed}, {packed})
       outs(%init : {result}) -> {result}
  return %o : {result}
}}"""


def attention_in_float64(qkv: np.ndarray) -> np.ndarray:
    q, k, v = (qkv[:, i].astype(np.float64) for i in range(3))
    scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(DIM)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("hij,jhd->ihd", weights, v)


# x @ w for any number of rows, and the rows that idx names: out of range is found
# when it runs.
WEIGHTS = np.random.default_rng(1).standard_normal((24, 40)).astype(np.float32)
DENSE = f"""
func.func @main(%x: tensor<?x24xf32>, %idx: tensor<5xi64>) -> (tensor<?x40xf32>, tensor<5x24xf32>) {{
  %w = arith.constant dense_resource<w> : tensor<24x40xf32>
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %n = tensor.dim %x, %c0 : tensor<?x24xf32>
  %e = tensor.empty(%n) : tensor<?x40xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%e : tensor<?x40xf32>) -> tensor<?x40xf32>
  %y = linalg.matmul ins(%x, %w : tensor<?x24xf32>, tensor<24x40xf32>) outs(%fill : tensor<?x40xf32>) -> tensor<?x40xf32>
  %g = tensor.empty() : tensor<5x24xf32>
  %rows = linalg.generic {{indexing_maps = [affine_map<(r, c) -> (r)>, affine_map<(r, c) -> (r, c)>],
      iterator_types = ["parallel", "parallel"]}} ins(%idx : tensor<5xi64>) outs(%g : tensor<5x24xf32>) {{
  ^bb0(%i: i64, %o: f32):
    %row = arith.index_cast %i : i64 to index
    %inside = arith.cmpi ult, %row, %n : index
    cf.assert %inside, "row index out of range"
    %c = linalg.index 1 : index
    %v = tensor.extract %x[%row, %c] : tensor<?x24xf32>
    linalg.yield %v : f32
  }} -> tensor<5x24xf32>
  return %y, %rows : tensor<?x40xf32>, tensor<5x24xf32>
}}
{{-# dialect_resources: {{ builtin: {{ w: "0x04000000{WEIGHTS.tobytes().hex()}" }} }} #-}}
"""


@pytest.fixture(scope="module")
def elfatt_compile() -> str:
    found = find_tool("elfatt-compile")
    assert found, "elfatt-compile is not built: run 'cmake --build --preset release'"
    return found


@pytest.fixture(scope="module")
def runtime(elfatt_compile: str) -> Runtime:
    library = Path(elfatt_compile).resolve().parents[1] / "lib/libelfatt_runtime.so"
    return Runtime(str(library))


Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def make(elfatt_compile: str, tmp_path_factory: Any) -> Make:
    """Compiles a text once and gives its bundle, to be read only."""
    known: dict[str, Path] = {}

    def make(text: str) -> Path:
        if text not in known:
            folder = tmp_path_factory.mktemp("bundle")
            known[text] = bundles.compile_bundle(
                elfatt_compile, text, folder, "--target=cpu"
            )
        return known[text]

    return make


@pytest.fixture(autouse=True)
def own_threads(runtime: Runtime) -> Iterator[None]:
    yield
    runtime.library.elfatt_set_parallel_for(None, None)
    runtime.library.elfatt_set_threads(0)


def open_or_skip(runtime: Runtime, path: Path, level: str) -> bundles.Bundle:
    try:
        return runtime.open(path, level)
    except Failure as failure:
        assert failure.status == bundles.NOT_SUPPORTED
        assert "this processor cannot run" in failure.message
        pytest.skip(failure.message)


def packed_input() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((TOKENS, 3, HEADS, DIM))


# Relative to the largest value. f32: the bound of the CPU kernels, twice that
# without fused multiply-adds. 16 bits: one rounding of the result.
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "element, bound", [("f32", 4e-6), ("f16", 2.0**-11), ("bf16", 2.0**-8)]
)
def test_attention_is_right(
    runtime: Runtime, make: Make, level: str, element: str, bound: float
) -> None:
    path = make(attention(element))
    if level.endswith("bf16") and element != "bf16":
        assert not (path / f"code.{level}.so").exists()
        return
    bundle = open_or_skip(runtime, path, level)
    assert bundle.target == level
    values = packed_input()
    if element == "bf16":
        bits = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        stored, output = bits, np.zeros((TOKENS, HEADS, DIM), np.uint16)
        values = (bits.astype(np.uint32) << 16).view(np.float32)
    else:
        stored = values.astype(np.float32 if element == "f32" else np.float16)
        output, values = np.zeros((TOKENS, HEADS, DIM), stored.dtype), stored
    bundle.run([stored], output)
    if element == "bf16":
        output = (output.astype(np.uint32) << 16).view(np.float32)
    expected = attention_in_float64(values)
    error = np.abs(output.astype(np.float64) - expected).max()
    assert error <= bound * np.abs(values[:, 2].astype(np.float64)).max()
    bundle.close()


@pytest.mark.parametrize("rows", [0, 1, 7, 1000])
def test_extents_are_bound_by_the_inputs(
    runtime: Runtime, make: Make, rows: int
) -> None:
    bundle = runtime.open(make(DENSE))
    x = np.random.default_rng(2).standard_normal((rows, 24)).astype(np.float32)
    index = np.arange(5, dtype=np.int64) % max(rows, 1)
    assert bundle.output_shape([tensor(x), tensor(index)], 0) == [rows, 40]
    y, picked = np.full((rows, 40), np.nan, np.float32), np.zeros((5, 24), np.float32)
    if rows == 0:
        with pytest.raises(Failure, match="row index out of range"):
            bundle.run([x, index], y, picked)
    else:
        bundle.run([x, index], y, picked)
        expected = x.astype(np.float64) @ WEIGHTS
        assert np.abs(y - expected).max() <= 1e-5
        assert np.array_equal(picked, x[index])
    bundle.close()


def parallel_for_backwards(context: Any, count: int, body: Any, data: Any) -> None:
    """Two threads, single steps, the last first."""

    def work(first: int) -> None:
        for i in reversed(range(first, count, 2)):
            body(data, i, i + 1)

    threads = [threading.Thread(target=work, args=[i]) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_bits_do_not_depend_on_threads(runtime: Runtime, make: Make) -> None:
    heads, dense = runtime.open(make(attention("f32"))), runtime.open(make(DENSE))
    x = np.random.default_rng(3).standard_normal((900, 24)).astype(np.float32)
    index = np.arange(5, dtype=np.int64)
    results = []

    def collect() -> None:
        output = np.zeros((TOKENS, HEADS, DIM), np.float32)
        y, picked = np.zeros((900, 40), np.float32), np.zeros((5, 24), np.float32)
        heads.run([packed_input().astype(np.float32)], output)
        dense.run([x, index], y, picked)
        results.append(output.tobytes() + y.tobytes())

    for threads in (1, 2, 3, 7):
        runtime.library.elfatt_set_threads(threads)
        assert runtime.library.elfatt_get_threads() == threads
        collect()
    own = bundles.PARALLEL_FOR(parallel_for_backwards)
    runtime.library.elfatt_set_parallel_for(own, None)
    collect()
    assert len(set(results)) == 1


def test_runs_on_several_threads_at_once(runtime: Runtime, make: Make) -> None:
    bundle = runtime.open(make(attention("f32")))
    inputs = [
        np.random.default_rng(i).standard_normal((TOKENS, 3, HEADS, DIM), np.float32)
        for i in range(4)
    ]
    outputs = [np.zeros((TOKENS, HEADS, DIM), np.float32) for _ in inputs]

    def work(i: int) -> None:
        for _ in range(20):
            bundle.run([inputs[i]], outputs[i])

    threads = [threading.Thread(target=work, args=[i]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for given, output in zip(inputs, outputs):
        assert np.abs(output - attention_in_float64(given)).max() < 1e-5


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failing_run_ends_with_a_status(
    runtime: Runtime, make: Make, threads: int
) -> None:
    runtime.library.elfatt_set_threads(threads)
    bundle = runtime.open(make(DENSE))
    x = np.ones((6, 24), np.float32)
    y, picked = np.zeros((6, 40), np.float32), np.zeros((5, 24), np.float32)
    for _ in range(3):
        with pytest.raises(Failure, match="row index out of range") as failure:
            bundle.run([x, np.full(5, 6, np.int64)], y, picked)
        assert failure.value.status == bundles.RUN_FAILED
        bundle.run([x, np.full(5, 5, np.int64)], y, picked)
        assert np.array_equal(picked, np.ones((5, 24)))


def test_bundles_of_one_folder_are_apart(runtime: Runtime, make: Make) -> None:
    first, second = runtime.open(make(DENSE)), runtime.open(make(DENSE))
    first.close()
    x, index = np.eye(24, dtype=np.float32), np.arange(5, dtype=np.int64)
    y, picked = np.zeros((24, 40), np.float32), np.zeros((5, 24), np.float32)
    second.run([x, index], y, picked)
    assert np.array_equal(y, WEIGHTS)
    second.close()


GOOD = np.zeros((TOKENS, 3, HEADS, DIM), np.float32)
OUT = np.zeros((TOKENS, HEADS, DIM), np.float32)
BAD_CALLS = {
    "no inputs": ([], [tensor(OUT)], "has 1 inputs, got 0"),
    "no outputs": ([tensor(GOOD)], [], "has 1 outputs, got 0"),
    "null input": ([tensor(GOOD, data=0)], [tensor(OUT)], "input 0: the data is null"),
    "null output": (
        [tensor(GOOD)],
        [tensor(OUT, data=0)],
        "output 0: the data is null",
    ),
    "misaligned": (
        [tensor(GOOD, data=GOOD.ctypes.data + 2)],
        [tensor(OUT)],
        "input 0: the data is not aligned to its elements of 4 bytes",
    ),
    "type": (
        [tensor(GOOD, element="f64")],
        [tensor(OUT)],
        "input 0: expected elements of type f32, got f64",
    ),
    "rank": (
        [tensor(GOOD, shape=[TOKENS, 3])],
        [tensor(OUT)],
        "input 0: expected 4 dims, got 2",
    ),
    "shape": (
        [tensor(GOOD, shape=[TOKENS + 1, 3, HEADS, DIM])],
        [tensor(OUT)],
        r"input 0: expected shape \[37x3x3x20\], got \[38x3x3x20\]",
    ),
    "output shape": (
        [tensor(GOOD)],
        [tensor(OUT, shape=[TOKENS, HEADS, 2**62])],
        r"output 0: expected shape \[37x3x20\]",
    ),
    "strides": (
        [tensor(GOOD, strides=[180, 60, 1, 3])],
        [tensor(OUT)],
        r"input 0: expected strides \[180x60x20x1\], got \[180x60x1x3\]",
    ),
    "overlap": (
        [tensor(GOOD)],
        [tensor(OUT, data=GOOD.ctypes.data + 400)],
        "output 0 overlaps input 0",
    ),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_are_refused(runtime: Runtime, make: Make, case: str) -> None:
    inputs, outputs, message = BAD_CALLS[case]
    bundle = runtime.open(make(attention("f32")))
    with pytest.raises(Failure, match=message) as failure:
        bundle.run_tensors(inputs, outputs)
    assert failure.value.status == bundles.BAD_ARGUMENT
    bundle.run_tensors([tensor(GOOD)], [tensor(OUT)])


def test_huge_extents_are_refused(runtime: Runtime, make: Make) -> None:
    bundle = runtime.open(make(DENSE))
    x, index = np.zeros((1, 24), np.float32), np.zeros(5, np.int64)
    for rows in (-1, 2**31, 2**62):
        with pytest.raises(Failure) as failure:
            bundle.run_tensors(
                [tensor(x, shape=[rows, 24]), tensor(index)],
                [tensor(x, shape=[1, 40]), tensor(np.zeros((5, 24), np.float32))],
            )
        assert failure.value.status == bundles.BAD_ARGUMENT


def test_null_handles_are_refused(runtime: Runtime) -> None:
    library = runtime.library
    place = ctypes.c_void_p()
    calls = [
        lambda: library.elfatt_bundle_open(None, None, ctypes.byref(place)),
        lambda: library.elfatt_bundle_open(b"x", None, None),
        lambda: library.elfatt_bundle_target(None, ctypes.byref(place)),
        lambda: library.elfatt_bundle_find(None, b"main", ctypes.byref(place)),
        lambda: library.elfatt_function_counts(None, None, None),
        lambda: library.elfatt_run(None, None, 0, None, 0, None, 0, None),
    ]
    for call in calls:
        with pytest.raises(Failure, match="is null"):
            runtime.check(call())
    library.elfatt_bundle_close(None)


def sign(folder: Path) -> None:
    """Writes the checksum of a manifest that was changed."""
    digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    (folder / "manifest.json.sha256").write_text(f"{digest}  manifest.json\n")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change(**values: Any) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest.update(values)
        (folder / "manifest.json").write_text(json.dumps(manifest))
        sign(folder)

    return apply


DAMAGES: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "no folder": (shutil.rmtree, bundles.BAD_BUNDLE, "cannot read"),
    "no code": (
        lambda f: [p.unlink() for p in f.glob("code.*")],
        bundles.BAD_BUNDLE,
        "cannot read .*code",
    ),
    "code altered": (
        lambda f: [flip(p) for p in f.glob("code.*")],
        bundles.BAD_BUNDLE,
        "was altered",
    ),
    "code truncated": (
        lambda f: [os.truncate(p, 4096) for p in f.glob("code.*")],
        bundles.BAD_BUNDLE,
        "has 4096 bytes, expected",
    ),
    "constants altered": (
        lambda f: flip(f / "constants.bin"),
        bundles.BAD_BUNDLE,
        "constants.bin' was altered",
    ),
    "manifest altered": (
        lambda f: (f / "manifest.json").write_text(
            (f / "manifest.json").read_text().replace("24", "25")
        ),
        bundles.BAD_BUNDLE,
        "manifest.json' was altered",
    ),
    "manifest truncated": (
        lambda f: os.truncate(f / "manifest.json", 100),
        bundles.BAD_BUNDLE,
        "not JSON",
    ),
    "newer": (change(schema=4), bundles.NOT_SUPPORTED, "has format 4, .* up to 3"),
    "other machine": (
        change(
            code=[
                {
                    "file": "code.armv8-a.so",
                    "format": "elf",
                    "target": "armv8-a",
                    "architecture": "aarch64",
                }
            ]
        ),
        bundles.NOT_SUPPORTED,
        r"no code for this processor \(x86-64-v[\w-]+\); it has code for armv8-a",
    ),
    "path out of it": (
        change(constants="../x"),
        bundles.BAD_BUNDLE,
        "expected the name of a file of the bundle",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_bundles_are_refused(
    runtime: Runtime, make: Make, tmp_path: Path, damage: str
) -> None:
    apply, status, message = DAMAGES[damage]
    folder = tmp_path / "copy"
    shutil.copytree(make(DENSE), folder)
    apply(folder)
    with pytest.raises(Failure, match=message) as failure:
        runtime.open(folder)
    assert failure.value.status == status


def test_the_library_is_small_and_alone(elfatt_compile: str, tmp_path: Path) -> None:
    library = Path(elfatt_compile).resolve().parents[1] / "lib/libelfatt_runtime.so"
    stripped = tmp_path / "stripped.so"
    subprocess.run(["strip", "-o", stripped, library], check=True)
    assert stripped.stat().st_size < 2 * 1024 * 1024
    dynamic = subprocess.run(
        ["readelf", "-dW", "--dyn-syms", library], capture_output=True, text=True
    ).stdout
    needed = [line for line in dynamic.splitlines() if "(NEEDED)" in line]
    for line in needed:
        assert any(name in line for name in ("libc.so", "libm.so", "ld-linux")), line
    exported = [
        line.split()[-1]
        for line in dynamic.splitlines()
        if " GLOBAL " in line and " UND " not in line
    ]
    assert exported and all(name.startswith("elfatt_") for name in exported)


def test_a_full_disk_leaves_nothing(elfatt_compile: str, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: some fit, one does not."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    (tmp_path / "model.mlir").write_text(DENSE)
    result = subprocess.run(
        [elfatt_compile, "model.mlir", "--target=cpu", "-o", "bundle"],
        cwd=tmp_path,
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "error: cannot write" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.mlir"]


@pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None,
    reason="ziglang of requirements-boards.txt is not installed",
)
def test_the_runtime_builds_for_old_boards(elfatt_compile: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    source = Path(elfatt_compile).resolve().parents[1] / "share/elfatt/runtime"
    result = subprocess.run(
        [root / "scripts/build_board_runtime.sh", tmp_path],
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "ELFATT_RUNTIME_SOURCE": str(source),
        },
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    # The script checks GLIBC_2.27 and the size; the names are checked here.
    for arch in ("x86_64", "aarch64"):
        library = tmp_path / arch / "libelfatt_runtime.so"
        symbols = subprocess.run(
            ["readelf", "--dyn-syms", "-W", library], capture_output=True, text=True
        ).stdout
        assert "elfatt_bundle_open" in symbols
        assert "_ZNSt" not in symbols, "the C++ runtime is inside, and hidden"
