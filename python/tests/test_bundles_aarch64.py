# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Bundles for aarch64, cross-compiled and run by qemu-user."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Callable

import bundles
import numpy as np
import pytest
from cpu_bundles import DENSE, DIM, HEADS, TOKENS
from cpu_bundles import attention, attention_in_float64, packed_input

SYSROOT = Path("/usr/aarch64-linux-gnu")
CLANG = "clang-22 --target=aarch64-linux-gnu -fuse-ld=lld"
EXAMPLE = Path(__file__).parents[2] / "examples" / "run_bundle.c"

pytestmark = [
    pytest.mark.skipif(
        shutil.which("qemu-aarch64") is None, reason="qemu-user is not installed"
    ),
    pytest.mark.skipif(
        not (SYSROOT / "include" / "stdio.h").exists()
        or not list(SYSROOT.glob("include/c++/*")),
        reason="the cross libraries (lib*-arm64-cross) are not installed",
    ),
]


def run_in(folder: Path, *command: Any) -> str:
    result = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def board(elfatt_compile: str, tmp_path_factory: Any) -> Callable[..., str]:
    """Runs a program of C on an emulated board, with the runtime built for it from
    the source that a bundle carries."""
    folder = tmp_path_factory.mktemp("board")
    made = bundles.compile_bundle(
        elfatt_compile, DENSE, folder, "--target=cpu:aarch64-linux-gnu"
    )
    environment = {
        **os.environ,
        "CXX": CLANG.replace("clang-22", "clang++-22"),
        "CXXFLAGS": "-O1",
        "LDFLAGS": "-static-libstdc++ -static-libgcc",
    }
    library = folder / "libelfatt_runtime.so"
    subprocess.run(
        ["sh", made / "runtime/build.sh", library], env=environment, check=True
    )
    assert library.stat().st_size < 2 * 1024 * 1024

    def run(source: Path, *arguments: Any) -> str:
        program = folder / source.stem
        if not program.exists():
            link = ["-L", folder, "-lelfatt_runtime", f"-Wl,-rpath,{folder}"]
            options = ["-Wall", "-Wextra", "-Werror", "-I", made / "runtime"]
            run_in(folder, *CLANG.split(), *options, source, "-o", program, *link)
        return run_in(folder, "qemu-aarch64", "-L", SYSROOT, program, *arguments)

    return run


@pytest.mark.parametrize(
    "element, bound", [("f32", 2e-6), ("f16", 2.0**-11), ("bf16", 2.0**-8)]
)
def test_attention_is_right(
    board: Callable[..., str],
    elfatt_compile: str,
    tmp_path: Path,
    element: str,
    bound: float,
) -> None:
    path = bundles.compile_bundle(
        elfatt_compile, attention(element), tmp_path, "--target=cpu:aarch64-linux-gnu"
    )
    values = packed_input()
    stored = values.astype(np.float16 if element == "f16" else np.float32)
    if element == "bf16":
        stored = (stored.view(np.uint32) >> 16).astype(np.uint16)
        values = (stored.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    else:
        values = stored.astype(np.float64)
    stored.tofile(tmp_path / "in")
    results = []
    for threads in (1, 3):
        program = Path(__file__).parent / "data" / "run_bundle_raw.c"
        board(program, path, threads, tmp_path / "in", tmp_path / "out")
        results.append((tmp_path / "out").read_bytes())
    assert results[0] == results[1]
    output = np.frombuffer(results[0], stored.dtype).reshape(TOKENS, HEADS, DIM)
    if element == "bf16":
        output = (output.astype(np.uint32) << 16).view(np.float32)
    error = np.abs(output.astype(np.float64) - attention_in_float64(values)).max()
    assert error <= bound * np.abs(values[:, 2]).max()


def test_the_example_runs(
    board: Callable[..., str], elfatt_compile: str, tmp_path: Path
) -> None:
    path = bundles.compile_bundle(
        elfatt_compile, DENSE, tmp_path, "--target=cpu:aarch64-linux-gnu"
    )
    assert "code for armv8-a" in board(EXAMPLE, path)
