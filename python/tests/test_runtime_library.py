# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The runtime's library, and how bundles are written."""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cpu_bundles import DENSE


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
