// RUN: elfatt-opt %s --transform-interpreter --canonicalize --cse --split-input-file | FileCheck %s

// Upstream's transforms tile the ops through TilingInterface: every operand's
// tile is a box.

// A packed QKV is sliced in its constant dim too; key and value dims stay whole.
// CHECK-DAG: #[[Q:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d2, 0, d1, d4)>
// CHECK-LABEL: func.func @sdpa_by_heads_and_rows
// CHECK-SAME:    %[[QKV:[a-z0-9_#]+]]: tensor<2x48x3x4x32xf32>
// CHECK:         scf.forall (%[[H:[a-z0-9_#]+]], %[[I:[a-z0-9_#]+]]) in (4, 3) shared_outs(%[[OUT:[a-z0-9_#]+]] =
// CHECK:           %[[ROW:[a-z0-9_#]+]] = affine.apply #{{.*}}(%[[I]])
// CHECK:           %[[QT:[a-z0-9_#]+]] = tensor.extract_slice %[[QKV]][0, %[[ROW]], 0, %[[H]], 0] [2, 16, 1, 1, 32]
// CHECK:           %[[KT:[a-z0-9_#]+]] = tensor.extract_slice %[[QKV]][0, 0, 1, %[[H]], 0] [2, 48, 1, 1, 32]
// CHECK:           %[[VT:[a-z0-9_#]+]] = tensor.extract_slice %[[QKV]][0, 0, 2, %[[H]], 0] [2, 48, 1, 1, 32]
// CHECK:           %[[OT:[a-z0-9_#]+]] = tensor.extract_slice %[[OUT]][0, %[[ROW]], %[[H]], 0] [2, 16, 1, 32]
// CHECK:           %[[R:[a-z0-9_#]+]] = attention.sdpa indexing_maps = [#[[Q]], {{.*}} ins(%[[QT]], %[[KT]], %[[VT]]
// CHECK-SAME:        outs(%[[OT]]
// CHECK:           tensor.parallel_insert_slice %[[R]] into %[[OUT]][0, %[[ROW]], %[[H]], 0]
func.func @sdpa_by_heads_and_rows(%qkv: tensor<2x48x3x4x32xf32>, %init: tensor<2x48x4x32xf32>)
    -> tensor<2x48x4x32xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, i, 0, h, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, 1, h, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, 2, h, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>]
    ins(%qkv, %qkv, %qkv : tensor<2x48x3x4x32xf32>, tensor<2x48x3x4x32xf32>, tensor<2x48x3x4x32xf32>)
    outs(%init : tensor<2x48x4x32xf32>) -> tensor<2x48x4x32xf32>
  return %o : tensor<2x48x4x32xf32>
}
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["attention.sdpa"]} in %root
      : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_forall %op tile_sizes [0, 1, 16]
      : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// A tile of a causal op knows where it is, within the tile it came from.
// CHECK-LABEL: func.func @causal_tile_keeps_its_origin
// CHECK-SAME:    %[[FROM:[a-z0-9]+]]: index
// CHECK:         scf.forall (%[[I:[a-z0-9_#]+]]) in (3)
// CHECK:           %[[AT:[a-z0-9_#]+]] = affine.apply #{{.*}}(%[[I]])[%[[FROM]]]
// CHECK:           attention.sdpa {{.*}} offsets(%[[AT]], %[[FROM]])
func.func @causal_tile_keeps_its_origin(%q: tensor<48x8xf32>, %init: tensor<48x8xf32>, %from: index)
    -> tensor<48x8xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<48x8xf32>, tensor<48x8xf32>, tensor<48x8xf32>)
    offsets(%from, %from) outs(%init : tensor<48x8xf32>) causal -> tensor<48x8xf32>
  return %o : tensor<48x8xf32>
}
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["attention.sdpa"]} in %root
      : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_forall %op tile_sizes [16]
      : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// LePE keeps the grid of its value whole: the tile reads a halo.
