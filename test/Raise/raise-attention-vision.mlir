// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s -split-input-file --elfatt-raise -verify-diagnostics | FileCheck %s

// Attention of vision models that is another function.
// CHECK-NOT: attention.sdpa
// CHECK-NOT: attention.linear

// EfficientViT: a ReLU in place of both softmaxes.
#id = affine_map<(b, i, j) -> (b, i, j)>
func.func @relu_linear(%q: tensor<2x9x4xf32>, %kt: tensor<2x4x9xf32>, %v: tensor<2x9x4xf32>) -> tensor<2x9x4xf32> {
  %zero = arith.constant 0.0 : f32
  %eq = tensor.empty() : tensor<2x9x4xf32>
  %rq = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%q : tensor<2x9x4xf32>) outs(%eq : tensor<2x9x4xf32>) {
  ^bb0(%x: f32, %o: f32):
    %r = arith.maximumf %x, %zero : f32
    linalg.yield %r : f32
  } -> tensor<2x9x4xf32>
  %ek = tensor.empty() : tensor<2x4x9xf32>
  %rk = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%kt : tensor<2x4x9xf32>) outs(%ek : tensor<2x4x9xf32>) {
  ^bb0(%x: f32, %o: f32):
    %c = arith.cmpf ugt, %x, %zero : f32
    %r = arith.select %c, %x, %zero : f32
    linalg.yield %r : f32
  } -> tensor<2x4x9xf32>
  %ec = tensor.empty() : tensor<2x4x4xf32>
  %zc = linalg.fill ins(%zero : f32) outs(%ec : tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %c = linalg.batch_matmul ins(%rk, %v : tensor<2x4x9xf32>, tensor<2x9x4xf32>) outs(%zc : tensor<2x4x4xf32>) -> tensor<2x4x4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eq : tensor<2x9x4xf32>) -> tensor<2x9x4xf32>
  // expected-remark @below {{attention not raised (relu-linear-attention): queries and keys go through a ReLU}}
  %o = linalg.batch_matmul ins(%rq, %c : tensor<2x9x4xf32>, tensor<2x4x4xf32>) outs(%zo : tensor<2x9x4xf32>) -> tensor<2x9x4xf32>
  return %o : tensor<2x9x4xf32>
}

// -----

