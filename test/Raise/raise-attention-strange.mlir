// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --allow-unregistered-dialect --elfatt-raise=remarks=false | FileCheck %s
// RUN: elfatt-opt %s --allow-unregistered-dialect --elfatt-raise -verify-diagnostics -o /dev/null

// What the importer does not send: left alone, or refused with a reason.

#sparse = #sparse_tensor.encoding<{ map = (d0, d1) -> (d0 : compressed, d1 : compressed) }>
#score = affine_map<(i, j) -> (i, j)>
#lhs = affine_map<(i, j, k) -> (i, k)>
#rhs = affine_map<(i, j, k) -> (k, j)>
#out = affine_map<(i, j, k) -> (i, j)>

// An op that nobody knows, between the products.
// CHECK-LABEL: func.func @unknown_op
// CHECK-NOT:     attention
// CHECK:         return
func.func @unknown_op(%q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>, %zs: tensor<4x4xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant dense<0.0> : tensor<4x8xf32>
  %s = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %t = "foreign.op"(%s) : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %p = linalg.softmax dimension(1) ins(%t : tensor<4x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zero : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// In a body it is a function of a score.
// CHECK-LABEL: func.func @unknown_op_in_a_body
// CHECK:         attention.refused = {{.*}} reason = "score-function"
func.func @unknown_op_in_a_body(%q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zs = arith.constant dense<0.0> : tensor<4x4xf32>
  %zero = arith.constant dense<0.0> : tensor<4x8xf32>
  %s = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %t = linalg.generic {indexing_maps = [#score, #score], iterator_types = ["parallel", "parallel"]}
    ins(%s : tensor<4x4xf32>) outs(%zs : tensor<4x4xf32>) {
  ^bb0(%a: f32, %o: f32):
    %x = "foreign.op"(%a) : (f32) -> f32
    linalg.yield %x : f32
  } -> tensor<4x4xf32>
  %p = linalg.softmax dimension(1) ins(%t : tensor<4x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  // expected-remark @below {{attention not raised (score-function)}}
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zero : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// A function without a body, called in between: another function.
// CHECK-LABEL: func.func private @elsewhere
func.func private @elsewhere(tensor<4x4xf32>) -> tensor<4x4xf32>

// CHECK-LABEL: func.func @call_between
// CHECK-NOT:     attention
// CHECK:         return
func.func @call_between(%q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zs = arith.constant dense<0.0> : tensor<4x4xf32>
  %zero = arith.constant dense<0.0> : tensor<4x8xf32>
  %s = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %t = call @elsewhere(%s) : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %p = linalg.softmax dimension(1) ins(%t : tensor<4x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zero : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// Attention inside of regions is raised inside of them; what follows a region does
// not draw it out, and a transpose in a loop does not draw it in.
// CHECK-LABEL: func.func @nested
// CHECK:         scf.if
// CHECK:           attention.sdpa
// CHECK:         else
// CHECK:         attention.sdpa
// CHECK:         scf.for
// CHECK-NOT:       attention
// CHECK:           linalg.transpose
// CHECK-NOT:     attention
// CHECK:         return
func.func @nested(%c: i1, %n: index, %q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<8x4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %zs = arith.constant dense<0.0> : tensor<4x4xf32>
  %zero = arith.constant dense<0.0> : tensor<4x8xf32>
  %i = scf.if %c -> tensor<4x8xf32> {
    %s = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
    %p = linalg.softmax dimension(1) ins(%s : tensor<4x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
    // expected-remark @below {{raised to attention.sdpa}}
    %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zero : tensor<4x8xf32>) -> tensor<4x8xf32>
    scf.yield %r : tensor<4x8xf32>
  } else {
    scf.yield %q : tensor<4x8xf32>
  }
  %s1 = linalg.matmul ins(%i, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %p1 = linalg.softmax dimension(1) ins(%s1 : tensor<4x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  // expected-remark @below {{raised to attention.sdpa}}
  %r1 = linalg.matmul ins(%p1, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zero : tensor<4x8xf32>) -> tensor<4x8xf32>
  %f = scf.for %at = %c0 to %n step %c1 iter_args(%sum = %k) -> tensor<8x4xf32> {
    %t = linalg.transpose ins(%r1 : tensor<4x8xf32>) outs(%k : tensor<8x4xf32>) permutation = [1, 0]
    %a = linalg.add ins(%t, %sum : tensor<8x4xf32>, tensor<8x4xf32>) outs(%k : tensor<8x4xf32>) -> tensor<8x4xf32>
    scf.yield %a : tensor<8x4xf32>
  }
  return %i, %f : tensor<4x8xf32>, tensor<8x4xf32>
}

// In a block that nothing reaches a value may be made of itself.
// CHECK-LABEL: func.func @unreachable_cycle
// CHECK-NOT:     attention
func.func @unreachable_cycle(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  return %x : tensor<4x4xf32>
^unreachable:
  %a = linalg.transpose ins(%b : tensor<4x4xf32>) outs(%x : tensor<4x4xf32>) permutation = [1, 0]
  %b = linalg.transpose ins(%a : tensor<4x4xf32>) outs(%x : tensor<4x4xf32>) permutation = [1, 0]
  %s = linalg.matmul ins(%a, %b : tensor<4x4xf32>, tensor<4x4xf32>) outs(%x : tensor<4x4xf32>) -> tensor<4x4xf32>
  %t = linalg.matmul ins(%s, %b : tensor<4x4xf32>, tensor<4x4xf32>) outs(%t : tensor<4x4xf32>) -> tensor<4x4xf32>
  %c = tensor.concat dim(0) %c1, %t : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<8x4xf32>
  %c1 = tensor.extract_slice %c[0, 0] [4, 4] [1, 1] : tensor<8x4xf32> to tensor<4x4xf32>
  cf.br ^unreachable
}

// So it may in a region without order.
// CHECK-LABEL: "foreign.graph"
// CHECK-NOT:     attention
"foreign.graph"() ({
  %x = tensor.empty() : tensor<4x4xf32>
  %a = linalg.transpose ins(%b : tensor<4x4xf32>) outs(%x : tensor<4x4xf32>) permutation = [1, 0]
  %b = linalg.transpose ins(%a : tensor<4x4xf32>) outs(%x : tensor<4x4xf32>) permutation = [1, 0]
  %s = linalg.matmul ins(%a, %b : tensor<4x4xf32>, tensor<4x4xf32>) outs(%x : tensor<4x4xf32>) -> tensor<4x4xf32>
  %t = linalg.matmul ins(%s, %b : tensor<4x4xf32>, tensor<4x4xf32>) outs(%x : tensor<4x4xf32>) -> tensor<4x4xf32>
}) : () -> ()

// Where a sparse tensor has its elements is not for a view to say.
// CHECK-LABEL: func.func @sparse_operand
// CHECK:         attention.refused = {{.*}} reason = "not-a-view"
func.func @sparse_operand(%q: tensor<4x8xf32, #sparse>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %zs = arith.constant dense<0.0> : tensor<4x4xf32>
  %zero = arith.constant dense<0.0> : tensor<4x8xf32>
  %s = linalg.matmul ins(%q, %k : tensor<4x8xf32, #sparse>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %p = linalg.softmax dimension(1) ins(%s : tensor<4x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  // expected-remark @below {{attention not raised (not-a-view)}}
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zero : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %r : tensor<4x8xf32>
}

// CHECK-LABEL: func.func @sparse_result
// CHECK:         attention.refused = {{.*}} reason = "not-a-view"
func.func @sparse_result(%q: tensor<4x8xf32>, %k: tensor<8x4xf32>, %v: tensor<4x8xf32>) -> tensor<4x8xf32, #sparse> {
  %zero = arith.constant 0.0 : f32
  %zs = arith.constant dense<0.0> : tensor<4x4xf32>
  %eo = tensor.empty() : tensor<4x8xf32, #sparse>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<4x8xf32, #sparse>) -> tensor<4x8xf32, #sparse>
  %s = linalg.matmul ins(%q, %k : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  %p = linalg.softmax dimension(1) ins(%s : tensor<4x4xf32>) outs(%zs : tensor<4x4xf32>) -> tensor<4x4xf32>
  // expected-remark @below {{attention not raised (not-a-view)}}
  %r = linalg.matmul ins(%p, %v : tensor<4x4xf32>, tensor<4x8xf32>) outs(%zo : tensor<4x8xf32, #sparse>) -> tensor<4x8xf32, #sparse>
  return %r : tensor<4x8xf32, #sparse>
}

// Buffers have no values to follow.
// CHECK-LABEL: func.func @buffers
// CHECK-NOT:     attention
// CHECK:         return
func.func @buffers(%q: memref<4x8xf32>, %k: memref<8x4xf32>, %v: memref<4x8xf32>, %s: memref<4x4xf32>, %o: memref<4x8xf32>) {
  linalg.matmul ins(%q, %k : memref<4x8xf32>, memref<8x4xf32>) outs(%s : memref<4x4xf32>)
  linalg.softmax dimension(1) ins(%s : memref<4x4xf32>) outs(%s : memref<4x4xf32>)
  linalg.matmul ins(%s, %v : memref<4x4xf32>, memref<4x8xf32>) outs(%o : memref<4x8xf32>)
  return
}

// CHECK-LABEL: func.func @tensors_of_vectors
// CHECK:         attention.refused = {{.*}} reason = "unsupported-dtype"
func.func @tensors_of_vectors(%q: tensor<4x4xvector<4xf32>>, %k: tensor<4x4xvector<4xf32>>, %z: tensor<4x4xvector<4xf32>>) -> tensor<4x4xvector<4xf32>> {
  %s = linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%q, %k : tensor<4x4xvector<4xf32>>, tensor<4x4xvector<4xf32>>) outs(%z : tensor<4x4xvector<4xf32>>) {
  ^bb0(%a: vector<4xf32>, %b: vector<4xf32>, %c: vector<4xf32>):
    %m = arith.mulf %a, %b : vector<4xf32>
    %n = arith.addf %c, %m : vector<4xf32>
    linalg.yield %n : vector<4xf32>
  } -> tensor<4x4xvector<4xf32>>
  %p = linalg.softmax dimension(1) ins(%s : tensor<4x4xvector<4xf32>>) outs(%z : tensor<4x4xvector<4xf32>>) -> tensor<4x4xvector<4xf32>>
  // expected-remark @below {{attention not raised (unsupported-dtype)}}
  %r = linalg.generic {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction"]}
    ins(%p, %q : tensor<4x4xvector<4xf32>>, tensor<4x4xvector<4xf32>>) outs(%z : tensor<4x4xvector<4xf32>>) {
  ^bb0(%a: vector<4xf32>, %b: vector<4xf32>, %c: vector<4xf32>):
    %m = arith.mulf %a, %b : vector<4xf32>
    %n = arith.addf %c, %m : vector<4xf32>
    linalg.yield %n : vector<4xf32>
  } -> tensor<4x4xvector<4xf32>>
  return %r : tensor<4x4xvector<4xf32>>
}

// CHECK-LABEL: func.func @float8
// CHECK:         attention.refused = {{.*}} reason = "unsupported-dtype"
func.func @float8(%q: tensor<4x4xf8E4M3FN>, %z: tensor<4x4xf8E4M3FN>) -> tensor<4x4xf8E4M3FN> {
  %s = linalg.matmul ins(%q, %q : tensor<4x4xf8E4M3FN>, tensor<4x4xf8E4M3FN>) outs(%z : tensor<4x4xf8E4M3FN>) -> tensor<4x4xf8E4M3FN>
  %p = linalg.softmax dimension(1) ins(%s : tensor<4x4xf8E4M3FN>) outs(%z : tensor<4x4xf8E4M3FN>) -> tensor<4x4xf8E4M3FN>
  // expected-remark @below {{attention not raised (unsupported-dtype)}}
  %r = linalg.matmul ins(%p, %q : tensor<4x4xf8E4M3FN>, tensor<4x4xf8E4M3FN>) outs(%z : tensor<4x4xf8E4M3FN>) -> tensor<4x4xf8E4M3FN>
  return %r : tensor<4x4xf8E4M3FN>
}

// Complex products are no attention.
// CHECK-LABEL: func.func @complex_numbers
// CHECK-NOT:     attention
// CHECK:         return
func.func @complex_numbers(%q: tensor<2x4x4xcomplex<f32>>, %z: tensor<2x4x4xcomplex<f32>>) -> tensor<2x4x4xcomplex<f32>> {
  %s = linalg.batch_matmul ins(%q, %q : tensor<2x4x4xcomplex<f32>>, tensor<2x4x4xcomplex<f32>>) outs(%z : tensor<2x4x4xcomplex<f32>>) -> tensor<2x4x4xcomplex<f32>>
  %r = linalg.batch_matmul ins(%s, %q : tensor<2x4x4xcomplex<f32>>, tensor<2x4x4xcomplex<f32>>) outs(%z : tensor<2x4x4xcomplex<f32>>) -> tensor<2x4x4xcomplex<f32>>
  return %r : tensor<2x4x4xcomplex<f32>>
}

// Nothing is known of any size, and sizes that no tensor has.
// CHECK-LABEL: func.func @dynamic_everything
// CHECK:         attention.sdpa
// CHECK-LABEL: func.func @huge_sizes
// CHECK:         attention.sdpa
func.func @dynamic_everything(%q: tensor<?x?x?xf32>, %k: tensor<?x?x?xf32>, %v: tensor<?x?x?xf32>, %s: tensor<?x?x?xf32>, %o: tensor<?x?x?xf32>) -> tensor<?x?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %zs = linalg.fill ins(%zero : f32) outs(%s : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%o : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  %qk = linalg.batch_matmul ins(%q, %k : tensor<?x?x?xf32>, tensor<?x?x?xf32>) outs(%zs : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  %p = linalg.softmax dimension(2) ins(%qk : tensor<?x?x?xf32>) outs(%s : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  // expected-remark @below {{raised to attention.sdpa: B=? H=1 N=? M=? D=? Dv=?}}
  %r = linalg.batch_matmul ins(%p, %v : tensor<?x?x?xf32>, tensor<?x?x?xf32>) outs(%zo : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  return %r : tensor<?x?x?xf32>
}
func.func @huge_sizes(%q: tensor<9223372036854775807x8xf32>, %k: tensor<8x9223372036854775807xf32>, %v: tensor<9223372036854775807x8xf32>, %s: tensor<9223372036854775807x9223372036854775807xf32>, %o: tensor<9223372036854775807x8xf32>) -> tensor<9223372036854775807x8xf32> {
  %zero = arith.constant 0.0 : f32
  %zs = linalg.fill ins(%zero : f32) outs(%s : tensor<9223372036854775807x9223372036854775807xf32>) -> tensor<9223372036854775807x9223372036854775807xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%o : tensor<9223372036854775807x8xf32>) -> tensor<9223372036854775807x8xf32>
  %qk = linalg.matmul ins(%q, %k : tensor<9223372036854775807x8xf32>, tensor<8x9223372036854775807xf32>) outs(%zs : tensor<9223372036854775807x9223372036854775807xf32>) -> tensor<9223372036854775807x9223372036854775807xf32>
  %p = linalg.softmax dimension(1) ins(%qk : tensor<9223372036854775807x9223372036854775807xf32>) outs(%s : tensor<9223372036854775807x9223372036854775807xf32>) -> tensor<9223372036854775807x9223372036854775807xf32>
  // expected-remark @below {{raised to attention.sdpa}}
  %r = linalg.matmul ins(%p, %v : tensor<9223372036854775807x9223372036854775807xf32>, tensor<9223372036854775807x8xf32>) outs(%zo : tensor<9223372036854775807x8xf32>) -> tensor<9223372036854775807x8xf32>
  return %r : tensor<9223372036854775807x8xf32>
}