// CHECK-LABEL: func.func @lepe_by_lines
// CHECK-SAME:    %[[V:[a-z0-9_#]+]]: tensor<2x56x56x32xf32>, %[[W:[a-z0-9_#]+]]: tensor<3x3x32xf32>, %[[INIT:[a-z0-9_#]+]]: tensor<2x56x56x32xf32>
// CHECK:         scf.forall (%[[B:[a-z0-9_#]+]], %[[T:[a-z0-9_#]+]]) in (2, 8) shared_outs(%[[OUT:[a-z0-9_#]+]] =
// CHECK:           %[[Y:[a-z0-9_#]+]] = affine.apply #{{.*}}(%[[T]])
// CHECK:           %[[VT:[a-z0-9_#]+]] = tensor.extract_slice %[[V]][%[[B]], 0, 0, 0] [1, 56, 56, 32]
// CHECK:           %[[OT:[a-z0-9_#]+]] = tensor.extract_slice %[[OUT]][%[[B]], %[[Y]], 0, 0] [1, 7, 56, 32]
// CHECK:           attention.lepe {{.*}} ins(%[[VT]], %[[W]] {{.*}} offsets(%[[Y]], %{{[a-z0-9_#]+}}) outs(%[[OT]]
func.func @lepe_by_lines(%v: tensor<2x56x56x32xf32>, %w: tensor<3x3x32xf32>,
                         %init: tensor<2x56x56x32xf32>) -> tensor<2x56x56x32xf32> {
  %o = attention.lepe indexing_maps = [
      affine_map<(b, y, x, e) -> (b, y, x, e)>, affine_map<(b, y, x, e) -> (e)>,
      affine_map<(b, y, x, e) -> (b, y, x, e)>]
    ins(%v, %w : tensor<2x56x56x32xf32>, tensor<3x3x32xf32>)
    outs(%init : tensor<2x56x56x32xf32>) grid_dims = [1, 2] -> tensor<2x56x56x32xf32>
  return %o : tensor<2x56x56x32xf32>
}
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["attention.lepe"]} in %root
      : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_forall %op tile_sizes [1, 7]
      : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// A row tile of linear attention needs all keys.
// CHECK-LABEL: func.func @linear_by_rows
// CHECK:         scf.forall
// CHECK:           tensor.extract_slice %{{.*}} [4, 33, 16]
// CHECK:           attention.linear {{.*}} ins({{.*}} : tensor<4x33x16xf32>, tensor<4x50x16xf32>, tensor<4x50x16xf32>)
func.func @linear_by_rows(%q: tensor<4x99x16xf32>, %k: tensor<4x50x16xf32>,
                          %init: tensor<4x99x16xf32>) -> tensor<4x99x16xf32> {
  %o = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>, affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %k : tensor<4x99x16xf32>, tensor<4x50x16xf32>, tensor<4x50x16xf32>)
    outs(%init : tensor<4x99x16xf32>) -> tensor<4x99x16xf32>
  return %o : tensor<4x99x16xf32>
}
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["attention.linear"]} in %root
      : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_forall %op tile_sizes [0, 33]
      : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// LePE's tile pulls the apply that made its destination, and that pulls the tile
// of the context that it reads: one loop over batches.
// CHECK-LABEL: func.func @context_apply_and_lepe_in_one_loop
// CHECK-NOT:     attention.
// CHECK:         scf.forall
// CHECK:           attention.context {{.*}} -> tensor<1x32x32xf32>
// CHECK:           attention.apply {{.*}} -> tensor<1x14x14x32xf32>
// CHECK:           attention.lepe {{.*}} -> tensor<1x14x14x32xf32>
func.func @context_apply_and_lepe_in_one_loop(
    %q: tensor<8x14x14x32xf32>, %k: tensor<8x196x32xf32>, %v: tensor<8x14x14x32xf32>,
    %vt: tensor<8x196x32xf32>, %w: tensor<3x3x32xf32>, %init: tensor<8x14x14x32xf32>)
    -> tensor<8x14x14x32xf32> {
  %e = tensor.empty() : tensor<8x32x32xf32>
  %c = attention.context indexing_maps = [
      affine_map<(b, j, d, e) -> (b, j, d)>, affine_map<(b, j, d, e) -> (b, j, e)>,
      affine_map<(b, j, d, e) -> (b, d, e)>]
    ins(%k, %vt : tensor<8x196x32xf32>, tensor<8x196x32xf32>)
    outs(%e : tensor<8x32x32xf32>) -> tensor<8x32x32xf32>
  %a = attention.apply indexing_maps = [
      affine_map<(b, y, x, d, e) -> (b, y, x, d)>, affine_map<(b, y, x, d, e) -> (b, d, e)>,
      affine_map<(b, y, x, d, e) -> (b, y, x, e)>]
    ins(%q, %c : tensor<8x14x14x32xf32>, tensor<8x32x32xf32>)
    outs(%init : tensor<8x14x14x32xf32>) -> tensor<8x14x14x32xf32>
  %o = attention.lepe indexing_maps = [
      affine_map<(b, y, x, e) -> (b, y, x, e)>, affine_map<(b, y, x, e) -> (e)>,
      affine_map<(b, y, x, e) -> (b, y, x, e)>]
    ins(%v, %w : tensor<8x14x14x32xf32>, tensor<3x3x32xf32>)
    outs(%a : tensor<8x14x14x32xf32>) grid_dims = [1, 2] -> tensor<8x14x14x32xf32>
  return %o : tensor<8x14x14x32xf32>
}
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %op = transform.structured.match ops{["attention.lepe"]} in %root
      : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.fuse %op tile_sizes [1] {use_forall}
      : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}
