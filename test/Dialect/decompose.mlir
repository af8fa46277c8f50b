// RUN: elfatt-opt %s --elfatt-decompose --split-input-file | FileCheck %s --implicit-check-not=attention.

// O = softmax(scale * Q K^T) V in the order of the formula.
// CHECK-LABEL: func.func @sdpa
// CHECK-SAME:    %[[Q:.*]]: tensor<2x7x8xf32>, %[[K:.*]]: tensor<2x9x8xf32>, %[[V:.*]]: tensor<2x9x5xf32>, %{{.*}}: tensor<2x7x5xf32>
// CHECK:         %[[QK:.*]] = linalg.generic {{.*}} ins(%[[Q]], %[[K]]
// CHECK:           arith.mulf
// CHECK:           arith.addf
// CHECK:         %[[SCALE:.*]] = arith.constant 0.353553385 : f32
// CHECK:         %[[S:.*]] = linalg.generic {{.*}} ins(%[[QK]]
// CHECK:           arith.mulf %{{.*}}, %[[SCALE]]
// CHECK:         %[[MAX:.*]] = linalg.generic {{.*}} ins(%[[S]]
// CHECK:           arith.maximumf
// CHECK:         %[[EXP:.*]] = linalg.generic {{.*}} ins(%[[S]], %[[MAX]]
// CHECK:           arith.subf
// CHECK:           math.exp
// CHECK:         %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[EXP]]
// CHECK:           arith.addf
// CHECK:         %[[P:.*]] = linalg.generic {{.*}} ins(%[[EXP]], %[[SUM]], %[[MAX]]
// CHECK:           arith.divf
// CHECK:           arith.select
// CHECK:         %[[EMPTY:.*]] = tensor.empty() : tensor<2x7x5xf32>
// CHECK:         %[[ZERO:.*]] = linalg.fill {{.*}} outs(%[[EMPTY]]
// CHECK:         %[[O:.*]] = linalg.generic {{.*}} ins(%[[P]], %[[V]] {{.*}} outs(%[[ZERO]]
// CHECK:         return %[[O]]
func.func @sdpa(%q: tensor<2x7x8xf32>, %k: tensor<2x9x8xf32>, %v: tensor<2x9x5xf32>,
                %init: tensor<2x7x5xf32>) -> tensor<2x7x5xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>, affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x9x8xf32>, tensor<2x9x5xf32>)
    outs(%init : tensor<2x7x5xf32>) -> tensor<2x7x5xf32>
  return %o : tensor<2x7x5xf32>
}

// -----

// Without the guard of masked_rows = zero, a masked row is NaN by itself.
// CHECK-LABEL: func.func @masked_rows_nan
// CHECK:         math.exp
// CHECK-NOT:     arith.select
// CHECK:         return
func.func @masked_rows_nan(%q: tensor<7x8xf32>, %init: tensor<7x8xf32>) -> tensor<7x8xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>)
    outs(%init : tensor<7x8xf32>) masked_rows = nan -> tensor<7x8xf32>
  return %o : tensor<7x8xf32>
}

// -----

// An i1 bias keeps the score where true; a float bias is added.
// CHECK-LABEL: func.func @mask_and_bias
// CHECK-SAME:    %[[MASK:[^:]*]]: tensor<7x7xi1>, %[[BIAS:[^:]*]]: tensor<7xf16>
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %[[MASK]], %[[BIAS]]
// CHECK-NEXT:    ^bb0(%[[S:.*]]: f32, %[[M:.*]]: i1, %[[B:.*]]: f16, %{{.*}}: f32):
// CHECK:           %[[BF:.*]] = arith.extf %[[B]] : f16 to f32
// CHECK:           %[[INF:.*]] = arith.constant 0xFF800000 : f32
// CHECK:           %[[KEPT:.*]] = arith.select %[[M]], %[[S]], %[[INF]]
// CHECK:           arith.addf %[[KEPT]], %[[BF]]
func.func @mask_and_bias(%mask: tensor<7x7xi1>, %bias: tensor<7xf16>, %q: tensor<7x8xf32>,
                         %init: tensor<7x8xf32>) -> tensor<7x8xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, j)>,
      affine_map<(i, j, d, e) -> (j)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>)
    bias(%mask, %bias : tensor<7x7xi1>, tensor<7xf16>)
    outs(%init : tensor<7x8xf32>) -> tensor<7x8xf32>
  return %o : tensor<7x8xf32>
}

// -----

// The origin of a tile moves the diagonal.
// CHECK-LABEL: func.func @causal_at_an_offset
// CHECK-SAME:    %[[ROW:[^:]*]]: index, %[[KEY:[^:]*]]: index
// CHECK:         %[[I:.*]] = linalg.index 0
// CHECK:         %[[J:.*]] = linalg.index 1
// CHECK:         %[[IO:.*]] = arith.addi %[[I]], %[[ROW]]
// CHECK:         %[[JO:.*]] = arith.addi %[[J]], %[[KEY]]
// CHECK:         %[[SEEN:.*]] = arith.cmpi ule, %[[JO]], %[[IO]]
// CHECK:         arith.select %[[SEEN]]
func.func @causal_at_an_offset(%row: index, %key: index, %q: tensor<7x8xf32>,
                               %init: tensor<7x8xf32>) -> tensor<7x8xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>) offsets(%row, %key)
    outs(%init : tensor<7x8xf32>) causal -> tensor<7x8xf32>
  return %o : tensor<7x8xf32>
}

// -----

