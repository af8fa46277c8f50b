// RUN: elfatt-opt %s --canonicalize | FileCheck %s

// The driver has upstream's passes.
// CHECK-LABEL: func @dead_code
// CHECK-NOT: arith.constant
// CHECK: return
func.func @dead_code() {
  %0 = arith.constant 1 : index
  return
}
