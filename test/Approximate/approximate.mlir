// RUN: elfatt-opt %s --elfatt-approximate="window=7x7" --split-input-file 2>%t | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK < %t
// RUN: elfatt-opt %s --pass-pipeline='builtin.module(elfatt-approximate{window=7x7})' --split-input-file 2>/dev/null | FileCheck %s
// RUN: elfatt-opt %s --elfatt-approximate="window=7x7 global-heads=1 min-tokens=100" --split-input-file 2>/dev/null | FileCheck %s --check-prefix=OPTIONS
// RUN: elfatt-opt %s --elfatt-approximate="window=7x14 grid=7x28 prefix=1" --split-input-file 2>/dev/null | FileCheck %s --check-prefix=GRID
// RUN: elfatt-opt %s --elfatt-approximate="window=7x7 prefix=5" --split-input-file 2>/dev/null | FileCheck %s --check-prefix=PREFIX
// RUN: elfatt-opt %s --elfatt-approximate="window=49" --split-input-file 2>/dev/null | FileCheck %s --check-prefix=ONE-AXIS

!qkv = tensor<2x197x3x12x64xf32>
!out = tensor<2x197x12x64xf32>

// A class token before a 14x14 grid; half of the heads go global; the views of a
// packed QKV stay as they are.
// CHECK-DAG: #[[Q:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, 0, d1, d3)>
// CHECK-DAG: #[[K:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, 1, d1, d3)>
// CHECK-DAG: #[[V:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, 2, d1, d4)>
// CHECK-DAG: #[[O:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, d1, d4)>
// CHECK-LABEL: func.func @vit
// CHECK-SAME:    %[[QKV:.*]]: tensor<2x197x3x12x64xf32>, %[[INIT:.*]]: tensor<2x197x12x64xf32>
// CHECK-NOT:     attention.sdpa
// CHECK:         attention.elfatt indexing_maps = [#[[Q]], #[[K]], #[[V]], #[[O]]]
// CHECK-SAME:      ins(%[[QKV]], %[[QKV]], %[[QKV]]
// CHECK-NOT:       scale
// CHECK-SAME:      outs(%[[INIT]]
// CHECK-SAME:      global_heads = 6 grid = [14, 14] window = [7, 7] prefix = 1
// REMARK: remark: attention approximated: window 7x7 of grid 14x14 behind 1 prefix tokens, 6 of 12 heads global
// OPTIONS-LABEL: func.func @vit
// OPTIONS:         attention.elfatt {{.*}} global_heads = 1 grid = [14, 14]
// GRID-LABEL: func.func @vit
// GRID:         attention.elfatt {{.*}} global_heads = 6 grid = [7, 28] window = [7, 14] prefix = 1
// PREFIX-LABEL: func.func @vit
// PREFIX:         attention.sdpa
// ONE-AXIS-LABEL: func.func @vit
// ONE-AXIS:         attention.elfatt {{.*}} grid = [196] window = [49] prefix = 1
func.func @vit(%qkv: !qkv, %init: !out) -> !out {
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, i, 0, h, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, 1, h, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, 2, h, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>]
    ins(%qkv, %qkv, %qkv : !qkv, !qkv, !qkv) outs(%init : !out) -> !out
  return %o : !out
}

// -----

// The smallest prefix wins: 49 tokens are a 7x7 grid, and the scale is kept.
// CHECK-LABEL: func.func @no_prefix_and_a_scale
// CHECK-SAME:    %[[SCALE:[a-z0-9]+]]: f32
// CHECK:         attention.elfatt {{.*}} scale(%[[SCALE]] : f32)
// CHECK-SAME:      global_heads = 1 grid = [7, 7] window = [7, 7] ->
// OPTIONS-LABEL: func.func @no_prefix_and_a_scale
// OPTIONS:         attention.sdpa {{.*}} reason = "approximate-few-tokens"
!t = tensor<2x3x49x8xf16>
func.func @no_prefix_and_a_scale(%q: !t, %k: !t, %v: !t, %init: !t, %scale: f32) -> !t {
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
    ins(%q, %k, %v : !t, !t, !t) scale(%scale : f32) outs(%init : !t) -> !t
  return %o : !t
}

// -----

// The domain's order does not matter.
// CHECK: #[[Q:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3)>
// CHECK-LABEL: func.func @dims_in_another_order
// CHECK:         attention.elfatt indexing_maps = [#[[Q]], #[[Q]],
!t = tensor<2x4x49x8xf32>
func.func @dims_in_another_order(%q: !t, %k: !t, %v: !t, %init: !t) -> !t {
  %o = attention.sdpa indexing_maps = [
      affine_map<(e, d, j, i, h, b) -> (b, h, i, d)>,
      affine_map<(e, d, j, i, h, b) -> (b, h, j, d)>,
      affine_map<(e, d, j, i, h, b) -> (b, h, j, e)>,
      affine_map<(e, d, j, i, h, b) -> (b, h, i, e)>]
    ins(%q, %k, %v : !t, !t, !t) outs(%init : !t) -> !t
  return %o : !t
}
