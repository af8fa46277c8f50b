// RUN: elfatt-opt %s --elfatt-cpu-outline-parallel | FileCheck %s

// CHECK: func.func private @elfatt_parallel_for(!llvm.ptr, !llvm.ptr, i64)

// CHECK-LABEL: func @two_dims
// CHECK: %[[COUNT:.*]] = arith.index_cast %{{.*}} : index to i64
// CHECK: %[[KERNEL:.*]] = {{.*}}constant @elfatt_kernel_0
// CHECK: call @elfatt_parallel_for(%{{.*}}, %{{.*}}, %[[COUNT]])
// CHECK-NOT: scf.forall
func.func @two_dims(%x: f32, %m: memref<8x4xf32>) {
  scf.forall (%i, %j) in (8, 4) {
    memref.store %x, %m[%i, %j] : memref<8x4xf32>
  }
  return
}

// CHECK-LABEL: func @equal_loops_share_a_kernel
// CHECK: constant @elfatt_kernel_0
func.func @equal_loops_share_a_kernel(%x: f32, %m: memref<8x4xf32>) {
  scf.forall (%i, %j) in (8, 4) {
    memref.store %x, %m[%i, %j] : memref<8x4xf32>
  }
  return
}

// CHECK-LABEL: func @other_constants_are_another_kernel
// CHECK: constant @elfatt_kernel_1
func.func @other_constants_are_another_kernel(%x: f32, %m: memref<8x4xf32>) {
  scf.forall (%i, %j) in (8, 3) {
    memref.store %x, %m[%i, %j] : memref<8x4xf32>
  }
  return
}

// CHECK-LABEL: func @scratch
// CHECK: constant @elfatt_kernel_2
func.func @scratch(%m: memref<8xf32>) {
  %c0 = arith.constant 0 : index
  scf.forall (%i) in (8) {
    %s = memref.alloc() : memref<16xf32>
    %x = memref.load %s[%c0] : memref<16xf32>
    memref.store %x, %m[%i] : memref<8xf32>
    memref.dealloc %s : memref<16xf32>
  }
  return
}

// CHECK-LABEL: func @dynamic_bounds
// CHECK: constant @elfatt_kernel_3
func.func @dynamic_bounds(%x: f32, %m: memref<?xf32>, %low: index, %high: index) {
  scf.forall (%i) = (%low) to (%high) step (2) {
    memref.store %x, %m[%i] : memref<?xf32>
  }
  return
}

// CHECK: func.func private @elfatt_kernel_0(%{{.*}}: !llvm.ptr, %[[BEGIN:.*]]: i64, %[[END:.*]]: i64)
// CHECK: scf.for %[[LINEAR:.*]] = %{{.*}} to %{{.*}}
// CHECK: %[[J:.*]] = arith.remui %[[LINEAR]], %
// CHECK: %[[I:.*]] = arith.divui %[[LINEAR]], %
// CHECK: memref.store %{{.*}}, %{{.*}}[%[[I]], %[[J]]]

// Scratch lies on the stack, outside the loop, and the heap is not called.
// CHECK: func.func private @elfatt_kernel_2
// CHECK-NEXT: memref.alloca() {alignment = 64 : i64} : memref<16xf32>
// CHECK: scf.for
// CHECK-NOT: memref.alloc
// CHECK: return
