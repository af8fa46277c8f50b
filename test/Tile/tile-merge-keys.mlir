// RUN: elfatt-opt %s --elfatt-tile-merge-keys | FileCheck %s
// RUN: elfatt-opt %s --elfatt-to-cpu | FileCheck %s --check-prefix=CPU --implicit-check-not=attention.

#q = affine_map<(b, y, x, v, w, d, e) -> (b, 0, d, y, x)>
#k = affine_map<(b, y, x, v, w, d, e) -> (b, 1, d, v, w)>
#v = affine_map<(b, y, x, v, w, d, e) -> (b, 2, e, v, w)>
#o = affine_map<(b, y, x, v, w, d, e) -> (b, e, y, x)>
#bias = affine_map<(b, y, x, v, w, d, e) -> (v, w)>
#far = affine_map<(b, y, x, v, w, d, e) -> (b, w, v, e)>

// The pixels of an image of no known size are keys of one dim.
// CHECK-DAG: #[[Q:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, 0, d4, d1, d2)>
// CHECK-DAG: #[[K:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, 1, d4, d3)>
// CHECK-DAG: #[[V:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, 2, d5, d3)>
// CHECK-DAG: #[[B:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d3)>
// CHECK-DAG: #[[O:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d5, d1, d2)>
// CHECK-LABEL: func.func @image(
// CHECK-SAME:    %[[QKV:.*]]: tensor<2x3x8x?x?xf32>, %[[MASK:.*]]: tensor<?x?xi1>
// CHECK:         %[[KEYS:.*]] = tensor.collapse_shape %[[QKV]] {{\[}}[0], [1], [2], [3, 4]]
// CHECK:         %[[VALUES:.*]] = tensor.collapse_shape %[[QKV]] {{\[}}[0], [1], [2], [3, 4]]
// CHECK:         %[[KEPT:.*]] = tensor.collapse_shape %[[MASK]] {{\[}}[0, 1]]
// CHECK:         attention.sdpa indexing_maps = [#[[Q]], #[[K]], #[[V]], #[[B]], #[[O]]]
// CHECK-SAME:      ins(%[[QKV]], %[[KEYS]], %[[VALUES]] :
// CHECK-SAME:      bias(%[[KEPT]] : tensor<?xi1>)
// CPU:         llvm.func @image(
func.func @image(%qkv: tensor<2x3x8x?x?xf32>, %mask: tensor<?x?xi1>, %o: tensor<2x8x?x?xf32>)
    -> tensor<2x8x?x?xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #bias, #o]
    ins(%qkv, %qkv, %qkv : tensor<2x3x8x?x?xf32>, tensor<2x3x8x?x?xf32>, tensor<2x3x8x?x?xf32>)
    bias(%mask : tensor<?x?xi1>) outs(%o : tensor<2x8x?x?xf32>) -> tensor<2x8x?x?xf32>
  return %r : tensor<2x8x?x?xf32>
}

// Values in another order have no such dim; on the CPU loops compute them.
// CHECK-LABEL: func.func @apart(
// CHECK-NOT:     tensor.collapse_shape
// CHECK:         attention.sdpa
// CPU:         llvm.func @apart(
func.func @apart(%qkv: tensor<2x3x8x?x?xf32>, %v: tensor<2x?x?x8xf32>, %o: tensor<2x8x?x?xf32>)
    -> tensor<2x8x?x?xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #far, #o]
    ins(%qkv, %qkv, %v : tensor<2x3x8x?x?xf32>, tensor<2x3x8x?x?xf32>, tensor<2x?x?x8xf32>)
    outs(%o : tensor<2x8x?x?xf32>) -> tensor<2x8x?x?xf32>
  return %r : tensor<2x8x?x?xf32>
}

