// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s -split-input-file --elfatt-report -verify-diagnostics
// RUN: elfatt-opt %s -split-input-file --elfatt-report="file=-" -o /dev/null | FileCheck %s

// What the report says of grouped heads, several biases and score functions.

// Three query heads share each of two: H = 6. Heads before tokens, and after.
func.func @grouped(%q: tensor<5x2x3x7x8xf32>, %k: tensor<5x2x9x8xf32>, %o: tensor<5x2x3x7x8xf32>,
                   %p: tensor<5x7x2x3x8xf32>) -> (tensor<5x2x3x7x8xf32>, tensor<5x7x2x3x8xf32>) {
  // expected-remark @below {{B=5 H=6 N=7 M=9 D=8 Dv=8, bias none}}
  %a = attention.sdpa indexing_maps = [
      affine_map<(b, h, g, i, j, d, e) -> (b, h, g, i, d)>, affine_map<(b, h, g, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, g, i, j, d, e) -> (b, h, j, e)>, affine_map<(b, h, g, i, j, d, e) -> (b, h, g, i, e)>]
    ins(%q, %k, %k : tensor<5x2x3x7x8xf32>, tensor<5x2x9x8xf32>, tensor<5x2x9x8xf32>)
    outs(%o : tensor<5x2x3x7x8xf32>) -> tensor<5x2x3x7x8xf32>
  // expected-remark @below {{B=5 H=6 N=7 M=9 D=8 Dv=8, bias none}}
  %b = attention.sdpa indexing_maps = [
      affine_map<(b, i, h, g, j, d, e) -> (b, h, g, i, d)>, affine_map<(b, i, h, g, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, i, h, g, j, d, e) -> (b, h, j, e)>, affine_map<(b, i, h, g, j, d, e) -> (b, i, h, g, e)>]
    ins(%q, %k, %k : tensor<5x2x3x7x8xf32>, tensor<5x2x9x8xf32>, tensor<5x2x9x8xf32>)
    outs(%p : tensor<5x7x2x3x8xf32>) -> tensor<5x7x2x3x8xf32>
  return %a, %b : tensor<5x2x3x7x8xf32>, tensor<5x7x2x3x8xf32>
}

// -----

// The result does not say which of the batch dims are heads; the queries do, where they
// stand between the tokens and the channels.
func.func @heads_by_queries(%q: tensor<7x5x3x8xf32>, %k: tensor<9x5x3x8xf32>,
                            %o: tensor<3x8x5x7xf32>) -> tensor<3x8x5x7xf32> {
  // expected-remark @below {{B=5 H=3 N=7 M=9 D=8 Dv=8, bias none}}
  %a = attention.sdpa indexing_maps = [
      affine_map<(h, b, i, j, d, e) -> (i, b, h, d)>, affine_map<(h, b, i, j, d, e) -> (j, b, h, d)>,
      affine_map<(h, b, i, j, d, e) -> (j, b, h, e)>, affine_map<(h, b, i, j, d, e) -> (h, e, b, i)>]
    ins(%q, %k, %k : tensor<7x5x3x8xf32>, tensor<9x5x3x8xf32>, tensor<9x5x3x8xf32>)
    outs(%o : tensor<3x8x5x7xf32>) -> tensor<3x8x5x7xf32>
  return %a : tensor<3x8x5x7xf32>
}

// -----

// All heads share one, and the groups are as many as the keys: tokens are told by
// their place.
func.func @one_key_head(%q: tensor<5x9x9x8xf32>, %k: tensor<5x9x8xf32>, %o: tensor<5x9x9x8xf32>) -> tensor<5x9x9x8xf32> {
  // expected-remark @below {{B=5 H=9 N=9 M=9 D=8 Dv=8, bias causal}}
  %a = attention.sdpa indexing_maps = [
      affine_map<(b, g, i, j, d, e) -> (b, g, i, d)>, affine_map<(b, g, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, g, i, j, d, e) -> (b, j, e)>, affine_map<(b, g, i, j, d, e) -> (b, g, i, e)>]
    ins(%q, %k, %k : tensor<5x9x9x8xf32>, tensor<5x9x8xf32>, tensor<5x9x8xf32>)
    outs(%o : tensor<5x9x9x8xf32>) causal -> tensor<5x9x9x8xf32>
  return %a : tensor<5x9x9x8xf32>
}

// -----

// Tokens of a window are two dims, of queries and of keys: no groups.
func.func @windows(%q: tensor<5x2x3x8xf32>, %o: tensor<5x2x3x8xf32>) -> tensor<5x2x3x8xf32> {
  // expected-remark @below {{B=5 H=1 N=6 M=6 D=8 Dv=8, bias none}}
  %a = attention.sdpa indexing_maps = [
      affine_map<(b, y, x, v, u, d, e) -> (b, y, x, d)>, affine_map<(b, y, x, v, u, d, e) -> (b, v, u, d)>,
      affine_map<(b, y, x, v, u, d, e) -> (b, v, u, e)>, affine_map<(b, y, x, v, u, d, e) -> (b, y, x, e)>]
    ins(%q, %q, %q : tensor<5x2x3x8xf32>, tensor<5x2x3x8xf32>, tensor<5x2x3x8xf32>)
    outs(%o : tensor<5x2x3x8xf32>) -> tensor<5x2x3x8xf32>
  return %a : tensor<5x2x3x8xf32>
}

