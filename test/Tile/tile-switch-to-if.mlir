// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-tile-switch-to-if | FileCheck %s

// CHECK-LABEL: func.func @tensors
// CHECK-SAME:    (%[[N:.*]]: index, %[[A:.*]]: tensor<4xf32>, %[[B:.*]]: tensor<4xf32>, %[[C:.*]]: tensor<4xf32>)
// CHECK:         %[[TWO:.*]] = arith.constant 2 : index
// CHECK:         %[[IS_TWO:.*]] = arith.cmpi eq, %[[N]], %[[TWO]]
// CHECK:         %[[R:.*]] = scf.if %[[IS_TWO]]
// CHECK-NEXT:      scf.yield %[[A]]
// CHECK:         else
// CHECK:           %[[FIVE:.*]] = arith.constant 5 : index
// CHECK:           %[[IS_FIVE:.*]] = arith.cmpi eq, %[[N]], %[[FIVE]]
// CHECK:           %[[REST:.*]] = scf.if %[[IS_FIVE]]
// CHECK-NEXT:        scf.yield %[[B]]
// CHECK:           else
// CHECK-NEXT:        scf.yield %[[C]]
// CHECK:           scf.yield %[[REST]]
// CHECK:         return %[[R]]
func.func @tensors(%n: index, %a: tensor<4xf32>, %b: tensor<4xf32>, %c: tensor<4xf32>) -> tensor<4xf32> {
  %r = scf.index_switch %n -> tensor<4xf32>
  case 2 {
    scf.yield %a : tensor<4xf32>
  }
  case 5 {
    scf.yield %b : tensor<4xf32>
  }
  default {
    scf.yield %c : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

// CHECK-LABEL: func.func @default_alone
// CHECK-SAME:    (%{{.*}}: index, %[[A:.*]]: tensor<4xf32>)
// CHECK-NEXT:    return %[[A]]
func.func @default_alone(%n: index, %a: tensor<4xf32>) -> tensor<4xf32> {
  %r = scf.index_switch %n -> tensor<4xf32>
  default {
    scf.yield %a : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

// Nested ones, too.
// CHECK-LABEL: func.func @nested
// CHECK-NOT:     scf.index_switch
func.func @nested(%n: index, %m: index, %a: tensor<4xf32>, %b: tensor<4xf32>) -> tensor<4xf32> {
  %r = scf.index_switch %n -> tensor<4xf32>
  case 0 {
    %s = scf.index_switch %m -> tensor<4xf32>
    case 1 {
      scf.yield %b : tensor<4xf32>
    }
    default {
      scf.yield %a : tensor<4xf32>
    }
    scf.yield %s : tensor<4xf32>
  }
  default {
    scf.yield %a : tensor<4xf32>
  }
  return %r : tensor<4xf32>
}

// CHECK-LABEL: func.func @numbers
// CHECK:         scf.index_switch
func.func @numbers(%n: index, %x: f32, %y: f32) -> f32 {
  %r = scf.index_switch %n -> f32
  case 0 {
    scf.yield %x : f32
  }
  default {
    scf.yield %y : f32
  }
  return %r : f32
}
