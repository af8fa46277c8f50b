// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-raise-elfatt | FileCheck %s

// Both branches are views of one tensor: heads 0 and 1 of 3 x 2 heads of 4
// channels, tokens on a 4 x 4 grid.
// CHECK-DAG: #[[Q:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, 0, d1, d3)>
// CHECK-DAG: #[[K:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, 1, d1, d3)>
// CHECK-DAG: #[[V:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, 2, d1, d4)>
// CHECK-DAG: #[[O:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, d1, d4)>
// CHECK-LABEL: func.func @both_branches(
// CHECK-SAME: %[[QKV:.*]]: tensor
// CHECK: %[[X:.*]] = tensor.expand_shape %[[QKV]] {{.*}} into tensor<2x16x3x2x4xf32>
// CHECK: %[[O4:.*]] = attention.elfatt indexing_maps = [#[[Q]], #[[K]], #[[V]], #[[O]]]
// CHECK-SAME: ins(%[[X]], %[[X]], %[[X]] :
// CHECK-SAME: global_heads = 1 grid = [4, 4] window = [2, 2] -> tensor<2x16x2x4xf32>
// CHECK: tensor.collapse_shape %[[O4]] {{\[\[}}0], [1], [2, 3]] : tensor<2x16x2x4xf32> into tensor<2x16x8xf32>
// CHECK-NOT: attention.
func.func @both_branches(%qkv: tensor<2x16x24xf32>) -> tensor<2x16x8xf32> {
  %x = tensor.expand_shape %qkv [[0], [1], [2, 3]] output_shape [2, 16, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x16x6x4xf32>
  %eg = tensor.empty() : tensor<2x16x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>)
    outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %w = tensor.expand_shape %qkv [[0], [1, 2, 3, 4], [5, 6]] output_shape [2, 2, 2, 2, 2, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x2x2x2x2x6x4xf32>
  %el = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %lw = attention.sdpa indexing_maps = [
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, iy, wx, ix, 1, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 3, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 5, e)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, wx, iy, ix, e)>]
    ins(%w, %w, %w : tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>)
    outs(%el : tensor<2x2x2x2x2x4xf32>) -> tensor<2x2x2x2x2x4xf32>
  %et = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %t = linalg.transpose ins(%lw : tensor<2x2x2x2x2x4xf32>) outs(%et : tensor<2x2x2x2x2x4xf32>)
    permutation = [0, 1, 3, 2, 4, 5]
  %l = tensor.collapse_shape %t [[0], [1, 2, 3, 4], [5]] : tensor<2x2x2x2x2x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// The keys are those of the window mirrored at the diagonal.
// CHECK-LABEL: func.func @mismatched_window(
// CHECK-NOT: attention.elfatt
// CHECK: attention.linear
// CHECK: attention.sdpa
func.func @mismatched_window(%qkv: tensor<2x16x24xf32>) -> tensor<2x16x8xf32> {
  %x = tensor.expand_shape %qkv [[0], [1], [2, 3]] output_shape [2, 16, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x16x6x4xf32>
  %eg = tensor.empty() : tensor<2x16x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>)
    outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %w = tensor.expand_shape %qkv [[0], [1, 2, 3, 4], [5, 6]] output_shape [2, 2, 2, 2, 2, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x2x2x2x2x6x4xf32>
  %el = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %lw = attention.sdpa indexing_maps = [
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, iy, wx, ix, 1, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wx, jy, wy, jx, 3, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 5, e)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, wx, iy, ix, e)>]
    ins(%w, %w, %w : tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>)
    outs(%el : tensor<2x2x2x2x2x4xf32>) -> tensor<2x2x2x2x2x4xf32>
  %et = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %t = linalg.transpose ins(%lw : tensor<2x2x2x2x2x4xf32>) outs(%et : tensor<2x2x2x2x2x4xf32>)
    permutation = [0, 1, 3, 2, 4, 5]
  %l = tensor.collapse_shape %t [[0], [1, 2, 3, 4], [5]] : tensor<2x2x2x2x2x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// The result has the local heads first, the packed tensor the global ones: the op
// keeps the order of its operands, and the halves of its result are swapped.
// CHECK-LABEL: func.func @other_order(
// CHECK: attention.elfatt
// CHECK-SAME: global_heads = 1 grid = [4, 4]
// CHECK-NOT: attention.
// CHECK: %[[L:.*]] = tensor.extract_slice %[[R:.*]][0, 0, 4] [2, 16, 4]
// CHECK: %[[G:.*]] = tensor.extract_slice %[[R]][0, 0, 0] [2, 16, 4]
// CHECK: tensor.concat dim(2) %[[L]], %[[G]]
func.func @other_order(%qkv: tensor<2x16x24xf32>) -> tensor<2x16x8xf32> {
  %x = tensor.expand_shape %qkv [[0], [1], [2, 3]] output_shape [2, 16, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x16x6x4xf32>
  %eg = tensor.empty() : tensor<2x16x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>)
    outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %w = tensor.expand_shape %qkv [[0], [1, 2, 3, 4], [5, 6]] output_shape [2, 2, 2, 2, 2, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x2x2x2x2x6x4xf32>
  %el = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %lw = attention.sdpa indexing_maps = [
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, iy, wx, ix, 1, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 3, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 5, e)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, wx, iy, ix, e)>]
    ins(%w, %w, %w : tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>)
    outs(%el : tensor<2x2x2x2x2x4xf32>) -> tensor<2x2x2x2x2x4xf32>
  %et = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %t = linalg.transpose ins(%lw : tensor<2x2x2x2x2x4xf32>) outs(%et : tensor<2x2x2x2x2x4xf32>)
    permutation = [0, 1, 3, 2, 4, 5]
  %l = tensor.collapse_shape %t [[0], [1, 2, 3, 4], [5]] : tensor<2x2x2x2x2x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %l, %g : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// The keys of the global branch are those of the local heads.
