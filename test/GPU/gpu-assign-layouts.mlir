// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-assign-layouts)))' | FileCheck %s
// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-assign-layouts,elfatt-gpu-distribute)))' | FileCheck %s --check-prefix=LANES

#rows = affine_map<(i, j, k) -> (i, k)>
#columns = affine_map<(i, j, k) -> (j, k)>
#out = affine_map<(i, j, k) -> (i, j)>
gpu.module @kernels {
  // A softmax's way from one product to the next changes no layout: what a lane
  // holds of an accumulator it holds of the next left operand.
  // CHECK-LABEL: gpu.func @product_after_product
  // CHECK-NOT: convert_layout
  gpu.func @product_after_product(%q: memref<16x16xf16>, %k: memref<16x16xf16>, %v: memref<16x16xf16>, %o: memref<16x16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<16x16xf32>
    %a = vector.transfer_read %q[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf16>, vector<16x16xf16>
    %b = vector.transfer_read %k[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf16>, vector<16x16xf16>
    %c = vector.transfer_read %v[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf16>, vector<16x16xf16>
    %s = vector.contract {indexing_maps = [#rows, #columns, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %a, %b, %acc : vector<16x16xf16>, vector<16x16xf16> into vector<16x16xf32>
    %p = arith.truncf %s : vector<16x16xf32> to vector<16x16xf16>
    %r = vector.contract {indexing_maps = [#rows, #columns, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %p, %c, %acc : vector<16x16xf16>, vector<16x16xf16> into vector<16x16xf32>
    vector.transfer_write %r, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32>
    gpu.return
  }

  // The columns' maxima of a tile, wanted as one value a row of another.
  // CHECK-LABEL: gpu.func @column_as_row
  // CHECK: %[[MAX:.*]] = vector.multi_reduction <maxnumf>
  // CHECK: %[[ROWS:.*]] = attention.convert_layout %[[MAX]] <quad> to <group> : vector<16xf32>
  // CHECK: vector.shape_cast %[[ROWS]]
  // LANES-LABEL: gpu.func @column_as_row
  // LANES-NOT: convert_layout
  // Two elements a lane, each from one of two neighbours.
  // LANES-COUNT-4: gpu.shuffle idx
  // LANES-NOT: gpu.shuffle
  // LANES: gpu.return
  gpu.func @column_as_row(%a: memref<16x16xf32>, %o: memref<16x16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %least = arith.constant dense<0xFF800000> : vector<16xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf32>, vector<16x16xf32>
    %max = vector.multi_reduction <maxnumf>, %x, %least [0] : vector<16x16xf32> to vector<16xf32>
    %column = vector.shape_cast %max : vector<16xf32> to vector<16x1xf32>
    %all = vector.broadcast %column : vector<16x1xf32> to vector<16x16xf32>
    %y = arith.subf %x, %all : vector<16x16xf32>
    vector.transfer_write %y, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32>
    gpu.return
  }

  // A tile that is one product's left operand and another's right one, k first: it is
  // read twice, once for each, and no lane asks another.
  // CHECK-LABEL: gpu.func @read_for_each
  // CHECK-COUNT-2: vector.transfer_read %{{.*}} : memref<16x16xf16>
  // CHECK-NOT: convert_layout
  gpu.func @read_for_each(%x: memref<16x16xf16>, %o: memref<16x16xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f16
    %acc = arith.constant dense<0.0> : vector<16x16xf32>
    %a = vector.transfer_read %x[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf16>, vector<16x16xf16>
    %r = vector.contract {indexing_maps = [#rows, affine_map<(i, j, k) -> (k, j)>, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %a, %a, %acc : vector<16x16xf16>, vector<16x16xf16> into vector<16x16xf32>
    vector.transfer_write %r, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32>
    gpu.return
  }

  // Registers that a loop fills by column and reads by row.
  // CHECK-LABEL: gpu.func @carried
  // CHECK: scf.for
  // CHECK: %[[SUM:.*]] = vector.multi_reduction <add>
  // CHECK: %[[CHANGED:.*]] = attention.convert_layout %[[SUM]] <quad> to <group> : vector<16xf32>
  // CHECK: scf.yield %[[CHANGED]]
  gpu.func @carried(%a: memref<16x16xf32>, %o: memref<16x16xf32>, %n: index) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %zero = arith.constant 0.0 : f32
    %none = arith.constant dense<0.0> : vector<16xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x16xf32>, vector<16x16xf32>
    %sums = scf.for %i = %c0 to %n step %c1 iter_args(%sum = %none) -> vector<16xf32> {
      %column = vector.shape_cast %sum : vector<16xf32> to vector<16x1xf32>
      %all = vector.broadcast %column : vector<16x1xf32> to vector<16x16xf32>
      %y = arith.addf %x, %all : vector<16x16xf32>
      %next = vector.multi_reduction <add>, %y, %none [0] : vector<16x16xf32> to vector<16xf32>
      scf.yield %next : vector<16xf32>
    }
    %column = vector.shape_cast %sums : vector<16xf32> to vector<16x1xf32>
    %all = vector.broadcast %column : vector<16x1xf32> to vector<16x16xf32>
    vector.transfer_write %all, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32>
    gpu.return
  }
}
