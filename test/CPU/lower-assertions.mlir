// RUN: elfatt-opt %s --elfatt-cpu-lower-assertions | FileCheck %s

// CHECK: func.func private @elfatt_fail(!llvm.ptr)
// CHECK: llvm.mlir.global internal constant @[[MESSAGE:.*]]("too large\00")
// CHECK-NOT: llvm.mlir.global

// CHECK-LABEL: func @checked
// CHECK: scf.if %arg0 {
// CHECK-NEXT: } else {
// CHECK-NEXT: %[[ADDRESS:.*]] = llvm.mlir.addressof @[[MESSAGE]]
// CHECK-NEXT: call @elfatt_fail(%[[ADDRESS]])
// CHECK-NOT: cf.assert
func.func @checked(%a: i1, %b: i1) {
  cf.assert %a, "too large"
  cf.assert %b, "too large"
  return
}
