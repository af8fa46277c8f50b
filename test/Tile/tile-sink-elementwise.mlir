// RUN: elfatt-opt %s --elfatt-tile-decompose --elfatt-tile-sink-elementwise --elfatt-tile-to-forall=machine=cpu --canonicalize --cse | FileCheck %s

#q = affine_map<(b, h, n, d, e) -> (b, n, 0, h, d)>
#k = affine_map<(b, h, n, d, e) -> (b, n, 1, h, d)>
#v = affine_map<(b, h, n, d, e) -> (b, n, 2, h, e)>
#o = affine_map<(b, h, n, d, e) -> (b, n, h, e)>
#lq = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#lk = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#lv = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#lo = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>
#same = affine_map<(b, n, h, e) -> (b, n, h, e)>
#swap = affine_map<(b, n, h, e) -> (b, h, n, e)>
#last = affine_map<(b, n, h, e) -> (e)>

// Both halves add their slice of the residual, seen through the reshape, in place.
// CHECK-LABEL: func.func @residual_of_both_halves
// CHECK-SAME:    %{{.*}}: tensor<1x196x3x2x8xf32>, %[[X:[^ ]*]]: tensor<1x196x16xf32>)
// CHECK-DAG:     %[[TOKENS:.*]] = tensor.expand_shape %[[X]] {{.*}} into tensor<1x196x2x8xf32>
// CHECK-DAG:     %[[WINDOWS:.*]] = tensor.expand_shape %[[X]] {{.*}} into tensor<1x2x7x2x7x2x8xf32>
// CHECK:         scf.forall
// CHECK:           %[[LOCAL:.*]] = attention.sdpa
// CHECK:           %[[ADDED:.*]] = linalg.generic {{.*}} ins(%{{.*}} : tensor<1x1x7x1x7x1x8xf32>) outs(%[[LOCAL]]
// CHECK:           tensor.parallel_insert_slice %[[ADDED]]
// CHECK:         scf.forall
// CHECK:           %[[GLOBAL:.*]] = attention.apply
// CHECK:           linalg.generic {{.*}} outs(%[[GLOBAL]]
// CHECK-NOT:     linalg.{{generic|add}}
// CHECK:         return
func.func @residual_of_both_halves(%qkv: tensor<1x196x3x2x8xf32>, %x: tensor<1x196x16xf32>)
    -> tensor<1x196x16xf32> {
  %init = tensor.empty() : tensor<1x196x2x8xf32>
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : tensor<1x196x3x2x8xf32>, tensor<1x196x3x2x8xf32>, tensor<1x196x3x2x8xf32>)
    outs(%init : tensor<1x196x2x8xf32>) global_heads = 1 grid = [14, 14] window = [7, 7]
    -> tensor<1x196x2x8xf32>
  %c = tensor.collapse_shape %o [[0], [1], [2, 3]] : tensor<1x196x2x8xf32> into tensor<1x196x16xf32>
  %e = tensor.empty() : tensor<1x196x16xf32>
  %z = linalg.add ins(%c, %x : tensor<1x196x16xf32>, tensor<1x196x16xf32>)
    outs(%e : tensor<1x196x16xf32>) -> tensor<1x196x16xf32>
  return %z : tensor<1x196x16xf32>
}

