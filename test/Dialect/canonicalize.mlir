// RUN: elfatt-opt %s --canonicalize --split-input-file | FileCheck %s

// What stands beside an attention op folds into it, or has a reason to stay.

// CHECK-LABEL: func.func @transpose_of_key
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{.*}}, %[[K:[a-z0-9]+]]: tensor<2x8x7xf32>
// CHECK-NOT: linalg.transpose
// CHECK: attention.sdpa indexing_maps = [{{.*}}] ins(%{{[a-z0-9]+}}, %[[K]],
func.func @transpose_of_key(%q: tensor<2x7x8xf32>, %k: tensor<2x8x7xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %e = tensor.empty() : tensor<2x7x8xf32>
  %t = linalg.transpose ins(%k : tensor<2x8x7xf32>) outs(%e : tensor<2x7x8xf32>) permutation = [0, 2, 1]
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %t, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK: #[[K:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, 1, d2, d3)>
// CHECK-LABEL: func.func @unit_slice_of_packed_key
// CHECK-NOT: extract_slice
// CHECK: attention.sdpa indexing_maps = [#{{[a-z0-9]+}}, #[[K]],
func.func @unit_slice_of_packed_key(%q: tensor<2x7x8xf32>, %qkv: tensor<2x3x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %k = tensor.extract_slice %qkv[0, 1, 0, 0] [2, 1, 7, 8] [1, 1, 1, 1]
    : tensor<2x3x7x8xf32> to tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @slice_of_tokens_stays
// CHECK: %[[K:.*]] = tensor.extract_slice
// CHECK: attention.sdpa {{.*}} ins(%{{[a-z0-9]+}}, %[[K]],
func.func @slice_of_tokens_stays(%q: tensor<2x7x8xf32>, %long: tensor<2x9x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %k = tensor.extract_slice %long[0, 2, 0] [2, 7, 8] [1, 1, 1] : tensor<2x9x8xf32> to tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @slice_at_a_dynamic_offset_stays
// CHECK: %[[K:.*]] = tensor.extract_slice
// CHECK: attention.sdpa {{.*}} ins(%{{[a-z0-9]+}}, %[[K]],
func.func @slice_at_a_dynamic_offset_stays(%q: tensor<2x7x8xf32>, %qkv: tensor<2x3x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>, %at: index) -> tensor<2x7x8xf32> {
  %k = tensor.extract_slice %qkv[0, %at, 0, 0] [2, 1, 7, 8] [1, 1, 1, 1]
    : tensor<2x3x7x8xf32> to tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @unit_dims
// CHECK-NOT: collapse_shape
// CHECK-NOT: expand_shape
// CHECK: attention.sdpa {{.*}} : tensor<2x7x8xf32>, tensor<2x1x7x8xf32>, tensor<2x7x8xf32>)
func.func @unit_dims(%q: tensor<2x7x8xf32>, %k: tensor<2x1x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %c = tensor.collapse_shape %k [[0, 1], [2], [3]] : tensor<2x1x7x8xf32> into tensor<2x7x8xf32>
  %x = tensor.expand_shape %v [[0, 1], [2], [3]] output_shape [2, 1, 7, 8] : tensor<2x7x8xf32> into tensor<2x1x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, 0, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %c, %x : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x1x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @split_heads_stay
// CHECK: tensor.expand_shape
// CHECK: attention.sdpa
func.func @split_heads_stay(%q: tensor<2x7x8xf32>, %k: tensor<14x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %x = tensor.expand_shape %k [[0, 1], [2]] output_shape [2, 7, 8] : tensor<14x8xf32> into tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %x, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @extension_of_query
// CHECK-NOT: arith.extf
// CHECK: attention.sdpa {{.*}} : tensor<2x7x8xf16>, tensor<2x7x8xf32>, tensor<2x7x8xf32>)
func.func @extension_of_query(%q: tensor<2x7x8xf16>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %e = tensor.empty() : tensor<2x7x8xf32>
  %x = linalg.generic {
      indexing_maps = [affine_map<(b, i, d) -> (b, i, d)>, affine_map<(b, i, d) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%q : tensor<2x7x8xf16>) outs(%e : tensor<2x7x8xf32>) {
    ^bb0(%in: f16, %out: f32):
      %0 = arith.extf %in : f16 to f32
      linalg.yield %0 : f32
  } -> tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @extension_with_a_transpose
// CHECK-NOT: linalg.generic
// CHECK: attention.sdpa {{.*}} : tensor<2x7x8xf32>, tensor<2x8x7xbf16>, tensor<2x7x8xf32>)
func.func @extension_with_a_transpose(%q: tensor<2x7x8xf32>, %k: tensor<2x8x7xbf16>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %e = tensor.empty() : tensor<2x7x8xf32>
  %x = linalg.generic {
      indexing_maps = [affine_map<(b, i, d) -> (b, d, i)>, affine_map<(b, i, d) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%k : tensor<2x8x7xbf16>) outs(%e : tensor<2x7x8xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %0 = arith.extf %in : bf16 to f32
      linalg.yield %0 : f32
  } -> tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %x, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// Without it, the op would compute in f32.
// CHECK-LABEL: func.func @extension_that_sets_the_type_of_the_computation_stays
// CHECK: %[[X:.*]] = arith.extf
// CHECK: attention.sdpa {{.*}} ins(%[[X]],
func.func @extension_that_sets_the_type_of_the_computation_stays(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %x = arith.extf %q : tensor<2x7x8xf32> to tensor<2x7x8xf64>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %k, %v : tensor<2x7x8xf64>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @extension_beside_another_f64
// CHECK-NOT: arith.extf
// CHECK: attention.sdpa {{.*}} : tensor<2x7x8xf32>, tensor<2x7x8xf64>
func.func @extension_beside_another_f64(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf64>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %x = arith.extf %q : tensor<2x7x8xf32> to tensor<2x7x8xf64>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %k, %v : tensor<2x7x8xf64>, tensor<2x7x8xf64>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @rounding_of_an_operand_stays
// CHECK: arith.truncf
// CHECK: attention.sdpa
func.func @rounding_of_an_operand_stays(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %x = arith.truncf %q : tensor<2x7x8xf32> to tensor<2x7x8xf16>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %k, %v : tensor<2x7x8xf16>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @rounding_of_the_result
// CHECK: %[[E:.*]] = tensor.empty() : tensor<2x7x8xf16>
// CHECK: %[[O:.*]] = attention.sdpa {{.*}} outs(%[[E]] : tensor<2x7x8xf16>)
// CHECK: return %[[O]]
func.func @rounding_of_the_result(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf16> {
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  %r = arith.truncf %o : tensor<2x7x8xf32> to tensor<2x7x8xf16>
  return %r : tensor<2x7x8xf16>
}

// -----

// CHECK-LABEL: func.func @rounding_of_one_of_two_uses_stays
// CHECK: attention.sdpa
// CHECK: arith.truncf
func.func @rounding_of_one_of_two_uses_stays(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> (tensor<2x7x8xf32>, tensor<2x7x8xf16>) {
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  %r = arith.truncf %o : tensor<2x7x8xf32> to tensor<2x7x8xf16>
  return %o, %r : tensor<2x7x8xf32>, tensor<2x7x8xf16>
}

// -----

// f64 to f32 to f16 is not f64 to f16.
// CHECK-LABEL: func.func @second_rounding_stays
// CHECK: attention.sdpa {{.*}} -> tensor<2x7x8xf32>
// CHECK: arith.truncf
func.func @second_rounding_stays(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf64>, %q64: tensor<2x7x8xf64>) -> tensor<2x7x8xf16> {
  %e = tensor.empty() : tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q64, %k, %v : tensor<2x7x8xf64>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%e : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  %r = arith.truncf %o : tensor<2x7x8xf32> to tensor<2x7x8xf16>
  return %r : tensor<2x7x8xf16>
}

// -----

// CHECK-LABEL: func.func @scale_of_query
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{.*}}, %[[C:[a-z0-9]+]]: f32)
// CHECK: %[[D:.*]] = arith.constant 0.353553385 : f32
// CHECK: %[[S:.*]] = arith.mulf %[[C]], %[[D]] : f32
// CHECK-NOT: linalg.generic
// CHECK: attention.sdpa {{.*}} ins(%[[Q]], {{.*}} scale(%[[S]] : f32)
func.func @scale_of_query(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>, %c: f32) -> tensor<2x7x8xf32> {
  %e = tensor.empty() : tensor<2x7x8xf32>
  %x = linalg.generic {
      indexing_maps = [affine_map<(b, i, d) -> (b, i, d)>, affine_map<(b, i, d) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%q : tensor<2x7x8xf32>) outs(%e : tensor<2x7x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %0 = arith.mulf %in, %c : f32
      linalg.yield %0 : f32
  } -> tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @scale_of_both_operands
// CHECK: %[[S:.*]] = arith.constant 1.000000e+00 : f32
// CHECK-NOT: linalg.generic
// CHECK: attention.sdpa {{.*}} scale(%[[S]] : f32)
func.func @scale_of_both_operands(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %c = arith.constant 2.0 : f32
  %s = arith.constant 1.0 : f32
  %e0 = tensor.empty() : tensor<2x7x8xf32>
  %x = linalg.generic {
      indexing_maps = [affine_map<(b, i, d) -> (b, i, d)>, affine_map<(b, i, d) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%q : tensor<2x7x8xf32>) outs(%e0 : tensor<2x7x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %0 = arith.divf %in, %c : f32
      linalg.yield %0 : f32
  } -> tensor<2x7x8xf32>
  %e = tensor.empty() : tensor<2x7x8xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(b, i, d) -> (b, i, d)>, affine_map<(b, i, d) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%k : tensor<2x7x8xf32>) outs(%e : tensor<2x7x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %1 = arith.mulf %c, %in : f32
      linalg.yield %1 : f32
  } -> tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %y, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) scale(%s : f32) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// Its product is rounded to f16.
// CHECK-LABEL: func.func @scale_in_a_smaller_type_stays
// CHECK: arith.mulf
// CHECK: attention.sdpa
func.func @scale_in_a_smaller_type_stays(%q: tensor<2x7x8xf16>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>, %c: f16) -> tensor<2x7x8xf32> {
  %e = tensor.empty() : tensor<2x7x8xf16>
  %x = linalg.generic {
      indexing_maps = [affine_map<(b, i, d) -> (b, i, d)>, affine_map<(b, i, d) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%q : tensor<2x7x8xf16>) outs(%e : tensor<2x7x8xf16>) {
    ^bb0(%in: f16, %out: f16):
      %0 = arith.mulf %in, %c : f16
      linalg.yield %0 : f16
  } -> tensor<2x7x8xf16>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %k, %v : tensor<2x7x8xf16>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @quotient_of_a_scalar_stays
// CHECK: arith.divf
// CHECK: attention.sdpa
func.func @quotient_of_a_scalar_stays(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>, %c: f32) -> tensor<2x7x8xf32> {
  %e = tensor.empty() : tensor<2x7x8xf32>
  %x = linalg.generic {
      indexing_maps = [affine_map<(b, i, d) -> (b, i, d)>, affine_map<(b, i, d) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%q : tensor<2x7x8xf32>) outs(%e : tensor<2x7x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %0 = arith.divf %c, %in : f32
      linalg.yield %0 : f32
  } -> tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @scale_of_value_stays
// CHECK: arith.mulf
// CHECK: attention.sdpa
func.func @scale_of_value_stays(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>, %c: f32) -> tensor<2x7x8xf32> {
  %e = tensor.empty() : tensor<2x7x8xf32>
  %x = linalg.generic {
      indexing_maps = [affine_map<(b, i, d) -> (b, i, d)>, affine_map<(b, i, d) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%v : tensor<2x7x8xf32>) outs(%e : tensor<2x7x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %0 = arith.mulf %in, %c : f32
      linalg.yield %0 : f32
  } -> tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %x : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// Linear attention has no scale.
// CHECK-LABEL: func.func @scale_of_linear_stays
// CHECK: arith.mulf
// CHECK: attention.linear
func.func @scale_of_linear_stays(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>, %c: f32) -> tensor<2x7x8xf32> {
  %e = tensor.empty() : tensor<2x7x8xf32>
  %x = linalg.generic {
      indexing_maps = [affine_map<(b, i, d) -> (b, i, d)>, affine_map<(b, i, d) -> (b, i, d)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%q : tensor<2x7x8xf32>) outs(%e : tensor<2x7x8xf32>) {
    ^bb0(%in: f32, %out: f32):
      %0 = arith.mulf %in, %c : f32
      linalg.yield %0 : f32
  } -> tensor<2x7x8xf32>
  %o = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%x, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @neutral_biases
// CHECK-SAME: %[[B:[a-z0-9]+]]: tensor<7x7xf32>) ->
// CHECK: attention.sdpa {{.*}} bias(%[[B]] : tensor<7x7xf32>)
func.func @neutral_biases(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>, %b: tensor<7x7xf32>) -> tensor<2x7x8xf32> {
  %z = arith.constant dense<0.0> : tensor<7x7xf32>
  %t = arith.constant dense<true> : tensor<7x7xi1>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (i, j)>,
      affine_map<(b, i, j, d, e) -> (i, j)>,
      affine_map<(b, i, j, d, e) -> (i, j)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) bias(%z, %b, %t : tensor<7x7xf32>, tensor<7x7xf32>, tensor<7x7xi1>)
    outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @mask_of_falses_stays
// CHECK: attention.sdpa {{.*}} bias(
func.func @mask_of_falses_stays(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %t = arith.constant dense<false> : tensor<7x7xi1>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (i, j)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) bias(%t : tensor<7x7xi1>) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @bias_of_a_score_region_stays
// CHECK: attention.sdpa {{.*}} bias(
func.func @bias_of_a_score_region_stays(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %z = arith.constant dense<0.0> : tensor<7x7xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (i, j)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) bias(%z : tensor<7x7xf32>) outs(%init : tensor<2x7x8xf32>) score {
      ^bb0(%s: f32, %x: f32, %b: index, %i: index, %j: index):
        %t = arith.mulf %s, %x : f32
        attention.yield %t : f32
    } -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @filled_destination
// CHECK-SAME: %[[INIT:[a-z0-9]+]]: tensor<2x7x8xf32>) ->
// CHECK-NOT: linalg.fill
// CHECK: attention.sdpa {{.*}} outs(%[[INIT]]
func.func @filled_destination(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>, %init: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %z = arith.constant 0.0 : f32
  %f = linalg.fill ins(%z : f32) outs(%init : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%f : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @constant_destination
// CHECK: %[[E:.*]] = tensor.empty()
// CHECK: attention.linear {{.*}} outs(%[[E]]
func.func @constant_destination(%q: tensor<2x7x8xf32>, %k: tensor<2x7x8xf32>, %v: tensor<2x7x8xf32>) -> tensor<2x7x8xf32> {
  %z = arith.constant dense<0.0> : tensor<2x7x8xf32>
  %o = attention.linear indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, i, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>,
      affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%q, %k, %v : tensor<2x7x8xf32>, tensor<2x7x8xf32>, tensor<2x7x8xf32>) outs(%z : tensor<2x7x8xf32>) -> tensor<2x7x8xf32>
  return %o : tensor<2x7x8xf32>
}

// -----

// CHECK-LABEL: func.func @elfatt_folds_too
// CHECK-SAME: %[[QKV:[a-z0-9]+]]: tensor<3x2x49x4x8xf16>
// CHECK-NEXT: attention.elfatt {{.*}} ins(%[[QKV]], %[[QKV]], %[[QKV]] :
func.func @elfatt_folds_too(%qkv: tensor<3x2x49x4x8xf16>, %init: tensor<2x49x4x8xf32>) -> tensor<2x49x4x8xf32> {
  %q = tensor.extract_slice %qkv[0, 0, 0, 0, 0] [1, 2, 49, 4, 8] [1, 1, 1, 1, 1]
    : tensor<3x2x49x4x8xf16> to tensor<2x49x4x8xf16>
  %qx = arith.extf %q : tensor<2x49x4x8xf16> to tensor<2x49x4x8xf32>
  %p = tensor.extract_slice %qkv[1, 0, 0, 0, 0] [1, 2, 49, 4, 8] [1, 1, 1, 1, 1]
    : tensor<3x2x49x4x8xf16> to tensor<2x49x4x8xf16>
  %px = arith.extf %p : tensor<2x49x4x8xf16> to tensor<2x49x4x8xf32>
  %v = tensor.extract_slice %qkv[2, 0, 0, 0, 0] [1, 2, 49, 4, 8] [1, 1, 1, 1, 1]
    : tensor<3x2x49x4x8xf16> to tensor<2x49x4x8xf16>
  %vx = arith.extf %v : tensor<2x49x4x8xf16> to tensor<2x49x4x8xf32>
  %o = attention.elfatt indexing_maps = [
      affine_map<(b, h, n, d, e) -> (b, n, h, d)>, affine_map<(b, h, n, d, e) -> (b, n, h, d)>,
      affine_map<(b, h, n, d, e) -> (b, n, h, e)>, affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
    ins(%qx, %px, %vx : tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>, tensor<2x49x4x8xf32>) outs(%init : tensor<2x49x4x8xf32>)
    global_heads = 2 grid = [7, 7] window = [7, 7] -> tensor<2x49x4x8xf32>
  return %o : tensor<2x49x4x8xf32>
}

// -----

// CHECK-LABEL: func.func @changes_of_layout
// CHECK-SAME: %[[X:[a-z0-9]+]]: vector<16x8xf32>, %[[R:[a-z0-9]+]]: vector<16xf32>
// CHECK-NEXT: %[[ONE:.*]] = attention.convert_layout %[[R]] <group> to <quad>
// CHECK-NEXT: return %[[X]], %[[ONE]], %[[R]]
func.func @changes_of_layout(%x: vector<16x8xf32>, %r: vector<16xf32>) -> (vector<16x8xf32>, vector<16xf32>, vector<16xf32>) {
  %same = attention.convert_layout %x <group, quad> to <group, quad> : vector<16x8xf32>
  %there = attention.convert_layout %r <group> to <quad> : vector<16xf32>
  %back = attention.convert_layout %there <quad> to <group> : vector<16xf32>
  return %same, %there, %back : vector<16x8xf32>, vector<16xf32>, vector<16xf32>
}
