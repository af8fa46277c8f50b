// RUN: elfatt-opt %s --elfatt-cpu-lower-staging | FileCheck %s

// CHECK-LABEL: func.func @rows_move_in_registers
// CHECK:         scf.forall
// CHECK-COUNT-2:   scf.for
// CHECK:             vector.load {{.*}} vector<16xf32>
// CHECK-NEXT:        vector.store {{.*}} vector<16xf32>
// CHECK:             vector.load {{.*}} vector<16xf32>
// CHECK-NEXT:        vector.store {{.*}} vector<16xf32>
// CHECK-NOT:     linalg
func.func @rows_move_in_registers(%x: memref<4x7x32xf32, strided<[1000, 96, 1]>>,
                                  %y: memref<4x7x32xf32>) {
  scf.forall (%i) in (1) {
    linalg.copy ins(%x : memref<4x7x32xf32, strided<[1000, 96, 1]>>) outs(%y : memref<4x7x32xf32>)
  }
  return
}

// A conversion moves with the copy.
// CHECK-LABEL: func.func @converts
// CHECK:         vector.load {{.*}} vector<16xbf16>
// CHECK-NEXT:    arith.extf {{.*}} vector<16xbf16> to vector<16xf32>
// CHECK:         vector.store {{.*}} vector<16xf32>
#id = affine_map<(i, j) -> (i, j)>
func.func @converts(%x: memref<4x16xbf16>, %y: memref<4x16xf32>) {
  scf.forall (%i) in (1) {
    linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%x : memref<4x16xbf16>) outs(%y : memref<4x16xf32>) {
    ^bb0(%in: bf16, %out: f32):
      %0 = arith.extf %in : bf16 to f32
      linalg.yield %0 : f32
    }
  }
  return
}

// 16 rows of 8 columns: pairs of rows share a register, then three steps of 8 shuffles.
// CHECK-LABEL: func.func @transposes_in_registers
// CHECK:         scf.for
// CHECK-COUNT-16:  vector.load {{.*}} vector<8xf32>
// CHECK-COUNT-8:   vector.shuffle {{.*}} : vector<8xf32>, vector<8xf32>
// CHECK-COUNT-24:  vector.shuffle {{.*}} : vector<16xf32>, vector<16xf32>
// CHECK-NOT:       vector.shuffle
// CHECK-COUNT-8:   vector.store {{.*}} vector<16xf32>
func.func @transposes_in_registers(%x: memref<32x8xf32>, %y: memref<8x32xf32>) {
  scf.forall (%i) in (1) {
    linalg.transpose ins(%x : memref<32x8xf32>) outs(%y : memref<8x32xf32>) permutation = [1, 0]
  }
  return
}

// CHECK-LABEL: func.func @outside_of_tiles_stays
// CHECK:         linalg.copy
func.func @outside_of_tiles_stays(%x: memref<4x32xf32>, %y: memref<4x32xf32>) {
  linalg.copy ins(%x : memref<4x32xf32>) outs(%y : memref<4x32xf32>)
  return
}
