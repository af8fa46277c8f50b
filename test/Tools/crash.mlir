// An abort inside LLVM becomes an error that names the pass, with upstream's
// reproducer beside it, from a file and from stdin.

// RUN: rm -rf %t && mkdir %t && cd %t
// RUN: %exits 2 elfatt-opt %s --canonicalize --gpu-module-to-binary=format=isa -o out.mlir 2>&1 | FileCheck %s
// RUN: FileCheck %s --check-prefix=REPRO --input-file=elfatt-opt-crash.mlir
// RUN: rm elfatt-opt-crash.mlir && not ls out.mlir*
// RUN: %exits 2 elfatt-opt --gpu-module-to-binary=format=isa < %s 2>&1 | FileCheck %s
// RUN: FileCheck %s --check-prefix=REPRO --input-file=elfatt-opt-crash.mlir

// CHECK-NOT: Stack dump
// CHECK: elfatt-opt: error: fatal error in pass 'gpu-module-to-binary': PTX version 6.0 does not support target 'sm_87'
// CHECK: note: reproducer in 'elfatt-opt-crash.mlir'
// REPRO: gpu.module @kernels
// REPRO: pipeline: "builtin.module({{.*}}gpu-module-to-binary{{.*}})"
module attributes {gpu.container_module} {
  gpu.module @kernels [#nvvm.target<chip = "sm_87", features = "+ptx60">] {
    llvm.func @kernel() attributes {gpu.kernel, nvvm.kernel} {
      llvm.return
    }
  }
}
