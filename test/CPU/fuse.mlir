// RUN: elfatt-opt %s --pass-pipeline='builtin.module(func.func(elfatt-cpu-fuse))' | FileCheck %s

#id = affine_map<(i, j) -> (i, j)>

// CHECK-LABEL: func @elementwise_chain
// CHECK-COUNT-1: linalg.generic
// CHECK-NOT: linalg.generic
func.func @elementwise_chain(%x: tensor<8x16xf32>) -> tensor<8x16xf32> {
  %e = tensor.empty() : tensor<8x16xf32>
  %0 = linalg.exp ins(%x : tensor<8x16xf32>) outs(%e : tensor<8x16xf32>) -> tensor<8x16xf32>
  %1 = linalg.negf ins(%0 : tensor<8x16xf32>) outs(%e : tensor<8x16xf32>) -> tensor<8x16xf32>
  return %1 : tensor<8x16xf32>
}

// The transpose becomes the operand's map; the product stays a product.
// CHECK-LABEL: func @transposed_operand
// CHECK-NOT: linalg.transpose
// CHECK: linalg.generic {{.*}} ins(%arg0, %arg1 : tensor<8x4xf32>, tensor<16x4xf32>)
// CHECK: arith.mulf
// CHECK-NEXT: arith.addf
func.func @transposed_operand(%x: tensor<8x4xf32>, %w: tensor<16x4xf32>,
                              %c: tensor<8x16xf32>) -> tensor<8x16xf32> {
  %e = tensor.empty() : tensor<4x16xf32>
  %t = linalg.transpose ins(%w : tensor<16x4xf32>) outs(%e : tensor<4x16xf32>) permutation = [1, 0]
  %0 = linalg.matmul ins(%x, %t : tensor<8x4xf32>, tensor<4x16xf32>)
                     outs(%c : tensor<8x16xf32>) -> tensor<8x16xf32>
  return %0 : tensor<8x16xf32>
}

// CHECK-LABEL: func @computation_is_not_fused_into_a_product
// CHECK: math.exp
// CHECK: linalg.yield
// CHECK: arith.mulf
// CHECK-NOT: math.exp
func.func @computation_is_not_fused_into_a_product(%x: tensor<8x4xf32>, %w: tensor<4x16xf32>,
                                                   %c: tensor<8x16xf32>) -> tensor<8x16xf32> {
  %e = tensor.empty() : tensor<8x4xf32>
  %t = linalg.exp ins(%x : tensor<8x4xf32>) outs(%e : tensor<8x4xf32>) -> tensor<8x4xf32>
  %0 = linalg.matmul ins(%t, %w : tensor<8x4xf32>, tensor<4x16xf32>)
                     outs(%c : tensor<8x16xf32>) -> tensor<8x16xf32>
  return %0 : tensor<8x16xf32>
}

// Patches are gathered before they are multiplied, or no product would be left.
// CHECK-LABEL: func @gather_is_not_fused_into_a_product
// CHECK: %[[PATCHES:.*]] = linalg.generic {{.*}} ins(%arg0 : tensor<8x6xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[PATCHES]], %arg1 : tensor<8x2x3xf32>, tensor<3x16xf32>)
func.func @gather_is_not_fused_into_a_product(%x: tensor<8x6xf32>, %w: tensor<3x16xf32>,
                                              %c: tensor<8x2x16xf32>) -> tensor<8x2x16xf32> {
  %e = tensor.empty() : tensor<8x2x3xf32>
  %patches = linalg.generic
    {indexing_maps = [affine_map<(b, y, i) -> (b, y * 3 + i)>, affine_map<(b, y, i) -> (b, y, i)>],
     iterator_types = ["parallel", "parallel", "parallel"]}
    ins(%x : tensor<8x6xf32>) outs(%e : tensor<8x2x3xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<8x2x3xf32>
  %0 = linalg.generic
    {indexing_maps = [affine_map<(b, y, f, i) -> (b, y, i)>, affine_map<(b, y, f, i) -> (i, f)>,
                      affine_map<(b, y, f, i) -> (b, y, f)>],
     iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%patches, %w : tensor<8x2x3xf32>, tensor<3x16xf32>) outs(%c : tensor<8x2x16xf32>) {
    ^bb0(%in: f32, %weight: f32, %out: f32):
      %p = arith.mulf %in, %weight : f32
      %s = arith.addf %out, %p : f32
      linalg.yield %s : f32
    } -> tensor<8x2x16xf32>
  return %0 : tensor<8x2x16xf32>
}
