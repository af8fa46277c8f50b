// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s -split-input-file --elfatt-raise-elfatt --elfatt-report -verify-diagnostics | FileCheck %s

// What looks like ELFATT and is none says why, at both branches. Windows of four
// tokens; the heads of queries, keys and values lie in one dim.
// CHECK-NOT: attention.elfatt

// A third part is no attention.
func.func @other_part(%x: tensor<2x16x6x4xf32>, %z: tensor<2x16x4xf32>) -> tensor<2x16x12xf32> {
  %eg = tensor.empty() : tensor<2x16x4xf32>
  // expected-remark @below {{not joined to attention.elfatt (elfatt-other-part)}}
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>) outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %wl = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x4x4x6x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{not joined to attention.elfatt (elfatt-other-part)}}
  %al = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wl, %wl, %wl : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %al [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l, %z : (tensor<2x16x4xf32>, tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x12xf32>
  return %o : tensor<2x16x12xf32>
}

// -----

// The scores in a window have a bias.
func.func @local_bias(%x: tensor<2x16x6x4xf32>, %m: tensor<4x4xf32>) -> tensor<2x16x8xf32> {
  %eg = tensor.empty() : tensor<2x16x4xf32>
  // expected-remark @below {{(elfatt-local-bias): the local branch has a bias or a mask}}
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>) outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %wl = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x4x4x6x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{(elfatt-local-bias): the local branch has a bias or a mask}}
  %al = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, e)>, affine_map<(b, w, i, j, d, e) -> (i, j)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wl, %wl, %wl : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>) bias(%m : tensor<4x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %al [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// -----

// The global branch attends to half of the tokens.
func.func @other_tokens(%x: tensor<2x16x6x4xf32>) -> tensor<2x16x8xf32> {
  %half = tensor.extract_slice %x[0, 0, 0, 0] [2, 8, 6, 4] [1, 1, 1, 1] : tensor<2x16x6x4xf32> to tensor<2x8x6x4xf32>
  %eg = tensor.empty() : tensor<2x16x4xf32>
  // expected-remark @below {{(elfatt-other-tokens)}}
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %half, %half : tensor<2x16x6x4xf32>, tensor<2x8x6x4xf32>, tensor<2x8x6x4xf32>) outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %wl = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x4x4x6x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{(elfatt-other-tokens)}}
  %al = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wl, %wl, %wl : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %al [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// -----

// Two local heads with windows of different size.
func.func @no_windows(%x: tensor<2x16x9x4xf32>) -> tensor<2x16x12xf32> {
  %eg = tensor.empty() : tensor<2x16x4xf32>
  // expected-remark @below {{(elfatt-no-windows)}}
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 3, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 6, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x9x4xf32>, tensor<2x16x9x4xf32>, tensor<2x16x9x4xf32>) outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %wl = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 9, 4]
    : tensor<2x16x9x4xf32> into tensor<2x4x4x9x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{(elfatt-no-windows)}}
  %al = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 4, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 7, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wl, %wl, %wl : tensor<2x4x4x9x4xf32>, tensor<2x4x4x9x4xf32>, tensor<2x4x4x9x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %al [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %wm = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 8, 2, 9, 4]
    : tensor<2x16x9x4xf32> into tensor<2x8x2x9x4xf32>
  %em = tensor.empty() : tensor<2x8x2x4xf32>
  // expected-remark @below {{(elfatt-no-windows)}}
  %am = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 2, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 8, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wm, %wm, %wm : tensor<2x8x2x9x4xf32>, tensor<2x8x2x9x4xf32>, tensor<2x8x2x9x4xf32>)
    outs(%em : tensor<2x8x2x4xf32>) -> tensor<2x8x2x4xf32>
  %m = tensor.collapse_shape %am [[0], [1, 2], [3]] : tensor<2x8x2x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l, %m : (tensor<2x16x4xf32>, tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x12xf32>
  return %o : tensor<2x16x12xf32>
}

// -----

