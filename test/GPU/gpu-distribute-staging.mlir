// RUN: elfatt-opt %s -split-input-file -verify-diagnostics -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-distribute-staging{chip=sm_75})))' | FileCheck %s

gpu.module @kernels {
  // Rows of 32 halves: four chunks of 16 bytes each. 64 threads take 16 rows at a time, so that what
  // one of them takes lies a constant apart.
  // CHECK-LABEL: gpu.func @aligned_copy
  // CHECK: %[[THREAD:.*]] = gpu.thread_id  x
  // CHECK: %[[ROW:.*]] = arith.divui %[[THREAD]], %[[CHUNKS:.*]] : index
  // CHECK: %[[CHUNK:.*]] = arith.remui %[[THREAD]], %[[CHUNKS]] : index
  // CHECK: scf.for %[[TURN:.*]] = %{{.*}} to %{{.*}} step
  // CHECK: %[[ROWS:.*]] = arith.constant 16 : index
  // CHECK: %[[FAR:.*]] = arith.muli %[[TURN]], %[[ROWS]]
  // CHECK: %[[I:.*]] = arith.addi %[[FAR]], %[[ROW]]
  // CHECK: %[[J:.*]] = arith.muli %[[CHUNK]]
  // CHECK: vector.load %{{.*}}[%[[I]], %[[J]]] {alignment = 16 : i64} : memref<64x32xf16>, vector<8xf16>
  // CHECK: vector.store {{.*}} {alignment = 16 : i64}
  gpu.func @aligned_copy(%a: memref<64x32xf16>) workgroup(%s: memref<64x32xf16, 3>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    linalg.copy ins(%a : memref<64x32xf16>) outs(%s : memref<64x32xf16, 3>)
    gpu.return
  }

  // A slice that may start anywhere goes element by element.
  // CHECK-LABEL: gpu.func @unaligned_copy
  // CHECK: memref.load
  // CHECK-NEXT: memref.store
  gpu.func @unaligned_copy(%a: memref<64x64xf16>, %x: index) workgroup(%s: memref<64x32xf16, 3>) kernel {
    %slice = memref.subview %a[0, %x] [64, 32] [1, 1] : memref<64x64xf16> to memref<64x32xf16, strided<[64, 1], offset: ?>>
    linalg.copy ins(%slice : memref<64x32xf16, strided<[64, 1], offset: ?>>) outs(%s : memref<64x32xf16, 3>)
    gpu.return
  }

  // The rows of several dims in another order are aligned as those are.
  // CHECK-LABEL: gpu.func @rows_in_another_order
  // CHECK: vector.load {{.*}} {alignment = 16 : i64} : {{.*}}, vector<8xf16>
  gpu.func @rows_in_another_order(%a: memref<64x4x32xf16>, %x: index) workgroup(%s: memref<4x16x32xf16, 3>) kernel {
    %rows = memref.subview %a[%x, 0, 0] [16, 4, 32] [1, 1, 1] : memref<64x4x32xf16> to memref<16x4x32xf16, strided<[128, 32, 1], offset: ?>>
    %groups = memref.transpose %rows (i, g, d) -> (g, i, d) : memref<16x4x32xf16, strided<[128, 32, 1], offset: ?>> to memref<4x16x32xf16, strided<[32, 128, 1], offset: ?>>
    linalg.copy ins(%groups : memref<4x16x32xf16, strided<[32, 128, 1], offset: ?>>) outs(%s : memref<4x16x32xf16, 3>)
    gpu.return
  }

  // A dynamic extent is read from the buffer.
  // CHECK-LABEL: gpu.func @dynamic_fill
  // CHECK: memref.dim
  // CHECK: scf.for %[[ROW:.*]] = %{{.*}} to %{{.*}} step
  // CHECK: vector.store {{.*}}[%[[ROW]], %{{.*}}] {{.*}} vector<4xf32>
  gpu.func @dynamic_fill(%a: memref<?x4xf32>) kernel {
    %zero = arith.constant 0.0 : f32
    linalg.fill ins(%zero : f32) outs(%a : memref<?x4xf32>)
    gpu.return
  }

  // A bias of one row, widened: the constant index stays, and so does the body.
  // CHECK-LABEL: gpu.func @elementwise
  // CHECK: memref.load %{{.*}}[%[[J:.*]]] : memref<8xf16>
  // CHECK: arith.extf
  // CHECK: memref.store %{{.*}}, %{{.*}}[%{{.*}}, %[[J]]] : memref<1x8xf32, 3>
  gpu.func @elementwise(%a: memref<8xf16>) workgroup(%s: memref<1x8xf32, 3>) kernel {
    linalg.generic {indexing_maps = [affine_map<(j) -> (j)>, affine_map<(j) -> (0, j)>], iterator_types = ["parallel"]}
        ins(%a : memref<8xf16>) outs(%s : memref<1x8xf32, 3>) {
    ^bb0(%x: f16, %y: f32):
      %z = arith.extf %x : f16 to f32
      linalg.yield %z : f32
    }
    gpu.return
  }

  // What is elementwise in the order of its operands moves as much at once as a copy.
  // CHECK-LABEL: gpu.func @elementwise_in_order
  // CHECK: %[[X:.*]] = vector.load {{.*}} : {{.*}}, vector<4xf32>
  // CHECK: %[[F:.*]] = vector.broadcast %{{.*}} : f32 to vector<4xf32>
  // CHECK: %[[Y:.*]] = arith.mulf %[[X]], %[[F]] : vector<4xf32>
  // CHECK: %[[Z:.*]] = arith.truncf %[[Y]] : vector<4xf32> to vector<4xbf16>
  // CHECK: vector.store %[[Z]]
  gpu.func @elementwise_in_order(%a: memref<8x24xf32>, %f: f32) workgroup(%s: memref<8x24xbf16, #gpu.address_space<workgroup>>) kernel {
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
        ins(%a : memref<8x24xf32>) outs(%s : memref<8x24xbf16, #gpu.address_space<workgroup>>) {
    ^bb0(%x: f32, %unused: bf16):
      %y = arith.mulf %x, %f : f32
      %z = arith.truncf %y : f32 to bf16
      linalg.yield %z : bf16
    }
    gpu.return
  }

  // Bits lie a byte apart in memory, and together in a vector.
  // CHECK-LABEL: gpu.func @bits_one_by_one
  // CHECK-NOT: vector
  // CHECK: %[[BIT:.*]] = memref.load {{.*}} : memref<8x24xi1>
  // CHECK: %[[Y:.*]] = arith.uitofp %[[BIT]] : i1 to f32
  // CHECK: memref.store %[[Y]]
  gpu.func @bits_one_by_one(%a: memref<8x24xi1>) workgroup(%s: memref<8x24xf32, #gpu.address_space<workgroup>>) kernel {
    linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>], iterator_types = ["parallel", "parallel"]}
        ins(%a : memref<8x24xi1>) outs(%s : memref<8x24xf32, #gpu.address_space<workgroup>>) {
    ^bb0(%x: i1, %unused: f32):
      %y = arith.uitofp %x : i1 to f32
      linalg.yield %y : f32
    }
    gpu.return
  }

  // Rows of f32 that lie ten chunks apart, eight of them used: eight lanes have two of each of four.
  // CHECK-LABEL: gpu.func @rows_in_fourths_of_the_banks
  // CHECK: %[[THREAD:.*]] = gpu.thread_id
  // CHECK: %[[REST:.*]] = arith.divui %[[THREAD]], %[[TWO:c2.*]] : index
  // CHECK: %[[FIRST:.*]] = arith.remui %[[THREAD]], %[[TWO]]
  // CHECK: %[[ROW:.*]] = arith.remui %[[REST]], %{{.*}} : index
  // CHECK: scf.for %[[ROWS:.*]] = {{.*}} to %c8
  // CHECK: scf.for %{{.*}} to %c2
  // CHECK: %[[EIGHT:.*]] = arith.muli %[[ROWS]], %c8
  // CHECK: %[[I:.*]] = arith.addi %[[EIGHT]], %[[ROW]]
  // CHECK: %[[PAIR:.*]] = arith.muli %{{.*}}, %c2
  // CHECK: arith.addi %[[PAIR]], %[[FIRST]]
  // CHECK: vector.load %{{.*}}[%[[I]], %{{.*}}]
  gpu.func @rows_in_fourths_of_the_banks(%a: memref<64x32xf32>) workgroup(%s: memref<64x40xf32, #gpu.address_space<workgroup>>) kernel {
    %rows = memref.subview %s[0, 0] [64, 32] [1, 1] : memref<64x40xf32, #gpu.address_space<workgroup>> to memref<64x32xf32, strided<[40, 1]>, #gpu.address_space<workgroup>>
    linalg.copy ins(%a : memref<64x32xf32>) outs(%rows : memref<64x32xf32, strided<[40, 1]>, #gpu.address_space<workgroup>>)
    gpu.return
  }

  // Rows of three chunks, of which 64 threads take 21 and a third at a time.
  // CHECK-LABEL: gpu.func @rows_of_three
  // CHECK: scf.for
  // CHECK: %[[POSITION:.*]] = arith.addi
  // CHECK: arith.divui %[[POSITION]], %[[THREE:c3.*]] : index
  // CHECK: arith.remui %[[POSITION]], %[[THREE]] : index
  gpu.func @rows_of_three(%a: memref<64x24xf16>) workgroup(%s: memref<64x24xf16, 3>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    linalg.copy ins(%a : memref<64x24xf16>) outs(%s : memref<64x24xf16, 3>)
    gpu.return
  }

  // Of 65 elements, one after the other, 16 are taken at once and 15 threads wait in the last turn:
  // row after row there were as many divisions as elements.
  // CHECK-LABEL: gpu.func @long_rows_of_any_length
  // CHECK: %[[ROW:.*]] = arith.divui %{{.*}}, %[[WIDTH:c16.*]] : index
  // CHECK: %[[AT:.*]] = arith.remui %{{.*}}, %[[WIDTH]] : index
  // CHECK: scf.for %[[ROWS:.*]] = {{.*}} to %c16
  // CHECK: scf.for %[[TURN:.*]] = {{.*}} to %c5
  // CHECK: %[[FAR:.*]] = arith.muli %[[TURN]], %c16
  // CHECK: %[[J:.*]] = arith.addi %[[FAR]], %[[AT]]
  // CHECK: arith.cmpi ult, %[[J]]
  // CHECK-NOT: arith.divui
  // CHECK: memref.load %{{.*}}[%{{.*}}, %[[J]]]
  gpu.func @long_rows_of_any_length(%a: memref<64x65xf32>) workgroup(%s: memref<64x65xf32, 3>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    linalg.copy ins(%a : memref<64x65xf32>) outs(%s : memref<64x65xf32, 3>)
    gpu.return
  }

  // Where the number of rows is not known the loop counts them: from a thread's first in steps of as
  // many as all threads take, in 32 bits where one side is shared memory.
  // CHECK-LABEL: gpu.func @rows_of_no_known_number
  // CHECK: %[[THREAD:.*]] = gpu.thread_id
  // CHECK: %[[FIRST:.*]] = arith.divui %[[THREAD]], %[[FOUR:c4.*]] : index
  // CHECK: %[[AT:.*]] = arith.remui %[[THREAD]], %[[FOUR]] : index
  // CHECK: %[[FROM:.*]] = arith.index_castui %{{.*}} : index to i32
  // CHECK: %[[TO:.*]] = arith.index_castui %{{.*}} : index to i32
  // CHECK: %[[STEP:.*]] = arith.index_castui %c16{{.*}} : index to i32
  // CHECK: scf.for %[[COUNTED:.*]] = %[[FROM]] to %[[TO]] step %[[STEP]] : i32
  // CHECK: %[[ROW:.*]] = arith.index_castui %[[COUNTED]] : i32 to index
  // CHECK-NOT: scf.if
  // CHECK: vector.load %{{.*}}[%[[ROW]], %{{.*}}]
  gpu.func @rows_of_no_known_number(%a: memref<?x32xf16>) workgroup(%s: memref<64x32xf16, #gpu.address_space<workgroup>>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    %c0 = arith.constant 0 : index
    %n = memref.dim %a, %c0 : memref<?x32xf16>
    %first = memref.subview %s[0, 0] [%n, 32] [1, 1] : memref<64x32xf16, #gpu.address_space<workgroup>> to memref<?x32xf16, strided<[32, 1]>, #gpu.address_space<workgroup>>
    linalg.copy ins(%a : memref<?x32xf16>) outs(%first : memref<?x32xf16, strided<[32, 1]>, #gpu.address_space<workgroup>>)
    gpu.return
  }

  // Of nine chunks a row is taken whole by 16 threads: four at a time of eight rows would meet in banks.
  // CHECK-LABEL: gpu.func @rows_of_nine
  // CHECK: %[[THREAD:.*]] = gpu.thread_id
  // CHECK: arith.divui %[[THREAD]], %[[WIDTH:c16.*]] : index
  // CHECK: %[[AT:.*]] = arith.remui %[[THREAD]], %[[WIDTH]] : index
  // CHECK: scf.for
  // CHECK: %[[J:.*]] = arith.addi %{{.*}}, %[[AT]]
  // CHECK: arith.cmpi ult, %[[J]], %c9
  gpu.func @rows_of_nine(%a: memref<?x72xf16>) workgroup(%s: memref<64x72xf16, 3>) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c0 = arith.constant 0 : index
    %n = memref.dim %a, %c0 : memref<?x72xf16>
    %first = memref.subview %s[0, 0] [%n, 72] [1, 1] : memref<64x72xf16, 3> to memref<?x72xf16, strided<[72, 1]>, 3>
    linalg.copy ins(%a : memref<?x72xf16>) outs(%first : memref<?x72xf16, strided<[72, 1]>, 3>)
    gpu.return
  }

  // CHECK-LABEL: gpu.func @rounding_copy
  // CHECK: arith.truncf %{{.*}} : vector<4xf32> to vector<4xbf16>
  gpu.func @rounding_copy(%a: memref<8x4xf32>) workgroup(%s: memref<8x4xbf16, 3>) kernel {
    linalg.copy ins(%a : memref<8x4xf32>) outs(%s : memref<8x4xbf16, 3>)
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @not_staging(%a: memref<8x8xf32>) kernel {
    // expected-error @below {{cannot be spread over lanes, expected linalg.fill, copy or an elementwise linalg.generic}}
    linalg.matmul ins(%a, %a : memref<8x8xf32>, memref<8x8xf32>) outs(%a : memref<8x8xf32>)
    gpu.return
  }
}

// -----

gpu.module @kernels {
  gpu.func @double(%a: memref<8x8xf64>) kernel {
    %zero = arith.constant 0.0 : f64
    // expected-error @below {{no kernel stages elements of type 'f64', expected f16, bf16 or f32}}
    linalg.fill ins(%zero : f64) outs(%a : memref<8x8xf64>)
    gpu.return
  }
}

// -----

// What leaves shared memory finds its places anew, by the number of a lane in its warp: those of
// what came would be kept in registers. Lines as far apart as their rows are rows of one dim.
gpu.module @kernels {
  // CHECK-LABEL: gpu.func @in_and_out
  // CHECK:         %[[IN:.*]] = gpu.thread_id
  // CHECK-NOT:     gpu.lane_id
  // CHECK:         vector.load %{{.*}}[%{{.*}}, %{{.*}}] {{.*}} : memref<112x32xbf16, strided<[192, 1]>>
  // CHECK:         %[[LANE:.*]] = gpu.lane_id
  // CHECK:         %[[OUT:.*]] = arith.addi %{{.*}}, %[[LANE]]
  // CHECK:         arith.divui %[[OUT]]
  // CHECK:         vector.store {{.*}} : memref<112x32xbf16, strided<[64, 1]>>
  gpu.func @in_and_out(%q: memref<2x56x32xbf16, strided<[10752, 192, 1]>>, %o: memref<2x56x32xbf16, strided<[3584, 64, 1]>>)
      workgroup(%s: memref<2x56x32xbf16, strided<[2240, 40, 1]>, #gpu.address_space<workgroup>>)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    linalg.copy ins(%q : memref<2x56x32xbf16, strided<[10752, 192, 1]>>) outs(%s : memref<2x56x32xbf16, strided<[2240, 40, 1]>, #gpu.address_space<workgroup>>)
    linalg.copy ins(%s : memref<2x56x32xbf16, strided<[2240, 40, 1]>, #gpu.address_space<workgroup>>) outs(%o : memref<2x56x32xbf16, strided<[3584, 64, 1]>>)
    gpu.return
  }
}
