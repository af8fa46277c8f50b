// RUN: elfatt-opt %s --elfatt-cpu-lower-tiles="vector-bits=512 vector-registers=32" --canonicalize --split-input-file | FileCheck %s

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#km = affine_map<(i, j, k) -> (k, i)>
#nk = affine_map<(i, j, k) -> (j, k)>
#mn = affine_map<(i, j, k) -> (i, j)>

// Operands that are in memory are read in the loop: scalars of the left one,
// rows of the right one. Four accumulators: two rows of two registers.
// CHECK-LABEL: func.func @product_reads_in_place
// CHECK-SAME:    %[[A:[^:]*]]: memref<2x8xf32>, %[[B:[^:]*]]: memref<8x32xf32>
// CHECK-NOT:     memref.alloca
// CHECK:         scf.for %[[K:.*]] = {{.*}} -> (vector<16xf32>, vector<16xf32>, vector<16xf32>, vector<16xf32>)
// CHECK-COUNT-2:   vector.load %[[B]]
// CHECK:           memref.load %[[A]]
// CHECK-COUNT-2:   vector.fma
// CHECK:           memref.load %[[A]]
// CHECK-COUNT-2:   vector.fma
// CHECK-NOT:     vector.contract
func.func @product_reads_in_place(%a: memref<2x8xf32>, %b: memref<8x32xf32>, %c: memref<2x32xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<2x32xf32>
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x8xf32>, vector<2x8xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<8x32xf32>, vector<8x32xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<2x8xf32>, vector<8x32xf32> into vector<2x32xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<2x32xf32>, memref<2x32xf32>
  return
}

// -----

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#mn = affine_map<(i, j, k) -> (i, j)>

// What a product takes as scalars is stored as soon as it is made; a right operand
// that was overwritten since passes through scratch too.
// CHECK-LABEL: func.func @product_through_scratch
// CHECK-COUNT-2: memref.alloca() {alignment = 64 : i64}
// CHECK:         memref.store
// CHECK:         %[[HALF:.*]] = arith.mulf
// CHECK-NEXT:    vector.store %[[HALF]]
// CHECK:         scf.for
func.func @product_through_scratch(%a: memref<1x8xf32>, %b: memref<8x16xf32>, %c: memref<1x16xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %half = arith.constant dense<0.5> : vector<1x8xf32>
  %zero = arith.constant dense<0.0> : vector<1x16xf32>
  %x = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<1x8xf32>, vector<1x8xf32>
  %l = arith.mulf %x, %half : vector<1x8xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<8x16xf32>, vector<8x16xf32>
  memref.store %z, %b[%i, %i] : memref<8x16xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<1x8xf32>, vector<8x16xf32> into vector<1x16xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<1x16xf32>, memref<1x16xf32>
  return
}

// -----

#mk = affine_map<(i, j, k) -> (i, k)>
#kn = affine_map<(i, j, k) -> (k, j)>
#mn = affine_map<(i, j, k) -> (i, j)>

