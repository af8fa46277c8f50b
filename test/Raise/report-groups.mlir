// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-raise -verify-diagnostics -o /dev/null

// Rows of the op that are several dims: the source tells heads from tokens.

// Rows and columns of an image that attends to pooled keys: one product of all rows for
// each head in the source, so that neither counts heads.
func.func @rows_of_an_image(%y: tensor<2x8x8x8xf32>, %k: tensor<2x8x4xf32>, %v: tensor<2x4x8xf32>) -> tensor<2x8x8x8xf32> {
  %zero = arith.constant 0.0 : f32
  %q = tensor.collapse_shape %y [[0], [1, 2], [3]] : tensor<2x8x8x8xf32> into tensor<2x64x8xf32>
  %es = tensor.empty() : tensor<2x64x4xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x64x4xf32>) -> tensor<2x64x4xf32>
  %eo = tensor.empty() : tensor<2x64x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x64x8xf32>) -> tensor<2x64x8xf32>
  %s = linalg.batch_matmul ins(%q, %k : tensor<2x64x8xf32>, tensor<2x8x4xf32>) outs(%zs : tensor<2x64x4xf32>) -> tensor<2x64x4xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<2x64x4xf32>) outs(%es : tensor<2x64x4xf32>) -> tensor<2x64x4xf32>
  // expected-remark @below {{B=2 H=1 N=64 M=4 D=8 Dv=8}}
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x64x4xf32>, tensor<2x4x8xf32>) outs(%zo : tensor<2x64x8xf32>) -> tensor<2x64x8xf32>
  %x = tensor.expand_shape %r [[0], [1, 2], [3]] output_shape [2, 8, 8, 8] : tensor<2x64x8xf32> into tensor<2x8x8x8xf32>
  return %x : tensor<2x8x8x8xf32>
}

// Three heads of queries for each head of keys, which is repeated, and rows as many as no keys.
func.func @repeated_keys(%q: tensor<2x6x5x8xf32>, %k: tensor<2x2x8x4xf32>, %v: tensor<2x2x4x8xf32>) -> tensor<12x5x8xf32> {
  %zero = arith.constant 0.0 : f32
  %ek = tensor.empty() : tensor<2x2x3x8x4xf32>
  %kb = linalg.broadcast ins(%k : tensor<2x2x8x4xf32>) outs(%ek : tensor<2x2x3x8x4xf32>) dimensions = [2]
  %kr = tensor.collapse_shape %kb [[0, 1, 2], [3], [4]] : tensor<2x2x3x8x4xf32> into tensor<12x8x4xf32>
  %ev = tensor.empty() : tensor<2x2x3x4x8xf32>
  %vb = linalg.broadcast ins(%v : tensor<2x2x4x8xf32>) outs(%ev : tensor<2x2x3x4x8xf32>) dimensions = [2]
  %vr = tensor.collapse_shape %vb [[0, 1, 2], [3], [4]] : tensor<2x2x3x4x8xf32> into tensor<12x4x8xf32>
  %qr = tensor.collapse_shape %q [[0, 1], [2], [3]] : tensor<2x6x5x8xf32> into tensor<12x5x8xf32>
  %es = tensor.empty() : tensor<12x5x4xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<12x5x4xf32>) -> tensor<12x5x4xf32>
  %eo = tensor.empty() : tensor<12x5x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<12x5x8xf32>) -> tensor<12x5x8xf32>
  %s = linalg.batch_matmul ins(%qr, %kr : tensor<12x5x8xf32>, tensor<12x8x4xf32>) outs(%zs : tensor<12x5x4xf32>) -> tensor<12x5x4xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<12x5x4xf32>) outs(%es : tensor<12x5x4xf32>) -> tensor<12x5x4xf32>
  // expected-remark @below {{B=2 H=6 N=5 M=4 D=8 Dv=8}}
  %r = linalg.batch_matmul ins(%p, %vr : tensor<12x5x4xf32>, tensor<12x4x8xf32>) outs(%zo : tensor<12x5x8xf32>) -> tensor<12x5x8xf32>
  return %r : tensor<12x5x8xf32>
}
