// RUN: elfatt-opt %s --elfatt-cpu-lower-staging --elfatt-cpu-lower-reductions=vector-bits=256 --elfatt-cpu-lower-exp2 | FileCheck %s

// CHECK-LABEL: func.func @sum_of_rows
// CHECK-NOT:     vector.multi_reduction
// CHECK-COUNT-2: vector.extract_strided_slice {{.*}} vector<20xf32> to vector<8xf32>
// CHECK:         vector.extract_strided_slice {{.*}} vector<20xf32> to vector<4xf32>
// CHECK:         arith.addf {{.*}} : vector<8xf32>
// CHECK:         vector.shuffle
func.func @sum_of_rows(%x: vector<1x20xf32>, %acc: vector<1xf32>) -> vector<1xf32> {
  %0 = vector.multi_reduction <add>, %x, %acc [1] : vector<1x20xf32> to vector<1xf32>
  return %0 : vector<1xf32>
}

// CHECK-LABEL: func.func @maximum_of_columns
// CHECK:         %[[GREATER:.*]] = arith.cmpf ogt, %[[A:.*]], %[[B:.*]] : vector<16xf32>
// CHECK:         arith.select %[[GREATER]], %[[A]], %[[B]]
// CHECK-NOT:     vector.shuffle
func.func @maximum_of_columns(%x: vector<2x16xf32>, %acc: vector<16xf32>) -> vector<16xf32> {
  %0 = vector.multi_reduction <maxnumf>, %x, %acc [0] : vector<2x16xf32> to vector<16xf32>
  return %0 : vector<16xf32>
}

// CHECK-LABEL: func.func @integers_stay
// CHECK:         vector.multi_reduction
func.func @integers_stay(%x: vector<2x16xi32>, %acc: vector<16xi32>) -> vector<16xi32> {
  %0 = vector.multi_reduction <add>, %x, %acc [0] : vector<2x16xi32> to vector<16xi32>
  return %0 : vector<16xi32>
}

// CHECK-LABEL: func.func @exp2_of_vectors
// CHECK-NOT:     math.exp2
// CHECK-COUNT-6: math.fma
// CHECK:         arith.shli
func.func @exp2_of_vectors(%x: vector<7x64xf32>) -> vector<7x64xf32> {
  %0 = math.exp2 %x : vector<7x64xf32>
  return %0 : vector<7x64xf32>
}

// CHECK-LABEL: func.func @exp2_of_doubles_stays
// CHECK:         math.exp2
func.func @exp2_of_doubles_stays(%x: vector<8xf64>) -> vector<8xf64> {
  %0 = math.exp2 %x : vector<8xf64>
  return %0 : vector<8xf64>
}

// CHECK-LABEL: func.func @rows_move_as_vectors
// CHECK:         scf.forall
// CHECK:           scf.for
// CHECK:             vector.transfer_read {{.*}} vector<32xf32>
// CHECK-NEXT:        vector.transfer_write {{.*}} vector<32xf32>
// CHECK-NOT:     linalg
func.func @rows_move_as_vectors(%x: memref<4x7x32xf32, strided<[1000, 96, 1]>>,
                                %y: memref<4x7x32xf32>) {
  scf.forall (%i) in (1) {
    linalg.copy ins(%x : memref<4x7x32xf32, strided<[1000, 96, 1]>>) outs(%y : memref<4x7x32xf32>)
  }
  return
}

// CHECK-LABEL: func.func @outside_of_tiles_stays
// CHECK:         linalg.copy
func.func @outside_of_tiles_stays(%x: memref<4x32xf32>, %y: memref<4x32xf32>) {
  linalg.copy ins(%x : memref<4x32xf32>) outs(%y : memref<4x32xf32>)
  return
}