// Rows of the right operand beyond its buffer are padding: the loop ends there.
// CHECK-LABEL: func.func @product_skips_padding
// CHECK:         %[[DIM:.*]] = memref.dim
// CHECK:         %[[BOUND:.*]] = arith.minsi
// CHECK:         scf.for {{.*}} to %[[BOUND]]
func.func @product_skips_padding(%a: memref<2x8xf32>, %b: memref<?x16xf32>, %c: memref<2x16xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<2x16xf32>
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x8xf32>, vector<2x8xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [false, true]} : memref<?x16xf32>, vector<8x16xf32>
  %0 = vector.contract {indexing_maps = [#mk, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<2x8xf32>, vector<8x16xf32> into vector<2x16xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<2x16xf32>, memref<2x16xf32>
  return
}

// -----

#km = affine_map<(i, j, k) -> (k, i)>
#kn = affine_map<(i, j, k) -> (k, j)>
#mn = affine_map<(i, j, k) -> (i, j)>

// 14 rows of four registers would need 56 accumulators: two panels of two.
// CHECK-LABEL: func.func @product_in_panels
// CHECK:         scf.for
// CHECK-COUNT-28:  vector.fma
// CHECK:         scf.for
// CHECK-COUNT-28:  vector.fma
// CHECK-NOT:     scf.for
func.func @product_in_panels(%a: memref<8x14xf32>, %b: memref<8x64xf32>, %c: memref<14x64xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<14x64xf32>
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<8x14xf32>, vector<8x14xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [true, true]} : memref<8x64xf32>, vector<8x64xf32>
  %0 = vector.contract {indexing_maps = [#km, #kn, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<8x14xf32>, vector<8x64xf32> into vector<14x64xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<14x64xf32>, memref<14x64xf32>
  return
}

// -----

#mk = affine_map<(i, j, k) -> (i, k)>
#nk = affine_map<(i, j, k) -> (j, k)>
#mn = affine_map<(i, j, k) -> (i, j)>

// The GPU's product, with the right operand transposed, is not this pass's.
// CHECK-LABEL: func.func @other_products_stay
// CHECK:         vector.contract
func.func @other_products_stay(%a: vector<2x8xf32>, %b: vector<32x8xf32>, %c: vector<2x32xf32>)
    -> vector<2x32xf32> {
  %0 = vector.contract {indexing_maps = [#mk, #nk, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %a, %b, %c : vector<2x8xf32>, vector<32x8xf32> into vector<2x32xf32>
  return %0 : vector<2x32xf32>
}

// -----

// 40 columns are two registers of 16 lanes and one of 8; 20 are 16 and 4.
// CHECK-LABEL: func.func @narrow_registers_at_the_end
// CHECK-DAG:     vector.load {{.*}} vector<16xf32>
// CHECK-DAG:     vector.load {{.*}} vector<16xf32>
// CHECK-DAG:     vector.load {{.*}} vector<8xf32>
// CHECK-NOT:     vector.maskedload
// CHECK:         return
func.func @narrow_registers_at_the_end(%a: memref<1x40xf32>, %b: memref<1x40xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %x = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<1x40xf32>, vector<1x40xf32>
  %y = arith.addf %x, %x : vector<1x40xf32>
  vector.transfer_write %y, %b[%i, %i] {in_bounds = [true, true]} : vector<1x40xf32>, memref<1x40xf32>
  return
}

// -----

// Five columns take half a register, the rest masked.
// CHECK-LABEL: func.func @masked_at_the_end
// CHECK:         vector.maskedload {{.*}} vector<8xf32>
// CHECK:         vector.maskedstore {{.*}} vector<8xf32>
func.func @masked_at_the_end(%a: memref<1x5xf32>, %b: memref<1x5xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %x = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<1x5xf32>, vector<1x5xf32>
  vector.transfer_write %x, %b[%i, %i] {in_bounds = [true, true]} : vector<1x5xf32>, memref<1x5xf32>
  return
}

// -----

// A tile that is written where it was read comes column by column; one that overlaps is
// read first.
// CHECK-LABEL: func.func @in_place
// CHECK:         %[[FIRST:.*]] = vector.load %{{.*}}[%c0, %c0]
// CHECK-NEXT:    vector.load %{{.*}}[%c1, %c0]
// CHECK-NEXT:    vector.store %[[FIRST]]
// CHECK:         vector.load
func.func @in_place(%a: memref<3x32xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %x = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<3x32xf32>, vector<2x32xf32>
  vector.transfer_write %x, %a[%i, %i] {in_bounds = [true, true]} : vector<2x32xf32>, memref<3x32xf32>
  return
}

// CHECK-LABEL: func.func @overlapping
// CHECK:         vector.load
// CHECK-NEXT:    vector.load
// CHECK-NEXT:    vector.store
func.func @overlapping(%a: memref<3x16xf32>) {
  %i = arith.constant 0 : index
  %one = arith.constant 1 : index
  %z = arith.constant 0.0 : f32
  %x = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<3x16xf32>, vector<2x16xf32>
  vector.transfer_write %x, %a[%one, %i] {in_bounds = [true, true]} : vector<2x16xf32>, memref<3x16xf32>
  return
}

// -----

// Sums of eight rows join two registers a step: 4 + 2 + 1, then one halving.
// CHECK-LABEL: func.func @sum_of_rows
// CHECK-NOT:     vector.multi_reduction
// CHECK-COUNT-8: arith.addf {{.*}} : vector<16xf32>
// CHECK-COUNT-7: arith.addf {{.*}} : vector<16xf32>
// CHECK:         arith.addf {{.*}} : vector<8xf32>
// CHECK-NOT:     arith.addf
// CHECK:         vector.store {{.*}} vector<8xf32>
func.func @sum_of_rows(%a: memref<8x32xf32>, %b: memref<8xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<8xf32>
  %x = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<8x32xf32>, vector<8x32xf32>
  %0 = vector.multi_reduction <add>, %x, %zero [1] : vector<8x32xf32> to vector<8xf32>
  vector.transfer_write %0, %b[%i] {in_bounds = [true]} : vector<8xf32>, memref<8xf32>
  return
}

// CHECK-LABEL: func.func @maximum_of_columns
// CHECK:         %[[GREATER:.*]] = arith.cmpf ogt, %[[A:.*]], %[[B:.*]] : vector<16xf32>
// CHECK:         arith.select %[[GREATER]], %[[A]], %[[B]]
// CHECK-NOT:     vector.shuffle
// CHECK:         return
func.func @maximum_of_columns(%a: memref<2x16xf32>, %b: memref<16xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %low = arith.constant dense<0xFF800000> : vector<16xf32>
  %x = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<2x16xf32>, vector<2x16xf32>
  %0 = vector.multi_reduction <maxnumf>, %x, %low [0] : vector<2x16xf32> to vector<16xf32>
  vector.transfer_write %0, %b[%i] {in_bounds = [true]} : vector<16xf32>, memref<16xf32>
  return
}

// CHECK-LABEL: func.func @integer_reductions_stay
// CHECK:         vector.multi_reduction
func.func @integer_reductions_stay(%x: vector<2x16xi32>, %acc: vector<16xi32>) -> vector<16xi32> {
  %0 = vector.multi_reduction <add>, %x, %acc [0] : vector<2x16xi32> to vector<16xi32>
  return %0 : vector<16xi32>
}

// -----

// Rows that may not exist are accessed where the first one is: memory beyond may not be there,
// which costs a processor hundreds of cycles even if no lane is read.
// CHECK-LABEL: func.func @rows_beyond_the_end
// CHECK-SAME:    %[[A:[^:]*]]: memref<?x16xf32>, %[[B:[^:]*]]: memref<?x16xf32>, %[[I:[^:]*]]: index
// CHECK:         %[[ROW:.*]] = arith.select %{{.*}}, %[[I]], %c0
// CHECK:         vector.maskedload %[[A]][%[[ROW]], %c0]
// CHECK:         %[[ROW:.*]] = arith.select %{{.*}}, %[[I]], %c0
// CHECK:         vector.maskedstore %[[B]][%[[ROW]], %c0]
func.func @rows_beyond_the_end(%a: memref<?x16xf32>, %b: memref<?x16xf32>, %i: index) {
  %c0 = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %t = vector.transfer_read %a[%i, %c0], %z {in_bounds = [false, true]} : memref<?x16xf32>, vector<2x16xf32>
  vector.transfer_write %t, %b[%i, %c0] {in_bounds = [false, true]} : vector<2x16xf32>, memref<?x16xf32>
  return
}

// -----

// Of rows with a mask, so are those whose bit no other row has: what many rows have in common is
// no matter of their place.
// CHECK-LABEL: func.func @rows_of_their_own_bit
// CHECK-SAME:    %[[A:[^:]*]]: memref<8x16xf32>, %{{.*}}: memref<3x16xf32>, %[[I:[^:]*]]: index, %[[FIRST:[^:]*]]: i1
// CHECK:         %[[ROW:.*]] = arith.select %[[FIRST]], %[[I]], %c0
// CHECK:         vector.maskedload %[[A]][%[[ROW]], %c0]
// CHECK:         %[[SECOND:.*]] = arith.addi %[[I]], %c1
// CHECK:         vector.maskedload %[[A]][%[[SECOND]], %c0]
func.func @rows_of_their_own_bit(%a: memref<8x16xf32>, %b: memref<3x16xf32>, %i: index, %first: i1, %others: i1) {
  %c0 = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %bits = vector.from_elements %first, %others, %others : vector<3xi1>
  %column = vector.shape_cast %bits : vector<3xi1> to vector<3x1xi1>
  %mask = vector.broadcast %column : vector<3x1xi1> to vector<3x16xi1>
  %t = vector.transfer_read %a[%i, %c0], %z, %mask {in_bounds = [true, true]} : memref<8x16xf32>, vector<3x16xf32>
  vector.transfer_write %t, %b[%c0, %c0] {in_bounds = [true, true]} : vector<3x16xf32>, memref<3x16xf32>
  return
}

// -----

#mk = affine_map<(i, j, k) -> (i, k)>
#nk = affine_map<(i, j, k) -> (j, k)>
#mn = affine_map<(i, j, k) -> (i, j)>

// One row times rows, sixteen of them in a turn of a loop and the last three behind it: sums over
// lanes, joined by shuffles. No row beyond the end is read.
// CHECK-LABEL: func.func @row_times_rows
// CHECK-SAME:    %{{[^:]*}}: memref<1x32xf32>, %[[B:[^:]*]]: memref<35x32xf32>
// CHECK:         scf.for %{{.*}} = %c0 to %c32 step %c16
// CHECK-COUNT-32:  vector.fma
// CHECK:           vector.shuffle
// CHECK:           vector.store
// CHECK:         }
// CHECK-COUNT-6: vector.load %[[B]]
// CHECK-NOT:     %[[B]]
// CHECK-NOT:     maskedload
// CHECK:         return
func.func @row_times_rows(%a: memref<1x32xf32>, %b: memref<35x32xf32>, %c: memref<1x48xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<1x48xf32>
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<1x32xf32>, vector<1x32xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [false, true]} : memref<35x32xf32>, vector<48x32xf32>
  %0 = vector.contract {indexing_maps = [#mk, #nk, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<1x32xf32>, vector<48x32xf32> into vector<1x48xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<1x48xf32>, memref<1x48xf32>
  return
}

// -----

#mk = affine_map<(i, j, k) -> (i, k)>
#nk = affine_map<(i, j, k) -> (j, k)>
#mn = affine_map<(i, j, k) -> (i, j)>

// What a register does not fill is added to its first lanes; rows of no known number are masked.
// CHECK-LABEL: func.func @row_times_rows_of_some_width
// CHECK:         scf.for
// CHECK:           arith.mulf {{.*}} : vector<8xf32>
// CHECK:           vector.insert_strided_slice
// CHECK:         vector.store
func.func @row_times_rows_of_some_width(%a: memref<1x40xf32>, %b: memref<?x40xf32>, %c: memref<1x32xf32>) {
  %i = arith.constant 0 : index
  %z = arith.constant 0.0 : f32
  %zero = arith.constant dense<0.0> : vector<1x32xf32>
  %l = vector.transfer_read %a[%i, %i], %z {in_bounds = [true, true]} : memref<1x40xf32>, vector<1x40xf32>
  %r = vector.transfer_read %b[%i, %i], %z {in_bounds = [false, true]} : memref<?x40xf32>, vector<32x40xf32>
  %0 = vector.contract {indexing_maps = [#mk, #nk, #mn], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>} %l, %r, %zero : vector<1x40xf32>, vector<32x40xf32> into vector<1x32xf32>
  vector.transfer_write %0, %c[%i, %i] {in_bounds = [true, true]} : vector<1x32xf32>, memref<1x32xf32>
  return
}