// Both branches look at the same head.
func.func @other_heads(%x: tensor<2x16x6x4xf32>) -> tensor<2x16x8xf32> {
  %eg = tensor.empty() : tensor<2x16x4xf32>
  // expected-remark @below {{(elfatt-other-heads)}}
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 1, d)>, affine_map<(b, i, j, d, e) -> (b, j, 3, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 5, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>) outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %wl = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x4x4x6x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{(elfatt-other-heads)}}
  %al = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wl, %wl, %wl : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %al [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// -----

// The branches look at different arguments.
func.func @other_sources(%x: tensor<2x16x6x4xf32>, %y: tensor<2x16x6x4xf32>) -> tensor<2x16x8xf32> {
  %eg = tensor.empty() : tensor<2x16x4xf32>
  // expected-remark @below {{(elfatt-other-sources)}}
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>) outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %wl = tensor.expand_shape %y [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x4x4x6x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{(elfatt-other-sources)}}
  %al = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wl, %wl, %wl : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %al [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// -----

// Two local heads with scales of their own.
func.func @other_scales(%x: tensor<2x16x9x4xf32>, %s: f32, %t: f32) -> tensor<2x16x12xf32> {
  %eg = tensor.empty() : tensor<2x16x4xf32>
  // expected-remark @below {{(elfatt-other-scales)}}
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 3, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 6, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x9x4xf32>, tensor<2x16x9x4xf32>, tensor<2x16x9x4xf32>) outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %wl = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 9, 4]
    : tensor<2x16x9x4xf32> into tensor<2x4x4x9x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{(elfatt-other-scales)}}
  %al = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 4, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 7, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wl, %wl, %wl : tensor<2x4x4x9x4xf32>, tensor<2x4x4x9x4xf32>, tensor<2x4x4x9x4xf32>) scale(%s : f32)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %al [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %wm = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 9, 4]
    : tensor<2x16x9x4xf32> into tensor<2x4x4x9x4xf32>
  %em = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{(elfatt-other-scales)}}
  %am = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 2, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 8, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wm, %wm, %wm : tensor<2x4x4x9x4xf32>, tensor<2x4x4x9x4xf32>, tensor<2x4x4x9x4xf32>) scale(%t : f32)
    outs(%em : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %m = tensor.collapse_shape %am [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l, %m : (tensor<2x16x4xf32>, tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x12xf32>
  return %o : tensor<2x16x12xf32>
}

// -----

// The local branch is rolled by one token.
func.func @not_a_view(%x: tensor<2x16x6x4xf32>) -> tensor<2x16x8xf32> {
  %eg = tensor.empty() : tensor<2x16x4xf32>
  // expected-remark @below {{(elfatt-not-a-view)}}
  %g = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, 0, d)>, affine_map<(b, i, j, d, e) -> (b, j, 2, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, 4, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %x, %x : tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>, tensor<2x16x6x4xf32>) outs(%eg : tensor<2x16x4xf32>) -> tensor<2x16x4xf32>
  %wl = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x4x4x6x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{(elfatt-not-a-view)}}
  %al = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wl, %wl, %wl : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %al [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %last = tensor.extract_slice %l[0, 15, 0] [2, 1, 4] [1, 1, 1] : tensor<2x16x4xf32> to tensor<2x1x4xf32>
  %others = tensor.extract_slice %l[0, 0, 0] [2, 15, 4] [1, 1, 1] : tensor<2x16x4xf32> to tensor<2x15x4xf32>
  %r = tensor.concat dim(1) %last, %others : (tensor<2x1x4xf32>, tensor<2x15x4xf32>) -> tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %r : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}

// -----

// Two local branches are no ELFATT, and nothing is said of them.
func.func @two_local_branches(%x: tensor<2x16x6x4xf32>) -> tensor<2x16x8xf32> {
  %wg = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 2, 8, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x2x8x6x4xf32>
  %eg = tensor.empty() : tensor<2x2x8x4xf32>
  // expected-remark @below {{raised to attention.sdpa: B=4 H=1 N=8 M=8 D=4 Dv=4, bias none}}
  %ag = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 0, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 2, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 4, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wg, %wg, %wg : tensor<2x2x8x6x4xf32>, tensor<2x2x8x6x4xf32>, tensor<2x2x8x6x4xf32>)
    outs(%eg : tensor<2x2x8x4xf32>) -> tensor<2x2x8x4xf32>
  %g = tensor.collapse_shape %ag [[0], [1, 2], [3]] : tensor<2x2x8x4xf32> into tensor<2x16x4xf32>
  %wl = tensor.expand_shape %x [[0], [1, 2], [3], [4]] output_shape [2, 4, 4, 6, 4]
    : tensor<2x16x6x4xf32> into tensor<2x4x4x6x4xf32>
  %el = tensor.empty() : tensor<2x4x4x4xf32>
  // expected-remark @below {{raised to attention.sdpa: B=8 H=1 N=4 M=4 D=4 Dv=4, bias none}}
  %al = attention.sdpa indexing_maps = [
      affine_map<(b, w, i, j, d, e) -> (b, w, i, 1, d)>, affine_map<(b, w, i, j, d, e) -> (b, w, j, 3, d)>,
      affine_map<(b, w, i, j, d, e) -> (b, w, j, 5, e)>, affine_map<(b, w, i, j, d, e) -> (b, w, i, e)>]
    ins(%wl, %wl, %wl : tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>, tensor<2x4x4x6x4xf32>)
    outs(%el : tensor<2x4x4x4xf32>) -> tensor<2x4x4x4xf32>
  %l = tensor.collapse_shape %al [[0], [1, 2], [3]] : tensor<2x4x4x4xf32> into tensor<2x16x4xf32>
  %o = tensor.concat dim(2) %g, %l : (tensor<2x16x4xf32>, tensor<2x16x4xf32>) -> tensor<2x16x8xf32>
  return %o : tensor<2x16x8xf32>
}
