// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-assign-layouts{chip=sm_72})))' | FileCheck %s
// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-assign-layouts{chip=sm_72},elfatt-gpu-distribute{chip=sm_72})))' | FileCheck %s --check-prefix=LANES

// Products of sm_72: four of 8x8x4 in an instruction, of a quad pair each.

#rows = affine_map<(i, j, k) -> (i, k)>
#columns = affine_map<(i, j, k) -> (j, k)>
#first = affine_map<(i, j, k) -> (k, j)>
#out = affine_map<(i, j, k) -> (i, j)>
#shared = #gpu.address_space<workgroup>
gpu.module @kernels {
  // Scores: each lane reads a row of Q and a row of K, eight channels of it, and multiplies four
  // at a time.
  // CHECK-LABEL: gpu.func @scores
  // CHECK-NOT: convert_layout
  // LANES-LABEL: gpu.func @scores
  // LANES-COUNT-2: vector.load %{{.*}} : memref<16x8xf16, {{.*}}>, vector<4xf16>
  // LANES: vector.load %{{.*}} : memref<16x8xf16, {{.*}}>, vector<8xf16>
  // LANES-COUNT-2: nvvm.mma.sync {{.*}}layoutA = #nvvm.mma_layout<row>, layoutB = #nvvm.mma_layout<col>, {{.*}}shape = #nvvm.shape<m = 8, n = 8, k = 4>
  // LANES-NOT: nvvm.mma.sync
  // LANES-NOT: gpu.shuffle
  // LANES: gpu.return
  gpu.func @scores(%q: memref<16x8xf16, #shared>, %k: memref<16x8xf16, #shared>, %o: memref<16x16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<16x16xf32>
    %a = vector.transfer_read %q[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf16, #shared>, vector<16x8xf16>
    %b = vector.transfer_read %k[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf16, #shared>, vector<16x8xf16>
    %s = vector.contract {indexing_maps = [#rows, #columns, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %a, %b, %acc : vector<16x8xf16>, vector<16x8xf16> into vector<16x16xf32>
    vector.transfer_write %s, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32>
    gpu.return
  }

  // V as it lies, four neighbouring channels of a row; of eight columns half of the instruction
  // is used, and nothing is read beyond them.
  // LANES-LABEL: gpu.func @half_a_block
  // LANES: vector.load %{{.*}} : memref<8x8xf16, {{.*}}>, vector<4xf16>
  // LANES: nvvm.mma.sync {{.*}}layoutB = #nvvm.mma_layout<row>
  // LANES: vector.load %{{.*}} : memref<8x8xf16, {{.*}}>, vector<4xf16>
  // LANES: nvvm.mma.sync
  // LANES-NOT: nvvm.mma.sync
  // LANES: gpu.return
  gpu.func @half_a_block(%q: memref<16x8xf16, #shared>, %v: memref<8x8xf16, #shared>, %o: memref<16x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<16x8xf32>
    %a = vector.transfer_read %q[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf16, #shared>, vector<16x8xf16>
    %b = vector.transfer_read %v[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x8xf16, #shared>, vector<8x8xf16>
    %s = vector.contract {indexing_maps = [#rows, #first, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %a, %b, %acc : vector<16x8xf16>, vector<8x8xf16> into vector<16x8xf32>
    vector.transfer_write %s, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    gpu.return
  }

  // Sixteen channels of a left operand: rows eight apart would meet in a bank, so that lanes of
  // one of them read the second chunk first, and both put what they have in order.
  // LANES-LABEL: gpu.func @two_chunks
  // LANES: %[[ONE:.*]] = vector.load %{{.*}} : memref<16x24xf16, {{.*}}>, vector<8xf16>
  // LANES: %[[TWO:.*]] = vector.load %{{.*}} : memref<16x24xf16, {{.*}}>, vector<8xf16>
  // LANES-COUNT-8: arith.select %{{.*}}, %{{.*}}, %{{.*}} : vector<2xf16>
  // LANES-NOT: arith.select
  // LANES: gpu.return
  gpu.func @two_chunks(%q: memref<16x24xf16, #shared>, %k: memref<16x24xf16, #shared>, %o: memref<16x16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<16x16xf32>
    %a = vector.transfer_read %q[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x24xf16, #shared>, vector<16x16xf16>
    %b = vector.transfer_read %k[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x24xf16, #shared>, vector<16x16xf16>
    %s = vector.contract {indexing_maps = [#rows, #columns, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %a, %b, %acc : vector<16x16xf16>, vector<16x16xf16> into vector<16x16xf32>
    vector.transfer_write %s, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32>
    gpu.return
  }

  // A result is no left operand as it lies: lanes exchange half of what they have (one bit of the
  // rows for one of the columns: two shuffles of pairs), then ask for the other columns (eight).
  // CHECK-LABEL: gpu.func @product_after_product
  // CHECK: %[[P:.*]] = arith.truncf
  // CHECK: %[[LEFT:.*]] = attention.convert_layout %[[P]] <pair_row, pair_column> to <pair_left, none> : vector<16x16xf16>
  // CHECK: vector.contract {{.*}} %[[LEFT]],
  // LANES-LABEL: gpu.func @product_after_product
  // LANES: nvvm.mma.sync
  // LANES-COUNT-2: gpu.shuffle xor
  // LANES-COUNT-8: gpu.shuffle idx
  // LANES-NOT: gpu.shuffle
  // LANES: nvvm.mma.sync
  gpu.func @product_after_product(%q: memref<16x8xf16, #shared>, %k: memref<16x8xf16, #shared>, %v: memref<16x16xf16, #shared>, %o: memref<16x16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<16x16xf32>
    %a = vector.transfer_read %q[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf16, #shared>, vector<16x8xf16>
    %b = vector.transfer_read %k[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf16, #shared>, vector<16x8xf16>
    %s = vector.contract {indexing_maps = [#rows, #columns, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %a, %b, %acc : vector<16x8xf16>, vector<16x8xf16> into vector<16x16xf32>
    %p = arith.truncf %s : vector<16x16xf32> to vector<16x16xf16>
    %c = vector.transfer_read %v[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf16, #shared>, vector<16x16xf16>
    %r = vector.contract {indexing_maps = [#rows, #first, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %p, %c, %acc : vector<16x16xf16>, vector<16x16xf16> into vector<16x16xf32>
    vector.transfer_write %r, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32>
    gpu.return
  }

  // A row's maximum: columns are over bits 1 and 3 of a lane's number.
  // LANES-LABEL: gpu.func @row_maximum
  // LANES: %[[TWO:.*]] = arith.constant 2 : i32
  // LANES: gpu.shuffle xor %{{.*}}, %[[TWO]]
  // LANES: %[[EIGHT:.*]] = arith.constant 8 : i32
  // LANES: gpu.shuffle xor %{{.*}}, %[[EIGHT]]
  gpu.func @row_maximum(%q: memref<16x8xf16, #shared>, %k: memref<16x8xf16, #shared>, %o: memref<16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %least = arith.constant dense<0xFF800000> : vector<16xf32>
    %acc = arith.constant dense<0.0> : vector<16x16xf32>
    %a = vector.transfer_read %q[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf16, #shared>, vector<16x8xf16>
    %b = vector.transfer_read %k[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf16, #shared>, vector<16x8xf16>
    %s = vector.contract {indexing_maps = [#rows, #columns, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %a, %b, %acc : vector<16x8xf16>, vector<16x8xf16> into vector<16x16xf32>
    %m = vector.multi_reduction <maxnumf>, %s, %least [1] : vector<16x16xf32> to vector<16xf32>
    vector.transfer_write %m, %o[%c0] {in_bounds = [true]} : vector<16xf32>, memref<16xf32>
    gpu.return
  }

  // bf16 has no such instruction.
  // LANES-LABEL: gpu.func @bf16
  // LANES-NOT: nvvm.mma.sync
  // LANES: math.fma
  gpu.func @bf16(%q: memref<16x8xbf16, #shared>, %k: memref<16x8xbf16, #shared>, %o: memref<16x16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : bf16
    %acc = arith.constant dense<0.0> : vector<16x16xf32>
    %a = vector.transfer_read %q[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xbf16, #shared>, vector<16x8xbf16>
    %b = vector.transfer_read %k[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xbf16, #shared>, vector<16x8xbf16>
    %s = vector.contract {indexing_maps = [#rows, #columns, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %a, %b, %acc : vector<16x8xbf16>, vector<16x8xbf16> into vector<16x16xf32>
    vector.transfer_write %s, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32>
    gpu.return
  }
}
