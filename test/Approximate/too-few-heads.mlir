// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-approximate="window=7x7 global-heads=5" -verify-diagnostics | FileCheck %s --implicit-check-not=attention.elfatt

// More heads are asked for than there are.
// CHECK-LABEL: func.func @too_few_heads
// CHECK:         attention.sdpa
// CHECK:           reason = "approximate-too-few-heads"
func.func @too_few_heads(%q: tensor<2x4x49x8xf32>, %init: tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-too-few-heads)}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %q, %q : tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>) outs(%init : tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32>
  return %o : tensor<2x4x49x8xf32>
}
