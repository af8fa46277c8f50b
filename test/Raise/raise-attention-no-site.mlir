// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s -split-input-file --allow-unregistered-dialect --elfatt-raise -verify-diagnostics | FileCheck %s

// Nothing here is a site, so nothing is said.
// CHECK-NOT: attention.

// An MLP: the weights are constants.
func.func @mlp(%x: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %w1 = arith.constant dense<0.1> : tensor<2x8x16xf32>
  %w2 = arith.constant dense<0.2> : tensor<2x16x8xf32>
  %eh = tensor.empty() : tensor<2x4x16xf32>
  %zh = linalg.fill ins(%zero : f32) outs(%eh : tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %h = linalg.batch_matmul ins(%x, %w1 : tensor<2x4x8xf32>, tensor<2x8x16xf32>) outs(%zh : tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %g = linalg.exp ins(%h : tensor<2x4x16xf32>) outs(%eh : tensor<2x4x16xf32>) -> tensor<2x4x16xf32>
  %eo = tensor.empty() : tensor<2x4x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  %o = linalg.batch_matmul ins(%g, %w2 : tensor<2x4x16xf32>, tensor<2x16x8xf32>) outs(%zo : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %o : tensor<2x4x8xf32>
}

// -----

// A chain of two products without a batch.
func.func @chain(%a: tensor<4x8xf32>, %b: tensor<8x6xf32>, %c: tensor<6x8xf32>) -> tensor<4x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e1 = tensor.empty() : tensor<4x6xf32>
  %z1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<4x6xf32>) -> tensor<4x6xf32>
  %s = linalg.matmul ins(%a, %b : tensor<4x8xf32>, tensor<8x6xf32>) outs(%z1 : tensor<4x6xf32>) -> tensor<4x6xf32>
  %e2 = tensor.empty() : tensor<4x8xf32>
  %z2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<4x8xf32>) -> tensor<4x8xf32>
  %o = linalg.matmul ins(%s, %c : tensor<4x6xf32>, tensor<6x8xf32>) outs(%z2 : tensor<4x8xf32>) -> tensor<4x8xf32>
  return %o : tensor<4x8xf32>
}

// -----

// No body, a call, unregistered ops, rank 0, a cycle of blocks.
func.func private @declared(tensor<?x?xf32>) -> tensor<?x?xf32>
func.func @odd(%x: tensor<?x?xf32>, %f: tensor<f32>, %c: i1) -> tensor<?x?xf32> {
  %y = func.call @declared(%x) : (tensor<?x?xf32>) -> tensor<?x?xf32>
  %z = "other.op"(%y, %f) : (tensor<?x?xf32>, tensor<f32>) -> tensor<?x?xf32>
  cf.br ^loop(%z : tensor<?x?xf32>)
^loop(%a: tensor<?x?xf32>):
  %m = linalg.matmul ins(%a, %a : tensor<?x?xf32>, tensor<?x?xf32>) outs(%y : tensor<?x?xf32>) -> tensor<?x?xf32>
  cf.cond_br %c, ^loop(%m : tensor<?x?xf32>), ^done
^done:
  return %m : tensor<?x?xf32>
}
