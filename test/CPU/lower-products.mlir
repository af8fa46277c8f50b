// RUN: elfatt-opt %s --elfatt-cpu-lower-products="vector-bits=512 vector-registers=32" | FileCheck %s

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#km = affine_map<(i, j, k) -> (k, i)>
#nk = affine_map<(i, j, k) -> (j, k)>
#mn = affine_map<(i, j, k) -> (i, j)>

// Operands that are in memory are read in the loop: scalars of the left one,
// rows of the right one.
// CHECK-LABEL: func.func @reads_in_place
// CHECK-SAME:    %[[A:.*]]: memref<2x8xf32>, %[[B:.*]]: memref<8x32xf32>
// CHECK-NOT:     memref.alloca
// CHECK:         scf.for %[[K:.*]] = {{.*}} -> (vector<32xf32>, vector<32xf32>)
// CHECK:           vector.transfer_read %[[B]]
// CHECK:           memref.load %[[A]]
// CHECK:           vector.fma
// CHECK:           memref.load %[[A]]
// CHECK:           vector.fma
// CHECK-NOT:     vector.contract
func.func @reads_in_place(%a: memref<2x8xf32>, %b: memref<8x32xf32>, %c: vector<2x32xf32>)
    -> vector<2x32xf32> {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x8xf32>, vector<2x8xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<8x32xf32>, vector<8x32xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %c : vector<2x8xf32>, vector<8x32xf32> into vector<2x32xf32>
  return %0 : vector<2x32xf32>
}

// A computed operand, and one that was overwritten since, pass through scratch.
// CHECK-LABEL: func.func @spills_what_is_not_in_memory
// CHECK-COUNT-2: memref.alloca() {alignment = 64 : i64}
// CHECK:         scf.for
func.func @spills_what_is_not_in_memory(%a: vector<2x8xf32>, %b: memref<8x32xf32>,
                                        %c: vector<2x32xf32>) -> vector<2x32xf32> {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<8x32xf32>, vector<8x32xf32>
  memref.store %z, %b[%i, %i] : memref<8x32xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %a, %r, %c : vector<2x8xf32>, vector<8x32xf32> into vector<2x32xf32>
  return %0 : vector<2x32xf32>
}

// Rows of the right operand beyond its buffer are padding: the loop ends there.
// CHECK-LABEL: func.func @skips_padding
// CHECK:         %[[DIM:.*]] = memref.dim
// CHECK:         %[[LEFT:.*]] = arith.subi %[[DIM]]
// CHECK:         %[[BOUND:.*]] = arith.minsi {{.*}}, %[[LEFT]]
// CHECK:         scf.for {{.*}} to %[[BOUND]]
func.func @skips_padding(%a: memref<2x8xf32>, %b: memref<?x32xf32>, %c: vector<2x32xf32>)
    -> vector<2x32xf32> {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x8xf32>, vector<2x8xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [false, true]} : memref<?x32xf32>, vector<8x32xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %c : vector<2x8xf32>, vector<8x32xf32> into vector<2x32xf32>
  return %0 : vector<2x32xf32>
}

// 14 rows of four vectors would need 56 registers: two panels of two vectors.
// CHECK-LABEL: func.func @panels
// CHECK:         scf.for {{.*}} vector<32xf32>
// CHECK:         scf.for {{.*}} vector<32xf32>
// CHECK-NOT:     scf.for
func.func @panels(%a: memref<8x14xf32>, %b: memref<8x64xf32>, %c: vector<14x64xf32>)
    -> vector<14x64xf32> {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<8x14xf32>, vector<8x14xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<8x64xf32>, vector<8x64xf32>
  %0 = vector.contract {indexing_maps = [#km, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %c : vector<8x14xf32>, vector<8x64xf32> into vector<14x64xf32>
  return %0 : vector<14x64xf32>
}

// The GPU's product, with the right operand transposed, is not this pass's.
// CHECK-LABEL: func.func @leaves_other_products
// CHECK:         vector.contract
func.func @leaves_other_products(%a: vector<2x8xf32>, %b: vector<32x8xf32>, %c: vector<2x32xf32>)
    -> vector<2x32xf32> {
  %0 = vector.contract {indexing_maps = [#mk, #nk, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %a, %b, %c : vector<2x8xf32>, vector<32x8xf32> into vector<2x32xf32>
  return %0 : vector<2x32xf32>
}