// CHECK-LABEL: func.func @shared_keys(
// CHECK-NOT: attention.elfatt
// CHECK: attention.linear
// CHECK: attention.sdpa
func.func @shared_keys(%qkv: tensor<2x16x24xf32>) -> tensor<2x16x8xf32> {
  %x = tensor.expand_shape %qkv [[0], [1], [2, 3]] output_shape [2, 16, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x16x6x4xf32>
  %eg = tensor.empty() : tensor<2x16x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 3, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>)
    outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %w = tensor.expand_shape %qkv [[0], [1, 2, 3, 4], [5, 6]] output_shape [2, 2, 2, 2, 2, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x2x2x2x2x6x4xf32>
  %el = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %lw = attention.sdpa indexing_maps = [
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, iy, wx, ix, 1, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 3, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 5, e)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, wx, iy, ix, e)>]
    ins(%w, %w, %w : tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>)
    outs(%el : tensor<2x2x2x2x2x4xf32>) -> tensor<2x2x2x2x2x4xf32>
  %et = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %t = linalg.transpose ins(%lw : tensor<2x2x2x2x2x4xf32>) outs(%et : tensor<2x2x2x2x2x4xf32>)
    permutation = [0, 1, 3, 2, 4, 5]
  %l = tensor.collapse_shape %t [[0], [1, 2, 3, 4], [5]] : tensor<2x2x2x2x2x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// The branches look at different tensors.
// CHECK-LABEL: func.func @different_sources(
// CHECK-NOT: attention.elfatt
// CHECK: attention.linear
// CHECK: attention.sdpa
func.func @different_sources(%qkv: tensor<2x16x24xf32>, %other: tensor<2x16x24xf32>) -> tensor<2x16x8xf32> {
  %x = tensor.expand_shape %qkv [[0], [1], [2, 3]] output_shape [2, 16, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x16x6x4xf32>
  %eg = tensor.empty() : tensor<2x16x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>)
    outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %w = tensor.expand_shape %other [[0], [1, 2, 3, 4], [5, 6]] output_shape [2, 2, 2, 2, 2, 6, 4]
    : tensor<2x16x24xf32> into tensor<2x2x2x2x2x6x4xf32>
  %el = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %lw = attention.sdpa indexing_maps = [
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, iy, wx, ix, 1, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 3, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 5, e)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, wx, iy, ix, e)>]
    ins(%w, %w, %w : tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>)
    outs(%el : tensor<2x2x2x2x2x4xf32>) -> tensor<2x2x2x2x2x4xf32>
  %et = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %t = linalg.transpose ins(%lw : tensor<2x2x2x2x2x4xf32>) outs(%et : tensor<2x2x2x2x2x4xf32>)
    permutation = [0, 1, 3, 2, 4, 5]
  %l = tensor.collapse_shape %t [[0], [1, 2, 3, 4], [5]] : tensor<2x2x2x2x2x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// The result of a projection: batch and tokens are one dim of it.
// CHECK-LABEL: func.func @batch_and_tokens_in_one_dim(
// CHECK-SAME: %[[QKV:.*]]: tensor
// CHECK: %[[X:.*]] = tensor.expand_shape %[[QKV]] {{.*}} into tensor<2x16x3x2x4xf32>
// CHECK: attention.elfatt
// CHECK-SAME: ins(%[[X]], %[[X]], %[[X]] :
// CHECK-SAME: grid = [4, 4] window = [2, 2]
// CHECK-NOT: attention.
func.func @batch_and_tokens_in_one_dim(%qkv: tensor<32x24xf32>) -> tensor<2x16x8xf32> {
  %x = tensor.expand_shape %qkv [[0, 1], [2, 3]] output_shape [2, 16, 6, 4]
    : tensor<32x24xf32> into tensor<2x16x6x4xf32>
  %eg = tensor.empty() : tensor<2x16x4xf32>
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>)
    outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %w = tensor.expand_shape %qkv [[0, 1, 2, 3, 4], [5, 6]] output_shape [2, 2, 2, 2, 2, 6, 4]
    : tensor<32x24xf32> into tensor<2x2x2x2x2x6x4xf32>
  %el = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %lw = attention.sdpa indexing_maps = [
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, iy, wx, ix, 1, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 3, d)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, jy, wx, jx, 5, e)>,
      affine_map<(b, wy, wx, iy, ix, jy, jx, d, e) -> (b, wy, wx, iy, ix, e)>]
    ins(%w, %w, %w : tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>, tensor<2x2x2x2x2x6x4xf32>)
    outs(%el : tensor<2x2x2x2x2x4xf32>) -> tensor<2x2x2x2x2x4xf32>
  %et = tensor.empty() : tensor<2x2x2x2x2x4xf32>
  %t = linalg.transpose ins(%lw : tensor<2x2x2x2x2x4xf32>) outs(%et : tensor<2x2x2x2x2x4xf32>)
    permutation = [0, 1, 3, 2, 4, 5]
  %l = tensor.collapse_shape %t [[0], [1, 2, 3, 4], [5]] : tensor<2x2x2x2x2x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}
