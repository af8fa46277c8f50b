// RUN: elfatt-opt %s --resolve-shaped-type-result-dims --cse --canonicalize | FileCheck %s
// RUN: elfatt-opt %s --pass-pipeline='builtin.module(one-shot-bufferize{bufferize-function-boundaries=true function-boundary-type-conversion=identity-layout-map},cse,canonicalize)' | FileCheck %s --check-prefix=BUF

#q = affine_map<(b, h, n, d, e) -> (b, n, 0, h, d)>
#k = affine_map<(b, h, n, d, e) -> (b, n, 1, h, d)>
#v = affine_map<(b, h, n, d, e) -> (b, n, 2, h, e)>
#o = affine_map<(b, h, n, d, e) -> (b, n, h, e)>

// The result has the destination's shape.
// CHECK-LABEL: func.func @result_shape
// CHECK-SAME:    %[[INIT:[a-z0-9_#]+]]: tensor<?x?x4x8xf32>
// CHECK-NOT:     attention.elfatt
// CHECK:         %[[N:[a-z0-9_#]+]] = tensor.dim %[[INIT]]
// CHECK:         return %[[N]]
func.func @result_shape(%qkv: tensor<?x?x3x4x8xf32>, %init: tensor<?x?x4x8xf32>) -> index {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : tensor<?x?x3x4x8xf32>, tensor<?x?x3x4x8xf32>, tensor<?x?x3x4x8xf32>)
    outs(%init : tensor<?x?x4x8xf32>) global_heads = 2 grid = [-1, 7] window = [7, 7]
    -> tensor<?x?x4x8xf32>
  %c1 = arith.constant 1 : index
  %n = tensor.dim %o, %c1 : tensor<?x?x4x8xf32>
  return %n : index
}

// An op on tensors without a use has no effect; one on buffers stays.
// CHECK-LABEL: func.func @unused
// CHECK-NEXT:    return
func.func @unused(%q: tensor<7x8xf32>) {
  %o = attention.linear indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>)
    outs(%q : tensor<7x8xf32>) -> tensor<7x8xf32>
  return
}

// CHECK-LABEL: func.func @effect_on_buffers
// CHECK:         attention.linear
// CHECK:         attention.linear
func.func @effect_on_buffers(%q: memref<7x8xf32>, %o: memref<7x8xf32>) {
  attention.linear indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : memref<7x8xf32>, memref<7x8xf32>, memref<7x8xf32>)
    outs(%o : memref<7x8xf32>)
  attention.linear indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%o, %q, %q : memref<7x8xf32>, memref<7x8xf32>, memref<7x8xf32>)
    outs(%q : memref<7x8xf32>)
  return
}

// The destination's buffer is the result's: no copy, no allocation.
// BUF-LABEL: func.func @in_place
// BUF-SAME:    %[[QKV:[a-z0-9_#]+]]: memref<2x49x3x4x8xf32>, %[[INIT:[a-z0-9_#]+]]: memref<2x49x4x8xf32>
// BUF-NEXT:    attention.elfatt {{.*}} ins(%[[QKV]], %[[QKV]], %[[QKV]] {{.*}} outs(%[[INIT]]
// BUF-NEXT:    return %[[INIT]]
func.func @in_place(%qkv: tensor<2x49x3x4x8xf32>, %init: tensor<2x49x4x8xf32>)
    -> tensor<2x49x4x8xf32> {
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : tensor<2x49x3x4x8xf32>, tensor<2x49x3x4x8xf32>, tensor<2x49x3x4x8xf32>)
    outs(%init : tensor<2x49x4x8xf32>) global_heads = 2 grid = [7, 7] window = [7, 7]
    -> tensor<2x49x4x8xf32>
  return %o : tensor<2x49x4x8xf32>
}

// An operand that is the destination too must be saved first.
// BUF-LABEL: func.func @reads_its_destination
// BUF-SAME:    %[[Q:[a-z0-9_#]+]]: memref<7x8xf32>
// BUF:         %[[NEW:[a-z0-9_#]+]] = memref.alloc() {{.*}} : memref<7x8xf32>
// BUF:         attention.sdpa {{.*}} ins(%[[Q]], %[[Q]], %[[Q]] {{.*}} outs(%[[NEW]]
// BUF:           ^bb0(%{{[a-z0-9_#]+}}: f32, %{{[a-z0-9_#]+}}: index, %{{[a-z0-9_#]+}}: index):
func.func @reads_its_destination(%q: tensor<7x8xf32>) -> tensor<7x8xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>)
    outs(%q : tensor<7x8xf32>) score {
      ^bb0(%s: f32, %i: index, %j: index):
        %t = math.tanh %s : f32
        attention.yield %t : f32
    } -> tensor<7x8xf32>
  return %o : tensor<7x8xf32>
}
