// RUN: elfatt-opt %s --elfatt-cpu-expand-math | FileCheck %s --check-prefixes=CHECK,KEEPS
// RUN: elfatt-opt %s --elfatt-cpu-expand-math=converts-bf16 | FileCheck %s --check-prefixes=CHECK,ROUNDS

// CHECK-LABEL: func @f32
// CHECK-NOT: math.erf
// CHECK-NOT: math.exp %
// CHECK: return
func.func @f32(%x: f32) -> (f32, f32) {
  %0 = math.erf %x : f32
  %1 = math.exp %x : f32
  return %0, %1 : f32, f32
}

// CHECK-LABEL: func @f64_stays
// CHECK: math.exp
func.func @f64_stays(%x: f64) -> f64 {
  %0 = math.exp %x : f64
  return %0 : f64
}

// Vectors stay vectors.
// CHECK-LABEL: func @bf16
// KEEPS:         arith.truncf
// ROUNDS-NOT:    arith.truncf
// ROUNDS-NOT:    arith.extf
// ROUNDS:        arith.trunci {{.*}} : vector<16xi32> to vector<16xi16>
func.func @bf16(%x: vector<16xbf16>) -> vector<16xbf16> {
  %0 = arith.extf %x : vector<16xbf16> to vector<16xf32>
  %1 = arith.addf %0, %0 : vector<16xf32>
  %2 = arith.truncf %1 : vector<16xf32> to vector<16xbf16>
  return %2 : vector<16xbf16>
}