// -----

// They may be two dims of the queries alone: what is as many as the keys is no group.
func.func @windows_of_rows(%q: tensor<5x2x3x8xf32>, %k: tensor<5x6x8xf32>, %o: tensor<5x2x3x8xf32>) -> tensor<5x2x3x8xf32> {
  // expected-remark @below {{B=5 H=1 N=6 M=6 D=8 Dv=8, bias none}}
  %a = attention.sdpa indexing_maps = [
      affine_map<(b, y, x, j, d, e) -> (b, y, x, d)>, affine_map<(b, y, x, j, d, e) -> (b, j, d)>,
      affine_map<(b, y, x, j, d, e) -> (b, j, e)>, affine_map<(b, y, x, j, d, e) -> (b, y, x, e)>]
    ins(%q, %k, %k : tensor<5x2x3x8xf32>, tensor<5x6x8xf32>, tensor<5x6x8xf32>)
    outs(%o : tensor<5x2x3x8xf32>) -> tensor<5x2x3x8xf32>
  return %a : tensor<5x2x3x8xf32>
}

// -----

// CHECK:      {{^ *}}"causal",
// CHECK-NEXT:   "mask",
// CHECK-NEXT:   "additive"
// CHECK-NEXT: ]
func.func @padding_and_causal(%q: tensor<4x8xf32>, %m: tensor<4xi1>, %a: tensor<4x4xf32>, %o: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // expected-remark @below {{bias causal and mask and additive}}
  %r = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>, affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (j)>, affine_map<(i, j, d, e) -> (i, j)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>)
    bias(%m, %a : tensor<4xi1>, tensor<4x4xf32>) outs(%o : tensor<4x8xf32>) causal -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// -----

// A region that adds a function of the positions.
// CHECK: "bias": "additive"
// CHECK: "score": true
func.func @score(%q: tensor<4x8xf32>, %o: tensor<4x8xf32>) -> tensor<4x8xf32> {
  // expected-remark @below {{bias additive, score function}}
  %r = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>, affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<4x8xf32>, tensor<4x8xf32>, tensor<4x8xf32>) outs(%o : tensor<4x8xf32>)
    score {
    ^bb0(%s: f32, %i: index, %j: index):
      %n = arith.subi %j, %i : index
      %m = arith.index_cast %n : index to i32
      %f = arith.sitofp %m : i32 to f32
      %x = arith.addf %s, %f : f32
      attention.yield %x : f32
    } -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// -----

// More scores than there are numbers.
// CHECK: "exponentials": null
// CHECK-NEXT: "flops": null
func.func @huge(%q: tensor<9223372036854775807x8xf32>, %o: tensor<9223372036854775807x8xf32>) -> tensor<9223372036854775807x8xf32> {
  // expected-remark @below {{N=9223372036854775807 M=9223372036854775807}}
  %r = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>, affine_map<(i, j, d, e) -> (j, e)>,
      affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<9223372036854775807x8xf32>, tensor<9223372036854775807x8xf32>, tensor<9223372036854775807x8xf32>)
    outs(%o : tensor<9223372036854775807x8xf32>) -> tensor<9223372036854775807x8xf32>
  return %r : tensor<9223372036854775807x8xf32>
}

// -----

