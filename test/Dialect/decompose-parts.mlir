// RUN: elfatt-opt %s --transform-interpreter | FileCheck %s
// RUN: elfatt-opt %s --pass-pipeline='builtin.module(transform-interpreter,one-shot-bufferize{bufferize-function-boundaries=true function-boundary-type-conversion=identity-layout-map},cse,canonicalize)' | FileCheck %s --check-prefix=BUF

// attention.elfatt and attention.linear as parts that write disjoint slices of
// one destination, and in place once bufferized.

!qkv = tensor<2x196x3x4x8xf32>
!out = tensor<2x196x4x8xf32>
#q = affine_map<(b, h, n, d, e) -> (b, n, 0, h, d)>
#k = affine_map<(b, h, n, d, e) -> (b, n, 1, h, d)>
#v = affine_map<(b, h, n, d, e) -> (b, n, 2, h, e)>
#o = affine_map<(b, h, n, d, e) -> (b, n, h, e)>

// CHECK-DAG: #[[ROWS:.*]] = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7, d8, d9) -> (d0, d2, d4, d3, d5, 0, d1, d8)>
// CHECK-DAG: #[[KEYS:.*]] = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7, d8, d9) -> (d0, d2, d6, d3, d7, 1, d1, d8)>
// CHECK-DAG: #[[VALUES:.*]] = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7, d8, d9) -> (d0, d2, d6, d3, d7, 2, d1, d9)>
// CHECK-DAG: #[[OUT:.*]] = affine_map<(d0, d1, d2, d3, d4, d5, d6, d7, d8, d9) -> (d0, d2, d4, d3, d5, d1, d9)>

// Windows are batch dims of exact attention; packed QKV stays packed.
// CHECK-LABEL: func.func @windows_are_batch_dims
// CHECK-SAME:    %[[QKV:.*]]: tensor<2x196x3x4x8xf32>, %[[INIT:.*]]: tensor<2x196x4x8xf32>
// CHECK:         tensor.extract_slice %[[QKV]][0, 0, 0, 2, 0] [2, 196, 3, 2, 8]
// CHECK:         tensor.expand_shape {{.*}} into tensor<2x2x7x2x7x3x2x8xf32>
// CHECK:         %[[WHOLE:.*]] = tensor.expand_shape %[[INIT]] {{.*}} into tensor<2x2x7x2x7x4x8xf32>
// CHECK:         %[[DEST:.*]] = tensor.extract_slice %[[WHOLE]][0, 0, 0, 0, 0, 2, 0] [2, 2, 7, 2, 7, 2, 8]
// CHECK:         %[[LOCAL:.*]] = attention.sdpa indexing_maps = [#[[ROWS]], #[[KEYS]], #[[VALUES]], #[[OUT]]]
// CHECK-SAME:      outs(%[[DEST]] :
// CHECK:         %[[BACK:.*]] = tensor.insert_slice %[[LOCAL]] into %[[WHOLE]]
// CHECK:         %[[FLAT:.*]] = tensor.collapse_shape %[[BACK]]
// CHECK:         %[[CTX:.*]] = attention.context
// CHECK-SAME:      -> tensor<2x2x8x8xf32>
// CHECK:         %[[GLOBAL:.*]] = attention.apply {{.*}} ins({{.*}}, %[[CTX]] :
// CHECK:         %[[ALL:.*]] = tensor.insert_slice %[[GLOBAL]] into %[[FLAT]][0, 0, 0, 0] [2, 196, 2, 8]
// CHECK:         return %[[ALL]]
// BUF-LABEL: func.func @windows_are_batch_dims
// BUF:         memref.alloc() {{.*}} : memref<2x2x8x8xf32>
// BUF-NOT:     memref.alloc
// BUF-NOT:     memref.copy
// BUF:         return
func.func @windows_are_batch_dims(%qkv: !qkv, %init: !out) -> !out {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o] ins(%qkv, %qkv, %qkv : !qkv, !qkv, !qkv)
    outs(%init : !out) global_heads = 2 grid = [14, 14] window = [7, 7] -> !out
  return %o : !out
}