// Softcap: the region's ops stand where the bias rule would.
// CHECK-LABEL: func.func @score_region_is_inlined
// CHECK:         arith.mulf
// CHECK:         linalg.generic
// CHECK:           %[[TANH:.*]] = math.tanh
// CHECK:           linalg.yield %[[TANH]]
func.func @score_region_is_inlined(%q: tensor<7x8xf32>, %init: tensor<7x8xf32>)
    -> tensor<7x8xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>)
    outs(%init : tensor<7x8xf32>) score {
      ^bb0(%s: f32, %i: index, %j: index):
        %t = math.tanh %s : f32
        attention.yield %t : f32
    } -> tensor<7x8xf32>
  return %o : tensor<7x8xf32>
}

// -----

// f16 operands are extended where they are read; the result is rounded once.
// CHECK-LABEL: func.func @half_precision
// CHECK:         arith.extf %{{.*}} : f16 to f32
// CHECK:         arith.mulf %{{.*}} : f32
// CHECK-NOT:     arith.truncf
// CHECK:         math.exp %{{.*}} : f32
// CHECK-NOT:     arith.truncf
// CHECK:         arith.truncf %{{.*}} : f32 to f16
// CHECK-NOT:     arith.truncf
func.func @half_precision(%q: tensor<7x8xf16>, %init: tensor<7x8xf16>) -> tensor<7x8xf16> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<7x8xf16>, tensor<7x8xf16>, tensor<7x8xf16>)
    outs(%init : tensor<7x8xf16>) -> tensor<7x8xf16>
  return %o : tensor<7x8xf16>
}

// -----

// C = softmax_j(K)^T V, O = softmax_d(Q) C.
// CHECK-LABEL: func.func @linear
// CHECK:         math.exp
// CHECK:         %[[CTX:.*]] = linalg.generic {{.*}} outs(%{{.*}} : tensor<4x16x16xf32>)
// CHECK:         math.exp
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %[[CTX]] :
func.func @linear(%q: tensor<4x?x16xf32>, %k: tensor<4x?x16xf32>, %v: tensor<4x?x16xf32>,
                  %init: tensor<4x?x16xf32>) -> tensor<4x?x16xf32> {
  %o = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>, affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<4x?x16xf32>, tensor<4x?x16xf32>, tensor<4x?x16xf32>)
    outs(%init : tensor<4x?x16xf32>) -> tensor<4x?x16xf32>
  return %o : tensor<4x?x16xf32>
}

// -----

// A tile of LePE reads its halo from the whole, padded grid.
// CHECK-LABEL: func.func @lepe_tile
// CHECK-SAME:    %[[V:[^:]*]]: tensor<14x14x4xf32>, %[[W:[^:]*]]: tensor<3x3x4xf32>, %[[Y:[^:]*]]: index, %[[X:[^:]*]]: index, %[[INIT:.*]]: tensor<7x7x4xf32>
// CHECK:         %[[PAD:.*]] = tensor.pad %[[V]] low[1, 1, 0] high[1, 1, 0]
// CHECK:         %[[HALO:.*]] = tensor.extract_slice %[[PAD]][%[[Y]], %[[X]], 0] [9, 9, 4]
// CHECK:         linalg.generic {{.*}} ins(%[[HALO]], %[[W]] : {{.*}}) outs(%[[INIT]] :
func.func @lepe_tile(%v: tensor<14x14x4xf32>, %w: tensor<3x3x4xf32>, %y: index, %x: index,
                     %init: tensor<7x7x4xf32>) -> tensor<7x7x4xf32> {
  %o = attention.lepe indexing_maps = [
      affine_map<(y, x, e) -> (y, x, e)>, affine_map<(y, x, e) -> (e)>,
      affine_map<(y, x, e) -> (y, x, e)>]
    ins(%v, %w : tensor<14x14x4xf32>, tensor<3x3x4xf32>) offsets(%y, %x)
    outs(%init : tensor<7x7x4xf32>) grid_dims = [0, 1] -> tensor<7x7x4xf32>
  return %o : tensor<7x7x4xf32>
}

// -----

// Every part of elfatt is gone; packed QKV is sliced, never copied whole.
// CHECK-LABEL: func.func @elfatt
// CHECK-NOT:     linalg.transpose
// CHECK:         return
func.func @elfatt(%qkv: tensor<?x201x3x4x8xf32>, %init: tensor<?x201x4x8xf32>)
    -> tensor<?x201x4x8xf32> {
  %o = attention.elfatt indexing_maps = [
      affine_map<(b, h, n, d, e) -> (b, n, 0, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, 1, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, 2, h, e)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%qkv, %qkv, %qkv : tensor<?x201x3x4x8xf32>, tensor<?x201x3x4x8xf32>, tensor<?x201x3x4x8xf32>)
    outs(%init : tensor<?x201x4x8xf32>) global_heads = 2 grid = [14, 14] window = [7, 7]
    prefix = 5 -> tensor<?x201x4x8xf32>
  return %o : tensor<?x201x4x8xf32>
}

// -----

// A destination of unknown size, where the operands tell it.
// CHECK-LABEL: func.func @dynamic_destination
// CHECK:         %[[CAST:.*]] = tensor.cast %{{.*}} : tensor<7x8xf32> to tensor<?x8xf32>
// CHECK:         return %[[CAST]]
func.func @dynamic_destination(%q: tensor<7x8xf32>, %init: tensor<?x8xf32>) -> tensor<?x8xf32> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(i, j, d, e) -> (i, d)>, affine_map<(i, j, d, e) -> (j, d)>,
      affine_map<(i, j, d, e) -> (j, e)>, affine_map<(i, j, d, e) -> (i, e)>]
    ins(%q, %q, %q : tensor<7x8xf32>, tensor<7x8xf32>, tensor<7x8xf32>)
    outs(%init : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %o : tensor<?x8xf32>
}
