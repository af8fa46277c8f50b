# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A CPU bundle on PyTorch's own pool: examples/pytorch_threads.cpp, as its head says."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import bundles
import numpy as np
import pytest
import reference
from elfatt.tools import find_tool

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
BATCH, TOKENS, HEADS, DIM = 3, 50, 4, 24
THREADS = 3
# f32, relative to max |V|.
BOUND = 2e-6

_PACKED = f"tensor<{BATCH}x{TOKENS}x3x{HEADS}x{DIM}xf32>"
_RESULT = f"tensor<{BATCH}x{TOKENS}x{HEADS}x{DIM}xf32>"
ATTENTION = f"""
func.func @main(%qkv: {_PACKED}) -> {_RESULT} {{
  %init = tensor.empty() : {_RESULT}
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, i, 0, h, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, j, 1, h, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, j, 2, h, e)>,
         affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>]
       ins(%qkv, %qkv, %qkv : {_PACKED}, {_PACKED}, {_PACKED})
       outs(%init : {_RESULT}) -> {_RESULT}
  return %o : {_RESULT}
}}"""


@pytest.fixture(scope="module")
def runtime_path() -> Path:
    found = find_tool("elfatt-compile")
    assert found, "elfatt-compile is not built: run 'cmake --build --preset release'"
    return Path(found).resolve().parents[1] / "lib/libelfatt_runtime.so"


@pytest.fixture
def pytorch_threads(runtime_path: Path, tmp_path: Path) -> Iterator[ctypes.CDLL]:
    compiler = shutil.which("g++")
    if not compiler:
        pytest.skip("g++ is missing: its OpenMP is the one that PyTorch has")
    pytorch, library = Path(torch.__path__[0]), tmp_path / "libpytorch_threads.so"
    subprocess.run(
        [
            compiler,
            "-std=c++20",
            "-O2",
            "-fPIC",
            "-shared",
            "-fopenmp",
            "-I",
            str(ROOT / "include"),
            "-I",
            str(pytorch / "include"),
            str(ROOT / "examples" / "pytorch_threads.cpp"),
            "-o",
            str(library),
            "-L",
            str(runtime_path.parent),
            "-lelfatt_runtime",
            "-L",
            str(pytorch / "lib"),
            "-ltorch_cpu",
            "-lc10",
            f"-Wl,-rpath,{pytorch / 'lib'}:{runtime_path.parent}",
        ],  # fmt: skip
        check=True,
    )
    loaded = ctypes.CDLL(str(library))
    loaded.take_pytorch_threads_seen.restype = ctypes.c_uint64
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield loaded
    loaded.use_pytorch_threads(0)
    torch.set_num_threads(before)


def test_loops_run_on_pytorchs_pool(
    runtime_path: Path, pytorch_threads: ctypes.CDLL, tmp_path: Path
) -> None:
    compiler = find_tool("elfatt-compile")
    assert compiler
    runtime = bundles.Runtime(str(runtime_path))
    path = bundles.compile_bundle(compiler, ATTENTION, tmp_path, "--target=cpu")
    bundle = runtime.open(path)
    shape = (BATCH, TOKENS, 3, HEADS, DIM)
    qkv = torch.from_numpy(
        np.random.default_rng(7).standard_normal(shape, dtype=np.float32)
    )

    def run() -> np.ndarray:
        output = torch.full((BATCH, TOKENS, HEADS, DIM), float("nan"))
        bundle.run([qkv.numpy()], output.numpy())
        return output.numpy()

    own = run()
    assert pytorch_threads.take_pytorch_threads_seen() == 0
    pytorch_threads.use_pytorch_threads(1)
    theirs = run()
    # All of PyTorch's threads, the caller among them.
    assert pytorch_threads.take_pytorch_threads_seen() == 2**THREADS - 1
    assert theirs.tobytes() == own.tobytes()
    q, k, v = qkv.numpy().astype(np.float64).transpose(2, 0, 3, 1, 4)
    expected = reference.sdpa(q, k, v).transpose(0, 2, 1, 3)
    assert np.abs(theirs - expected).max() <= BOUND * np.abs(v).max()
    bundle.close()