// CaiT: a weight mixes the heads of the scores, before the softmax.
#scores = affine_map<(h, g, i, j) -> (g, i, j)>
#weight = affine_map<(h, g, i, j) -> (h, g)>
#mixed = affine_map<(h, g, i, j) -> (h, i, j)>
func.func @mixed_scores(%q: tensor<3x5x4xf32>, %kt: tensor<3x4x6xf32>, %v: tensor<3x6x4xf32>) -> tensor<3x5x4xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]]> : tensor<3x3xf32>
  %es = tensor.empty() : tensor<3x5x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<3x5x6xf32>) -> tensor<3x5x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<3x5x4xf32>, tensor<3x4x6xf32>) outs(%zs : tensor<3x5x6xf32>) -> tensor<3x5x6xf32>
  %m = linalg.generic {indexing_maps = [#scores, #weight, #mixed], iterator_types = ["parallel", "reduction", "parallel", "parallel"]}
    ins(%s, %w : tensor<3x5x6xf32>, tensor<3x3xf32>) outs(%zs : tensor<3x5x6xf32>) {
  ^bb0(%x: f32, %y: f32, %o: f32):
    %xy = arith.mulf %x, %y : f32
    %sum = arith.addf %o, %xy : f32
    linalg.yield %sum : f32
  } -> tensor<3x5x6xf32>
  %p = linalg.softmax dimension(2) ins(%m : tensor<3x5x6xf32>) outs(%es : tensor<3x5x6xf32>) -> tensor<3x5x6xf32>
  %eo = tensor.empty() : tensor<3x5x4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  // expected-remark @below {{attention not raised (talking-heads): a weight mixes the heads}}
  %o = linalg.batch_matmul ins(%p, %v : tensor<3x5x6xf32>, tensor<3x6x4xf32>) outs(%zo : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  return %o : tensor<3x5x4xf32>
}

// -----

// And of the probabilities, behind it.
#scores = affine_map<(h, g, i, j) -> (g, i, j)>
#weight = affine_map<(h, g, i, j) -> (h, g)>
#mixed = affine_map<(h, g, i, j) -> (h, i, j)>
func.func @mixed_probabilities(%q: tensor<3x5x4xf32>, %kt: tensor<3x4x6xf32>, %v: tensor<3x6x4xf32>) -> tensor<3x5x4xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<[[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]]> : tensor<3x3xf32>
  %es = tensor.empty() : tensor<3x5x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<3x5x6xf32>) -> tensor<3x5x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<3x5x4xf32>, tensor<3x4x6xf32>) outs(%zs : tensor<3x5x6xf32>) -> tensor<3x5x6xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<3x5x6xf32>) outs(%es : tensor<3x5x6xf32>) -> tensor<3x5x6xf32>
  %m = linalg.generic {indexing_maps = [#scores, #weight, #mixed], iterator_types = ["parallel", "reduction", "parallel", "parallel"]}
    ins(%p, %w : tensor<3x5x6xf32>, tensor<3x3xf32>) outs(%zs : tensor<3x5x6xf32>) {
  ^bb0(%x: f32, %y: f32, %o: f32):
    %xy = arith.mulf %x, %y : f32
    %sum = arith.addf %o, %xy : f32
    linalg.yield %sum : f32
  } -> tensor<3x5x6xf32>
  %eo = tensor.empty() : tensor<3x5x4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  // expected-remark @below {{attention not raised (talking-heads)}}
  %o = linalg.batch_matmul ins(%m, %v : tensor<3x5x6xf32>, tensor<3x6x4xf32>) outs(%zo : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  return %o : tensor<3x5x4xf32>
}

// -----

// A weight between two attentions, which mixes channels: no talking heads.
func.func @two_attentions(%p: tensor<3x5x6xf32>, %v: tensor<3x6x4xf32>, %r: tensor<3x7x5xf32>) -> tensor<3x7x4xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<0.5> : tensor<4x4xf32>
  %ex = tensor.empty() : tensor<3x5x4xf32>
  %zx = linalg.fill ins(%zero : f32) outs(%ex : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  %x = linalg.batch_matmul ins(%p, %v : tensor<3x5x6xf32>, tensor<3x6x4xf32>) outs(%zx : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  %n = linalg.softmax dimension(2) ins(%x : tensor<3x5x4xf32>) outs(%ex : tensor<3x5x4xf32>) -> tensor<3x5x4xf32>
  %flat = tensor.collapse_shape %n [[0, 1], [2]] : tensor<3x5x4xf32> into tensor<15x4xf32>
  %ey = tensor.empty() : tensor<15x4xf32>
  %zy = linalg.fill ins(%zero : f32) outs(%ey : tensor<15x4xf32>) -> tensor<15x4xf32>
  %y = linalg.matmul ins(%flat, %w : tensor<15x4xf32>, tensor<4x4xf32>) outs(%zy : tensor<15x4xf32>) -> tensor<15x4xf32>
  %u = tensor.expand_shape %y [[0, 1], [2]] output_shape [3, 5, 4] : tensor<15x4xf32> into tensor<3x5x4xf32>
  %eo = tensor.empty() : tensor<3x7x4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<3x7x4xf32>) -> tensor<3x7x4xf32>
  %o = linalg.batch_matmul ins(%r, %u : tensor<3x7x5xf32>, tensor<3x5x4xf32>) outs(%zo : tensor<3x7x4xf32>) -> tensor<3x7x4xf32>
  return %o : tensor<3x7x4xf32>
}
