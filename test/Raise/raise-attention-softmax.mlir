// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-raise=remarks=false | FileCheck %s

// Spellings of the softmax itself.

#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
#p = affine_map<(b, i, e, j) -> (b, i, j)>
#z = affine_map<(b, i, e, j) -> (b, i)>
#v = affine_map<(b, i, e, j) -> (b, j, e)>
#o = affine_map<(b, i, e, j) -> (b, i, e)>

// Exponentials times V first, the division by their sum after it.
// CHECK-LABEL: func.func @divided_after_values(
// CHECK: attention.sdpa
// CHECK-NOT: score
// CHECK-NOT: linalg.
// CHECK: return
func.func @divided_after_values(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%low : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce { arith.maximumf } ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
  %z0 = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %e = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z = linalg.reduce { arith.addf } ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
  %pv = linalg.batch_matmul ins(%e, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%pv, %z : tensor<2x4x8xf32>, tensor<2x4xf32>) outs(%eo : tensor<2x4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// The exponential and the division inside of the product with V.
// CHECK-LABEL: func.func @fused_into_the_product(
// CHECK: attention.sdpa
// CHECK-NOT: score
// CHECK-NOT: linalg.
// CHECK: return
func.func @fused_into_the_product(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%low : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce { arith.maximumf } ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
  %z0 = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %e = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z = linalg.reduce { arith.addf } ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
  %r = linalg.generic {indexing_maps = [#p, #z, #z, #v, #o], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%s, %m, %z, %v : tensor<2x4x6xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %w: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    %n = arith.divf %x, %c : f32
    %y = arith.mulf %n, %w : f32
    %sum = arith.addf %out, %y : f32
    linalg.yield %sum : f32
  } -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// Base 2 without log2(e) is a softmax of ln 2 times the scores.
// CHECK-LABEL: func.func @base_two(
// CHECK: %[[LN2:.*]] = arith.constant 0.693147182 : f32
// CHECK: attention.sdpa {{.*}} scale(%[[LN2]] : f32)
func.func @base_two(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%low : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce { arith.maximumf } ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
  %z0 = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %e = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp2 %d : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z = linalg.reduce { arith.addf } ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// exp(c * (S - max S)) is a softmax of c * S.
// CHECK-LABEL: func.func @scaled_after_the_maximum(
// CHECK: %[[C:.*]] = arith.constant 2.500000e-01 : f32
// CHECK: attention.sdpa {{.*}} scale(%[[C]] : f32)
// CHECK-NOT: attention.excess
// CHECK: return
func.func @scaled_after_the_maximum(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%low : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce { arith.maximumf } ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
  %z0 = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %e = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %c = arith.constant 0.25 : f32
    %d = arith.subf %a, %b : f32
    %f = arith.mulf %d, %c : f32
    %x = math.exp %f : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z = linalg.reduce { arith.addf } ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// Twice the exponential is no sum of itself.
// CHECK-LABEL: func.func @squared_exponentials(
// CHECK-NOT: attention.sdpa
// CHECK: return
func.func @squared_exponentials(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%low : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce { arith.maximumf } ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
  %z0 = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %e = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z = linalg.reduce { arith.addf } ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
  %r = linalg.generic {indexing_maps = [#p, #z, #v, #o], iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%e, %z, %v : tensor<2x4x6xf32>, tensor<2x4xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) {
  ^bb0(%a: f32, %c: f32, %w: f32, %out: f32):
    %d = arith.divf %a, %c : f32
    %n = arith.mulf %a, %d : f32
    %y = arith.mulf %n, %w : f32
    %sum = arith.addf %out, %y : f32
    linalg.yield %sum : f32
  } -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// exp(log_softmax(S)).
// CHECK-LABEL: func.func @log_softmax(
// CHECK: attention.sdpa
// CHECK-NOT: score
// CHECK-NOT: linalg.
// CHECK: return
func.func @log_softmax(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%low : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce { arith.maximumf } ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
  %z0 = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %e = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z = linalg.reduce { arith.addf } ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
  %p = linalg.generic {indexing_maps = [#id, #row, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m, %z : tensor<2x4x6xf32>, tensor<2x4xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %out: f32):
    %l = math.log %c : f32
    %d = arith.subf %a, %b : f32
    %y = arith.subf %d, %l : f32
    %x = math.exp %y : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// exp(S - logsumexp(S)): the maximum is subtracted with the logarithm.
// CHECK-LABEL: func.func @log_sum_exp(
// CHECK: attention.sdpa
// CHECK-NOT: score
// CHECK-NOT: linalg.
// CHECK: return
func.func @log_sum_exp(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%low : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce { arith.maximumf } ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
  %z0 = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %e = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z = linalg.reduce { arith.addf } ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
  %p = linalg.generic {indexing_maps = [#id, #row, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m, %z : tensor<2x4x6xf32>, tensor<2x4xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32, %out: f32):
    %l = math.log %c : f32
    %d = arith.addf %l, %b : f32
    %y = arith.subf %a, %d : f32
    %x = math.exp %y : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}