// LePE adds to what attention made, on the grid or inside the windows.
// CHECK-LABEL: func.func @lepe_accumulates
// CHECK:         %[[LOCAL:.*]] = attention.sdpa
// CHECK:         attention.lepe {{.*}} outs(%[[LOCAL]] : {{.*}}) grid_dims = [4, 5]
// CHECK:         %[[GLOBAL:.*]] = attention.apply
// CHECK-SAME:      -> tensor<2x14x14x1x8xf32>
// CHECK:         attention.lepe {{.*}} bias({{.*}}) outs(%[[GLOBAL]] : {{.*}}) grid_dims = [2, 3]
// BUF-LABEL: func.func @lepe_accumulates
// BUF:         memref.alloc() {{.*}} : memref<2x1x8x8xf32>
// BUF-NOT:     memref.alloc
// BUF-NOT:     memref.copy
// BUF:         return
func.func @lepe_accumulates(%qkv: !qkv, %init: !out, %gw: tensor<3x3x1x8xf32>, %gb: tensor<1x8xf32>,
                            %lw: tensor<3x3x3x8xf32>) -> !out {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o] ins(%qkv, %qkv, %qkv : !qkv, !qkv, !qkv)
    global_lepe(%gw, %gb : tensor<3x3x1x8xf32>, tensor<1x8xf32>)
    local_lepe(%lw : tensor<3x3x3x8xf32>)
    outs(%init : !out) global_heads = 1 grid = [14, 14] window = [7, 7] -> !out
  return %o : !out
}

// Prefix rows attend exactly; local grid rows see the prefix and their window
// in one softmax; the context is of all tokens.
// CHECK-LABEL: func.func @prefix_and_window_share_a_softmax
// CHECK:         attention.sdpa {{.*}} outs({{.*}} : tensor<?x4x4x8xf32>)
// CHECK:         %[[ONE:.*]]:3 = attention.online {{.*}} tensor<?x4x3x2x8xf32>
// CHECK:         %[[TWO:.*]]:3 = attention.online {{.*}} outs(%[[ONE]]#0, %[[ONE]]#1, %[[ONE]]#2
// CHECK:         attention.finalize {{.*}} ins(%[[TWO]]#0, %[[TWO]]#2
// CHECK:         attention.context {{.*}} ins({{.*}} : tensor<?x196x3x2x8xf32>, tensor<?x196x3x2x8xf32>)
// CHECK:         attention.apply {{.*}} tensor<?x192x3x2x8xf32>
// BUF-LABEL: func.func @prefix_and_window_share_a_softmax
// BUF-NOT:     memref.copy
// BUF:         return
!dqkv = tensor<?x196x3x4x8xf32>
!dout = tensor<?x196x4x8xf32>
func.func @prefix_and_window_share_a_softmax(%qkv: !dqkv, %init: !dout) -> !dout {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : !dqkv, !dqkv, !dqkv) outs(%init : !dout)
    global_heads = 2 local_first grid = [16, 12] window = [4, 4] prefix = 4 -> !dout
  return %o : !dout
}

// CHECK-LABEL: func.func @every_token_a_prefix_is_exact
// CHECK:         attention.sdpa
// CHECK-NOT:     attention.
// CHECK:         return
func.func @every_token_a_prefix_is_exact(%qkv: !qkv, %init: !out) -> !out {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o] ins(%qkv, %qkv, %qkv : !qkv, !qkv, !qkv)
    outs(%init : !out) global_heads = 2 grid = [0, 0] window = [7, 7] prefix = 196 -> !out
  return %o : !out
}

// One group of heads needs no slice of heads.
// CHECK-LABEL: func.func @all_heads_local
// CHECK-NOT:     extract_slice
// CHECK:         attention.sdpa
// CHECK-NOT:     attention.
// BUF-LABEL: func.func @all_heads_local
// BUF-NOT:     memref.alloc
// BUF-NOT:     memref.copy
// BUF:         return
func.func @all_heads_local(%qkv: !qkv, %init: !out) -> !out {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o] ins(%qkv, %qkv, %qkv : !qkv, !qkv, !qkv)
    outs(%init : !out) global_heads = 0 grid = [196] window = [14] -> !out
  return %o : !out
}

