// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s -split-input-file --elfatt-raise=remarks=false | FileCheck %s

// Masks that are dense constants, wherever their bytes are.

// A triangle is the flag.
// CHECK-LABEL: func.func @triangle
// CHECK:         attention.sdpa
// CHECK-NOT:     bias
// CHECK:         causal
// CHECK:         return
#score = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
func.func @triangle(%q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i8
  %mask = arith.constant dense<[[true, false, false, false], [true, true, false, false], [true, true, true, false], [true, true, true, true]]> : tensor<4x4xi1>
  %es = tensor.empty() : tensor<4x4xf32>
  %er = tensor.empty() : tensor<4xf32>
  %eo = tensor.empty() : tensor<4x8xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<4x4xf32>) -> tensor<4x4xf32>
  %zr = linalg.fill ins(%zero : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x8xf32>) -> tensor<4x8xf32>
  %lr = linalg.fill ins(%lowest : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %s0 = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %s = linalg.generic {indexing_maps = [#score, #score, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s0, %mask : tensor<4x4xf32>, tensor<4x4xi1>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %m: i1, %o: f32):
    %x = arith.select %m, %a, %lowest : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %max = linalg.reduce ins(%s : tensor<4x4xf32>) outs(%lr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.maximumf %x, %acc : f32 linalg.yield %n : f32 }
  %e = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s, %max : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %sum = linalg.reduce ins(%e : tensor<4x4xf32>) outs(%zr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.addf %x, %acc : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%e, %sum : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zo : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// -----

// One value of it wrong, and it is a mask.
// CHECK-LABEL: func.func @triangle_with_a_hole
// CHECK:         attention.sdpa
// CHECK-NOT:     causal
// CHECK:         bias
// CHECK-NOT:     causal
// CHECK:         return
#score = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
func.func @triangle_with_a_hole(%q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i8
  %mask = arith.constant dense<[[true, false, false, false], [true, true, false, false], [true, true, true, false], [true, false, true, true]]> : tensor<4x4xi1>
  %es = tensor.empty() : tensor<4x4xf32>
  %er = tensor.empty() : tensor<4xf32>
  %eo = tensor.empty() : tensor<4x8xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<4x4xf32>) -> tensor<4x4xf32>
  %zr = linalg.fill ins(%zero : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x8xf32>) -> tensor<4x8xf32>
  %lr = linalg.fill ins(%lowest : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %s0 = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %s = linalg.generic {indexing_maps = [#score, #score, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s0, %mask : tensor<4x4xf32>, tensor<4x4xi1>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %m: i1, %o: f32):
    %x = arith.select %m, %a, %lowest : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %max = linalg.reduce ins(%s : tensor<4x4xf32>) outs(%lr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.maximumf %x, %acc : f32 linalg.yield %n : f32 }
  %e = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s, %max : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %sum = linalg.reduce ins(%e : tensor<4x4xf32>) outs(%zr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.addf %x, %acc : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%e, %sum : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zo : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// -----

// A buffer of a PyTorch model is bytes beside the text.
// CHECK-LABEL: func.func @resource
// CHECK:         attention.sdpa
// CHECK-NOT:     bias
// CHECK:         causal
// CHECK:         return
#score = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
func.func @resource(%q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i8
  %bytes = arith.constant dense_resource<tril> : tensor<4x4xi8>
  %eb = tensor.empty() : tensor<4x4xi1>
  %mask = linalg.generic {indexing_maps = [#score, #score], iterator_types = ["parallel", "parallel"]}
    ins(%bytes : tensor<4x4xi8>) outs(%eb : tensor<4x4xi1>) {
  ^bb0(%b: i8, %o: i1):
    %x = arith.cmpi ne, %b, %none : i8
    linalg.yield %x : i1
  } -> tensor<4x4xi1>
  %es = tensor.empty() : tensor<4x4xf32>
  %er = tensor.empty() : tensor<4xf32>
  %eo = tensor.empty() : tensor<4x8xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<4x4xf32>) -> tensor<4x4xf32>
  %zr = linalg.fill ins(%zero : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x8xf32>) -> tensor<4x8xf32>
  %lr = linalg.fill ins(%lowest : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %s0 = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %s = linalg.generic {indexing_maps = [#score, #score, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s0, %mask : tensor<4x4xf32>, tensor<4x4xi1>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %m: i1, %o: f32):
    %x = arith.select %m, %a, %lowest : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %max = linalg.reduce ins(%s : tensor<4x4xf32>) outs(%lr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.maximumf %x, %acc : f32 linalg.yield %n : f32 }
  %e = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s, %max : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %sum = linalg.reduce ins(%e : tensor<4x4xf32>) outs(%zr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.addf %x, %acc : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%e, %sum : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zo : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

{-#
  dialect_resources: {
    builtin: {
      tril: "0x0100000001000000010100000101010001010101"
    }
  }
#-}

// -----

// As bytes, with a hole.
// CHECK-LABEL: func.func @resource_with_a_hole
// CHECK:         attention.sdpa
// CHECK-NOT:     causal
// CHECK:         bias
// CHECK-NOT:     causal
// CHECK:         return
#score = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
func.func @resource_with_a_hole(%q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i8
  %bytes = arith.constant dense_resource<hole> : tensor<4x4xi8>
  %eb = tensor.empty() : tensor<4x4xi1>
  %mask = linalg.generic {indexing_maps = [#score, #score], iterator_types = ["parallel", "parallel"]}
    ins(%bytes : tensor<4x4xi8>) outs(%eb : tensor<4x4xi1>) {
  ^bb0(%b: i8, %o: i1):
    %x = arith.cmpi ne, %b, %none : i8
    linalg.yield %x : i1
  } -> tensor<4x4xi1>
  %es = tensor.empty() : tensor<4x4xf32>
  %er = tensor.empty() : tensor<4xf32>
  %eo = tensor.empty() : tensor<4x8xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<4x4xf32>) -> tensor<4x4xf32>
  %zr = linalg.fill ins(%zero : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x8xf32>) -> tensor<4x8xf32>
  %lr = linalg.fill ins(%lowest : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %s0 = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %s = linalg.generic {indexing_maps = [#score, #score, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s0, %mask : tensor<4x4xf32>, tensor<4x4xi1>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %m: i1, %o: f32):
    %x = arith.select %m, %a, %lowest : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %max = linalg.reduce ins(%s : tensor<4x4xf32>) outs(%lr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.maximumf %x, %acc : f32 linalg.yield %n : f32 }
  %e = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s, %max : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %sum = linalg.reduce ins(%e : tensor<4x4xf32>) outs(%zr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.addf %x, %acc : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%e, %sum : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zo : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

{-#
  dialect_resources: {
    builtin: {
      hole: "0x0100000001000000010100000101010001000101"
    }
  }
#-}

// -----

// Bytes that are not there say nothing.
// CHECK-LABEL: func.func @missing_resource
// CHECK:         attention.sdpa
// CHECK-NOT:     causal
// CHECK:         bias
// CHECK-NOT:     causal
// CHECK:         return
#score = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
func.func @missing_resource(%q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %none = arith.constant 0 : i8
  %bytes = arith.constant dense_resource<gone> : tensor<4x4xi8>
  %eb = tensor.empty() : tensor<4x4xi1>
  %mask = linalg.generic {indexing_maps = [#score, #score], iterator_types = ["parallel", "parallel"]}
    ins(%bytes : tensor<4x4xi8>) outs(%eb : tensor<4x4xi1>) {
  ^bb0(%b: i8, %o: i1):
    %x = arith.cmpi ne, %b, %none : i8
    linalg.yield %x : i1
  } -> tensor<4x4xi1>
  %es = tensor.empty() : tensor<4x4xf32>
  %er = tensor.empty() : tensor<4xf32>
  %eo = tensor.empty() : tensor<4x8xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<4x4xf32>) -> tensor<4x4xf32>
  %zr = linalg.fill ins(%zero : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x8xf32>) -> tensor<4x8xf32>
  %lr = linalg.fill ins(%lowest : f32) outs(%er : tensor<4xf32>) -> tensor<4xf32>
  %s0 = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %s = linalg.generic {indexing_maps = [#score, #score, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s0, %mask : tensor<4x4xf32>, tensor<4x4xi1>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %m: i1, %o: f32):
    %x = arith.select %m, %a, %lowest : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %max = linalg.reduce ins(%s : tensor<4x4xf32>) outs(%lr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.maximumf %x, %acc : f32 linalg.yield %n : f32 }
  %e = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s, %max : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %d = arith.subf %a, %b : f32
    %x = math.exp %d : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %sum = linalg.reduce ins(%e : tensor<4x4xf32>) outs(%zr : tensor<4xf32>) dimensions = [1]
    (%x: f32, %acc: f32) { %n = arith.addf %x, %acc : f32 linalg.yield %n : f32 }
  %p = linalg.generic {indexing_maps = [#score, #row, #score], iterator_types = ["parallel", "parallel"]}
    ins(%e, %sum : tensor<4x4xf32>, tensor<4xf32>) outs(%es : tensor<4x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %x = arith.divf %a, %b : f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zo : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}
