// RUN: elfatt-opt %s --elfatt-cpu-lower-exp2 | FileCheck %s
// RUN: elfatt-opt %s --elfatt-cpu-lower-exp2=vector-bits=512 | FileCheck %s --check-prefix=AVX512

// CHECK-LABEL: func.func @exp2_of_vectors
// CHECK-NOT:     math.exp2
// CHECK-COUNT-6: vector.fma
// CHECK:         arith.addi
// AVX512-LABEL: func.func @exp2_of_vectors
// AVX512:        llvm.call_intrinsic "llvm.x86.avx512.mask.reduce.ps.512"
// AVX512:        llvm.call_intrinsic "llvm.x86.avx512.permvar.sf.512"
// AVX512-COUNT-3: vector.fma
// AVX512-NOT:    vector.fma
// AVX512:        llvm.call_intrinsic "llvm.x86.avx512.mask.scalef.ps.512"
func.func @exp2_of_vectors(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.exp2 %x : vector<16xf32>
  return %0 : vector<16xf32>
}

// Neighbours go step by step.
// AVX512-LABEL: func.func @neighbours
// AVX512:         mask.reduce.ps.512
// AVX512-NEXT:    mask.reduce.ps.512
// AVX512-NOT:     mask.scalef.ps.512
// AVX512-COUNT-6: vector.fma
// AVX512-NOT:     vector.fma
// AVX512:         mask.scalef.ps.512
// AVX512-NEXT:    mask.scalef.ps.512
func.func @neighbours(%x: vector<16xf32>, %y: vector<16xf32>) -> (vector<16xf32>, vector<16xf32>) {
  %0 = math.exp2 %x : vector<16xf32>
  %1 = math.exp2 %y : vector<16xf32>
  return %0, %1 : vector<16xf32>, vector<16xf32>
}

// Half a register has such instructions too, and goes beside whole ones.
// AVX512-LABEL: func.func @half_a_register
// AVX512:         mask.reduce.ps.512
// AVX512:         mask.reduce.ps.256
// AVX512:         permvar.sf.512
// AVX512:         arith.subf {{.*}} : vector<8xf32>
// AVX512:         vpermi2var.ps.256
// AVX512:         mask.scalef.ps.512
// AVX512:         mask.scalef.ps.256
// AVX512-SAME:      (vector<8xf32>, vector<8xf32>, vector<8xf32>, i8) -> vector<8xf32>
func.func @half_a_register(%x: vector<16xf32>, %y: vector<8xf32>)
    -> (vector<16xf32>, vector<8xf32>) {
  %0 = math.exp2 %x : vector<16xf32>
  %1 = math.exp2 %y : vector<8xf32>
  return %0, %1 : vector<16xf32>, vector<8xf32>
}

// Not so where the second is of the first.
// AVX512-LABEL: func.func @one_of_the_other
// AVX512:         mask.reduce.ps.512
// AVX512:         mask.scalef.ps.512
// AVX512:         mask.reduce.ps.512
// AVX512:         mask.scalef.ps.512
func.func @one_of_the_other(%x: vector<16xf32>) -> vector<16xf32> {
  %0 = math.exp2 %x : vector<16xf32>
  %1 = math.exp2 %0 : vector<16xf32>
  return %1 : vector<16xf32>
}

// CHECK-LABEL: func.func @exp2_of_doubles_stays
// CHECK:         math.exp2
func.func @exp2_of_doubles_stays(%x: vector<8xf64>) -> vector<8xf64> {
  %0 = math.exp2 %x : vector<8xf64>
  return %0 : vector<8xf64>
}
