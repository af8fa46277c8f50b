// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-distribute-staging{chip=sm_80})))' | FileCheck %s
//
// Copies from global to shared memory past the registers, and where they are waited for.
#shared = #gpu.address_space<workgroup>

gpu.module @kernels {
  // Rows that lie an odd number of chunks apart are walked across: eight neighbouring threads
  // write eight rows, in different banks.
  // CHECK-LABEL: gpu.func @across_rows
  // CHECK: %[[IN_GROUP:.*]] = arith.remui %{{.*}}, %c8{{.*}} : index
  // CHECK: %[[FIRST:.*]] = arith.muli %{{.*}}, %c8{{.*}} : index
  // CHECK: %[[ROW:.*]] = arith.addi %[[FIRST]], %[[IN_GROUP]]
  // CHECK: nvgpu.device_async_copy %{{.*}}[%[[ROW]], %{{.*}}], %{{.*}}[%[[ROW]], %{{.*}}], 8 {bypassL1}
  // CHECK: nvgpu.device_async_create_group
  // CHECK-NEXT: nvgpu.device_async_wait %{{.*}} {numGroups = 0 : i32}
  // CHECK-NEXT: gpu.barrier
  gpu.func @across_rows(%a: memref<64x32xf16>) workgroup(%s: memref<64x40xf16, #shared>) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %rows = memref.subview %s[0, 0] [64, 32] [1, 1] : memref<64x40xf16, #shared> to memref<64x32xf16, strided<[40, 1]>, #shared>
    linalg.copy ins(%a : memref<64x32xf16>) outs(%rows : memref<64x32xf16, strided<[40, 1]>, #shared>)
    gpu.barrier
    gpu.return
  }

  // What no worker reads again keeps its mark, and so does what is written.
  // CHECK-LABEL: gpu.func @not_again
  // CHECK: nvgpu.device_async_copy {{.*}} {bypassL1, elfatt.evict_first}
  // CHECK: vector.load %
  // CHECK: vector.store {{.*}}elfatt.evict_first
  gpu.func @not_again(%a: memref<64x32xf16>, %o: memref<64x32xf16>) workgroup(%s: memref<64x32xf16, #shared>) kernel {
    linalg.copy {elfatt.evict_first} ins(%a : memref<64x32xf16>) outs(%s : memref<64x32xf16, #shared>)
    gpu.barrier
    linalg.copy {elfatt.evict_first} ins(%s : memref<64x32xf16, #shared>) outs(%o : memref<64x32xf16>)
    gpu.return
  }

  // What a loop leaves under way is waited for before the barrier at its head.
  // CHECK-LABEL: gpu.func @in_a_loop
  // CHECK: scf.for
  // CHECK: gpu.barrier
  // CHECK: nvgpu.device_async_copy
  // CHECK: nvgpu.device_async_wait
  gpu.func @in_a_loop(%a: memref<64x32xf16>, %n: index) workgroup(%s: memref<64x32xf16, #shared>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    scf.for %i = %c0 to %n step %c1 {
      gpu.barrier
      linalg.copy ins(%a : memref<64x32xf16>) outs(%s : memref<64x32xf16, #shared>)
    }
    gpu.return
  }

  // A copy that rounds passes through registers.
  // CHECK-LABEL: gpu.func @rounding
  // CHECK-NOT: async
  // CHECK: gpu.return
  gpu.func @rounding(%a: memref<64x32xf32>) workgroup(%s: memref<64x32xf16, #shared>) kernel {
    linalg.copy ins(%a : memref<64x32xf32>) outs(%s : memref<64x32xf16, #shared>)
    gpu.return
  }
}
