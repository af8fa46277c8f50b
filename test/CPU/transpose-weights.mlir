// RUN: elfatt-opt %s --elfatt-cpu-transpose-weights | FileCheck %s

// CHECK-LABEL: func @weight
// CHECK-NOT: linalg.transpose
// CHECK: arith.constant dense_resource<w_transposed> : tensor<3x2xf32>
func.func @weight() -> tensor<3x2xf32> {
  %w = arith.constant dense_resource<w> : tensor<2x3xf32>
  %e = tensor.empty() : tensor<3x2xf32>
  %0 = linalg.transpose ins(%w : tensor<2x3xf32>) outs(%e : tensor<3x2xf32>) permutation = [1, 0]
  return %0 : tensor<3x2xf32>
}

// CHECK-LABEL: func @argument_stays
// CHECK: linalg.transpose
func.func @argument_stays(%w: tensor<2x3xf32>) -> tensor<3x2xf32> {
  %e = tensor.empty() : tensor<3x2xf32>
  %0 = linalg.transpose ins(%w : tensor<2x3xf32>) outs(%e : tensor<3x2xf32>) permutation = [1, 0]
  return %0 : tensor<3x2xf32>
}

// [[1, 2, 3], [4, 5, 6]] becomes [[1, 4], [2, 5], [3, 6]].
// CHECK: w_transposed: "0x{{0*}}4{{0*}}0000803F0000804000000040{{0*}}0000A040000040400000C040"
{-#
  dialect_resources: {
    builtin: {
      w: "0x040000000000803F0000004000004040000080400000A0400000C040"
    }
  }
#-}
