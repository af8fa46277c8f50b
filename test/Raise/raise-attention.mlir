// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-raise=remarks=false | FileCheck %s

#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
#col = affine_map<(b, i, j) -> (b, j)>

// The plain form, without a scale: the op's own is 1.
// CHECK-LABEL: func.func @plain(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]:
// CHECK: %[[ONE:.*]] = arith.constant 1.000000e+00 : f32
// CHECK: attention.sdpa
// CHECK-SAME: ins(%[[Q]], %[[K]], %[[V]] : tensor<2x4x8xf32>, tensor<2x6x8xf32>, tensor<2x6x8xf32>) scale(%[[ONE]] : f32)
// CHECK-SAME: masked_rows = nan
// CHECK-NOT: linalg.
func.func @plain(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce ins(%s0 : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.maximumf %x, %sum : f32 linalg.yield %n : f32 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.subf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x = math.exp %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z0 = linalg.fill ins(%start : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// 1 / sqrt(8) is the default: no scale operand.
// CHECK-LABEL: func.func @default_scale(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]:
// CHECK: attention.sdpa
// CHECK-NOT: scale(
func.func @default_scale(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0 : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %f = arith.constant 0.353553391 : f32
    %x = arith.mulf %a0, %f : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.maximumf %x, %sum : f32 linalg.yield %n : f32 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.subf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x = math.exp %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z0 = linalg.fill ins(%start : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// A divisor, known at run time.
// CHECK-LABEL: func.func @dynamic_scale(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]: {{[^,]*}}, %[[D:[a-z0-9]+]]:
// CHECK: %[[T:.*]] = tensor.extract %[[D]][] : tensor<f32>
// CHECK: %[[SCALE:.*]] = arith.divf %{{.*}}, %[[T]] : f32
// CHECK: attention.sdpa{{.*}} scale(%[[SCALE]] : f32)
func.func @dynamic_scale(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>, %t: tensor<f32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.generic {indexing_maps = [#id, affine_map<(b, i, j) -> ()>, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0, %t : tensor<2x4x6xf32>, tensor<f32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.maximumf %x, %sum : f32 linalg.yield %n : f32 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.subf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x = math.exp %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z0 = linalg.fill ins(%start : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// A bias of one row per batch, broadcast over the queries.
// CHECK-LABEL: func.func @bias_broadcast(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]: {{[^,]*}}, %[[D:[a-z0-9]+]]:
// CHECK: attention.sdpa{{.*}} bias(%[[D]] : tensor<2x6xf32>)
func.func @bias_broadcast(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>, %t: tensor<2x6xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.generic {indexing_maps = [#id, #col, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0, %t : tensor<2x4x6xf32>, tensor<2x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.addf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.maximumf %x, %sum : f32 linalg.yield %n : f32 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.subf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x = math.exp %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z0 = linalg.fill ins(%start : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// where(mask, scores, -inf): the mask itself is the operand.
// CHECK-LABEL: func.func @mask_by_select(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]: {{[^,]*}}, %[[D:[a-z0-9]+]]:
// CHECK: attention.sdpa{{.*}} bias(%[[D]] : tensor<4x6xi1>)
func.func @mask_by_select(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>, %t: tensor<4x6xi1>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.generic {indexing_maps = [#id, affine_map<(b, i, j) -> (i, j)>, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0, %t : tensor<2x4x6xf32>, tensor<4x6xi1>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: i1, %o: f32):
    %x = arith.select %a1, %a0, %lowest : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.maximumf %x, %sum : f32 linalg.yield %n : f32 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.subf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x = math.exp %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z0 = linalg.fill ins(%start : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// where(mask, -inf, scores): kept where the mask is false.
// CHECK-LABEL: func.func @inverted_mask(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]:
// CHECK: %[[NOT:.*]] = linalg.generic
// CHECK: arith.xori
// CHECK: attention.sdpa{{.*}} bias(%[[NOT]] : tensor<4x6xi1>)
func.func @inverted_mask(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>, %t: tensor<4x6xi1>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.generic {indexing_maps = [#id, affine_map<(b, i, j) -> (i, j)>, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0, %t : tensor<2x4x6xf32>, tensor<4x6xi1>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: i1, %o: f32):
    %x = arith.select %a1, %lowest, %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.maximumf %x, %sum : f32 linalg.yield %n : f32 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.subf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x = math.exp %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z0 = linalg.fill ins(%start : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// A mask that keeps every score, by the ranges of indices, is none.
// CHECK-LABEL: func.func @mask_without_effect(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]:
// CHECK: attention.sdpa
// CHECK-NOT: bias(
func.func @mask_without_effect(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0 : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x0 = linalg.index 2 : index
    %c0 = arith.constant 0 : index
    %keep = arith.cmpi sge, %x0, %c0 : index
    %x = arith.select %keep, %a0, %lowest : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce ins(%s : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.maximumf %x, %sum : f32 linalg.yield %n : f32 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.subf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x = math.exp %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z0 = linalg.fill ins(%start : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// The probabilities are returned too: they stay, and so does their chain.
// CHECK-LABEL: func.func @probabilities_used_twice(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]:
// CHECK: linalg.batch_matmul
// CHECK: attention.sdpa
// CHECK: %[[P:.*]] = tensor.empty() : tensor<4x2x6xf32>
func.func @probabilities_used_twice(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> (tensor<2x4x8xf32>, tensor<4x2x6xf32>) {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %kt0 = tensor.empty() : tensor<2x8x6xf32>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf32>) outs(%kt0 : tensor<2x8x6xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce ins(%s0 : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.maximumf %x, %sum : f32 linalg.yield %n : f32 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.subf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x = math.exp %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z0 = linalg.fill ins(%start : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %pe = tensor.empty() : tensor<4x2x6xf32>
  %pt = linalg.transpose ins(%p : tensor<2x4x6xf32>) outs(%pe : tensor<4x2x6xf32>) permutation = [1, 0, 2]
  return %r, %pt : tensor<2x4x8xf32>, tensor<4x2x6xf32>
}

// f16: the op rounds once, the source at every step. It is reported.
// CHECK-LABEL: func.func @half_precision(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]:
// CHECK: attention.sdpa
// CHECK-SAME: attention.excess = ["precision"]
func.func @half_precision(%q: tensor<2x4x8xf16>, %k: tensor<2x6x8xf16>, %v: tensor<2x6x8xf16>) -> tensor<2x4x8xf16> {
  %zero = arith.constant 0.0 : f16
  %lowest = arith.constant 0xFC00 : f16
  %start = arith.constant 0.0 : f16
  %kt0 = tensor.empty() : tensor<2x8x6xf16>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf16>) outs(%kt0 : tensor<2x8x6xf16>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf16>
  %zs = linalg.fill ins(%zero : f16) outs(%es : tensor<2x4x6xf16>) -> tensor<2x4x6xf16>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf16>, tensor<2x8x6xf16>) outs(%zs : tensor<2x4x6xf16>) -> tensor<2x4x6xf16>
  %er = tensor.empty() : tensor<2x4xf16>
  %m0 = linalg.fill ins(%lowest : f16) outs(%er : tensor<2x4xf16>) -> tensor<2x4xf16>
  %m = linalg.reduce ins(%s0 : tensor<2x4x6xf16>) outs(%m0 : tensor<2x4xf16>) dimensions = [2]
    (%x: f16, %sum: f16) { %n = arith.maximumf %x, %sum : f16 linalg.yield %n : f16 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0, %m : tensor<2x4x6xf16>, tensor<2x4xf16>) outs(%es : tensor<2x4x6xf16>) {
  ^bb0(%a0: f16, %a1: f16, %o: f16):
    %x = arith.subf %a0, %a1 : f16
    linalg.yield %x : f16
  } -> tensor<2x4x6xf16>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf16>) outs(%es : tensor<2x4x6xf16>) {
  ^bb0(%a0: f16, %o: f16):
    %x = math.exp %a0 : f16
    linalg.yield %x : f16
  } -> tensor<2x4x6xf16>
  %z0 = linalg.fill ins(%start : f16) outs(%er : tensor<2x4xf16>) -> tensor<2x4xf16>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf16>) outs(%z0 : tensor<2x4xf16>) dimensions = [2]
    (%x: f16, %sum: f16) { %n = arith.addf %x, %sum : f16 linalg.yield %n : f16 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf16>, tensor<2x4xf16>) outs(%es : tensor<2x4x6xf16>) {
  ^bb0(%a0: f16, %a1: f16, %o: f16):
    %x = arith.divf %a0, %a1 : f16
    linalg.yield %x : f16
  } -> tensor<2x4x6xf16>
  %eo = tensor.empty() : tensor<2x4x8xf16>
  %zo = linalg.fill ins(%zero : f16) outs(%eo : tensor<2x4x8xf16>) -> tensor<2x4x8xf16>
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf16>, tensor<2x6x8xf16>) outs(%zo : tensor<2x4x8xf16>) -> tensor<2x4x8xf16>
  return %r : tensor<2x4x8xf16>
}
