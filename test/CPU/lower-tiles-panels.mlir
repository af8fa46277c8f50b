// RUN: elfatt-opt %s --elfatt-cpu-lower-tiles="vector-bits=512 vector-registers=8" --canonicalize --split-input-file | FileCheck %s

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#mn = affine_map<(i, j, k) -> (i, j)>

// Panels that go to scratch are stored before the next one begins: two of two registers a row.
// CHECK-LABEL:     func.func @panels_to_scratch
// CHECK:             %[[S:.*]] = memref.alloca() : memref<2x64xf32>
// CHECK:             scf.for
// CHECK-COUNT-4:     vector.store %{{.*}}, %[[S]]
// CHECK:             scf.for
// CHECK-COUNT-4:     vector.store %{{.*}}, %[[S]]
// CHECK-NOT:         vector.store %{{.*}}, %[[S]]
func.func @panels_to_scratch(%a: memref<2x8xf32>, %b: memref<8x64xf32>, %s: f32) -> f32 {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<2x64xf32>
  %c = memref.alloca() : memref<2x64xf32>
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x8xf32>, vector<2x8xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<8x64xf32>, vector<8x64xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<2x8xf32>, vector<8x64xf32> into vector<2x64xf32>
  %f = vector.broadcast %s : f32 to vector<2x64xf32>
  %1 = arith.mulf %0, %f : vector<2x64xf32>
  vector.transfer_write %1, %c[%i, %i] {in_bounds = [true, true]} : vector<2x64xf32>, memref<2x64xf32>
  %2 = memref.load %c[%i, %i] : memref<2x64xf32>
  return %2 : f32
}

// -----

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#mn = affine_map<(i, j, k) -> (i, j)>

// Not so where a later panel still reads what the scratch held.
// CHECK-LABEL:     func.func @scratch_is_an_operand
// CHECK:             %[[S:.*]] = memref.alloca() : memref<2x64xf32>
// CHECK:             scf.for
// CHECK-NOT:         vector.store %{{.*}}, %[[S]]
// CHECK:             scf.for
// CHECK-COUNT-8:     vector.store %{{.*}}, %[[S]]
func.func @scratch_is_an_operand(%a: memref<2x2xf32>) -> f32 {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<2x64xf32>
  %c = memref.alloca() : memref<2x64xf32>
  vector.transfer_write %zero, %c[%i, %i] {in_bounds = [true, true]} : vector<2x64xf32>, memref<2x64xf32>
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x2xf32>, vector<2x2xf32>
  %r = vector.transfer_read %c[%i, %i], %z {in_bounds = [true, true]} : memref<2x64xf32>, vector<2x64xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<2x2xf32>, vector<2x64xf32> into vector<2x64xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<2x64xf32>, memref<2x64xf32>
  %1 = memref.load %c[%i, %i] : memref<2x64xf32>
  return %1 : f32
}

// -----

// Columns of few rows are made before they are stored: what they share is read once.
// CHECK-LABEL:     func.func @column_by_column
// CHECK-SAME:        %[[A:.*]]: memref<3x16xf32>, %[[O:.*]]: memref<2x16xf32>
// CHECK-COUNT-4:     vector.load %[[A]]
// CHECK-NOT:         vector.load
// CHECK-COUNT-2:     vector.store %{{.*}}, %[[O]]
func.func @column_by_column(%a: memref<3x16xf32>, %o: memref<2x16xf32>) {
  %i = arith.constant 0 : index
  %one = arith.constant 1 : index
  %z = arith.constant 0.0 : f32
  %x = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<3x16xf32>, vector<2x16xf32>
  %y = vector.transfer_read %a[%one, %i], %z {in_bounds = [true, true]} : memref<3x16xf32>, vector<2x16xf32>
  %0 = arith.addf %x, %y : vector<2x16xf32>
  vector.transfer_write %0, %o[%i, %i] {in_bounds = [true, true]} : vector<2x16xf32>, memref<2x16xf32>
  return
}

// -----

// A term is added to the rows of a column before the next one is.
// CHECK-LABEL:     func.func @term_by_term
// CHECK-SAME:        %[[A:.*]]: memref<2x16xf32>, %[[B:.*]]: memref<2x16xf32>, %{{.*}}: memref<2x16xf32>)
// CHECK:             %[[A0:.*]] = vector.load %[[A]]
// CHECK:             %[[S0:.*]] = arith.addf %{{.*}}, %[[A0]]
// CHECK:             %[[A1:.*]] = vector.load %[[A]]
// CHECK:             %[[S1:.*]] = arith.addf %{{.*}}, %[[A1]]
// CHECK:             %[[B0:.*]] = vector.load %[[B]]
// CHECK:             arith.addf %[[S0]], %[[B0]]
// CHECK:             %[[B1:.*]] = vector.load %[[B]]
// CHECK:             arith.addf %[[S1]], %[[B1]]
func.func @term_by_term(%a: memref<2x16xf32>, %b: memref<2x16xf32>, %c: memref<2x16xf32>) -> memref<2x16xf32> {
  %o = memref.alloc() : memref<2x16xf32>
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %0 = vector.transfer_read %c[%c0, %c0], %zero {in_bounds = [true, true]} : memref<2x16xf32>, vector<2x16xf32>
  %1 = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<2x16xf32>, vector<2x16xf32>
  %2 = vector.transfer_read %b[%c0, %c0], %zero {in_bounds = [true, true]} : memref<2x16xf32>, vector<2x16xf32>
  %3 = arith.addf %0, %1 : vector<2x16xf32>
  %4 = arith.addf %3, %2 : vector<2x16xf32>
  vector.transfer_write %4, %o[%c0, %c0] {in_bounds = [true, true]} : vector<2x16xf32>, memref<2x16xf32>
  return %o : memref<2x16xf32>
}

