// RUN: elfatt-opt %s --elfatt-approximate="window=7x7" -split-input-file -verify-diagnostics | FileCheck %s --implicit-check-not=attention.elfatt

// What ELFATT cannot serve stays exact attention, says why at its place, and
// carries the reason for elfatt-report.

// CHECK-LABEL: func.func @causal_mask
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "ELFATT has no causal mask", reason = "approximate-causal-mask"}
func.func @causal_mask(%q: tensor<2x4x49x8xf32>, %k: tensor<2x4x49x8xf32>, %v: tensor<2x4x49x8xf32>, %init: tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-causal-mask): ELFATT has no causal mask}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>) outs(%init : tensor<2x4x49x8xf32>) causal -> tensor<2x4x49x8xf32>
  return %o : tensor<2x4x49x8xf32>
}

// -----

// CHECK-LABEL: func.func @additive_bias
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "ELFATT adds no bias to scores: got tensor<4x49x49xf32>", reason = "approximate-bias"}
func.func @additive_bias(%q: tensor<2x4x49x8xf32>, %k: tensor<2x4x49x8xf32>, %v: tensor<2x4x49x8xf32>, %init: tensor<2x4x49x8xf32>, %b: tensor<4x49x49xf32>) -> tensor<2x4x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-bias): ELFATT adds no bias to scores: got tensor<4x49x49xf32>}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (h, i, j)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>) bias(%b : tensor<4x49x49xf32>) outs(%init : tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32>
  return %o : tensor<2x4x49x8xf32>
}

// -----

// CHECK-LABEL: func.func @padding_mask
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "ELFATT has no mask: got tensor<2x49xi1>", reason = "approximate-padding-mask"}
func.func @padding_mask(%q: tensor<2x4x49x8xf32>, %k: tensor<2x4x49x8xf32>, %v: tensor<2x4x49x8xf32>, %init: tensor<2x4x49x8xf32>, %b: tensor<2x49xi1>) -> tensor<2x4x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-padding-mask): ELFATT has no mask: got tensor<2x49xi1>}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, j)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>) bias(%b : tensor<2x49xi1>) outs(%init : tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32>
  return %o : tensor<2x4x49x8xf32>
}

// -----

// CHECK-LABEL: func.func @score_function
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "ELFATT changes no scores", reason = "approximate-score-function"}
func.func @score_function(%q: tensor<2x4x49x8xf32>, %k: tensor<2x4x49x8xf32>, %v: tensor<2x4x49x8xf32>, %init: tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-score-function): ELFATT changes no scores}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>) outs(%init : tensor<2x4x49x8xf32>) score {
      ^bb0(%s: f32, %b: index, %h: index, %i: index, %j: index):
        %t = math.tanh %s : f32
        attention.yield %t : f32
    } -> tensor<2x4x49x8xf32>
  return %o : tensor<2x4x49x8xf32>
}

// -----

// CHECK-LABEL: func.func @cross_attention
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "queries and keys are not the same tokens: got 49 queries and 77 keys", reason = "approximate-cross-attention"}
func.func @cross_attention(%q: tensor<2x4x49x8xf32>, %k: tensor<2x4x77x8xf32>, %v: tensor<2x4x77x8xf32>, %init: tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-cross-attention): queries and keys are not the same tokens: got 49 queries and 77 keys}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x4x49x8xf32>, tensor<2x4x77x8xf32>, tensor<2x4x77x8xf32>) outs(%init : tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32>
  return %o : tensor<2x4x49x8xf32>
}

// -----

// CHECK-LABEL: func.func @heads_that_share_keys
// CHECK:         attention.sdpa
func.func @heads_that_share_keys(%q: tensor<2x4x49x8xf32>, %k: tensor<2x49x8xf32>, %v: tensor<2x49x8xf32>, %init: tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-shared-heads): query, key, value and result do not all have the same batch and head dims}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x4x49x8xf32>, tensor<2x49x8xf32>, tensor<2x49x8xf32>) outs(%init : tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32>
  return %o : tensor<2x4x49x8xf32>
}

// -----

// CHECK-LABEL: func.func @two_row_dims
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "expected one dim of query and one of key tokens: got 2 and 1", reason = "approximate-token-dims"}
func.func @two_row_dims(%q: tensor<2x4x7x7x8xf32>, %k: tensor<2x4x49x8xf32>, %v: tensor<2x4x49x8xf32>, %init: tensor<2x4x7x7x8xf32>) -> tensor<2x4x7x7x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-token-dims): expected one dim of query and one of key tokens: got 2 and 1}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, y, x, j, d, e) -> (b, h, y, x, d)>,
      affine_map<(b, h, y, x, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, y, x, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, y, x, j, d, e) -> (b, h, y, x, e)>]
    ins(%q, %k, %v : tensor<2x4x7x7x8xf32>, tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>) outs(%init : tensor<2x4x7x7x8xf32>) -> tensor<2x4x7x7x8xf32>
  return %o : tensor<2x4x7x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @keys_without_batch
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "query, key, value and result do not all have the same batch and head dims", reason = "approximate-shared-heads"}
func.func @keys_without_batch(%q: tensor<2x4x49x8xf32>, %k: tensor<2x4x49x8xf32>, %v: tensor<4x49x8xf32>, %init: tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-shared-heads): query, key, value and result do not all have the same batch and head dims}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x4x49x8xf32>, tensor<2x4x49x8xf32>, tensor<4x49x8xf32>) outs(%init : tensor<2x4x49x8xf32>) -> tensor<2x4x49x8xf32>
  return %o : tensor<2x4x49x8xf32>
}

