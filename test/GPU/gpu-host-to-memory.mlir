// RUN: elfatt-opt %s --elfatt-gpu-host-to-memory | FileCheck %s

// Device memory is host memory, and launches wait for themselves.
// CHECK-LABEL: func.func @async
// CHECK-SAME: %[[X:.*]]: memref<?xf32>, %[[N:.*]]: index
// CHECK: %[[DEVICE:.*]] = memref.alloc(%[[N]]) : memref<?xf32>
// CHECK: memref.copy %[[X]], %[[DEVICE]]
// CHECK: linalg.fill {{.*}} outs(%[[DEVICE]] : memref<?xf32>)
// CHECK: gpu.launch_func @kernels::@k blocks in
// CHECK-NOT: gpu.wait
// CHECK-NOT: dealloc
// CHECK: return
module attributes {gpu.container_module} {
  func.func @async(%x: memref<?xf32>, %n: index, %f: f32) {
    %c1 = arith.constant 1 : index
    %u = memref.cast %x : memref<?xf32> to memref<*xf32>
    gpu.host_register %u : memref<*xf32>
    %t0 = gpu.wait async
    %d, %t1 = gpu.alloc async [%t0] (%n) : memref<?xf32>
    %t2 = gpu.memcpy async [%t1] %d, %x : memref<?xf32>, memref<?xf32>
    %t3 = gpu.memset async [%t2] %d, %f : memref<?xf32>, f32
    %t4 = gpu.launch_func async [%t3] @kernels::@k blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%d : memref<?xf32>)
    %t5 = gpu.dealloc async [%t4] %d : memref<?xf32>
    gpu.wait [%t5]
    return
  }
  // What kernels do is theirs.
  // CHECK: gpu.thread_id
  gpu.module @kernels {
    gpu.func @k(%d: memref<?xf32>) kernel {
      %t = gpu.thread_id x
      gpu.return
    }
  }
}
