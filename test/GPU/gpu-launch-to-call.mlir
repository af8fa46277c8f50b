// RUN: elfatt-opt %s --elfatt-gpu-launch-to-call | FileCheck %s

// Pointers and numbers travel as words; the kernel by its number.
// CHECK: module attributes {elfatt.kernels = ["main_0"]}
// CHECK: func.func private @elfatt_launch(i64, i64, i64, i64, i64, i64, i64, i64, i64)
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[A:.*]]: memref<4xf32>, %[[N:.*]]: index, %[[X:.*]]: f32
// CHECK: %[[WORDS:.*]] = memref.alloca() : memref<3xi64>
// CHECK: %[[POINTER:.*]] = memref.extract_aligned_pointer_as_index %[[A]]
// CHECK: %[[WORD:.*]] = arith.index_cast %[[POINTER]] : index to i64
// CHECK: memref.store %[[WORD]], %[[WORDS]]
// CHECK: arith.bitcast %[[X]] : f32 to i32
// CHECK: call @elfatt_launch
// CHECK-NOT: gpu.launch_func
module attributes {gpu.container_module} {
  func.func @main(%a: memref<4xf32>, %n: index, %x: f32) {
    %c1 = arith.constant 1 : index
    gpu.launch_func @kernels::@main_0 blocks in (%n, %c1, %c1) threads in (%c1, %c1, %c1) args(%a : memref<4xf32>, %n : index, %x : f32)
    return
  }
  gpu.module @kernels {
    gpu.func @main_0(%a: memref<4xf32>, %n: index, %x: f32) kernel {
      gpu.return
    }
  }
}
