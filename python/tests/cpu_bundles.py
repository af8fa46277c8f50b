# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions that tests of CPU bundles compile, and what they should give."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np

Make = Callable[[str], Path]
"""The fixture ``make_bundle``: compiles a text once and gives its bundle."""

HEADS, TOKENS, DIM = 3, 37, 20


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


def packed_input() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((TOKENS, 3, HEADS, DIM))
