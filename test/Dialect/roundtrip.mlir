// RUN: elfatt-opt %s --verify-roundtrip | FileCheck %s
// RUN: elfatt-opt %s --mlir-print-op-generic | elfatt-opt | FileCheck %s

// Every op, with every optional part, on tensors and on buffers.

#qkv = affine_map<(b, h, i, j, d, e) -> (b, i, 0, h, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, j, 1, h, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, j, 2, h, e)>
#ij = affine_map<(b, h, i, j, d, e) -> (i, j)>
#o = affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>
!qkv = tensor<2x49x3x4x32xf16>
!o = tensor<2x49x4x32xf32>

// CHECK-LABEL: func.func @sdpa
// CHECK:         attention.sdpa
// CHECK-SAME:      bias(%{{[a-z0-9_#]+}}, %{{[a-z0-9_#]+}} : tensor<49x49xi1>, tensor<49x49xbf16>)
// CHECK-SAME:      scale(%{{[a-z0-9_#]+}} : f64)
// CHECK-SAME:      offsets(%{{[a-z0-9_#]+}}, %{{[a-z0-9_#]+}}, %{{[a-z0-9_#]+}}, %{{[a-z0-9_#]+}})
// CHECK-SAME:      outs(%{{[a-z0-9_#]+}} : tensor<2x49x4x32xf32>) score {
// CHECK:             attention.yield %{{[a-z0-9_#]+}} : f32
// CHECK:           } causal masked_rows = nan {tag} -> tensor<2x49x4x32xf32>
func.func @sdpa(%qkv: !qkv, %mask: tensor<49x49xi1>, %bias: tensor<49x49xbf16>, %scale: f64,
                %x: index, %init: !o) -> !o {
  %o = attention.sdpa indexing_maps = [#qkv, #k, #v, #ij, #ij, #o]
    ins(%qkv, %qkv, %qkv : !qkv, !qkv, !qkv)
    bias(%mask, %bias : tensor<49x49xi1>, tensor<49x49xbf16>) scale(%scale : f64)
    offsets(%x, %x, %x, %x) outs(%init : !o) score {
      ^bb0(%s: f32, %m: i1, %a: bf16, %b: index, %h: index, %i: index, %j: index):
        attention.yield %s : f32
    } causal masked_rows = nan {tag} -> !o
  return %o : !o
}

// The default of masked_rows is not printed.
// CHECK-LABEL: func.func @sdpa_on_buffers
// CHECK:         attention.sdpa
// CHECK-NOT:     masked_rows
// CHECK-SAME:      outs(%{{[a-z0-9_#]+}} : memref<2x49x4x32xf32>)
// CHECK-NEXT:    return
func.func @sdpa_on_buffers(%qkv: memref<2x49x3x4x32xf16, strided<[?, ?, 128, 32, 1], offset: ?>>,
                           %init: memref<2x49x4x32xf32>) {
  attention.sdpa indexing_maps = [#qkv, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : memref<2x49x3x4x32xf16, strided<[?, ?, 128, 32, 1], offset: ?>>,
                           memref<2x49x3x4x32xf16, strided<[?, ?, 128, 32, 1], offset: ?>>,
                           memref<2x49x3x4x32xf16, strided<[?, ?, 128, 32, 1], offset: ?>>)
    outs(%init : memref<2x49x4x32xf32>) masked_rows = zero
  return
}

// CHECK-LABEL: func.func @elfatt
// CHECK:         attention.elfatt
// CHECK-SAME:      global_lepe(%{{[a-z0-9_#]+}}, %{{[a-z0-9_#]+}} : tensor<3x3x1x32xf32>, tensor<1x32xf32>)
// CHECK-SAME:      local_lepe(%{{[a-z0-9_#]+}} : tensor<3x3x3x32xf32>)
// CHECK-SAME:      scale(%{{[a-z0-9_#]+}} : f64)
// CHECK-SAME:      global_heads = 1 local_first grid = [%{{[a-z0-9_#]+}}, -1] window = [7, 7] prefix = 1 ->
func.func @elfatt(%q: tensor<?x4x32xf16>, %g: tensor<3x3x1x32xf32>, %gb: tensor<1x32xf32>,
                  %l: tensor<3x3x3x32xf32>, %scale: f64, %y: index, %init: tensor<?x4x32xf32>)
    -> tensor<?x4x32xf32> {
  %o = attention.elfatt indexing_maps = [
      affine_map<(h, n, d, e) -> (n, h, d)>, affine_map<(h, n, d, e) -> (n, h, d)>,
      affine_map<(h, n, d, e) -> (n, h, e)>, affine_map<(h, n, d, e) -> (n, h, e)>]
    ins(%q, %q, %q : tensor<?x4x32xf16>, tensor<?x4x32xf16>, tensor<?x4x32xf16>)
    global_lepe(%g, %gb : tensor<3x3x1x32xf32>, tensor<1x32xf32>)
    local_lepe(%l : tensor<3x3x3x32xf32>) scale(%scale : f64)
    outs(%init : tensor<?x4x32xf32>)
    global_heads = 1 local_first grid = [%y, -1] window = [7, 7] prefix = 1 -> tensor<?x4x32xf32>
  return %o : tensor<?x4x32xf32>
}

// CHECK-LABEL: func.func @parts
// CHECK:         attention.linear
// CHECK:         attention.context
// CHECK:         attention.apply
// CHECK:         %[[PARTS:[a-z0-9_#]+]]:3 = attention.partial_context
// CHECK:         attention.merge {{.*}} ins(%[[PARTS]]#0, %[[PARTS]]#1, %[[PARTS]]#2
// CHECK:         %{{[a-z0-9_#]+}}:3 = attention.online {{.*}} scale(%{{[a-z0-9_#]+}} : f32)
// CHECK:         attention.finalize
// CHECK:         attention.lepe {{.*}} bias(%{{[a-z0-9_#]+}} : tensor<16xf32>) offsets(%{{[a-z0-9_#]+}}) {{.*}} grid_dims = [0]
func.func @parts(%q: tensor<9x16xf32>, %e: tensor<16x16xf32>, %m: tensor<9xf32>, %scale: f32,
                 %w: tensor<3x16xf32>, %b: tensor<16xf32>, %x: index) {
  %l = attention.linear indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<9x16xf32>, tensor<9x16xf32>, tensor<9x16xf32>)
    outs(%q : tensor<9x16xf32>) -> tensor<9x16xf32>
  %c = attention.context indexing_maps = [
      affine_map<(j, d, e) -> (j, d)>, affine_map<(j, d, e) -> (j, e)>,
      affine_map<(j, d, e) -> (d, e)>]
    ins(%q, %q : tensor<9x16xf32>, tensor<9x16xf32>) outs(%e : tensor<16x16xf32>)
    -> tensor<16x16xf32>
  %a = attention.apply indexing_maps = [
      affine_map<(i, d, e) -> (i, d)>, affine_map<(i, d, e) -> (d, e)>,
      affine_map<(i, d, e) -> (i, e)>]
    ins(%q, %c : tensor<9x16xf32>, tensor<16x16xf32>) outs(%q : tensor<9x16xf32>)
    -> tensor<9x16xf32>
  %k = tensor.expand_shape %q [[0, 1], [2]] output_shape [3, 3, 16]
    : tensor<9x16xf32> into tensor<3x3x16xf32>
  %sums = tensor.empty() : tensor<3x16x16xf32>
  %state = tensor.empty() : tensor<3x16xf32>
  %t:3 = attention.partial_context indexing_maps = [
      affine_map<(s, j, d, e) -> (s, j, d)>, affine_map<(s, j, d, e) -> (s, j, e)>,
      affine_map<(s, j, d, e) -> (s, d, e)>, affine_map<(s, j, d, e) -> (s, d)>,
      affine_map<(s, j, d, e) -> (s, d)>]
    ins(%k, %k : tensor<3x3x16xf32>, tensor<3x3x16xf32>)
    outs(%sums, %state, %state : tensor<3x16x16xf32>, tensor<3x16xf32>, tensor<3x16xf32>)
    -> tensor<3x16x16xf32>, tensor<3x16xf32>, tensor<3x16xf32>
  %merged = attention.merge indexing_maps = [
      affine_map<(s, d, e) -> (s, d, e)>, affine_map<(s, d, e) -> (s, d)>,
      affine_map<(s, d, e) -> (s, d)>, affine_map<(s, d, e) -> (d, e)>]
    ins(%t#0, %t#1, %t#2 : tensor<3x16x16xf32>, tensor<3x16xf32>, tensor<3x16xf32>)
    outs(%e : tensor<16x16xf32>) -> tensor<16x16xf32>
  %s:3 = attention.online indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>,
      affine_map<(i, j, d, e) -> (i)>, affine_map<(i, j, d, e) -> (i)>]
    ins(%q, %q, %q : tensor<9x16xf32>, tensor<9x16xf32>, tensor<9x16xf32>) scale(%scale : f32)
    outs(%q, %m, %m : tensor<9x16xf32>, tensor<9xf32>, tensor<9xf32>)
    -> tensor<9x16xf32>, tensor<9xf32>, tensor<9xf32>
  %f = attention.finalize indexing_maps = [
      affine_map<(i, e) -> (i, e)>, affine_map<(i, e) -> (i)>, affine_map<(i, e) -> (i, e)>]
    ins(%s#0, %s#2 : tensor<9x16xf32>, tensor<9xf32>) outs(%q : tensor<9x16xf32>)
    -> tensor<9x16xf32>
  %p = attention.lepe indexing_maps = [
      affine_map<(y, e) -> (y, e)>, affine_map<(y, e) -> (e)>, affine_map<(y, e) -> (e)>,
      affine_map<(y, e) -> (y, e)>]
    ins(%q, %w : tensor<9x16xf32>, tensor<3x16xf32>) bias(%b : tensor<16xf32>) offsets(%x)
    outs(%f : tensor<9x16xf32>) grid_dims = [0] -> tensor<9x16xf32>
  return
}

// No tokens, no batch: empty, and no error.
// CHECK-LABEL: func.func @no_tokens
// CHECK:         attention.sdpa
func.func @no_tokens(%q: tensor<0x8xf32>, %init: tensor<0x8xf32>) -> tensor<0x8xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<0x8xf32>, tensor<0x8xf32>, tensor<0x8xf32>)
    outs(%init : tensor<0x8xf32>) -> tensor<0x8xf32>
  return %o : tensor<0x8xf32>
}

// CHECK-LABEL: func.func @convert_layout
// CHECK:         attention.convert_layout %{{.*}} <group, quad> to <quad, group> : vector<16x8xf32>
// CHECK:         attention.convert_layout %{{.*}} <quad, none> to <group, none> : vector<8x1xi1>
func.func @convert_layout(%a: vector<16x8xf32>, %b: vector<8x1xi1>) {
  %c = attention.convert_layout %a <group, quad> to <quad, group> : vector<16x8xf32>
  %d = attention.convert_layout %b <quad, none> to <group, none> : vector<8x1xi1>
  return
}
