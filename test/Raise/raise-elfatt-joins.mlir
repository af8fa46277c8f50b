// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s -split-input-file --elfatt-raise-elfatt | FileCheck %s

// Ways to join branches. Windows of four tokens; the heads of queries, keys and
// values, or of some of them, lie in one dim.

// Slices written into one tensor, whose own elements are all overwritten.
// CHECK-LABEL: func.func @slices_written(
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<2x16x6x4xf32>
// CHECK-NOT: tensor.insert_slice
// CHECK: %[[E:.*]] = tensor.expand_shape %[[X]]
// CHECK: attention.elfatt
// CHECK-SAME: ins(%[[E]], %[[E]], %[[E]] :
// CHECK-SAME: global_heads = 1 grid = [16] window = [4] -> tensor<2x16x2x4xf32>
// CHECK-NOT: attention.
func.func @slices_written(%x: tensor<2x16x6x4xf32>, %old: tensor<2x16x8xf32>) -> tensor<2x16x8xf32> {
  %eg = tensor.empty() : tensor<2x16x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>)
    outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %w = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x4x4x6x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  %lw = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%w, %w, %w : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %lw [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %a = tensor.insert_slice %l into %old[0, 0, 4] [2, 16, 4] [1, 1, 1] : tensor<2x16x4xf32> into tensor<2x16x8xf32>
  %o = tensor.insert_slice %g into %a[0, 0, 0] [2, 16, 4] [1, 1, 1] : tensor<2x16x4xf32> into tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// -----

// What else is added to a branch is added behind the op.
// CHECK-LABEL: func.func @another_addend(
// CHECK-SAME: %[[Z:[a-z0-9]*]]: tensor<2x16x4xf32>)
// CHECK: attention.elfatt
// CHECK-NOT: attention.
// CHECK: %[[G:.*]] = tensor.extract_slice %[[O:.*]][0, 0, 0] [2, 16, 4]
// CHECK: %[[L:.*]] = tensor.extract_slice %[[O]][0, 0, 4] [2, 16, 4]
// CHECK-DAG: %[[LW:.*]] = tensor.expand_shape %[[L]] {{.*}} into tensor<2x4x4x4xf32>
// CHECK-DAG: %[[ZW:.*]] = tensor.expand_shape %[[Z]] {{.*}} into tensor<2x4x4x4xf32>
// CHECK: %[[S:.*]] = linalg.generic {{.*}} ins(%[[LW]], %[[ZW]] :
// CHECK: arith.addf
// CHECK: %[[R:.*]] = tensor.collapse_shape %[[S]]
// CHECK: tensor.concat dim(2) %[[G]], %[[R]]
func.func @another_addend(%x: tensor<2x16x6x4xf32>, %z: tensor<2x16x4xf32>) -> tensor<2x16x8xf32> {
  %eg = tensor.empty() : tensor<2x16x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>)
    outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %w = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x4x4x6x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  %lw = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%w, %w, %w : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %lw [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %s = linalg.add ins(%l, %z : tensor<2x16x4xf32>, tensor<2x16x4xf32>) outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %s : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// -----

// Queries of two projections of one input: their weights become one.
// CHECK-LABEL: func.func @two_projections(
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<2x16x4x4xf32>, %[[Y:[a-z0-9]*]]: tensor<2x16x3xf32>
// CHECK-NOT: linalg.matmul
// CHECK: %[[W:.*]] = arith.constant dense<{{\[\[}}1.{{[0e+]*}}, 1.{{[0e+]*}}, 1.{{[0e+]*}}, 1.{{[0e+]*}}, 2.{{[0e+]*}}, 2.{{[0e+]*}}, 2.{{[0e+]*}}, 2.{{[0e+]*}}],
// CHECK-SAME: tensor<3x8xf32>
// CHECK: %[[Q:.*]] = linalg.generic {{.*}} ins(%[[Y]], %[[W]] :
// CHECK: %[[E:.*]] = tensor.expand_shape %[[Q]] {{.*}} into tensor<2x16x2x4xf32>
// CHECK: attention.elfatt
// CHECK-SAME: ins(%[[E]],
// CHECK-NOT: attention.
func.func @two_projections(%x: tensor<2x16x4x4xf32>, %y: tensor<2x16x3xf32>) -> tensor<2x16x8xf32> {
  %zero = arith.constant 0.0 : f32
  %wg = arith.constant dense<1.0> : tensor<3x4xf32>
  %wl = arith.constant dense<2.0> : tensor<3x4xf32>
  %flat = tensor.collapse_shape %y [[0, 1], [2]] : tensor<2x16x3xf32> into tensor<32x3xf32>
  %e = tensor.empty() : tensor<32x4xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<32x4xf32>) -> tensor<32x4xf32>
  %pg = linalg.matmul ins(%flat, %wg : tensor<32x3xf32>, tensor<3x4xf32>) outs(%z : tensor<32x4xf32>) -> tensor<32x4xf32>
  %pl = linalg.matmul ins(%flat, %wl : tensor<32x3xf32>, tensor<3x4xf32>) outs(%z : tensor<32x4xf32>) -> tensor<32x4xf32>
  %qg = tensor.expand_shape %pg [[0, 1], [2]] output_shape [2, 16, 4] : tensor<32x4xf32> into tensor<2x16x4xf32>
  %eg = tensor.empty() : tensor<2x16x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>, affine_map<(b, i, j, d, e) -> (b, j, 0, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 2, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%qg, %x, %x : tensor<2x16x4xf32>, tensor<2x16x4x4xf32>, tensor<2x16x4x4xf32>)
    outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %ql = tensor.expand_shape %pl [[0, 1, 2], [3]] output_shape [2, 4, 4, 4] : tensor<32x4xf32> into tensor<2x4x4x4xf32>
  %w = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 4, 4]
    : tensor<2x16x4x4xf32> into tensor<2x4x4x4x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  %lw = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 1, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%ql, %w, %w : tensor<2x4x4x4xf32>, tensor<2x4x4x4x4xf32>, tensor<2x4x4x4x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %lw [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// -----

// The tokens are two dims of the operands and of the result; windows are rows.
// CHECK-LABEL: func.func @tokens_in_two_dims(
// CHECK-SAME: %[[X:[a-z0-9]*]]: tensor<2x4x4x6x4xf32>
// CHECK: %[[C:.*]] = tensor.collapse_shape %[[X]] {{\[\[}}0], [1, 2], [3], [4]]
// CHECK: %[[O:.*]] = attention.elfatt
// CHECK-SAME: grid = [16] window = [4]
// CHECK-NOT: attention.
// CHECK: %[[R:.*]] = tensor.collapse_shape %[[O]] {{\[\[}}0], [1], [2, 3]]
// CHECK: tensor.expand_shape %[[R]] {{\[\[}}0], [1, 2], [3]] {{.*}} into tensor<2x4x4x8xf32>
func.func @tokens_in_two_dims(%x: tensor<2x4x4x6x4xf32>) -> tensor<2x4x4x8xf32> {
  %eg = tensor.empty() : tensor<2x4x4x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, y, x, i, j, d, e) -> (b, y, x, 0, d)>, affine_map<(b, y, x, i, j, d, e) -> (b, i, j, 2, d)>,
      affine_map<(b, y, x, i, j, d, e) -> (b, i, j, 4, e)>, affine_map<(b, y, x, i, j, d, e) -> (b, y, x, e)>]
    ins(%x, %x, %x : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%eg : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = attention.sdpa indexing_maps = [
      affine_map<(b, y, x, j, d, e) -> (b, y, x, 1, d)>, affine_map<(b, y, x, j, d, e) -> (b, y, j, 3, d)>,
      affine_map<(b, y, x, j, d, e) -> (b, y, j, 5, e)>, affine_map<(b, y, x, j, d, e) -> (b, y, x, e)>]
    ins(%x, %x, %x : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%eg : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %o = tensor.concat dim(3) %g, %l : (tensor<2x4x4x4xf32>, tensor<2x4x4x4xf32>) -> tensor<2x4x4x8xf32>
  return %o : tensor<2x4x4x8xf32>
}
