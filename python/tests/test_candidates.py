# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""elfatt-run --list-candidates: what other tile sizes would cost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from elfatt.tools import find_tool

SDPA = """
func.func @main(%x: tensor<1x2xNx32xf16>) -> tensor<1x2xNx32xf16> {
  %init = tensor.empty() : tensor<1x2xNx32xf16>
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>, affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>, affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
       ins(%x, %x, %x : tensor<1x2xNx32xf16>, tensor<1x2xNx32xf16>, tensor<1x2xNx32xf16>)
       outs(%init : tensor<1x2xNx32xf16>) -> tensor<1x2xNx32xf16>
  return %o : tensor<1x2xNx32xf16>
}
"""


def run(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess:
    tool = find_tool("elfatt-run")
    assert tool, "elfatt-run is not built: run 'cmake --build --preset release'"
    source = folder / "m.mlir"
    source.write_text(text)
    command = [tool, str(source), "--list-candidates", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_lists_what_other_sizes_cost(tmp_path: Path) -> None:
    stats = tmp_path / "stats.json"
    done = run(
        tmp_path, SDPA.replace("N", "48"), "--target=sim:sm_87", f"--stats={stats}",
        "--tile=keys-per-step=16",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads(stats.read_text())
    assert record["chip"] == "sm_87"
    (part,) = record["parts"]
    assert part.startswith("attention.sdpa of 48 rows, 48 keys, D=32, 16 bits: ")
    found = {c["tile"]: c for c in record["candidates"]}
    assert len(found) == len(record["candidates"]) > 3
    (chosen,) = [c for c in record["candidates"] if c["chosen"]]
    assert chosen["tile"] == "keys-per-step=16"
    assert all("keys-per-step=16" in tile for tile in found), "what is set stays"
    one = found["rows-per-block=16 warps-per-block=1 keys-per-step=16"]
    (kernel,) = one["kernels"]
    assert kernel["block"] == [32, 1, 1] and kernel["grid"] == [6, 1, 1]
    assert kernel["shared_bytes"] > 0 and kernel["dram_bytes_read"] > 0
    times = [c["predicted_us"] for c in record["candidates"]]
    assert times == sorted(times)
    # A line of progress each, and a line of the table each.
    assert done.stderr.count(" us predicted") == len(found)
    lines = done.stdout.splitlines()
    assert sum(line.startswith("rows-per-block=") for line in lines) == len(found) - 1
    assert any(line.startswith("chosen ") for line in lines)
    assert done.stderr.count("remark: raised") == 1


def test_what_does_not_fit_is_refused_beside_the_others(tmp_path: Path) -> None:
    text = SDPA.replace("N", "64").replace("32xf16", "256xf16")
    done = run(
        tmp_path,
        text,
        "--target=sim:sm_53",
        "--tile=keys-per-step=16 warps-per-block=1",
    )
    assert done.returncode == 0, done.stderr
    assert "refused: needs " in done.stdout
    assert (
        "bytes of shared memory a block, expected at most 49152 (sm_53)" in done.stdout
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ((), "--list-candidates needs --target=sim:CHIP"),
        (("--target=sim:sm_87", "--save=x.npz"), "not with --save, --expect"),
        (
            ("--target=sim:sm_87", "--tile=rows-per-block=8"),
            "a multiple of 16 from 16 to 1024, got 8",
        ),
        (
            ("--target=sim:sm_87", "--tile=keys-per-step=4096"),
            "bytes of shared memory a block, expected at most 166912 (sm_87)",
        ),
    ],
)
def test_bad_requests_are_refused(tmp_path: Path, options: tuple, message: str) -> None:
    done = run(tmp_path, SDPA.replace("N", "4096"), *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_registers_are_of_the_named_toolkit(tmp_path: Path) -> None:
    tool = tmp_path / "cuda" / "bin" / "ptxas"
    tool.parent.mkdir(parents=True)
    tool.write_text("""#!/bin/sh
[ "$1" = --version ] && exec echo "release 12.9, V12.9.1"
: > "$5"
echo "ptxas info    : Compiling entry function 'main_0' for 'sm_87'"
echo "ptxas info    : Used 77 registers"
""")
    tool.chmod(0o755)
    stats = tmp_path / "stats.json"
    sizes = "--tile=keys-per-step=16 warps-per-block=1 rows-per-block=16"
    done = run(
        tmp_path, SDPA.replace("N", "16"), "--target=sim:sm_87", sizes,
        f"--cuda-path={tmp_path}/cuda", f"--stats={stats}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (only,) = json.loads(stats.read_text())["candidates"]
    assert [kernel["registers"] for kernel in only["kernels"]] == [77]


def test_a_module_without_attention_has_none(tmp_path: Path) -> None:
    text = "func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> { return %x : tensor<4xf32> }"
    done = run(tmp_path, text, "--target=sim:sm_87")
    assert done.returncode == 2 and "no attention was found" in done.stderr