// Prefix rows, and rows that attend to the prefix and a window, as well.
// CHECK-LABEL: func.func @residual_of_prefix_rows
// CHECK:         scf.forall
// CHECK:           %[[PREFIX:.*]] = attention.sdpa
// CHECK:           linalg.generic {{.*}} outs(%[[PREFIX]]
// CHECK:         scf.forall
// CHECK:           %[[GRID:.*]] = attention.finalize
// CHECK:           linalg.generic {{.*}} outs(%[[GRID]]
// CHECK-NOT:     linalg.{{generic|add}}
// CHECK:         return
func.func @residual_of_prefix_rows(%qkv: tensor<1x50x3x2x8xf32>, %x: tensor<1x50x2x8xf32>)
    -> tensor<1x50x2x8xf32> {
  %init = tensor.empty() : tensor<1x50x2x8xf32>
  %o = attention.elfatt indexing_maps = [#q, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : tensor<1x50x3x2x8xf32>, tensor<1x50x3x2x8xf32>, tensor<1x50x3x2x8xf32>)
    outs(%init : tensor<1x50x2x8xf32>) global_heads = 0 grid = [7, 7] window = [7, 7] prefix = 1
    -> tensor<1x50x2x8xf32>
  %z = linalg.add ins(%o, %x : tensor<1x50x2x8xf32>, tensor<1x50x2x8xf32>)
    outs(%init : tensor<1x50x2x8xf32>) -> tensor<1x50x2x8xf32>
  return %z : tensor<1x50x2x8xf32>
}

// What the op alone reads is computed in it: one op, and attention writes its order.
// CHECK-LABEL: func.func @one_op_in_its_order
// CHECK-SAME:    %[[Q:[^ ]*]]: {{.*}} %[[X:[^ ]*]]: tensor<1x49x2x8xf32>, %[[BIAS:[^ ]*]]: tensor<8xf32>)
// CHECK-NOT:     linalg.broadcast
// CHECK:         scf.forall
// CHECK:           %[[O:.*]] = attention.sdpa {{.*}} -> tensor<1x49x1x8xf32>
// CHECK:           linalg.generic {{.*}} ins({{.*}} : tensor<8xf32>, tensor<1x49x1x8xf32>) outs(%[[O]]
// CHECK:             arith.addf
// CHECK:             math.tanh
// CHECK:             arith.addf
// CHECK-NOT:     linalg.generic
func.func @one_op_in_its_order(%q: tensor<1x2x49x8xf32>, %x: tensor<1x49x2x8xf32>,
                               %bias: tensor<8xf32>) -> tensor<1x49x2x8xf32> {
  %init = tensor.empty() : tensor<1x2x49x8xf32>
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>)
    outs(%init : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  %e = tensor.empty() : tensor<1x49x2x8xf32>
  %wide = linalg.broadcast ins(%bias : tensor<8xf32>) outs(%e : tensor<1x49x2x8xf32>)
    dimensions = [0, 1, 2]
  %a = linalg.generic {indexing_maps = [#swap, #same, #same],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%o, %wide : tensor<1x2x49x8xf32>, tensor<1x49x2x8xf32>) outs(%e : tensor<1x49x2x8xf32>) {
  ^bb0(%s: f32, %t: f32, %u: f32):
    %1 = arith.addf %s, %t : f32
    %2 = math.tanh %1 : f32
    linalg.yield %2 : f32
  } -> tensor<1x49x2x8xf32>
  %z = linalg.add ins(%a, %x : tensor<1x49x2x8xf32>, tensor<1x49x2x8xf32>)
    outs(%e : tensor<1x49x2x8xf32>) -> tensor<1x49x2x8xf32>
  return %z : tensor<1x49x2x8xf32>
}

// A conversion alone is attention's own rounding.
// CHECK-LABEL: func.func @attention_rounds
// CHECK:         attention.sdpa {{.*}} -> tensor<1x1x49x8xbf16>
// CHECK-NOT:     arith.truncf
func.func @attention_rounds(%q: tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xbf16> {
  %init = tensor.empty() : tensor<1x2x49x8xf32>
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>)
    outs(%init : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  %e = tensor.empty() : tensor<1x2x49x8xbf16>
  %z = linalg.generic {indexing_maps = [#same, #same],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%o : tensor<1x2x49x8xf32>) outs(%e : tensor<1x2x49x8xbf16>) {
  ^bb0(%s: f32, %t: bf16):
    %1 = arith.truncf %s : f32 to bf16
    linalg.yield %1 : bf16
  } -> tensor<1x2x49x8xbf16>
  return %z : tensor<1x2x49x8xbf16>
}

// Rows of another type have a place of their own in the worker, of a static size.
// CHECK-LABEL: func.func @scratch_of_tails_is_static
// CHECK:         scf.forall
// CHECK:           %[[SCRATCH:.*]] = tensor.empty() : tensor<1x1x128x8xf32>
// CHECK:           %[[PLACE:.*]] = tensor.extract_slice %[[SCRATCH]]
// CHECK:           %[[O:.*]] = attention.sdpa {{.*}} outs(%[[PLACE]]
// CHECK:           linalg.generic {{.*}} ins(%[[O]]{{.*}} outs({{.*}} : tensor<1x1x?x8xbf16>)
func.func @scratch_of_tails_is_static(%q: tensor<1x2x1000x8xf32>) -> tensor<1x2x1000x8xbf16> {
  %init = tensor.empty() : tensor<1x2x1000x8xf32>
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x1000x8xf32>, tensor<1x2x1000x8xf32>, tensor<1x2x1000x8xf32>)
    outs(%init : tensor<1x2x1000x8xf32>) -> tensor<1x2x1000x8xf32>
  %e = tensor.empty() : tensor<1x2x1000x8xbf16>
  %z = linalg.generic {indexing_maps = [#same, #same],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%o : tensor<1x2x1000x8xf32>) outs(%e : tensor<1x2x1000x8xbf16>) {
  ^bb0(%s: f32, %t: bf16):
    %1 = math.tanh %s : f32
    %2 = arith.truncf %1 : f32 to bf16
    linalg.yield %2 : bf16
  } -> tensor<1x2x1000x8xbf16>
  return %z : tensor<1x2x1000x8xbf16>
}

// Two ops of which both read attention's result become one that reads it once.
// CHECK-LABEL: func.func @reads_it_twice
// CHECK:         scf.forall
// CHECK:           %[[O:.*]] = attention.sdpa
// CHECK:           linalg.generic {{.*}} outs(%[[O]]
// CHECK-NEXT:      ^bb0(%[[X:.*]]: f32):
// CHECK-NEXT:        %[[S:.*]] = arith.addf %[[X]]
// CHECK-NEXT:        arith.mulf %[[S]], %[[X]]
// CHECK-NOT:     linalg.generic
// CHECK:         return
func.func @reads_it_twice(%q: tensor<16x2x8xf32>, %v: tensor<16x2x16xf32>) -> tensor<16x32xf32> {
  %three = arith.constant 3.0 : f32
  %init = tensor.empty() : tensor<16x2x16xf32>
  %o = attention.sdpa indexing_maps = [affine_map<(h, i, j, d, e) -> (i, h, d)>,
      affine_map<(h, i, j, d, e) -> (j, h, d)>, affine_map<(h, i, j, d, e) -> (j, h, e)>,
      affine_map<(h, i, j, d, e) -> (i, h, e)>]
    ins(%q, %q, %v : tensor<16x2x8xf32>, tensor<16x2x8xf32>, tensor<16x2x16xf32>)
    outs(%init : tensor<16x2x16xf32>) -> tensor<16x2x16xf32>
  %c = tensor.collapse_shape %o [[0], [1, 2]] : tensor<16x2x16xf32> into tensor<16x32xf32>
  %e = tensor.empty() : tensor<16x32xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(n, c) -> (n, c)>, affine_map<(n, c) -> (n, c)>],
      iterator_types = ["parallel", "parallel"]} ins(%c : tensor<16x32xf32>) outs(%e : tensor<16x32xf32>) {
  ^bb0(%x: f32, %out: f32):
    %0 = arith.addf %x, %three : f32
    linalg.yield %0 : f32
  } -> tensor<16x32xf32>
  %z = linalg.mul ins(%s, %c : tensor<16x32xf32>, tensor<16x32xf32>) outs(%e : tensor<16x32xf32>)
    -> tensor<16x32xf32>
  return %z : tensor<16x32xf32>
}
