# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The CPU's attention kernels against formulas in float64 (reference.py), over the
extents, layouts, types and values of kernel_tables.py.

    python python/tests/kernel_sweep.py     random cases, as many as one likes
"""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Dict, List

import kernel_tables
import numpy as np
import pytest
from kernel_case import Case, Result, check, run

# Which end of its buffers a group is guarded at: nothing may touch what lies beyond.
GUARDS = {
    "channels": ["--guard=after"],
    "tokens": ["--guard=before"],
    "types": ["--guard=after"],
    "layouts": ["--guard=before"],
    "masks": ["--guard=after"],
    "grids": ["--guard=after"],
}


@functools.cache
def cases(group: str) -> Dict[str, Case]:
    return {case.name: case for case in kernel_tables.GROUPS[group]()}


def all_cases() -> List[object]:
    return [
        pytest.param(group, name, id=f"{group}-{name}")
        for group in kernel_tables.GROUPS
        for name in cases(group)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@functools.cache
def results(tool: str, folder: Path, group: str) -> Dict[str, Result]:
    """A group's cases are compiled together, when the first is asked for."""
    options = GUARDS.get(group, [])
    return run(tool, folder / group, list(cases(group).values()), options)


@pytest.mark.parametrize("group, name", all_cases())
def test_kernel(elfatt_run: str, folder: Path, group: str, name: str) -> None:
    check(cases(group)[name], results(elfatt_run, folder, group)[name])


@pytest.mark.parametrize("end", ["before", "after"])
def test_nothing_beyond_a_buffer_is_touched(
    elfatt_run: str, tmp_path: Path, end: str
) -> None:
    edges = kernel_tables.edges()
    got = run(elfatt_run, tmp_path, edges, [f"--guard={end}"], 6)
    for case in edges:
        check(case, got[case.name])


def test_results_do_not_depend_on_threads(elfatt_run: str, tmp_path: Path) -> None:
    divided = kernel_tables.divided()
    of_one = run(elfatt_run, tmp_path, divided, ["--threads=1"], 3)
    for case in divided:
        check(case, of_one[case.name])
    for threads in (2, 3, 8):
        got = run(elfatt_run, tmp_path, divided, [f"--threads={threads}"], 3)
        for case in divided:
            np.testing.assert_array_equal(got[case.name], of_one[case.name], case.name)


UNKNOWN = """
#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>
func.func @main(%q: tensor<2x8x?xf32>, %k: tensor<2x9x?xf32>, %v: tensor<2x9x4xf32>) -> tensor<2x8x4xf32> {
  %e = tensor.empty() : tensor<2x8x4xf32>
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : tensor<2x8x?xf32>, tensor<2x9x?xf32>, tensor<2x9x4xf32>)
    outs(%e : tensor<2x8x4xf32>) -> tensor<2x8x4xf32>
  return %r : tensor<2x8x4xf32>
}
"""
"""Attention whose scale, too, is known at run time alone."""


@pytest.mark.parametrize("channels", [1, 6])
def test_channels_of_no_known_number(
    elfatt_run: str, tmp_path: Path, channels: int
) -> None:
    random = np.random.default_rng(channels)
    q, k, v = (
        random.standard_normal(shape)
        for shape in ((2, 8, channels), (2, 9, channels), (2, 9, 4))
    )
    inputs = {f"arg{i}": x.astype(np.float32) for i, x in enumerate((q, k, v))}
    scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(channels))
    expected = scores / scores.sum(axis=-1, keepdims=True) @ v
    (tmp_path / "m.mlir").write_text(UNKNOWN)
    np.savez(tmp_path / "in.npz", **inputs)
    done = subprocess.run(
        [elfatt_run, "m.mlir", "--inputs=in.npz", "--save=out.npz"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_allclose(out["out0"], expected, atol=2e-6)


SLICE = """
func.func @main(%x: tensor<16xf32>, %at: tensor<1xi64>) -> tensor<4xf32> {
  %c0 = arith.constant 0 : index
  %0 = tensor.extract %at[%c0] : tensor<1xi64>
  %1 = arith.index_cast %0 : i64 to index
  %2 = tensor.extract_slice %x[%1] [4] [1] : tensor<16xf32> to tensor<4xf32>
  %e = tensor.empty() : tensor<4xf32>
  %3 = linalg.negf ins(%2 : tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  return %3 : tensor<4xf32>
}
"""
"""-x[at : at + 4], from wherever `at` is."""


@pytest.mark.parametrize(
    "end, at, status",
    [("before", 0, 0), ("before", -1, 2), ("after", 12, 0), ("after", 13, 2)],
)
def test_guards_see_one_element_beyond(
    elfatt_run: str, tmp_path: Path, end: str, at: int, status: int
) -> None:
    (tmp_path / "m.mlir").write_text(SLICE)
    np.savez(tmp_path / "in.npz", arg1=np.array([at]))
    command = [elfatt_run, "m.mlir", "--inputs=in.npz", f"--guard={end}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert (status == 0) or "crashed" in done.stderr
