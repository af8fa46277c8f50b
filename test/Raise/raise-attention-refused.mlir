// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s -split-input-file --elfatt-raise -verify-diagnostics | FileCheck %s

// CHECK-NOT: attention.sdpa

// The ops do not compute with this type.
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
#col = affine_map<(b, i, j) -> (b, j)>
func.func @unsupported_dtype(%q: tensor<2x4x8xf128>, %k: tensor<2x6x8xf128>, %v: tensor<2x6x8xf128>) -> tensor<2x4x8xf128> {
  %zero = arith.constant 0.0 : f128
  %lowest = arith.constant -1.0e30 : f128
  %start = arith.constant 0.0 : f128
  %kt0 = tensor.empty() : tensor<2x8x6xf128>
  %kt = linalg.transpose ins(%k : tensor<2x6x8xf128>) outs(%kt0 : tensor<2x8x6xf128>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x6xf128>
  %zs = linalg.fill ins(%zero : f128) outs(%es : tensor<2x4x6xf128>) -> tensor<2x4x6xf128>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf128>, tensor<2x8x6xf128>) outs(%zs : tensor<2x4x6xf128>) -> tensor<2x4x6xf128>
  %er = tensor.empty() : tensor<2x4xf128>
  %m0 = linalg.fill ins(%lowest : f128) outs(%er : tensor<2x4xf128>) -> tensor<2x4xf128>
  %m = linalg.reduce ins(%s0 : tensor<2x4x6xf128>) outs(%m0 : tensor<2x4xf128>) dimensions = [2]
    (%x: f128, %sum: f128) { %n = arith.maximumf %x, %sum : f128 linalg.yield %n : f128 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0, %m : tensor<2x4x6xf128>, tensor<2x4xf128>) outs(%es : tensor<2x4x6xf128>) {
  ^bb0(%a0: f128, %a1: f128, %o: f128):
    %x = arith.subf %a0, %a1 : f128
    linalg.yield %x : f128
  } -> tensor<2x4x6xf128>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x6xf128>) outs(%es : tensor<2x4x6xf128>) {
  ^bb0(%a0: f128, %o: f128):
    %x = math.exp %a0 : f128
    linalg.yield %x : f128
  } -> tensor<2x4x6xf128>
  %z0 = linalg.fill ins(%start : f128) outs(%er : tensor<2x4xf128>) -> tensor<2x4xf128>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf128>) outs(%z0 : tensor<2x4xf128>) dimensions = [2]
    (%x: f128, %sum: f128) { %n = arith.addf %x, %sum : f128 linalg.yield %n : f128 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf128>, tensor<2x4xf128>) outs(%es : tensor<2x4x6xf128>) {
  ^bb0(%a0: f128, %a1: f128, %o: f128):
    %x = arith.divf %a0, %a1 : f128
    linalg.yield %x : f128
  } -> tensor<2x4x6xf128>
  %eo = tensor.empty() : tensor<2x4x8xf128>
  %zo = linalg.fill ins(%zero : f128) outs(%eo : tensor<2x4x8xf128>) -> tensor<2x4x8xf128>
  // expected-remark @below {{attention not raised (unsupported-dtype)}}
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf128>, tensor<2x6x8xf128>) outs(%zo : tensor<2x4x8xf128>) -> tensor<2x4x8xf128>
  return %r : tensor<2x4x8xf128>
}

// -----

