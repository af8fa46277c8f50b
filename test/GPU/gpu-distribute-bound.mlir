// RUN: elfatt-opt %s --pass-pipeline="builtin.module(gpu.module(gpu.func(elfatt-gpu-assign-layouts{chip=sm_80},elfatt-gpu-distribute{chip=sm_80})))" | FileCheck %s
//
// Columns beyond a bound: lanes share `bound - c`, and none keeps its positions.
gpu.module @kernels {
  // CHECK-LABEL: gpu.func @columns
  // CHECK-SAME:  %[[BOUND:[a-z0-9]+]]: i32
  // CHECK: %[[LANE:.*]] = arith.index_cast %{{.*}} : index to i32
  // CHECK: arith.cmpi slt, %[[LANE]], %{{.*}} : i32
  // CHECK: %[[LESS:.*]] = arith.subi %[[BOUND]], %c9_i32{{.*}} : i32
  // CHECK: arith.cmpi slt, %[[LANE]], %[[LESS]] : i32
  gpu.func @columns(%m: memref<16x16xf16, #gpu.address_space<workgroup>>, %o: memref<16x16xf32, #gpu.address_space<workgroup>>, %bound: i32) kernel {
    %c0 = arith.constant 0 : index
    %zero16 = arith.constant 0.0 : f16
    %zero = arith.constant dense<0.0> : vector<16x16xf32>
    %minus = arith.constant dense<0xFF800000> : vector<16x16xf32>
    %a = vector.transfer_read %m[%c0, %c0], %zero16 {in_bounds = [true, true]} : memref<16x16xf16, #gpu.address_space<workgroup>>, vector<16x16xf16>
    %s = vector.contract {indexing_maps = [affine_map<(i, j, d) -> (i, d)>, affine_map<(i, j, d) -> (j, d)>, affine_map<(i, j, d) -> (i, j)>], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %a, %a, %zero : vector<16x16xf16>, vector<16x16xf16> into vector<16x16xf32>
    %steps = vector.step : vector<16xindex>
    %positions = arith.index_cast %steps : vector<16xindex> to vector<16xi32>
    %limit = vector.broadcast %bound : i32 to vector<16xi32>
    %inside = arith.cmpi slt, %positions, %limit : vector<16xi32>
    %mask = vector.broadcast %inside : vector<16xi1> to vector<16x16xi1>
    %r = arith.select %mask, %s, %minus : vector<16x16xi1>, vector<16x16xf32>
    vector.transfer_write %r, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x16xf32>, memref<16x16xf32, #gpu.address_space<workgroup>>
    gpu.return
  }
}