// A temperature is a tensor beside the scores, and adds nothing.
func.func @temperature(%q: tensor<2x4x8xf32>, %t: tensor<2xf32>, %o: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  // expected-remark @below {{bias none, score function}}
  %r = attention.sdpa indexing_maps = [
      affine_map<(h, i, j, d, e) -> (h, i, d)>, affine_map<(h, i, j, d, e) -> (h, j, d)>, affine_map<(h, i, j, d, e) -> (h, j, e)>,
      affine_map<(h, i, j, d, e) -> (h)>, affine_map<(h, i, j, d, e) -> (h, i, e)>]
    ins(%q, %q, %q : tensor<2x4x8xf32>, tensor<2x4x8xf32>, tensor<2x4x8xf32>) bias(%t : tensor<2xf32>) outs(%o : tensor<2x4x8xf32>)
    score {
    ^bb0(%s: f32, %b: f32, %h: index, %i: index, %j: index):
      %x = arith.mulf %s, %b : f32
      attention.yield %x : f32
    } -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// -----

// Blocks of tokens, one dim with them in the queries, are no heads, wherever they stand.
func.func @blocks(%q: tensor<2x4x18x16xf32>, %o: tensor<2x4x3x6x16xf32>) -> tensor<2x4x3x6x16xf32> {
  %x = tensor.expand_shape %q [[0], [1], [2, 3], [4]] output_shape [2, 4, 3, 6, 16] : tensor<2x4x18x16xf32> into tensor<2x4x3x6x16xf32>
  // expected-remark @below {{B=6 H=4 N=6 M=6 D=16}}
  %r = attention.sdpa indexing_maps = [
      affine_map<(b, h, w, i, j, d, e) -> (b, h, w, i, d)>, affine_map<(b, h, w, i, j, d, e) -> (b, h, w, j, d)>,
      affine_map<(b, h, w, i, j, d, e) -> (b, h, w, j, e)>, affine_map<(b, h, w, i, j, d, e) -> (b, h, w, i, e)>]
    ins(%x, %x, %x : tensor<2x4x3x6x16xf32>, tensor<2x4x3x6x16xf32>, tensor<2x4x3x6x16xf32>)
    outs(%o : tensor<2x4x3x6x16xf32>) -> tensor<2x4x3x6x16xf32>
  return %r : tensor<2x4x3x6x16xf32>
}

// -----

// Dilated: the blocks stand between tokens and channels.
func.func @dilated(%q: tensor<2x4x18x16xf32>, %o: tensor<2x4x6x3x16xf32>) -> tensor<2x4x6x3x16xf32> {
  %x = tensor.expand_shape %q [[0], [1], [2, 3], [4]] output_shape [2, 4, 6, 3, 16] : tensor<2x4x18x16xf32> into tensor<2x4x6x3x16xf32>
  // expected-remark @below {{B=6 H=4 N=6 M=6 D=16}}
  %r = attention.sdpa indexing_maps = [
      affine_map<(b, h, w, i, j, d, e) -> (b, h, i, w, d)>, affine_map<(b, h, w, i, j, d, e) -> (b, h, j, w, d)>,
      affine_map<(b, h, w, i, j, d, e) -> (b, h, j, w, e)>, affine_map<(b, h, w, i, j, d, e) -> (b, h, i, w, e)>]
    ins(%x, %x, %x : tensor<2x4x6x3x16xf32>, tensor<2x4x6x3x16xf32>, tensor<2x4x6x3x16xf32>)
    outs(%o : tensor<2x4x6x3x16xf32>) -> tensor<2x4x6x3x16xf32>
  return %r : tensor<2x4x6x3x16xf32>
}

// -----

// Neighbourhoods: each query has keys of its own, and no dim beside the batch.
func.func @neighbourhoods(%q: tensor<2x4x36x16xf32>, %k: tensor<2x4x36x9x16xf32>, %o: tensor<2x4x36x16x1xf32>) -> tensor<2x4x36x16x1xf32> {
  %x = tensor.expand_shape %q [[0], [1], [2], [3, 4]] output_shape [2, 4, 36, 16, 1] : tensor<2x4x36x16xf32> into tensor<2x4x36x16x1xf32>
  // expected-remark @below {{B=2 H=4 N=36 M=9 D=16}}
  %r = attention.sdpa indexing_maps = [
      affine_map<(b, h, n, i, j, d, e) -> (b, h, n, d, i)>, affine_map<(b, h, n, i, j, d, e) -> (b, h, n, j, d)>,
      affine_map<(b, h, n, i, j, d, e) -> (b, h, n, j, e)>, affine_map<(b, h, n, i, j, d, e) -> (b, h, n, e, i)>]
    ins(%x, %k, %k : tensor<2x4x36x16x1xf32>, tensor<2x4x36x9x16xf32>, tensor<2x4x36x9x16xf32>)
    outs(%o : tensor<2x4x36x16x1xf32>) -> tensor<2x4x36x16x1xf32>
  return %r : tensor<2x4x36x16x1xf32>
}

// -----

// One query for each window is a dim of the queries.
func.func @query_of_a_window(%q: tensor<2x9x4x1x16xf32>, %k: tensor<2x9x4x7x16xf32>) -> tensor<2x9x4x1x16xf32> {
  // expected-remark @below {{B=18 H=4 N=1 M=7 D=16}}
  %r = attention.sdpa indexing_maps = [
      affine_map<(b, w, h, i, j, d, e) -> (b, w, h, i, d)>, affine_map<(b, w, h, i, j, d, e) -> (b, w, h, j, d)>,
      affine_map<(b, w, h, i, j, d, e) -> (b, w, h, j, e)>, affine_map<(b, w, h, i, j, d, e) -> (b, w, h, i, e)>]
    ins(%q, %k, %k : tensor<2x9x4x1x16xf32>, tensor<2x9x4x7x16xf32>, tensor<2x9x4x7x16xf32>)
    outs(%q : tensor<2x9x4x1x16xf32>) -> tensor<2x9x4x1x16xf32>
  return %r : tensor<2x9x4x1x16xf32>
}
