// Debian's own mlir-opt loads the dialect and the passes.

// REQUIRES: debian-mlir-opt
// UNSUPPORTED: asan
// RUN: mlir-opt-22 %s --load-dialect-plugin=%elfatt_lib/ElfattPlugin.so \
// RUN:   --load-pass-plugin=%elfatt_lib/ElfattPlugin.so \
// RUN:   --pass-pipeline='builtin.module(func.func(elfatt-decompose),canonicalize)' | FileCheck %s

// CHECK-LABEL: func @sdpa
// CHECK-NOT: attention.sdpa
// CHECK: linalg.
// CHECK-NOT: attention.
// CHECK: return
#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>
func.func @sdpa(%q: tensor<2x5x4xf32>, %k: tensor<2x7x4xf32>, %v: tensor<2x7x3xf32>,
                %init: tensor<2x5x3xf32>) -> tensor<2x5x3xf32> {
  %0 = attention.sdpa indexing_maps = [#q, #k, #v, #o]
      ins(%q, %k, %v : tensor<2x5x4xf32>, tensor<2x7x4xf32>, tensor<2x7x3xf32>)
      outs(%init : tensor<2x5x3xf32>) -> tensor<2x5x3xf32>
  return %0 : tensor<2x5x3xf32>
}
