// RUN: elfatt-opt %s --pass-pipeline="builtin.module(gpu.module(gpu.func(elfatt-gpu-distribute{chip=sm_87})))" | FileCheck %s
//
// Of few columns a sum takes four values a term of other lanes and of memory: all 64 terms in a row
// would be 256 registers.
gpu.module @kernels {
  // CHECK-LABEL: gpu.func @few_columns
  // CHECK: scf.for %{{.*}} = %c0{{.*}} to %c64{{.*}} step %c32{{.*}} iter_args
  // CHECK-COUNT-128: math.fma
  // CHECK-NOT: math.fma
  // CHECK: gpu.return
  gpu.func @few_columns(%a: memref<16x64xf32>, %o: memref<16x8xf32>)
      workgroup(%v: memref<64x8xf32, #gpu.address_space<workgroup>>) kernel {
    %c0 = arith.constant 0 : index
    %pad = arith.constant 0.0 : f32
    %zero = arith.constant dense<0.0> : vector<16x8xf32>
    %weights = vector.transfer_read %a[%c0, %c0], %pad {in_bounds = [true, true]} : memref<16x64xf32>, vector<16x64xf32>
    %values = vector.transfer_read %v[%c0, %c0], %pad {in_bounds = [true, true]} : memref<64x8xf32, #gpu.address_space<workgroup>>, vector<64x8xf32>
    %s = vector.contract {indexing_maps = [affine_map<(i, e, j) -> (i, j)>, affine_map<(i, e, j) -> (j, e)>, affine_map<(i, e, j) -> (i, e)>], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %weights, %values, %zero : vector<16x64xf32>, vector<64x8xf32> into vector<16x8xf32>
    vector.transfer_write %s, %o[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    gpu.return
  }
}
