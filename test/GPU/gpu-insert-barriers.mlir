// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-insert-barriers)))' | FileCheck %s

gpu.module @kernels {
  // CHECK-LABEL: gpu.func @write_then_read
  // CHECK: linalg.fill
  // CHECK-NEXT: gpu.barrier
  // CHECK-NEXT: vector.transfer_read
  gpu.func @write_then_read() workgroup(%s: memref<16x16xf32, 3>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    linalg.fill ins(%zero : f32) outs(%s : memref<16x16xf32, 3>)
    %x = vector.transfer_read %s[%c0, %c0], %zero : memref<16x16xf32, 3>, vector<16x16xf32>
    gpu.return
  }

  // Two buffers, and two reads of one, need not wait.
  // CHECK-LABEL: gpu.func @no_conflict
  // CHECK-NOT: gpu.barrier
  // CHECK: gpu.return
  gpu.func @no_conflict(%a: memref<16x16xf32>) workgroup(%s: memref<16x16xf32, 3>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    linalg.fill ins(%zero : f32) outs(%s : memref<16x16xf32, 3>)
    %x = vector.transfer_read %a[%c0, %c0], %zero : memref<16x16xf32>, vector<16x16xf32>
    %y = vector.transfer_read %a[%c0, %c0], %zero : memref<16x16xf32>, vector<16x16xf32>
    gpu.return
  }

  // Views of one buffer conflict.
  // CHECK-LABEL: gpu.func @through_views
  // CHECK: linalg.fill
  // CHECK-NEXT: gpu.barrier
  // CHECK-NEXT: linalg.copy
  gpu.func @through_views(%a: memref<8x16xf32>) workgroup(%s: memref<16x16xf32, 3>) kernel {
    %zero = arith.constant 0.0 : f32
    %top = memref.subview %s[0, 0] [8, 16] [1, 1] : memref<16x16xf32, 3> to memref<8x16xf32, strided<[16, 1]>, 3>
    linalg.fill ins(%zero : f32) outs(%s : memref<16x16xf32, 3>)
    linalg.copy ins(%top : memref<8x16xf32, strided<[16, 1]>, 3>) outs(%a : memref<8x16xf32>)
    gpu.return
  }

  // The read of one iteration comes before the write of the next.
  // CHECK-LABEL: gpu.func @around_the_loop
  // CHECK: scf.for
  // CHECK-NEXT: gpu.barrier
  // CHECK-NEXT: linalg.fill
  // CHECK-NEXT: gpu.barrier
  // CHECK-NEXT: vector.transfer_read
  gpu.func @around_the_loop() workgroup(%s: memref<16x16xf32, 3>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c4 = arith.constant 4 : index
    %zero = arith.constant 0.0 : f32
    scf.for %i = %c0 to %c4 step %c1 {
      linalg.fill ins(%zero : f32) outs(%s : memref<16x16xf32, 3>)
      %x = vector.transfer_read %s[%c0, %c0], %zero : memref<16x16xf32, 3>, vector<16x16xf32>
    }
    gpu.return
  }

  // What was written before the loop is waited for once.
  // CHECK-LABEL: gpu.func @before_the_loop
  // CHECK: gpu.barrier
  // CHECK-NEXT: scf.for
  // CHECK-NOT: gpu.barrier
  // CHECK: gpu.return
  gpu.func @before_the_loop() workgroup(%s: memref<16x16xf32, 3>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c4 = arith.constant 4 : index
    %zero = arith.constant 0.0 : f32
    linalg.fill ins(%zero : f32) outs(%s : memref<16x16xf32, 3>)
    scf.for %i = %c0 to %c4 step %c1 {
      %x = vector.transfer_read %s[%c0, %c0], %zero : memref<16x16xf32, 3>, vector<16x16xf32>
    }
    gpu.return
  }

  // Buffers that have bytes in common wait for each other, others do not.
  // CHECK-LABEL: gpu.func @common_bytes
  // CHECK: vector.transfer_read
  // CHECK-NEXT: linalg.fill
  // CHECK-NEXT: gpu.barrier
  // CHECK-NEXT: linalg.fill
  gpu.func @common_bytes() workgroup(%bytes: memref<2048xi8, 3>) kernel {
    %c0 = arith.constant 0 : index
    %c512 = arith.constant 512 : index
    %c1024 = arith.constant 1024 : index
    %zero = arith.constant 0.0 : f32
    %s = memref.view %bytes[%c0][] : memref<2048xi8, 3> to memref<16x16xf32, 3>
    %t = memref.view %bytes[%c1024][] : memref<2048xi8, 3> to memref<16x16xf32, 3>
    %u = memref.view %bytes[%c512][] : memref<2048xi8, 3> to memref<16x8xf32, 3>
    %x = vector.transfer_read %s[%c0, %c0], %zero : memref<16x16xf32, 3>, vector<16x16xf32>
    linalg.fill ins(%zero : f32) outs(%t : memref<16x16xf32, 3>)
    linalg.fill ins(%zero : f32) outs(%u : memref<16x8xf32, 3>)
    gpu.return
  }

  // A transposed view is a view of the same buffer.
  // CHECK-LABEL: gpu.func @transposed
  // CHECK: linalg.fill
  // CHECK-NEXT: gpu.barrier
  // CHECK-NEXT: vector.transfer_read
  gpu.func @transposed() workgroup(%s: memref<16x8xf32, 3>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %t = memref.transpose %s (i, j) -> (j, i) : memref<16x8xf32, 3> to memref<8x16xf32, strided<[1, 8]>, 3>
    linalg.fill ins(%zero : f32) outs(%s : memref<16x8xf32, 3>)
    %x = vector.transfer_read %t[%c0, %c0], %zero : memref<8x16xf32, strided<[1, 8]>, 3>, vector<8x16xf32>
    gpu.return
  }

  // Of two cases only one runs: neither waits for the other.
  // CHECK-LABEL: gpu.func @cases
  // CHECK-NOT: gpu.barrier
  // CHECK: gpu.return
  gpu.func @cases(%part: index) workgroup(%s: memref<16x8xf32, 3>) kernel {
    %zero = arith.constant 0.0 : f32
    scf.index_switch %part
    case 0 {
      linalg.fill ins(%zero : f32) outs(%s : memref<16x8xf32, 3>)
      scf.yield
    }
    default {
      linalg.fill ins(%zero : f32) outs(%s : memref<16x8xf32, 3>)
    }
    gpu.return
  }

  // Boxes of one buffer that do not meet need not wait.
  // CHECK-LABEL: gpu.func @boxes_apart
  // CHECK-NOT: gpu.barrier
  // CHECK: gpu.return
  gpu.func @boxes_apart(%a: memref<?x16xf32>, %n: index, %rest: index) workgroup(%s: memref<16x16xf32, 3>) kernel {
    %zero = arith.constant 0.0 : f32
    %top = memref.subview %s[0, 0] [%n, 16] [1, 1] : memref<16x16xf32, 3> to memref<?x16xf32, strided<[16, 1]>, 3>
    %bottom = memref.subview %s[%n, 0] [%rest, 16] [1, 1] : memref<16x16xf32, 3> to memref<?x16xf32, strided<[16, 1], offset: ?>, 3>
    linalg.fill ins(%zero : f32) outs(%bottom : memref<?x16xf32, strided<[16, 1], offset: ?>, 3>)
    linalg.copy ins(%a : memref<?x16xf32>) outs(%top : memref<?x16xf32, strided<[16, 1]>, 3>)
    gpu.return
  }

  // The block waits before a loop over its warps; inside, a warp waits for its own lanes.
  // CHECK-LABEL: gpu.func @warps
  // CHECK: linalg.fill
  // CHECK-NEXT: gpu.barrier
  // CHECK-NEXT: scf.forall
  // CHECK: vector.transfer_read
  // CHECK-NOT: gpu.barrier
  // CHECK: nvvm.bar.warp.sync
  // CHECK-NEXT: vector.transfer_write
  // CHECK: gpu.barrier
  // CHECK-NEXT: linalg.copy
  gpu.func @warps(%a: memref<32x16xf32>) workgroup(%s: memref<32x16xf32, 3>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %zero = arith.constant 0.0 : f32
    linalg.fill ins(%zero : f32) outs(%s : memref<32x16xf32, 3>)
    scf.forall (%w) in (2) {
      %row = arith.muli %w, %c16 : index
      %x = vector.transfer_read %s[%row, %c0], %zero {in_bounds = [true, true]} : memref<32x16xf32, 3>, vector<16x16xf32>
      vector.transfer_write %x, %s[%row, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<32x16xf32, 3>
    } {mapping = [#gpu.warp<linear_dim_0>]}
    linalg.copy ins(%s : memref<32x16xf32, 3>) outs(%a : memref<32x16xf32>)
    gpu.return
  }
}
