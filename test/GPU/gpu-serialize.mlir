// RUN: elfatt-opt %s --elfatt-gpu-serialize="fit-registers=true" | FileCheck %s
// RUN: elfatt-opt %s --elfatt-gpu-serialize | FileCheck %s --check-prefix=FOREIGN

// Loops of what is lowered here stay rolled where they read no global memory; what others wrote has
// all of LLVM's passes.
module attributes {gpu.container_module} {
  // CHECK-LABEL: gpu.binary @of_shared
  // CHECK-SAME: .pragma \22nounroll\22
  // FOREIGN-LABEL: gpu.binary @of_shared
  // FOREIGN-SAME: ld.shared.b32{{.*}}ld.shared.b32
  gpu.module @of_shared [#nvvm.target<chip = "sm_80", features = "+ptx74">] {
    llvm.func @sum(%from: !llvm.ptr<3>, %to: !llvm.ptr<1>, %count: i64) attributes {gpu.kernel, nvvm.kernel} {
      %zero = llvm.mlir.constant(0 : i64) : i64
      %one = llvm.mlir.constant(1 : i64) : i64
      %none = llvm.mlir.constant(0.0 : f32) : f32
      llvm.br ^head(%zero, %none : i64, f32)
    ^head(%i: i64, %sum: f32):
      %more = llvm.icmp "slt" %i, %count : i64
      llvm.cond_br %more, ^body, ^end
    ^body:
      %place = llvm.getelementptr %from[%i] : (!llvm.ptr<3>, i64) -> !llvm.ptr<3>, f32
      %x = llvm.load %place : !llvm.ptr<3> -> f32
      %next_sum = llvm.fadd %sum, %x : f32
      %next = llvm.add %i, %one : i64
      llvm.br ^head(%next, %next_sum : i64, f32)
    ^end:
      llvm.store %sum, %to : f32, !llvm.ptr<1>
      llvm.return
    }
  }

  // CHECK-LABEL: gpu.binary @of_global
  // CHECK-NOT: nounroll
  gpu.module @of_global [#nvvm.target<chip = "sm_80", features = "+ptx74">] {
    llvm.func @sum(%from: !llvm.ptr<1>, %to: !llvm.ptr<1>, %count: i64) attributes {gpu.kernel, nvvm.kernel} {
      %zero = llvm.mlir.constant(0 : i64) : i64
      %one = llvm.mlir.constant(1 : i64) : i64
      %none = llvm.mlir.constant(0.0 : f32) : f32
      llvm.br ^head(%zero, %none : i64, f32)
    ^head(%i: i64, %sum: f32):
      %more = llvm.icmp "slt" %i, %count : i64
      llvm.cond_br %more, ^body, ^end
    ^body:
      %place = llvm.getelementptr %from[%i] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
      %x = llvm.load %place : !llvm.ptr<1> -> f32
      %next_sum = llvm.fadd %sum, %x : f32
      %next = llvm.add %i, %one : i64
      llvm.br ^head(%next, %next_sum : i64, f32)
    ^end:
      llvm.store %sum, %to : f32, !llvm.ptr<1>
      llvm.return
    }
  }
}
