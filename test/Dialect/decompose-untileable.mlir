// RUN: elfatt-opt %s --elfatt-decompose=untileable | FileCheck %s
// RUN: elfatt-opt %s --elfatt-to-cpu | FileCheck %s --check-prefix=CPU --implicit-check-not=attention.

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>

// CHECK-LABEL: func.func @unknown
// CHECK-NOT:     attention.sdpa
// CHECK:         linalg.generic
// CPU:         llvm.func @unknown
func.func @unknown(%q: tensor<2x8x?xf32>, %k: tensor<2x8x?xf32>, %v: tensor<2x8x4xf32>, %o: tensor<2x8x4xf32>) -> tensor<2x8x4xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : tensor<2x8x?xf32>, tensor<2x8x?xf32>, tensor<2x8x4xf32>) outs(%o : tensor<2x8x4xf32>) -> tensor<2x8x4xf32>
  return %r : tensor<2x8x4xf32>
}

// CHECK-LABEL: func.func @known
// CHECK:         attention.sdpa
func.func @known(%q: tensor<2x?x6xf32>, %k: tensor<2x8x6xf32>, %v: tensor<2x8x4xf32>, %o: tensor<2x?x4xf32>) -> tensor<2x?x4xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : tensor<2x?x6xf32>, tensor<2x8x6xf32>, tensor<2x8x4xf32>) outs(%o : tensor<2x?x4xf32>) -> tensor<2x?x4xf32>
  return %r : tensor<2x?x4xf32>
}

// CHECK-LABEL: func.func @unknown_linear
// CHECK-NOT:     attention.
// CHECK:         linalg.generic
// CPU:         llvm.func @unknown_linear
func.func @unknown_linear(%q: tensor<2x8x?xf32>, %k: tensor<2x8x?xf32>, %v: tensor<2x8x4xf32>, %o: tensor<2x8x4xf32>) -> tensor<2x8x4xf32> {
  %r = attention.linear indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : tensor<2x8x?xf32>, tensor<2x8x?xf32>, tensor<2x8x4xf32>) outs(%o : tensor<2x8x4xf32>) -> tensor<2x8x4xf32>
  return %r : tensor<2x8x4xf32>
}
