// RUN: elfatt-opt %s --elfatt-tile-sink-elementwise="machine=gpu explain" --split-input-file --verify-diagnostics | FileCheck %s

#lq = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#lk = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#lv = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#lo = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>

// What has another use is written anyway; nothing changes.
// CHECK-LABEL: func.func @result_is_used_twice
// CHECK:         %[[INIT:.*]] = tensor.empty
// CHECK-NEXT:    %[[O:.*]] = attention.sdpa {{.*}} outs(%[[INIT]]
// CHECK-NEXT:    %[[Z:.*]] = linalg.generic {{.*}} ins(%[[O]], %{{.*}}) outs(%[[INIT]]
// CHECK:         return %[[O]], %[[Z]]
func.func @result_is_used_twice(%q: tensor<1x2x49x8xf32>)
    -> (tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>) {
  %init = tensor.empty() : tensor<1x2x49x8xf32>
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>)
    outs(%init : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  // expected-remark @below {{stays outside of the attention's loop: what attention makes has another use}}
  %z = linalg.add ins(%o, %q : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>)
    outs(%init : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  return %o, %z : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>
}

// -----

#lq = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#lk = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#lv = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#lo = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>

// CHECK-LABEL: func.func @channels_move
// CHECK-NOT:     tensor.extract_slice
func.func @channels_move(%q: tensor<1x2x49x8xf32>) -> tensor<1x2x8x49xf32> {
  %init = tensor.empty() : tensor<1x2x49x8xf32>
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>)
    outs(%init : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  %e = tensor.empty() : tensor<1x2x8x49xf32>
  // expected-remark @below {{it does not keep channels innermost}}
  %z = linalg.transpose ins(%o : tensor<1x2x49x8xf32>) outs(%e : tensor<1x2x8x49xf32>)
    permutation = [0, 1, 3, 2]
  return %z : tensor<1x2x8x49xf32>
}

// -----

#lq = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#lk = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#lv = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#lo = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>
#same = affine_map<(b, h, n, e) -> (b, h, n, e)>

func.func @kernels_have_no_sine(%q: tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32> {
  %init = tensor.empty() : tensor<1x2x49x8xf32>
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>)
    outs(%init : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  // expected-remark @below {{'math.sin' has no form on vectors}}
  %z = linalg.generic {indexing_maps = [#same, #same],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%o : tensor<1x2x49x8xf32>) outs(%init : tensor<1x2x49x8xf32>) {
  ^bb0(%s: f32, %t: f32):
    %1 = math.sin %s : f32
    linalg.yield %1 : f32
  } -> tensor<1x2x49x8xf32>
  return %z : tensor<1x2x49x8xf32>
}

// -----

#lq = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#lk = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#lv = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#lo = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>
#same = affine_map<(b, h, n, e) -> (b, h, n, e)>

func.func @rows_of_another_type(%q: tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xbf16> {
  %init = tensor.empty() : tensor<1x2x49x8xf32>
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>)
    outs(%init : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  %e = tensor.empty() : tensor<1x2x49x8xbf16>
  // expected-remark @below {{rows of another type would need scratch in the kernel}}
  %z = linalg.generic {indexing_maps = [#same, #same],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%o : tensor<1x2x49x8xf32>) outs(%e : tensor<1x2x49x8xbf16>) {
  ^bb0(%s: f32, %t: bf16):
    %1 = arith.negf %s : f32
    %2 = arith.truncf %1 : f32 to bf16
    linalg.yield %2 : bf16
  } -> tensor<1x2x49x8xbf16>
  return %z : tensor<1x2x49x8xbf16>
}

// -----

#lq = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#lk = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#lv = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#lo = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>

// One element would need two of attention's rows.
// CHECK-LABEL: func.func @heads_are_swapped
// CHECK:         %[[O:.*]] = attention.sdpa
// CHECK-NEXT:    linalg.generic {{.*}} ins(%[[O]], %[[O]] :
func.func @heads_are_swapped(%q: tensor<1x49x49x8xf32>) -> tensor<1x49x49x8xf32> {
  %init = tensor.empty() : tensor<1x49x49x8xf32>
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x49x49x8xf32>, tensor<1x49x49x8xf32>, tensor<1x49x49x8xf32>)
    outs(%init : tensor<1x49x49x8xf32>) -> tensor<1x49x49x8xf32>
  // expected-remark @below {{stays outside of the attention's loop: it reads attention's result in two ways, or writes over it}}
  %z = linalg.generic {
      indexing_maps = [affine_map<(b, h, i, e) -> (b, h, i, e)>, affine_map<(b, h, i, e) -> (b, i, h, e)>,
                       affine_map<(b, h, i, e) -> (b, h, i, e)>],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%o, %o : tensor<1x49x49x8xf32>, tensor<1x49x49x8xf32>) outs(%init : tensor<1x49x49x8xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %s = arith.addf %x, %y : f32
    linalg.yield %s : f32
  } -> tensor<1x49x49x8xf32>
  return %z : tensor<1x49x49x8xf32>
}

// -----

#lq = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#lk = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#lv = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#lo = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>

// CHECK-LABEL: func.func @writes_over_it
// CHECK:         %[[O:.*]] = attention.sdpa
// CHECK-NEXT:    linalg.generic {{.*}} ins(%[[O]] : {{.*}}) outs(%[[O]] :
func.func @writes_over_it(%q: tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32> {
  %init = tensor.empty() : tensor<1x2x49x8xf32>
  %o = attention.sdpa indexing_maps = [#lq, #lk, #lv, #lo]
    ins(%q, %q, %q : tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>, tensor<1x2x49x8xf32>)
    outs(%init : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  // expected-remark @below {{stays outside of the attention's loop: it reads attention's result in two ways, or writes over it}}
  %z = linalg.exp ins(%o : tensor<1x2x49x8xf32>) outs(%o : tensor<1x2x49x8xf32>) -> tensor<1x2x49x8xf32>
  return %z : tensor<1x2x49x8xf32>
}
