// RUN: elfatt-opt %s --elfatt-cpu-lower-exp2 | FileCheck %s

// CHECK-LABEL: func.func @exp2_of_vectors
// CHECK-NOT:     math.exp2
// CHECK-COUNT-6: vector.fma
// CHECK:         arith.shli
func.func @exp2_of_vectors(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.exp2 %x : vector<16xf32>
  return %0 : vector<16xf32>
}

// CHECK-LABEL: func.func @exp2_of_doubles_stays
// CHECK:         math.exp2
func.func @exp2_of_doubles_stays(%x: vector<8xf64>) -> vector<8xf64> {
  %0 = math.exp2 %x : vector<8xf64>
  return %0 : vector<8xf64>
}
