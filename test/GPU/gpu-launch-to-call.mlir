// RUN: elfatt-opt %s --elfatt-gpu-launch-to-call | FileCheck %s

// Pointers and numbers travel as words, each with the bytes it points to; the kernel by the
// number of the launch.
// CHECK: module attributes {elfatt.kernels = ["main_0", "descriptor"]}
// CHECK: func.func private @elfatt_launch(i64, i64, i64, i64, i64, i64, i64, i64, i64)
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[A:.*]]: memref<4xf32>, %[[N:.*]]: index, %[[X:.*]]: f32
// CHECK: %[[WORDS:.*]] = memref.alloca() : memref<6xi64>
// CHECK: memref.extract_strided_metadata %[[A]]
// CHECK: %[[POINTER:.*]] = memref.extract_aligned_pointer_as_index %[[A]]
// CHECK: %[[WORD:.*]] = arith.index_cast %[[POINTER]] : index to i64
// CHECK: memref.store %[[WORD]], %[[WORDS]][%c0{{.*}}]
// CHECK: arith.bitcast %[[X]] : f32 to i32
// CHECK: call @elfatt_launch(%c0_i64
// CHECK-NOT: gpu.launch_func

// A kernel with upstream's descriptors: pointers, offset, sizes, strides.
// CHECK-LABEL: func.func @strided
// CHECK: memref.alloca() : memref<10xi64>
// CHECK: call @elfatt_launch(%c1_i64
module attributes {gpu.container_module} {
  func.func @main(%a: memref<4xf32>, %n: index, %x: f32) {
    %c1 = arith.constant 1 : index
    gpu.launch_func @kernels::@main_0 blocks in (%n, %c1, %c1) threads in (%c1, %c1, %c1) args(%a : memref<4xf32>, %n : index, %x : f32)
    return
  }
  func.func @strided(%a: memref<?xf32>, %n: index) {
    %c1 = arith.constant 1 : index
    gpu.launch_func @kernels::@descriptor blocks in (%n, %c1, %c1) threads in (%c1, %c1, %c1) args(%a : memref<?xf32>)
    return
  }
  gpu.module @kernels {
    llvm.func @descriptor(%base: !llvm.ptr, %data: !llvm.ptr, %offset: i64, %size: i64, %stride: i64) attributes {gpu.kernel, nvvm.kernel} {
      llvm.return
    }
    gpu.func @main_0(%a: memref<4xf32>, %n: index, %x: f32) kernel {
      gpu.return
    }
  }
}