// CHECK-LABEL: func.func @all_heads_global
// CHECK-NOT:     extract_slice
// CHECK:         attention.context
// CHECK:         attention.apply
// CHECK-NOT:     attention.
func.func @all_heads_global(%qkv: !qkv, %init: !out) -> !out {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o] ins(%qkv, %qkv, %qkv : !qkv, !qkv, !qkv)
    outs(%init : !out) global_heads = 4 grid = [14, 14] window = [7, 7] -> !out
  return %o : !out
}

// CHECK-LABEL: func.func @three_axes_with_an_inferred_one
// CHECK:         attention.sdpa {{.*}} outs({{.*}} : tensor<2x2x2x7x1x1x7x2x8xf32>)
func.func @three_axes_with_an_inferred_one(%qkv: !qkv, %init: !out) -> !out {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o] ins(%qkv, %qkv, %qkv : !qkv, !qkv, !qkv)
    outs(%init : !out) global_heads = 2 grid = [4, 7, -1] window = [2, 1, 7] -> !out
  return %o : !out
}

// CHECK-LABEL: func.func @dynamic_grid
// CHECK:         attention.sdpa {{.*}} outs({{.*}} : tensor<?x?x7x?x7x2x8xf32>)
// CHECK:         attention.apply
// BUF-LABEL: func.func @dynamic_grid
// BUF:         memref.alloc({{.*}}) {{.*}} : memref<?x2x8x8xf32>
// BUF-NOT:     memref.alloc
// BUF-NOT:     memref.copy
// BUF:         return
func.func @dynamic_grid(%qkv: tensor<?x?x3x4x8xf32>, %init: tensor<?x?x4x8xf32>, %y: index)
    -> tensor<?x?x4x8xf32> {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : tensor<?x?x3x4x8xf32>, tensor<?x?x3x4x8xf32>, tensor<?x?x3x4x8xf32>)
    outs(%init : tensor<?x?x4x8xf32>) global_heads = 2 grid = [%y, -1] window = [7, 7]
    -> tensor<?x?x4x8xf32>
  return %o : tensor<?x?x4x8xf32>
}

// CHECK-LABEL: func.func @linear
// CHECK:         %[[EMPTY:.*]] = tensor.empty() : tensor<4x16x8xf32>
// CHECK:         %[[CTX:.*]] = attention.context {{.*}} outs(%[[EMPTY]] :
// CHECK:         attention.apply {{.*}} ins(%{{.*}}, %[[CTX]] : tensor<4x16x99xf16>, tensor<4x16x8xf32>)
// CHECK-SAME:      outs(%{{.*}} : tensor<4x99x8xf16>)
func.func @linear(%q: tensor<4x16x99xf16>, %k: tensor<4x50x16xf16>, %v: tensor<4x50x8xf16>,
                  %init: tensor<4x99x8xf16>) -> tensor<4x99x8xf16> {
  %o = attention.linear indexing_maps = [
      affine_map<(e, i, j, b, d) -> (b, d, i)>, affine_map<(e, i, j, b, d) -> (b, j, d)>,
      affine_map<(e, i, j, b, d) -> (b, j, e)>, affine_map<(e, i, j, b, d) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<4x16x99xf16>, tensor<4x50x16xf16>, tensor<4x50x8xf16>)
    outs(%init : tensor<4x99x8xf16>) -> tensor<4x99x8xf16>
  return %o : tensor<4x99x8xf16>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %ops = transform.structured.match ops{["attention.elfatt", "attention.linear"]} in %root
      : (!transform.any_op) -> !transform.any_op
    transform.structured.decompose_interface %ops : (!transform.any_op) -> !transform.any_op
    transform.yield
  }
}
