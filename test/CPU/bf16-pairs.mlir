// RUN: elfatt-opt %s --elfatt-cpu-lower-staging --elfatt-cpu-lower-tiles="vector-bits=512 vector-registers=32" --canonicalize | FileCheck %s

#lhs = affine_map<(i, j, k, p) -> (i, k, p)>
#rhs = affine_map<(i, j, k, p) -> (k, j, p)>
#out = affine_map<(i, j, k, p) -> (i, j)>

// A pair is moved as one word of 32 bits.
// CHECK-LABEL: func.func @pairs_are_transposed_as_words
// CHECK:         scf.for
// CHECK-COUNT-16:  vector.bitcast {{.*}} : vector<16xbf16> to vector<8xi32>
// CHECK:           vector.shuffle {{.*}} : vector<16xi32>, vector<16xi32>
// CHECK:           vector.bitcast {{.*}} : vector<16xi32> to vector<32xbf16>
// CHECK-NOT:     linalg
func.func @pairs_are_transposed_as_words(%k: memref<32x8x2xbf16>, %t: memref<8x32x2xbf16>) {
  scf.forall (%i) in (1) {
    linalg.transpose ins(%k : memref<32x8x2xbf16>) outs(%t : memref<8x32x2xbf16>) permutation = [1, 0, 2]
  }
  return
}

// A broadcast of each pair of the left operand, one instruction for two products.
// CHECK-LABEL: func.func @two_products_an_instruction
// CHECK:         scf.for {{.*}} -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// CHECK-COUNT-2:   vector.load {{.*}} vector<32xbf16>
// CHECK:           vector.load {{.*}} vector<2xbf16>
// CHECK-COUNT-2:   x86vector.avx512.dot {{.*}} : vector<32xbf16> -> vector<16xf32>
// CHECK:           vector.load {{.*}} vector<2xbf16>
// CHECK-COUNT-2:   x86vector.avx512.dot
// CHECK-NOT:     vector.contract
func.func @two_products_an_instruction(%a: memref<2x8x2xbf16>, %b: memref<8x32x2xbf16>, %c: memref<2x32xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : bf16
  %zero = arith.constant dense<0.0> : vector<2x32xf32>
  %l = vector.transfer_read %a[%i, %i, %i], %z {in_bounds = [true, true, true]} : memref<2x8x2xbf16>, vector<2x8x2xbf16>
  %r = vector.transfer_read %b[%i, %i, %i], %z {in_bounds = [true, true, true]} : memref<8x32x2xbf16>, vector<8x32x2xbf16>
  %0 = vector.contract {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<2x8x2xbf16>, vector<8x32x2xbf16> into vector<2x32xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<2x32xf32>, memref<2x32xf32>
  return
}

// Rows that the buffer may lack are its last one again: nothing beyond it is read.
// CHECK-LABEL: func.func @rows_beyond_the_end_are_the_last
// CHECK-SAME:    %[[A:[^:]*]]: memref<?x8x2xbf16>
// CHECK:         %[[EXTENT:.*]] = memref.dim
// CHECK:         %[[LAST:.*]] = arith.subi %[[EXTENT]], %{{.*}} : index
// CHECK:         arith.minsi %{{.*}}, %[[LAST]] : index
// CHECK:         x86vector.avx512.dot
func.func @rows_beyond_the_end_are_the_last(%a: memref<?x8x2xbf16>, %row: index, %b: memref<8x16x2xbf16>, %c: memref<2x16xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : bf16
  %zero = arith.constant dense<0.0> : vector<2x16xf32>
  %l = vector.transfer_read %a[%row, %i, %i], %z {in_bounds = [false, true, true]} : memref<?x8x2xbf16>, vector<2x8x2xbf16>
  %r = vector.transfer_read %b[%i, %i, %i], %z {in_bounds = [true, true, true]} : memref<8x16x2xbf16>, vector<8x16x2xbf16>
  %0 = vector.contract {indexing_maps = [#lhs, #rhs, #out], iterator_types = ["parallel", "parallel", "reduction", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<2x8x2xbf16>, vector<8x16x2xbf16> into vector<2x16xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<2x16xf32>, memref<2x16xf32>
  return
}
