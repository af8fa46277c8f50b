// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-distribute{chip=sm_80 tf32=true})))' | FileCheck %s
// RUN: elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-distribute{chip=sm_80})))' | FileCheck %s --check-prefix=OFF
// RUN: not elfatt-opt %s -pass-pipeline='builtin.module(gpu.module(gpu.func(elfatt-gpu-distribute{chip=sm_75 tf32=true})))' 2>&1 | FileCheck %s --check-prefix=OLD

// OFF-NOT: nvvm.mma.sync
// OLD: error: sm_75 multiplies no tf32, expected sm_80 or newer

#id = affine_map<(i, j, k) -> (i, k)>
#col = affine_map<(i, j, k) -> (j, k)>
#out = affine_map<(i, j, k) -> (i, j)>

gpu.module @kernels {
  // A lane has A[g, 2q], A[g, 2q + 1], and those of row g + 8; a register each. The instruction
  // takes them for k = q and q + 4, of B too: the order of a sum is free.
  // CHECK-LABEL: gpu.func @tf32
  // CHECK:      %[[UPPER:.*]] = vector.load
  // CHECK-DAG:  %[[X0:.*]] = vector.extract %[[UPPER]][0]
  // CHECK-DAG:  %[[X1:.*]] = vector.extract %[[UPPER]][1]
  // CHECK:      %[[LOWER:.*]] = vector.load
  // CHECK-DAG:  %[[Y0:.*]] = vector.extract %[[LOWER]][0]
  // CHECK-DAG:  %[[Y1:.*]] = vector.extract %[[LOWER]][1]
  // CHECK-DAG:  %[[A0:.*]] = nvvm.convert.float.to.tf32 %[[X0]] {rnd = #nvvm.fp_rnd_mode<rna>}
  // CHECK-DAG:  %[[A1:.*]] = nvvm.convert.float.to.tf32 %[[Y0]]
  // CHECK-DAG:  %[[A2:.*]] = nvvm.convert.float.to.tf32 %[[X1]]
  // CHECK-DAG:  %[[A3:.*]] = nvvm.convert.float.to.tf32 %[[Y1]]
  // CHECK:      nvvm.mma.sync A[%[[A0]], %[[A1]], %[[A2]], %[[A3]]] B[%{{[0-9]+}}, %{{[0-9]+}}]
  // CHECK-SAME: multiplicandAPtxType = #nvvm.mma_type<tf32>
  // CHECK-SAME: shape = #nvvm.shape<m = 16, n = 8, k = 8>
  // CHECK-NOT: nvvm.mma.sync
  gpu.func @tf32(%a: memref<16x8xf32>, %b: memref<8x8xf32>, %c: memref<16x8xf32>) kernel {
    %c0 = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %acc = arith.constant dense<0.0> : vector<16x8xf32>
    %x = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<16x8xf32>, vector<16x8xf32>
    %y = vector.transfer_read %b[%c0, %c0], %zero {in_bounds = [true, true]} : memref<8x8xf32>, vector<8x8xf32>
    %z = vector.contract {indexing_maps = [#id, #col, #out], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
        %x, %y, %acc : vector<16x8xf32>, vector<8x8xf32> into vector<16x8xf32>
    vector.transfer_write %z, %c[%c0, %c0] {in_bounds = [true, true]} : vector<16x8xf32>, memref<16x8xf32>
    gpu.return
  }
}
