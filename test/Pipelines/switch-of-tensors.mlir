// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_87" --stop-after=kernels | FileCheck %s

// What a case gives is read again after the next product, which must not be written to it.
// CHECK-LABEL: func.func @main
// CHECK:         %[[R:.*]] = scf.if
// CHECK:           linalg.matmul ins({{.*}}) outs(%[[CASE:.*]] :
// CHECK:           scf.yield %[[CASE]]
// CHECK-NOT:     outs(%[[CASE]] :
// CHECK:         linalg.add ins(%[[R]]
func.func @main(%x: tensor<4x4xf32>, %number: tensor<i64>) -> tensor<4x4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %y = linalg.matmul ins(%x, %x : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f0 : tensor<4x4xf32>) -> tensor<4x4xf32>
  %i = tensor.extract %number[] : tensor<i64>
  %n = arith.index_cast %i : i64 to index
  %r = scf.index_switch %n -> tensor<4x4xf32>
  case 0 {
    %f1 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
    %z = linalg.matmul ins(%y, %x : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f1 : tensor<4x4xf32>) -> tensor<4x4xf32>
    scf.yield %z : tensor<4x4xf32>
  }
  default {
    scf.yield %y : tensor<4x4xf32>
  }
  %f2 = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  %u = linalg.matmul ins(%r, %x : tensor<4x4xf32>, tensor<4x4xf32>) outs(%f2 : tensor<4x4xf32>) -> tensor<4x4xf32>
  %v = linalg.add ins(%r, %u : tensor<4x4xf32>, tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  return %v : tensor<4x4xf32>
}
