# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Contexts of many tokens and few heads, which the CPU sums in segments of the tokens,
against float64: segments with a rest, values far apart, channels without a token."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
from kernel_case import Case, check, run
from kernel_ops import elfatt, linear, normal
from kernel_tables import qkv

BY_HAND = """
func.func @main(%k: tensor<3x50x2x8xf32>, %v: tensor<3x50x2x5xf32>) -> tensor<2x8x5xf32> {
  %a = tensor.empty() : tensor<3x2x8x5xf32>
  %m = tensor.empty() : tensor<3x2x8xf32>
  %l = tensor.empty() : tensor<3x2x8xf32>
  %init = tensor.empty() : tensor<2x8x5xf32>
  %p:3 = attention.partial_context indexing_maps = [
      affine_map<(s, h, j, d, e) -> (s, j, h, d)>,
      affine_map<(s, h, j, d, e) -> (s, j, h, e)>,
      affine_map<(s, h, j, d, e) -> (s, h, d, e)>,
      affine_map<(s, h, j, d, e) -> (s, h, d)>, affine_map<(s, h, j, d, e) -> (s, h, d)>]
    ins(%k, %v : tensor<3x50x2x8xf32>, tensor<3x50x2x5xf32>)
    outs(%a, %m, %l : tensor<3x2x8x5xf32>, tensor<3x2x8xf32>, tensor<3x2x8xf32>)
    -> tensor<3x2x8x5xf32>, tensor<3x2x8xf32>, tensor<3x2x8xf32>
  %c = attention.merge indexing_maps = [
      affine_map<(s, h, d, e) -> (s, h, d, e)>, affine_map<(s, h, d, e) -> (s, h, d)>,
      affine_map<(s, h, d, e) -> (s, h, d)>, affine_map<(s, h, d, e) -> (h, d, e)>]
    ins(%p#0, %p#1, %p#2 : tensor<3x2x8x5xf32>, tensor<3x2x8xf32>, tensor<3x2x8xf32>)
    outs(%init : tensor<2x8x5xf32>) -> tensor<2x8x5xf32>
  return %c : tensor<2x8x5xf32>
}
"""
"""The context of 150 tokens, as three segments of 50."""


def far_apart(name: str, n: int, normal: bool = False) -> Case:
    """K of +-1e4 with another largest token in each segment; one channel sees only the
    last tokens, one none at all, one an infinite number."""
    q, k, v = qkv(name, 1, 1, n, n, 16)
    k *= 1e4
    k[..., : n - 9, 3] = -np.inf
    k[..., 4] = -np.inf
    k[..., n // 2, 5] = np.inf
    return linear(name, q, k, v, normal=normal)


@functools.cache
def cases() -> Dict[str, Case]:
    all_cases: List[Case] = [
        linear("even", *qkv("even", 1, 1, 2048, 2048, 32)),
        linear("rest", *qkv("rest", 1, 2, 4099, 4099, 20, 40)),
        linear("bf16", *qkv("bf16", 3, 1, 3136, 3136, 24), dtype="bf16"),
        linear("f64", *qkv("f64", 1, 1, 2053, 2053, 8), dtype="f64"),
        far_apart("far-apart", 3000),
        elfatt(
            "elfatt",
            *qkv("elfatt", 1, 2, 2305, 2305, 16),
            (48, 48),
            (4, 4),
            1,
            prefix=1,
        ),
    ]
    return {case.name: case for case in all_cases}


NAMES = ("even", "rest", "bf16", "f64", "far-apart", "elfatt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("split")


@functools.cache
def results(tool: str, folder: Path, threads: int) -> Dict[str, Any]:
    options = [f"--threads={threads}", "--guard=after"]
    return run(tool, folder / str(threads), list(cases().values()), options, 6)


@pytest.mark.parametrize("name", NAMES)
def test_split_context(elfatt_run: str, folder: Path, name: str) -> None:
    check(cases()[name], results(elfatt_run, folder, 1)[name])


def test_results_do_not_depend_on_threads(elfatt_run: str, folder: Path) -> None:
    for name in NAMES:
        np.testing.assert_array_equal(
            results(elfatt_run, folder, 3)[name], results(elfatt_run, folder, 1)[name]
        )


@pytest.mark.parametrize("decomposed", [False, True])
def test_parts_are_their_formulas(
    elfatt_opt: str, elfatt_run: str, tmp_path: Path, decomposed: bool
) -> None:
    """As tiles, and as the linalg that elfatt-decompose makes of them."""
    k, v = normal("by hand", (3, 50, 2, 8), (3, 50, 2, 5))
    k[0, :, 1, 2] = -np.inf  # nothing to see in the first segment
    k, v = k.astype(np.float32), v.astype(np.float32)
    (tmp_path / "m.mlir").write_text(BY_HAND)
    np.savez(tmp_path / "in.npz", arg0=k, arg1=v)
    if decomposed:
        command = [elfatt_opt, "m.mlir", "--elfatt-decompose", "-o", "m.mlir"]
        subprocess.run(command, cwd=tmp_path, check=True)
        assert "attention." not in (tmp_path / "m.mlir").read_text()
    command = [elfatt_run, "m.mlir", "--inputs=in.npz", "--save=out.npz", "--no-raise"]
    subprocess.run(command, cwd=tmp_path, check=True)
    weights = np.exp(k.astype(np.float64).reshape(150, 2, 8))
    weights /= weights.sum(axis=0)
    expected = np.einsum(
        "jhd,jhe->hde", weights, v.astype(np.float64).reshape(150, 2, 5)
    )
    got = np.load(tmp_path / "out.npz")["out0"]
    assert np.abs(got - expected).max() <= 2e-6 * np.abs(v).max()
