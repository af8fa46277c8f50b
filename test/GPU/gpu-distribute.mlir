// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-distribute)))' | FileCheck %s

#id = affine_map<(i, j, k) -> (i, k)>
#col = affine_map<(i, j, k) -> (j, k)>
#row = affine_map<(i, j, k) -> (k, j)>
#out = affine_map<(i, j, k) -> (i, j)>

gpu.module @kernels {
  // The smallest product: one instruction; A is four registers, B two.
  // CHECK-LABEL: gpu.func @one_mma
  // CHECK: %[[LANE:.*]] = gpu.lane_id
  // CHECK: %[[GROUP:.*]] = arith.shrui %[[LANE]]
  // CHECK: nvvm.mma.sync A[%{{[0-9]+}}, %{{[0-9]+}}, %{{[0-9]+}}, %{{[0-9]+}}] B[%{{[0-9]+}}, %{{[0-9]+}}] C[
  // CHECK-SAME: shape = #nvvm.shape<m = 16, n = 8, k = 16>
  // CHECK-NOT: nvvm.mma.sync
  gpu.func @one_mma(%a: memref<16x16xf16>, %b: memref<8x16xf16>, %c: memref<16x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<16x8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf16>, vector<16x16xf16>
    %y = vector.transfer_read %b[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x16xf16>, vector<8x16xf16>
    %z = vector.contract {indexing_maps = [#id, #col, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %x, %y, %acc : vector<16x16xf16>, vector<8x16xf16> into vector<16x8xf32>
    vector.transfer_write %z, %c[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    gpu.return
  }

  // bf16 travels as bits.
  // CHECK-LABEL: gpu.func @bf16
  // CHECK: llvm.bitcast %{{.*}} : vector<2xbf16> to i32
  // CHECK: nvvm.mma.sync {{.*}}multiplicandAPtxType = #nvvm.mma_type<bf16>
  gpu.func @bf16(%a: memref<16x16xbf16>, %b: memref<16x8xbf16>, %c: memref<16x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : bf16
    %acc = arith.constant dense<0.0> : vector<16x8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xbf16>, vector<16x16xbf16>
    %y = vector.transfer_read %b[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xbf16>, vector<16x8xbf16>
    %z = vector.contract {indexing_maps = [#id, #row, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %x, %y, %acc : vector<16x16xbf16>, vector<16x8xbf16> into vector<16x8xf32>
    vector.transfer_write %z, %c[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    gpu.return
  }

  // f32 has no tensor cores here: lanes exchange operands.
  // CHECK-LABEL: gpu.func @f32
  // CHECK-NOT: nvvm.mma.sync
  // CHECK: gpu.shuffle idx
  // CHECK: math.fma %{{.*}} : f32
  // CHECK: gpu.return
  gpu.func @f32(%a: memref<8x8xf32>, %b: memref<8x8xf32>, %c: memref<8x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %acc = arith.constant dense<0.0> : vector<8x8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x8xf32>, vector<8x8xf32>
    %y = vector.transfer_read %b[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x8xf32>, vector<8x8xf32>
    %z = vector.contract {indexing_maps = [#id, #row, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %x, %y, %acc : vector<8x8xf32>, vector<8x8xf32> into vector<8x8xf32>
    vector.transfer_write %z, %c[%c0, %c0] {in_bounds = [true, true]} : vector<8x8xf32>, memref<8x8xf32>
    gpu.return
  }

  // A row's maximum: in the lane, then over the quad. One lane of four writes.
  // CHECK-LABEL: gpu.func @row_maximum
  // CHECK: arith.maximumf %{{.*}}, %{{.*}} : f32
  // CHECK: %[[ONE:.*]] = arith.constant 1 : i32
  // CHECK: gpu.shuffle xor %{{.*}}, %[[ONE]]
  // CHECK: %[[TWO:.*]] = arith.constant 2 : i32
  // CHECK: gpu.shuffle xor %{{.*}}, %[[TWO]]
  // CHECK-NOT: gpu.shuffle
  // CHECK: scf.if
  // CHECK-NEXT: memref.store
  gpu.func @row_maximum(%a: memref<8x8xf32>, %m: memref<8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %inf = arith.constant dense<0xFF800000> : vector<8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x8xf32>, vector<8x8xf32>
    %y = vector.multi_reduction <maximumf>, %x, %inf [1] : vector<8x8xf32> to vector<8xf32>
    vector.transfer_write %y, %m[%c0] {in_bounds = [true]} : vector<8xf32>, memref<8xf32>
    gpu.return
  }

  // A column's sum meets over the groups.
  // CHECK-LABEL: gpu.func @column_sum
  // CHECK: %[[FOUR:.*]] = arith.constant 4 : i32
  // CHECK: gpu.shuffle xor %{{.*}}, %[[FOUR]]
  // CHECK: %[[EIGHT:.*]] = arith.constant 8 : i32
  // CHECK: gpu.shuffle xor %{{.*}}, %[[EIGHT]]
  // CHECK: %[[SIXTEEN:.*]] = arith.constant 16 : i32
  // CHECK: gpu.shuffle xor %{{.*}}, %[[SIXTEEN]]
  gpu.func @column_sum(%a: memref<8x8xf32>, %m: memref<8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %start = arith.constant dense<0.0> : vector<8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x8xf32>, vector<8x8xf32>
    %y = vector.multi_reduction <add>, %x, %start [0] : vector<8x8xf32> to vector<8xf32>
    vector.transfer_write %y, %m[%c0] {in_bounds = [true]} : vector<8xf32>, memref<8xf32>
    gpu.return
  }

  // What lies outside of the buffer is not touched.
  // CHECK-LABEL: gpu.func @tail
  // CHECK: %[[INSIDE:.*]] = arith.cmpi slt
  // CHECK: scf.if %[[INSIDE]] -> (f32)
  // CHECK-NEXT: memref.load
  gpu.func @tail(%a: memref<5xf32>, %m: memref<8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %x = vector.transfer_read %a[%c0], %zero : memref<5xf32>, vector<8xf32>
    vector.transfer_write %x, %m[%c0] {in_bounds = [true]} : vector<8xf32>, memref<8xf32>
    gpu.return
  }

  // Loops carry what a lane holds.
  // CHECK-LABEL: gpu.func @loop
  // CHECK: scf.for {{.*}} -> (vector<2xf32>)
  gpu.func @loop(%a: memref<8x8xf32>, %n: index) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant dense<0.0> : vector<8x8xf32>
    %one = arith.constant dense<1.0> : vector<8x8xf32>
    %sum = scf.for %i = %c0 to %n step %c1 iter_args(%acc = %zero) -> (vector<8x8xf32>) {
      %next = arith.addf %acc, %one : vector<8x8xf32>
      scf.yield %next : vector<8x8xf32>
    }
    vector.transfer_write %sum, %a[%c0, %c0] {in_bounds = [true, true]} : vector<8x8xf32>, memref<8x8xf32>
    gpu.return
  }

  // A block takes one part of a launch, all of its lanes.
  // CHECK-LABEL: gpu.func @parts
  // CHECK: scf.index_switch
  // CHECK-NEXT: case 0 {
  // CHECK: vector.store
  // CHECK: scf.yield
  // CHECK: default {
  // CHECK-NOT: vector.transfer_write
  gpu.func @parts(%a: memref<8x8xf32>, %b: memref<8x8xf32>, %part: index) kernel {
    %c0 = arith.constant 0 : index
    %one = arith.constant dense<1.0> : vector<8x8xf32>
    scf.index_switch %part
    case 0 {
      vector.transfer_write %one, %a[%c0, %c0] {in_bounds = [true, true]} : vector<8x8xf32>, memref<8x8xf32>
      scf.yield
    }
    default {
      vector.transfer_write %one, %b[%c0, %c0] {in_bounds = [true, true]} : vector<8x8xf32>, memref<8x8xf32>
    }
    gpu.return
  }

  // Operands in shared memory come as 8x8 matrices, four an instruction; the right one when its
  // columns are multiplied, V's rows transposed.
  // CHECK-LABEL: gpu.func @matrices
  // CHECK: nvgpu.ldmatrix %{{.*}} {numTiles = 4 : i32, transpose = false} : {{.*}} -> vector<4x2xf16>
  // CHECK: nvgpu.ldmatrix %{{.*}} {numTiles = 4 : i32, transpose = true} : {{.*}} -> vector<4x2xf16>
  // CHECK-COUNT-2: nvvm.mma.sync
  // CHECK: nvgpu.ldmatrix %{{.*}} {numTiles = 4 : i32, transpose = true}
  // CHECK-COUNT-2: nvvm.mma.sync
  // CHECK-NOT: nvvm.mma.sync
  // CHECK: gpu.return
  gpu.func @matrices(%c: memref<16x32xf32>) workgroup(%p: memref<16x16xf16, #gpu.address_space<workgroup>>, %v: memref<16x32xf16, #gpu.address_space<workgroup>>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<16x32xf32>
    %x = vector.transfer_read %p[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf16, #gpu.address_space<workgroup>>, vector<16x16xf16>
    %y = vector.transfer_read %v[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x32xf16, #gpu.address_space<workgroup>>, vector<16x32xf16>
    %z = vector.contract {indexing_maps = [#id, #row, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %x, %y, %acc : vector<16x16xf16>, vector<16x32xf16> into vector<16x32xf32>
    vector.transfer_write %z, %c[%c0, %c0] {in_bounds = [true, true]} : vector<16x32xf32>, memref<16x32xf32>
    gpu.return
  }

  // A sum of 24 is a product of 16 and one of 8.
  // CHECK-LABEL: gpu.func @short_rest
  // CHECK: nvvm.mma.sync {{.*}}shape = #nvvm.shape<m = 16, n = 8, k = 16>
  // CHECK: nvvm.mma.sync {{.*}}shape = #nvvm.shape<m = 16, n = 8, k = 8>
  gpu.func @short_rest(%a: memref<16x24xf16>, %b: memref<8x24xf16>, %c: memref<16x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<16x8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x24xf16>, vector<16x24xf16>
    %y = vector.transfer_read %b[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x24xf16>, vector<8x24xf16>
    %z = vector.contract {indexing_maps = [#id, #col, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %x, %y, %acc : vector<16x24xf16>, vector<8x24xf16> into vector<16x8xf32>
    vector.transfer_write %z, %c[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    gpu.return
  }

  // What warps hold in registers passes through loops as values of a lane.
  // CHECK-LABEL: gpu.func @registers
  // CHECK-NOT: memref.alloca
  // CHECK: %[[SUM:.*]] = scf.for {{.*}} iter_args(%[[OLD:.*]] = %{{.*}}) -> (vector<2xf32>)
  // CHECK: %[[NEW:.*]] = arith.addf %[[OLD]], %[[OLD]] : vector<2xf32>
  // CHECK: scf.yield %[[NEW]]
  // CHECK: vector.extract %[[SUM]]
  gpu.func @registers(%a: memref<16xf32>, %n: index) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0.0 : f32
    %one = arith.constant dense<1.0> : vector<16xf32>
    %r = memref.alloca() : memref<16xf32, #gpu.address_space<private>>
    scf.forall (%w) in (1) {
      vector.transfer_write %one, %r[%c0] {in_bounds = [true]} : vector<16xf32>, memref<16xf32, #gpu.address_space<private>>
    } {mapping = [#gpu.warp<linear_dim_0>]}
    scf.for %i = %c0 to %n step %c1 {
      scf.forall (%w) in (1) {
        %x = vector.transfer_read %r[%c0], %zero {in_bounds = [true]} : memref<16xf32, #gpu.address_space<private>>, vector<16xf32>
        %y = arith.addf %x, %x : vector<16xf32>
        vector.transfer_write %y, %r[%c0] {in_bounds = [true]} : vector<16xf32>, memref<16xf32, #gpu.address_space<private>>
      } {mapping = [#gpu.warp<linear_dim_0>]}
    }
    scf.forall (%w) in (1) {
      %x = vector.transfer_read %r[%c0], %zero {in_bounds = [true]} : memref<16xf32, #gpu.address_space<private>>, vector<16xf32>
      vector.transfer_write %x, %a[%c0] {in_bounds = [true]} : vector<16xf32>, memref<16xf32>
    } {mapping = [#gpu.warp<linear_dim_0>]}
    gpu.return
  }

  // The sum of rows of a tile that is a left operand too: its product with ones.
  // CHECK-LABEL: gpu.func @sum_of_rows
  // CHECK: %[[ONE:.*]] = arith.constant 1.000000e+00 : f16
  // CHECK: %[[ONES:.*]] = vector.from_elements %[[ONE]], %[[ONE]]
  // CHECK-NOT: gpu.shuffle
  // CHECK: nvvm.mma.sync {{.*}} B[%[[ONES]],
  // CHECK-NOT: gpu.shuffle
  // CHECK: gpu.return
  gpu.func @sum_of_rows(%a: memref<16x16xf16>, %c: memref<16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %none = arith.constant dense<0.0> : vector<16xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf16>, vector<16x16xf16>
    %wide = arith.extf %x : vector<16x16xf16> to vector<16x16xf32>
    %sums = vector.multi_reduction <add>, %wide, %none [1] : vector<16x16xf32> to vector<16xf32>
    vector.transfer_write %sums, %c[%c0] {in_bounds = [true]} : vector<16xf32>, memref<16xf32>
    gpu.return
  }

  // Slices in steps of fragments move nothing between lanes.
  // CHECK-LABEL: gpu.func @slices
  // CHECK-NOT: gpu.shuffle
  // CHECK: nvvm.mma.sync
  // CHECK-NOT: gpu.shuffle
  // CHECK: gpu.return
  gpu.func @slices(%a: memref<16x32xf16>, %b: memref<8x16xf16>, %c: memref<16x16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %all = arith.constant dense<0.0> : vector<16x16xf32>
    %acc = arith.constant dense<0.0> : vector<16x8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x32xf16>, vector<16x32xf16>
    %part = vector.extract_strided_slice %x {offsets = [0, 16], sizes = [16, 16], strides = [1, 1]} : vector<16x32xf16> to vector<16x16xf16>
    %y = vector.transfer_read %b[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x16xf16>, vector<8x16xf16>
    %z = vector.contract {indexing_maps = [#id, #col, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %part, %y, %acc : vector<16x16xf16>, vector<8x16xf16> into vector<16x8xf32>
    %w = vector.insert_strided_slice %z, %all {offsets = [0, 8], strides = [1, 1]} : vector<16x8xf32> into vector<16x16xf32>
    vector.transfer_write %w, %c[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32>
    gpu.return
  }

  // A comparison of any element: the warp votes, and all of it takes one way.
  // CHECK-LABEL: gpu.func @any
  // CHECK: arith.cmpf uno
  // CHECK: %[[ANY:.*]] = nvvm.vote.sync any
  // CHECK: scf.if
  gpu.func @any(%a: memref<16x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %no = arith.constant false
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf32>, vector<16x8xf32>
    %nan = arith.cmpf uno, %x, %x : vector<16x8xf32>
    %any = vector.multi_reduction <or>, %nan, %no [0, 1] : vector<16x8xi1> to i1
    scf.if %any {
      %none = arith.constant dense<0.0> : vector<16x8xf32>
      vector.transfer_write %none, %a[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    }
    gpu.return
  }
}
