// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-raise=remarks=false --elfatt-report="file=-" -o /dev/null | FileCheck %s

// A refused site has its sizes and costs too. Batch and heads are told apart where one
// dim was made of both: 2 * 6 * 4 * 7 * (8 + 5) operations.
// CHECK:      "bytes": 3432
// CHECK-NEXT: "exponentials": 168
// CHECK-NEXT: "flops": 4368
// CHECK:      "reason": "wrong-softmax-axis"
// CHECK:      "shape": {
// CHECK-NEXT:   "B": 2
// CHECK-NEXT:   "D": 8
// CHECK-NEXT:   "Dv": 5
// CHECK-NEXT:   "H": 3
// CHECK-NEXT:   "M": 7
// CHECK-NEXT:   "N": 4
func.func @softmax_over_queries(%q: tensor<2x3x4x8xf32>, %k: tensor<2x3x8x7xf32>, %v: tensor<2x3x7x5xf32>) -> tensor<6x4x5xf32> {
  %zs = arith.constant dense<0.0> : tensor<6x4x7xf32>
  %zo = arith.constant dense<0.0> : tensor<6x4x5xf32>
  %q3 = tensor.collapse_shape %q [[0, 1], [2], [3]] : tensor<2x3x4x8xf32> into tensor<6x4x8xf32>
  %k3 = tensor.collapse_shape %k [[0, 1], [2], [3]] : tensor<2x3x8x7xf32> into tensor<6x8x7xf32>
  %v3 = tensor.collapse_shape %v [[0, 1], [2], [3]] : tensor<2x3x7x5xf32> into tensor<6x7x5xf32>
  %s = linalg.batch_matmul ins(%q3, %k3 : tensor<6x4x8xf32>, tensor<6x8x7xf32>) outs(%zs : tensor<6x4x7xf32>) -> tensor<6x4x7xf32>
  %p = linalg.softmax dimension(1) ins(%s : tensor<6x4x7xf32>) outs(%zs : tensor<6x4x7xf32>) -> tensor<6x4x7xf32>
  %r = linalg.batch_matmul ins(%p, %v3 : tensor<6x4x7xf32>, tensor<6x7x5xf32>) outs(%zo : tensor<6x4x5xf32>) -> tensor<6x4x5xf32>
  return %r : tensor<6x4x5xf32>
}

// Queries and keys go through a function each before Q (K^T V): N and D are told apart.
// CHECK:      "reason": "no-softmax"
// CHECK:      "shape": {
// CHECK-NEXT:   "B": 2
// CHECK-NEXT:   "D": 8
// CHECK-NEXT:   "Dv": 5
// CHECK-NEXT:   "H": 1
// CHECK-NEXT:   "M": 7
// CHECK-NEXT:   "N": 4
func.func @feature_maps(%q: tensor<2x4x8xf32>, %k: tensor<2x8x7xf32>, %v: tensor<2x7x5xf32>) -> tensor<2x4x5xf32> {
  %zc = arith.constant dense<0.0> : tensor<2x8x5xf32>
  %zo = arith.constant dense<0.0> : tensor<2x4x5xf32>
  %fq = math.exp %q : tensor<2x4x8xf32>
  %fk = math.exp %k : tensor<2x8x7xf32>
  %c = linalg.batch_matmul ins(%fk, %v : tensor<2x8x7xf32>, tensor<2x7x5xf32>) outs(%zc : tensor<2x8x5xf32>) -> tensor<2x8x5xf32>
  %r = linalg.batch_matmul ins(%fq, %c : tensor<2x4x8xf32>, tensor<2x8x5xf32>) outs(%zo : tensor<2x4x5xf32>) -> tensor<2x4x5xf32>
  return %r : tensor<2x4x5xf32>
}
