// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-raise=remarks=false | FileCheck %s

// Channels, and values, that the source collapsed from two dims: pairs that a rotary embedding
// turned, the rows and columns of an image. The op has one dim for each, so it reads what
// collapsed them.
// CHECK-LABEL: func.func @collapsed(
// CHECK-DAG:   %[[Q:.*]] = tensor.collapse_shape %{{.*}} {{\[}}[0], [1], [2, 3]] : tensor<2x5x4x2xf32>
// CHECK-DAG:   %[[K:.*]] = tensor.collapse_shape %{{.*}} {{\[}}[0], [1], [2, 3]] : tensor<2x6x4x2xf32>
// CHECK-DAG:   %[[V:.*]] = tensor.collapse_shape %{{.*}} {{\[}}[0], [1], [2, 3]] : tensor<2x6x3x2xf32>
// CHECK:       attention.sdpa
// CHECK-SAME:    ins(%[[Q]], %[[K]], %[[V]] : tensor<2x5x8xf32>, tensor<2x6x8xf32>, tensor<2x6x6xf32>)
// CHECK-NOT:   linalg.
func.func @collapsed(%pairs: tensor<2x5x4x2xf32>, %key_pairs: tensor<2x6x4x2xf32>,
                     %value_pairs: tensor<2x6x3x2xf32>) -> tensor<2x5x6xf32> {
  %zero = arith.constant 0.0 : f32
  %q = tensor.collapse_shape %pairs [[0], [1], [2, 3]] : tensor<2x5x4x2xf32> into tensor<2x5x8xf32>
  %k = tensor.collapse_shape %key_pairs [[0], [1], [2, 3]] : tensor<2x6x4x2xf32> into tensor<2x6x8xf32>
  %v = tensor.collapse_shape %value_pairs [[0], [1], [2, 3]] : tensor<2x6x3x2xf32> into tensor<2x6x6xf32>
  %ek = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%ek : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x5x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x5x6xf32>) -> tensor<2x5x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x5x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x5x6xf32>) -> tensor<2x5x6xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<2x5x6xf32>) outs(%es : tensor<2x5x6xf32>) -> tensor<2x5x6xf32>
  %o = linalg.batch_matmul ins(%p, %v : tensor<2x5x6xf32>, tensor<2x6x6xf32>) outs(%zs : tensor<2x5x6xf32>) -> tensor<2x5x6xf32>
  return %o : tensor<2x5x6xf32>
}

// An image of any size has channels of no known number, which no kernel serves: it stays as it is.
// CHECK-LABEL: func.func @collapsed_image(
// CHECK-NOT:   attention.sdpa
func.func @collapsed_image(%q: tensor<2x8x?x?xf32>, %k: tensor<2x6x?x?xf32>, %v: tensor<2x6x4xf32>, %n: index) -> tensor<2x8x4xf32> {
  %zero = arith.constant 0.0 : f32
  %qf = tensor.collapse_shape %q [[0], [1], [2, 3]] : tensor<2x8x?x?xf32> into tensor<2x8x?xf32>
  %kf = tensor.collapse_shape %k [[0], [1], [2, 3]] : tensor<2x6x?x?xf32> into tensor<2x6x?xf32>
  %ek = tensor.empty(%n) : tensor<2x?x6xf32>
  %kt = linalg.transpose ins(%kf : tensor<2x6x?xf32>) outs(%ek : tensor<2x?x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x8x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x8x6xf32>) -> tensor<2x8x6xf32>
  %s = linalg.batch_matmul ins(%qf, %kt : tensor<2x8x?xf32>, tensor<2x?x6xf32>) outs(%zs : tensor<2x8x6xf32>) -> tensor<2x8x6xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<2x8x6xf32>) outs(%es : tensor<2x8x6xf32>) -> tensor<2x8x6xf32>
  %eo = tensor.empty() : tensor<2x8x4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x8x4xf32>) -> tensor<2x8x4xf32>
  %o = linalg.batch_matmul ins(%p, %v : tensor<2x8x6xf32>, tensor<2x6x4xf32>) outs(%zo : tensor<2x8x4xf32>) -> tensor<2x8x4xf32>
  return %o : tensor<2x8x4xf32>
}
