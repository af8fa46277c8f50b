# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kernels for every chip through ptxas, the release picked by the chip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict

import pytest
from elfatt.tools import find_tool

CHIPS = (
    "sm_53 sm_72 sm_75 sm_80 sm_86 sm_87 sm_89 sm_90 sm_100 sm_103 sm_110 sm_120 sm_121".split()
)

SDPA = """
func.func @main(%q: tensor<1x1x16x16xf16>, %k: tensor<1x1x16x16xf16>, %v: tensor<1x1x16x16xf16>)
    -> tensor<1x1x16x16xf16> {
  %init = tensor.empty() : tensor<1x1x16x16xf16>
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>, affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>, affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
       ins(%q, %k, %v : tensor<1x1x16x16xf16>, tensor<1x1x16x16xf16>, tensor<1x1x16x16xf16>)
       outs(%init : tensor<1x1x16x16xf16>) -> tensor<1x1x16x16xf16>
  return %o : tensor<1x1x16x16xf16>
}
"""


def lower(options: str, **environment: str) -> subprocess.CompletedProcess:
    tool = find_tool("elfatt-opt")
    assert tool, "elfatt-opt is not built: run 'cmake --build --preset release'"
    # The packages of this Python, as in an active virtual environment.
    env: Dict[str, str] = {**os.environ, "VIRTUAL_ENV": sys.prefix, **environment}
    return subprocess.run(
        [tool, "-", f"--elfatt-to-gpu={options}"],
        input=SDPA,
        capture_output=True,
        text=True,
        timeout=120,
        env=env,
    )


@pytest.mark.parametrize("chip", CHIPS)
def test_cubin_of_every_chip(chip: str) -> None:
    done = lower(f"chip={chip} format=cubin")
    if f"no ptxas for {chip}" in done.stderr:
        pytest.skip(f"no ptxas here knows {chip}: install requirements-ptxas.txt")
    assert done.returncode == 0, done.stderr
    assert r'bin = "\7FELF' in done.stdout
    usage = re.search(
        r"main_0 = \{registers = (\d+) : i64, shared_bytes = (\d+) : i64, spill_bytes = (\d+) : i64\}",
        done.stdout,
    )
    assert usage
    registers, shared, spills = map(int, usage.groups())
    assert 16 <= registers <= 255 and shared > 0 and spills == 0


def test_fatbin_has_both(tmp_path: Path) -> None:
    done = lower("chip=sm_87 format=fatbin")
    if "no ptxas for" in done.stderr or "needs fatbinary" in done.stderr:
        pytest.skip("no fatbinary here: install requirements-ptxas.txt")
    assert done.returncode == 0, done.stderr
    # 0xBA55ED50, the magic number of a fatbin, lowest byte first.
    assert r"fatbin = \"P\EDU\BA" in done.stdout or r'"P\EDU\BA' in done.stdout


def test_without_ptxas_there_is_ptx(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), "CUDA_HOME": str(tmp_path), "VIRTUAL_ENV": str(tmp_path)}
    ptx = lower("chip=sm_87 format=ptx", **nothing)
    assert ptx.returncode == 0 and ".target sm_87" in ptx.stdout
    if not Path("/usr/local/cuda/bin/ptxas").exists():
        cubin = lower("chip=sm_87 format=cubin", **nothing)
        assert cubin.returncode == 2
        assert "no ptxas for sm_87; install a CUDA Toolkit" in cubin.stderr
        assert "nvidia-cuda-nvcc-cu12; PTX needs none (format=ptx)" in cubin.stderr


def test_release_that_does_not_know_the_chip(tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "ptxas"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 13.0, V13.0.88'\n")
    fake.chmod(0o755)
    done = lower(f"chip=sm_53 format=cubin cuda-path={tmp_path}")
    assert done.returncode == 2
    assert "no ptxas for sm_53 in" in done.stderr
    assert "what was found is of another release: " in done.stderr
