// RUN: elfatt-opt %s --elfatt-to-cpu | FileCheck %s
// RUN: elfatt-opt %s --elfatt-to-cpu --stop-after=tile | FileCheck %s --check-prefix=TILE
// RUN: elfatt-opt %s --elfatt-to-cpu --stop-after=vector | FileCheck %s --check-prefix=VECTOR

// Attention becomes a kernel, the product a call; nothing but the LLVM dialect
// is left.
// CHECK-NOT: attention.
// CHECK-NOT: linalg.
// CHECK-NOT: memref.
// CHECK-NOT: unrealized_conversion_cast
// CHECK: llvm.func @main
// CHECK: llvm.call @elfatt_sgemm
// CHECK: llvm.call @elfatt_parallel_for

// TILE: linalg.matmul
// TILE: scf.forall
// TILE: attention.sdpa
// VECTOR: scf.forall
// VECTOR-NOT: attention.
// VECTOR: vector.fma
func.func @main(%x: tensor<32x64xf32>, %w: tensor<64x64xf32>, %k: tensor<2x32x32xf32>,
                %v: tensor<2x32x32xf32>) -> tensor<2x32x32xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<32x64xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<32x64xf32>) -> tensor<32x64xf32>
  %q = linalg.matmul ins(%x, %w : tensor<32x64xf32>, tensor<64x64xf32>)
                     outs(%f : tensor<32x64xf32>) -> tensor<32x64xf32>
  %qh = tensor.expand_shape %q [[0], [1, 2]] output_shape [32, 2, 32]
      : tensor<32x64xf32> into tensor<32x2x32xf32>
  %o = tensor.empty() : tensor<2x32x32xf32>
  %0 = attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (i, b, d)>, affine_map<(b, i, j, d, e) -> (b, j, d)>,
      affine_map<(b, i, j, d, e) -> (b, j, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
    ins(%qh, %k, %v : tensor<32x2x32xf32>, tensor<2x32x32xf32>, tensor<2x32x32xf32>)
    outs(%o : tensor<2x32x32xf32>) -> tensor<2x32x32xf32>
  return %0 : tensor<2x32x32xf32>
}