// -----

#lhs = affine_map<(i, j, k) -> (i, k)>
#rhs = affine_map<(i, j, k) -> (k, j)>
#acc = affine_map<(i, j, k) -> (i, j)>

// Rows of what a product reads as scalars begin whole registers apart.
// CHECK-LABEL:     func.func @rows_of_scratch
// CHECK:             %[[S:.*]] = memref.alloca() {alignment = 64 : i64} : memref<2x32xf32>
// CHECK-COUNT-4:     vector.store %{{.*}}, %[[S]]
func.func @rows_of_scratch(%a: memref<2x24xf32>, %b: memref<24x16xf32>, %o: memref<2x16xf32>) {
  %c0 = arith.constant 0 : index
  %zero = arith.constant 0.0 : f32
  %none = arith.constant dense<0.0> : vector<2x16xf32>
  %0 = vector.transfer_read %a[%c0, %c0], %zero {in_bounds = [true, true]} : memref<2x24xf32>, vector<2x24xf32>
  %1 = arith.addf %0, %0 : vector<2x24xf32>
  %2 = vector.transfer_read %b[%c0, %c0], %zero {in_bounds = [true, true]} : memref<24x16xf32>, vector<24x16xf32>
  %3 = vector.contract {indexing_maps = [#lhs, #rhs, #acc], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %1, %2, %none : vector<2x24xf32>, vector<24x16xf32> into vector<2x16xf32>
  vector.transfer_write %3, %o[%c0, %c0] {in_bounds = [true, true]} : vector<2x16xf32>, memref<2x16xf32>
  return
}

// -----

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#mn = affine_map<(i, j, k) -> (i, j)>

// The maximum of a row is joined panel by panel.
// CHECK-LABEL:     func.func @maximum_of_panels
// CHECK:             scf.for
// CHECK:             arith.cmpf ogt
// CHECK:             scf.for
// CHECK:             arith.cmpf ogt
func.func @maximum_of_panels(%a: memref<2x8xf32>, %b: memref<8x64xf32>) -> (vector<2xf32>, f32) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<2x64xf32>
  %lowest = arith.constant dense<0xFF800000> : vector<2xf32>
  %c = memref.alloca() : memref<2x64xf32>
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x8xf32>, vector<2x8xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<8x64xf32>, vector<8x64xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<2x8xf32>, vector<8x64xf32> into vector<2x64xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<2x64xf32>, memref<2x64xf32>
  %1 = vector.multi_reduction <maxnumf>, %0, %lowest [1] : vector<2x64xf32> to vector<2xf32>
  %2 = memref.load %c[%i, %i] : memref<2x64xf32>
  return %1, %2 : vector<2xf32>, f32
}

// -----

// A loop carries the registers of a tile.
// CHECK-LABEL:     func.func @loop_of_registers
// CHECK:             scf.for {{.*}} -> (vector<16xf32>, vector<16xf32>)
// CHECK-COUNT-2:       arith.addf {{.*}} : vector<16xf32>
// CHECK:               scf.yield {{.*}} : vector<16xf32>, vector<16xf32>
// CHECK-COUNT-2:     vector.store
func.func @loop_of_registers(%a: memref<8x32xf32>, %o: memref<1x32xf32>) {
  %i = arith.constant 0 : index
  %one = arith.constant 1 : index
  %n = arith.constant 8 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<1x32xf32>
  %0 = scf.for %k = %i to %n step %one iter_args(%sum = %zero) -> (vector<1x32xf32>) {
    %x = vector.transfer_read %a[%k, %i], %z {in_bounds = [true, true]} : memref<8x32xf32>, vector<1x32xf32>
    %y = arith.addf %sum, %x : vector<1x32xf32>
    scf.yield %y : vector<1x32xf32>
  }
  vector.transfer_write %0, %o[%i, %i] {in_bounds = [true, true]} : vector<1x32xf32>, memref<1x32xf32>
  return
}

// -----

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#mn = affine_map<(i, j, k) -> (i, j)>

// A sum of 200 is two of 100, each from zero, where the buffer has so many rows.
// CHECK-LABEL:     func.func @long_sum
// CHECK-DAG:         %[[ZERO:.*]] = arith.constant dense<0.000000e+00> : vector<16xf32>
// CHECK-DAG:         %[[PART:.*]] = arith.constant 100 : index
// CHECK:             %[[BOUND:.*]] = arith.minsi
// CHECK:             %[[SUM:.*]] = scf.for %[[FIRST:.*]] = %{{.*}} to %[[BOUND]] step %[[PART]] iter_args(%[[ACC:.*]] = %{{.*}})
// CHECK:               %[[END:.*]] = arith.addi %[[FIRST]], %[[PART]]
// CHECK:               %[[LAST:.*]] = arith.minsi %[[BOUND]], %[[END]]
// CHECK:               %[[OF_PART:.*]] = scf.for %{{.*}} = %[[FIRST]] to %[[LAST]] {{.*}} iter_args(%{{.*}} = %[[ZERO]])
// CHECK:                 vector.fma
// CHECK:               %[[NEXT:.*]] = arith.addf %[[ACC]], %[[OF_PART]]
// CHECK:               scf.yield %[[NEXT]]
func.func @long_sum(%a: memref<1x200xf32>, %b: memref<?x16xf32>, %c: memref<1x16xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<1x200xf32>, vector<1x200xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [false, true]} : memref<?x16xf32>, vector<200x16xf32>
  %acc = vector.transfer_read %c[%i, %i], %z {in_bounds = [true, true]} : memref<1x16xf32>, vector<1x16xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %acc : vector<1x200xf32>, vector<200x16xf32> into vector<1x16xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<1x16xf32>, memref<1x16xf32>
  return
}
