// Debian's own mlir-opt loads the dialect and the passes, and runs them between
// its own.

// REQUIRES: debian-mlir-opt
// UNSUPPORTED: asan
// RUN: mlir-opt-22 %s --load-dialect-plugin=%elfatt_lib/ElfattPlugin.so \
// RUN:   --load-pass-plugin=%elfatt_lib/ElfattPlugin.so \
// RUN:   --pass-pipeline='builtin.module(func.func(elfatt-decompose),canonicalize,cse)' \
// RUN:   -o %t.linalg.mlir
// RUN: FileCheck %s --check-prefix=LINALG --input-file=%t.linalg.mlir
// RUN: mlir-opt-22 %t.linalg.mlir --load-dialect-plugin=%elfatt_lib/ElfattPlugin.so \
// RUN:   --load-pass-plugin=%elfatt_lib/ElfattPlugin.so \
// RUN:   --pass-pipeline='builtin.module(canonicalize,elfatt-raise,cse,elfatt-approximate{window=7x7},canonicalize)' \
// RUN:   | FileCheck %s

// LINALG-LABEL: func @sdpa
// LINALG-NOT: attention.
// LINALG: math.exp
// LINALG-NOT: attention.
// LINALG: return

// CHECK-LABEL: func @sdpa
// CHECK-NOT: linalg.generic
// CHECK: attention.elfatt
// CHECK-SAME: window = [7, 7]
// CHECK-NOT: linalg.generic
// CHECK: return
#q = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#o = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>
func.func @sdpa(%q: tensor<1x4x196x32xf32>, %k: tensor<1x4x196x32xf32>,
                %v: tensor<1x4x196x32xf32>) -> tensor<1x4x196x32xf32> {
  %init = tensor.empty() : tensor<1x4x196x32xf32>
  %0 = attention.sdpa indexing_maps = [#q, #k, #v, #o]
      ins(%q, %k, %v : tensor<1x4x196x32xf32>, tensor<1x4x196x32xf32>, tensor<1x4x196x32xf32>)
      outs(%init : tensor<1x4x196x32xf32>) masked_rows = nan -> tensor<1x4x196x32xf32>
  return %0 : tensor<1x4x196x32xf32>
}
