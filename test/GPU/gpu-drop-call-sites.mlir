// Of a call site its first place in a file is left; one without a file crashes upstream's pass
// that makes debug scopes, wherever it is.

// RUN: elfatt-opt %s --elfatt-gpu-drop-call-sites --mlir-print-debuginfo --mlir-print-local-scope \
// RUN:   | FileCheck %s
// RUN: elfatt-opt %s --elfatt-gpu-drop-call-sites --ensure-debug-info-scope-on-llvm-func -o /dev/null

// CHECK-LABEL: llvm.func @kernel
llvm.func @kernel(%x: i32) {
  // CHECK: llvm.add {{.*}} loc("model.py":3:5)
  %0 = llvm.add %x, %x : i32 loc(callsite("add"("model.py":3:5) at "model.py":9:1))
  // CHECK: llvm.mul {{.*}} loc(unknown)
  %1 = llvm.mul %x, %x : i32 loc(callsite("mul" at "call"))
  // CHECK: llvm.sub {{.*}} loc(fused["name", "model.py":4:5])
  %2 = llvm.sub %x, %x : i32 loc(fused["name", "model.py":4:5])
  llvm.return
}
// CHECK: call @host(){{.*}} loc(unknown)
func.func @host() {
  func.call @host() : () -> () loc(callsite("inner" at "outer"))
  return
}