// -----

// CHECK-LABEL: func.func @heads_in_the_batch
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "there is no head dim apart from the batch", reason = "approximate-no-heads"}
func.func @heads_in_the_batch(%q: tensor<8x49x8xf32>, %k: tensor<8x49x8xf32>, %v: tensor<8x49x8xf32>, %init: tensor<8x49x8xf32>) -> tensor<8x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-no-heads): there is no head dim apart from the batch}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<8x49x8xf32>, tensor<8x49x8xf32>, tensor<8x49x8xf32>) outs(%init : tensor<8x49x8xf32>) -> tensor<8x49x8xf32>
  return %o : tensor<8x49x8xf32>
}

// -----

// CHECK-LABEL: func.func @one_head
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "there is one head, and its channels are not divided between the branches", reason = "approximate-one-head"}
func.func @one_head(%q: tensor<2x1x49x8xf32>, %k: tensor<2x1x49x8xf32>, %v: tensor<2x1x49x8xf32>, %init: tensor<2x1x49x8xf32>) -> tensor<2x1x49x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-one-head): there is one head, and its channels are not divided between the branches}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x1x49x8xf32>, tensor<2x1x49x8xf32>, tensor<2x1x49x8xf32>) outs(%init : tensor<2x1x49x8xf32>) -> tensor<2x1x49x8xf32>
  return %o : tensor<2x1x49x8xf32>
}

// -----

// CHECK-LABEL: func.func @dynamic_tokens
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "the number of tokens or of heads is not known at compile time", reason = "approximate-dynamic-shape"}
func.func @dynamic_tokens(%q: tensor<2x4x?x8xf32>, %k: tensor<2x4x?x8xf32>, %v: tensor<2x4x?x8xf32>, %init: tensor<2x4x?x8xf32>) -> tensor<2x4x?x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-dynamic-shape): the number of tokens or of heads is not known at compile time}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>, tensor<2x4x?x8xf32>) outs(%init : tensor<2x4x?x8xf32>) -> tensor<2x4x?x8xf32>
  return %o : tensor<2x4x?x8xf32>
}

// -----

// CHECK-LABEL: func.func @no_grid
// CHECK:         attention.sdpa
// CHECK:           attention.refused = {message = "no grid of windows fits the number of tokens: got 60 tokens", reason = "approximate-no-grid"}
func.func @no_grid(%q: tensor<2x4x60x8xf32>, %k: tensor<2x4x60x8xf32>, %v: tensor<2x4x60x8xf32>, %init: tensor<2x4x60x8xf32>) -> tensor<2x4x60x8xf32> {
  // expected-remark @below {{attention not approximated (approximate-no-grid): no grid of windows fits the number of tokens: got 60 tokens}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : tensor<2x4x60x8xf32>, tensor<2x4x60x8xf32>, tensor<2x4x60x8xf32>) outs(%init : tensor<2x4x60x8xf32>) -> tensor<2x4x60x8xf32>
  return %o : tensor<2x4x60x8xf32>
}

// -----

// The sequence is the channels of a head: rows count the columns of the weight.
#id = affine_map<(t, c) -> (t, c)>
// CHECK-LABEL: func.func @channels
// CHECK:         attention.sdpa
// CHECK:           reason = "approximate-channels"
func.func @channels(%x: tensor<36x8xf32>, %init: tensor<2x49x36xf32>) -> tensor<2x49x36xf32> {
  %zero = arith.constant 0.0 : f32
  %w = arith.constant dense<0.5> : tensor<8x98xf32>
  %e = tensor.empty() : tensor<36x98xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<36x98xf32>) -> tensor<36x98xf32>
  %p = linalg.matmul ins(%x, %w : tensor<36x8xf32>, tensor<8x98xf32>) outs(%z : tensor<36x98xf32>) -> tensor<36x98xf32>
  %n = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
    ins(%p : tensor<36x98xf32>) outs(%e : tensor<36x98xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.mulf %a, %a : f32
    linalg.yield %s : f32
  } -> tensor<36x98xf32>
  %q = tensor.expand_shape %n [[0], [1, 2]] output_shape [36, 2, 49] : tensor<36x98xf32> into tensor<36x2x49xf32>
  // expected-remark @below {{attention not approximated (approximate-channels): it attends over channels, which lie on no grid}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(h, i, j, d, e) -> (d, h, i)>, affine_map<(h, i, j, d, e) -> (d, h, j)>,
      affine_map<(h, i, j, d, e) -> (e, h, j)>, affine_map<(h, i, j, d, e) -> (h, i, e)>]
    ins(%q, %q, %q : tensor<36x2x49xf32>, tensor<36x2x49xf32>, tensor<36x2x49xf32>)
    outs(%init : tensor<2x49x36xf32>) -> tensor<2x49x36xf32>
  return %o : tensor<2x49x36xf32>
}