// Known sizes stay: lines of a window are blocks as they are.
// CHECK-LABEL: func.func @known(
// CHECK-NOT:     tensor.collapse_shape
// CHECK:         attention.sdpa
// CPU:         llvm.func @known(
func.func @known(%qkv: tensor<2x3x8x?x7xf32>, %o: tensor<2x8x?x7xf32>) -> tensor<2x8x?x7xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : tensor<2x3x8x?x7xf32>, tensor<2x3x8x?x7xf32>, tensor<2x3x8x?x7xf32>)
    outs(%o : tensor<2x8x?x7xf32>) -> tensor<2x8x?x7xf32>
  return %r : tensor<2x8x?x7xf32>
}

// A function of a score that asks for no position of a key loses the argument.
// CHECK-LABEL: func.func @score(
// CHECK:         score {
// CHECK-NEXT:    ^bb0(%[[S:.*]]: f32, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index, %{{.*}}: index):
// CHECK-NEXT:      math.tanh %[[S]]
func.func @score(%qkv: tensor<2x3x8x?x?xf32>, %o: tensor<2x8x?x?xf32>) -> tensor<2x8x?x?xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%qkv, %qkv, %qkv : tensor<2x3x8x?x?xf32>, tensor<2x3x8x?x?xf32>, tensor<2x3x8x?x?xf32>)
    outs(%o : tensor<2x8x?x?xf32>) score {
  ^bb0(%s: f32, %b: index, %y: index, %x: index, %kv: index, %kw: index):
    %t = math.tanh %s : f32
    attention.yield %t : f32
  } -> tensor<2x8x?x?xf32>
  return %r : tensor<2x8x?x?xf32>
}

#lq = affine_map<(b, y, x, v, w, d, e) -> (b, d, y, x)>
#lk = affine_map<(b, y, x, v, w, d, e) -> (b, d, v, w)>
#lv = affine_map<(b, y, x, v, w, d, e) -> (b, e, v, w)>

// A context has tokens of one dim, of any size; the queries' stay two.
// CHECK-LABEL: func.func @linear(
// CHECK-SAME:    %[[X:[a-z0-9]+]]: tensor<2x8x5x7xf32>
// CHECK:         %[[KEYS:.*]] = tensor.collapse_shape %[[X]] {{\[}}[0], [1], [2, 3]]
// CHECK:         %[[VALUES:.*]] = tensor.collapse_shape %[[X]] {{\[}}[0], [1], [2, 3]]
// CHECK:         attention.linear
// CHECK-SAME:      ins(%[[X]], %[[KEYS]], %[[VALUES]] :
// CPU:         llvm.func @linear(
func.func @linear(%x: tensor<2x8x5x7xf32>, %o: tensor<2x8x5x7xf32>) -> tensor<2x8x5x7xf32> {
  %r = attention.linear indexing_maps = [#lq, #lk, #lv, #o]
    ins(%x, %x, %x : tensor<2x8x5x7xf32>, tensor<2x8x5x7xf32>, tensor<2x8x5x7xf32>)
    outs(%o : tensor<2x8x5x7xf32>) -> tensor<2x8x5x7xf32>
  return %r : tensor<2x8x5x7xf32>
}

// Its values in another order: loops on the CPU.
// CHECK-LABEL: func.func @linear_apart(
// CHECK-NOT:     tensor.collapse_shape
// CHECK:         attention.linear
// CPU:         llvm.func @linear_apart(
func.func @linear_apart(%x: tensor<2x8x5x7xf32>, %v: tensor<2x7x5x8xf32>, %o: tensor<2x8x5x7xf32>)
    -> tensor<2x8x5x7xf32> {
  %r = attention.linear indexing_maps = [#lq, #lk, #far, #o]
    ins(%x, %x, %v : tensor<2x8x5x7xf32>, tensor<2x8x5x7xf32>, tensor<2x7x5x8xf32>)
    outs(%o : tensor<2x8x5x7xf32>) -> tensor<2x8x5x7xf32>
  return %r : tensor<2x8x5x7xf32>
}