// No keys at all.
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
#col = affine_map<(b, i, j) -> (b, j)>
func.func @empty_shape(%q: tensor<2x4x8xf32>, %k: tensor<2x0x8xf32>, %v: tensor<2x0x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %kt0 = tensor.empty() : tensor<2x8x0xf32>
  %kt = linalg.transpose ins(%k : tensor<2x0x8xf32>) outs(%kt0 : tensor<2x8x0xf32>) permutation = [0, 2, 1]
  %es = tensor.empty() : tensor<2x4x0xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x0xf32>) -> tensor<2x4x0xf32>
  %s0 = linalg.batch_matmul ins(%q, %kt : tensor<2x4x8xf32>, tensor<2x8x0xf32>) outs(%zs : tensor<2x4x0xf32>) -> tensor<2x4x0xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%lowest : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m = linalg.reduce ins(%s0 : tensor<2x4x0xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.maximumf %x, %sum : f32 linalg.yield %n : f32 }
  %c = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0, %m : tensor<2x4x0xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x0xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.subf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x0xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%c : tensor<2x4x0xf32>) outs(%es : tensor<2x4x0xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %x = math.exp %a0 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x0xf32>
  %z0 = linalg.fill ins(%start : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x0xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x0xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x0xf32>) {
  ^bb0(%a0: f32, %a1: f32, %o: f32):
    %x = arith.divf %a0, %a1 : f32
    linalg.yield %x : f32
  } -> tensor<2x4x0xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  // expected-remark @below {{attention not raised (empty-shape)}}
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x0xf32>, tensor<2x0x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// -----

// Every query has keys of its own: the first product is not one of queries and keys.
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
#col = affine_map<(b, i, j) -> (b, j)>
func.func @not_a_view(%q: tensor<2x4x8xf32>, %k: tensor<2x4x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %start = arith.constant 0.0 : f32
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s0 = linalg.generic {indexing_maps = [affine_map<(b, i, j, d) -> (b, i, d)>,
      affine_map<(b, i, j, d) -> (b, i, j, d)>, affine_map<(b, i, j, d) -> (b, i, j)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%q, %k : tensor<2x4x8xf32>, tensor<2x4x6x8xf32>) outs(%zs : tensor<2x4x6xf32>) {
  ^bb0(%x: f32, %y: f32, %sum: f32):
    %xy = arith.mulf %x, %y : f32
    %n = arith.addf %sum, %xy : f32
    linalg.yield %n : f32
  } -> tensor<2x4x6xf32>
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
  // expected-remark @below {{attention not raised (not-a-view)}}
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// -----

// Both products are on integers.
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
#col = affine_map<(b, i, j) -> (b, j)>
func.func @quantized(%q: tensor<2x4x8xi8>, %k: tensor<2x8x6xi8>, %v: tensor<2x6x8xi8>) -> tensor<2x4x8xi32> {
  %zero = arith.constant 0 : i32
  %zp = arith.constant 3 : i32
  %zerof = arith.constant 0.0 : f32
  %es = tensor.empty() : tensor<2x4x6xi32>
  %zs = linalg.fill ins(%zero : i32) outs(%es : tensor<2x4x6xi32>) -> tensor<2x4x6xi32>
  %s = linalg.quantized_batch_matmul ins(%q, %k, %zp, %zp : tensor<2x4x8xi8>, tensor<2x8x6xi8>, i32, i32)
    outs(%zs : tensor<2x4x6xi32>) -> tensor<2x4x6xi32>
  %ef = tensor.empty() : tensor<2x4x6xf32>
  %e = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s : tensor<2x4x6xi32>) outs(%ef : tensor<2x4x6xf32>) {
  ^bb0(%a: i32, %o: f32):
    %f = arith.sitofp %a : i32 to f32
    %x = math.exp %f : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %z0 = linalg.fill ins(%zerof : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z = linalg.reduce ins(%e : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
    (%x: f32, %sum: f32) { %n = arith.addf %x, %sum : f32 linalg.yield %n : f32 }
  %ep = tensor.empty() : tensor<2x4x6xi8>
  %p = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%e, %z : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%ep : tensor<2x4x6xi8>) {
  ^bb0(%a: f32, %b: f32, %o: i8):
    %f = arith.divf %a, %b : f32
    %x = arith.fptosi %f : f32 to i8
    linalg.yield %x : i8
  } -> tensor<2x4x6xi8>
  %eo = tensor.empty() : tensor<2x4x8xi32>
  %zo = linalg.fill ins(%zero : i32) outs(%eo : tensor<2x4x8xi32>) -> tensor<2x4x8xi32>
  // expected-remark @below {{attention not raised (quantized)}}
  %r = linalg.quantized_batch_matmul ins(%p, %v, %zp, %zp : tensor<2x4x6xi8>, tensor<2x6x8xi8>, i32, i32)
    outs(%zo : tensor<2x4x8xi32>) -> tensor<2x4x8xi32>
  return %r : tensor<2x4x8xi32>
}

// -----

// The second product adds to an argument.
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
#col = affine_map<(b, i, j) -> (b, j)>
func.func @accumulates_into_tensor(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>, %acc: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
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
  // expected-remark @below {{attention not raised (accumulates-into-tensor)}}
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%acc : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// -----

// A sigmoid of each score.
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
#col = affine_map<(b, i, j) -> (b, j)>
func.func @sigmoid_instead_of_softmax(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
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
  %pm = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s0 : tensor<2x4x6xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a0: f32, %o: f32):
    %n = arith.negf %a0 : f32
    %one = arith.constant 1.0 : f32
    %x0 = math.exp %n : f32
    %y = arith.addf %x0, %one : f32
    %x = arith.divf %one, %y : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  // expected-remark @below {{attention not raised (sigmoid-instead-of-softmax)}}
  %r = linalg.batch_matmul ins(%pm, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// -----

// Nothing between the products.
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
#col = affine_map<(b, i, j) -> (b, j)>
func.func @no_softmax(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
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
  // expected-remark @below {{attention not raised (no-softmax)}}
  %r = linalg.batch_matmul ins(%s0, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// -----

// The logarithm is that of the shifted exponentials, and the maximum is not added to it.
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
func.func @log_of_other_sum(%q: tensor<2x4x8xf32>, %k: tensor<2x6x8xf32>, %v: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
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
    %y = arith.subf %a, %l : f32
    %x = math.exp %y : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  // expected-remark @below {{attention not raised (sum-of-other-values)}}
  %r = linalg.batch_matmul ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}

// -----

// Two chunks of keys that meet in one division.
#id = affine_map<(b, i, j) -> (b, i, j)>
#row = affine_map<(b, i, j) -> (b, i)>
func.func @online_softmax(%q: tensor<2x4x8xf32>, %k1: tensor<2x8x6xf32>, %k2: tensor<2x8x6xf32>, %v1: tensor<2x6x8xf32>, %v2: tensor<2x6x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %low = arith.constant 0xFF800000 : f32
  %es = tensor.empty() : tensor<2x4x6xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s1 = linalg.batch_matmul ins(%q, %k1 : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %s2 = linalg.batch_matmul ins(%q, %k2 : tensor<2x4x8xf32>, tensor<2x8x6xf32>) outs(%zs : tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %er = tensor.empty() : tensor<2x4xf32>
  %m0 = linalg.fill ins(%low : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %z0 = linalg.fill ins(%zero : f32) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %m1 = linalg.reduce { arith.maximumf } ins(%s1 : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
  %m2 = linalg.reduce { arith.maximumf } ins(%s2 : tensor<2x4x6xf32>) outs(%m0 : tensor<2x4xf32>) dimensions = [2]
  %m = linalg.max ins(%m1, %m2 : tensor<2x4xf32>, tensor<2x4xf32>) outs(%er : tensor<2x4xf32>) -> tensor<2x4xf32>
  %e1 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s1, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %e2 = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%s2, %m : tensor<2x4x6xf32>, tensor<2x4xf32>) outs(%es : tensor<2x4x6xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<2x4x6xf32>
  %z1 = linalg.reduce { arith.addf } ins(%e1 : tensor<2x4x6xf32>) outs(%z0 : tensor<2x4xf32>) dimensions = [2]
  %z = linalg.reduce { arith.addf } ins(%e2 : tensor<2x4x6xf32>) outs(%z1 : tensor<2x4xf32>) dimensions = [2]
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  // expected-remark @below {{attention not raised (online-softmax): the softmax is spread over several products}}
  %o1 = linalg.batch_matmul ins(%e1, %v1 : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  // expected-remark @below {{attention not raised (online-softmax)}}
  %o2 = linalg.batch_matmul ins(%e2, %v2 : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %o = linalg.add ins(%o1, %o2 : tensor<2x4x8xf32>, tensor<2x4x8xf32>) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %r = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%o, %z : tensor<2x4x8xf32>, tensor<2x4xf32>) outs(%eo : tensor<2x4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<2x4x8xf32>
  return %r : tensor<2x4x8xf32>
}
