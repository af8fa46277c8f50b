// RUN: elfatt-opt %s --elfatt-cpu-lower-tiles="vector-bits=512 vector-registers=32" --canonicalize --split-input-file | FileCheck %s

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#mn = affine_map<(i, j, k) -> (i, j)>

// Four rows before a product of sixteen steps: one is asked for before every four of them.
// CHECK-LABEL: func.func @product_takes_prefetches_along
// CHECK-SAME:    %[[NEXT:[^:]*]]: memref<4x16xf32>
// CHECK-NOT:     memref.prefetch
// CHECK:         scf.for %[[FIRST:.*]] = %c0 to %c16 step %c4
// CHECK:           %[[ROW:.*]] = arith.divui %[[FIRST]], %c4
// CHECK-NEXT:      memref.prefetch %[[NEXT]][%[[ROW]], %c0], read
// CHECK-NEXT:      %[[END:.*]] = arith.addi %[[FIRST]], %c4
// CHECK-NEXT:      scf.for %{{.*}} = %[[FIRST]] to %[[END]] step %c1
// CHECK:             vector.fma
// CHECK-NOT:     memref.prefetch
func.func @product_takes_prefetches_along(%next: memref<4x16xf32>, %a: memref<2x16xf32>,
                                          %b: memref<16x16xf32>, %c: memref<2x16xf32>) {
  %i = arith.constant 0 : index
  %one = arith.constant 1 : index
  %four = arith.constant 4 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<2x16xf32>
  scf.for %row = %i to %four step %one {
    memref.prefetch %next[%row, %i], read, locality<3>, data : memref<4x16xf32>
  }
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x16xf32>, vector<2x16xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<16x16xf32>, vector<16x16xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<2x16xf32>, vector<16x16xf32> into vector<2x16xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<2x16xf32>, memref<2x16xf32>
  return
}

// -----

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#mn = affine_map<(i, j, k) -> (i, j)>

// More rows than steps: two a step.
// CHECK-LABEL: func.func @several_rows_a_step
// CHECK:         scf.for %[[STEP:.*]] = %c0 to %c2
// CHECK:           %[[ROW:.*]] = arith.muli %[[STEP]], %c2
// CHECK:           memref.prefetch %{{.*}}[%[[ROW]], %c0]
// CHECK:           %[[OTHER:.*]] = arith.addi %[[ROW]], %c1
// CHECK:           memref.prefetch %{{.*}}[%[[OTHER]], %c0]
// CHECK-NOT:     memref.prefetch
func.func @several_rows_a_step(%next: memref<4x16xf32>, %a: memref<2x2xf32>,
                                %b: memref<2x16xf32>, %c: memref<2x16xf32>) {
  %i = arith.constant 0 : index
  %one = arith.constant 1 : index
  %four = arith.constant 4 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<2x16xf32>
  scf.for %row = %i to %four step %one {
    memref.prefetch %next[%row, %i], read, locality<3>, data : memref<4x16xf32>
  }
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x2xf32>, vector<2x2xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<2x16xf32>, vector<2x16xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<2x2xf32>, vector<2x16xf32> into vector<2x16xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<2x16xf32>, memref<2x16xf32>
  return
}

// -----

// Without a product they stay where they are.
// CHECK-LABEL: func.func @no_product
// CHECK:         scf.for
// CHECK-NEXT:      memref.prefetch
func.func @no_product(%next: memref<4x16xf32>) {
  %i = arith.constant 0 : index
  %one = arith.constant 1 : index
  %four = arith.constant 4 : index
  scf.for %row = %i to %four step %one {
    memref.prefetch %next[%row, %i], read, locality<3>, data : memref<4x16xf32>
  }
  return
}
