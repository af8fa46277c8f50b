# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kernels of f32 whose products round operands to tf32, on the simulator, against
formulas in float64."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import numpy as np
import pytest
from kernel_case import BOUND, Case, run
from kernel_ops import PACKED, elfatt, linear, rounded, sdpa
from kernel_tables import qkv

UNIT = 2.0**-11
"""What rounding to tf32, 11 bits, changes a number by, relative to it."""


def bound(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> float:
    """Of errors. Scores are sums of products of two rounded numbers. Where each is off by
    at most d, weights are off by a factor of e^2d at most; then weights and V are rounded,
    a context and the weights that meet it once more."""
    q, k, v = (np.abs(rounded(x, "f32").astype(np.float64)) for x in (q, k, v))
    scores = np.einsum("bhid,bhjd->bhij", q, k).max() / np.sqrt(q.shape[3])
    d = scores * (2 * UNIT + UNIT**2)
    rounding = 4 * UNIT + 8 * UNIT**2
    return float(v.max() * (np.expm1(2 * d) + rounding + BOUND[np.float32]))


def cases() -> List[Tuple[Case, float]]:
    made = []
    for d, n in [(8, 17), (24, 61), (40, 49), (128, 33)]:
        # Small scores: the bound says most where the softmax is flat.
        q, k, v = qkv(f"short-{d}", 1, 2, n, 2 * n + 1, d)
        q = q / 16
        made.append((sdpa(f"short-d{d}", q, k, v), bound(q, k, v)))
    q, k, v = qkv("long", 1, 1, 70, 331, 32)
    made.append((sdpa("long", q, k, v, causal=True), bound(q, k, v)))
    flat = np.zeros((1, 1, 1, 1))
    q, k, v = qkv("context", 1, 2, 97, 97, 72)
    made.append((linear("context", q, k, v), bound(flat, flat, v)))
    q, k, v = qkv("whole", 1, 2, 98, 98, 32)
    case = elfatt(
        "whole", q, k, v, (14, 7), (7, 7), 1, lepe=True, layout=PACKED, normal=False
    )
    made.append((case, bound(q, k, v)))
    return made


@pytest.mark.parametrize("chip", ["sm_87", "sm_120"])
def test_errors_are_those_of_tf32(elfatt_run: str, tmp_path: Path, chip: str) -> None:
    made = cases()
    results = run(
        elfatt_run, tmp_path, [c for c, _ in made], [f"--target=sim:{chip}:tf32"]
    )
    for case, most in made:
        result = results[case.name]
        assert not isinstance(result, str), result
        error = float(np.abs(result - case.expected).max())
        assert error <= most, case.name
        # FMA would be more exact by far.
        assert error > 16 * BOUND[np.float32], case.name
