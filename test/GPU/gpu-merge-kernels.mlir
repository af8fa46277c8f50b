// RUN: elfatt-opt %s --elfatt-gpu-merge-kernels | FileCheck %s

module attributes {gpu.container_module} {
// CHECK-LABEL: gpu.module @kernels
// CHECK: gpu.func @first
// CHECK-NOT: gpu.func @same
// CHECK: gpu.func @other_body
// CHECK: gpu.func @other_type
// CHECK-NOT: gpu.func
  gpu.module @kernels {
    gpu.func @first(%out: memref<4xf32>) kernel {
      %c0 = arith.constant 0 : index
      %x = arith.constant 1.0 : f32
      memref.store %x, %out[%c0] : memref<4xf32>
      gpu.return
    }
    gpu.func @same(%out: memref<4xf32>) kernel {
      %c0 = arith.constant 0 : index
      %x = arith.constant 1.0 : f32
      memref.store %x, %out[%c0] : memref<4xf32>
      gpu.return
    }
    gpu.func @other_body(%out: memref<4xf32>) kernel {
      %c0 = arith.constant 0 : index
      %x = arith.constant 2.0 : f32
      memref.store %x, %out[%c0] : memref<4xf32>
      gpu.return
    }
    gpu.func @other_type(%out: memref<8xf32>) kernel {
      %c0 = arith.constant 0 : index
      %x = arith.constant 1.0 : f32
      memref.store %x, %out[%c0] : memref<8xf32>
      gpu.return
    }
  }

// CHECK-LABEL: func @launches
// CHECK: gpu.launch_func @kernels::@first
// CHECK: gpu.launch_func @kernels::@first
// CHECK: gpu.launch_func @kernels::@other_body
// CHECK: gpu.launch_func @kernels::@other_type
  func.func @launches(%a: memref<4xf32>, %b: memref<8xf32>) {
    %c1 = arith.constant 1 : index
    gpu.launch_func @kernels::@first blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%a : memref<4xf32>)
    gpu.launch_func @kernels::@same blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%a : memref<4xf32>)
    gpu.launch_func @kernels::@other_body blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%a : memref<4xf32>)
    gpu.launch_func @kernels::@other_type blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%b : memref<8xf32>)
    return
  }
}
