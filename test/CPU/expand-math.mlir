// RUN: elfatt-opt %s --elfatt-cpu-expand-math | FileCheck %s

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
