// RUN: elfatt-opt %s --elfatt-tile-clean-buffers=machine=cpu | FileCheck %s --check-prefixes=CHECK,CPU
// RUN: elfatt-opt %s --elfatt-tile-clean-buffers=machine=gpu | FileCheck %s --check-prefixes=CHECK,GPU

// CHECK-LABEL: func.func @copy_onto_itself_goes
// CHECK-NOT:     memref.copy
func.func @copy_onto_itself_goes(%x: memref<4x6xf32>) {
  %e = memref.expand_shape %x [[0, 1], [2]] output_shape [2, 2, 6] : memref<4x6xf32> into memref<2x2x6xf32>
  %c = memref.collapse_shape %e [[0, 1], [2]] : memref<2x2x6xf32> into memref<4x6xf32>
  memref.copy %c, %x : memref<4x6xf32> to memref<4x6xf32>
  return
}

// CHECK-LABEL: func.func @other_copies_stay
// CHECK:         memref.copy
func.func @other_copies_stay(%x: memref<4x6xf32>, %y: memref<4x6xf32>) {
  memref.copy %x, %y : memref<4x6xf32> to memref<4x6xf32>
  return
}

// A reshape to the same type through another shape is not the identity on a
// transposed buffer; only plain reshapes are looked through.
// CHECK-LABEL: func.func @transposed_copy_stays
// CHECK:         memref.copy
func.func @transposed_copy_stays(%x: memref<4x4xf32, strided<[?, ?]>>) {
  %t = memref.transpose %x (i, j) -> (j, i) : memref<4x4xf32, strided<[?, ?]>> to memref<4x4xf32, strided<[?, ?]>>
  memref.copy %t, %x : memref<4x4xf32, strided<[?, ?]>> to memref<4x4xf32, strided<[?, ?]>>
  return
}

// CHECK-LABEL: func.func @a_workers_buffer_is_scratch
// CHECK:         scf.forall
// CHECK-NOT:       memref.alloc()
// CPU:             memref.alloca() {alignment = 64 : i64} : memref<8xf32>
// GPU:             memref.alloca() {alignment = 64 : i64} : memref<8xf32, #gpu.address_space<workgroup>>
// GPU:             memref.subview {{.*}} #gpu.address_space<workgroup>> to memref<4xf32, strided<[1]>, #gpu.address_space<workgroup>>
func.func @a_workers_buffer_is_scratch(%out: memref<4xf32>) {
  scf.forall (%i) in (4) {
    %b = memref.alloc() : memref<8xf32>
    %s = memref.subview %b[0] [4] [1] : memref<8xf32> to memref<4xf32, strided<[1]>>
    %z = arith.constant 0.0 : f32
    memref.store %z, %s[%i] : memref<4xf32, strided<[1]>>
  }
  return
}

#k = affine_map<(j, d, e) -> (j, d)>
#v = affine_map<(j, d, e) -> (j, e)>
#c = affine_map<(j, d, e) -> (d, e)>
#q = affine_map<(i, d, e) -> (i, d)>
#a = affine_map<(i, d, e) -> (d, e)>
#o = affine_map<(i, d, e) -> (i, e)>

// Warps write a context as they hold it: four of its rows lie in different banks.
// CHECK-LABEL: func.func @rows_of_a_context_lie_apart
// CPU:           memref.alloca() {{.*}} : memref<32x32xf32>
// GPU:           %[[ALL:.*]] = memref.alloca() {{.*}} : memref<32x40xf32, #gpu.address_space<workgroup>>
// GPU:           %[[C:.*]] = memref.subview %[[ALL]][0, 0] [32, 32] [1, 1]
// GPU:           attention.context {{.*}} outs(%[[C]] : memref<32x32xf32, strided<[40, 1]>, #gpu.address_space<workgroup>>)
func.func @rows_of_a_context_lie_apart(%x: memref<64x32xf16>, %o: memref<64x32xf16>) {
  scf.forall (%i) in (4) {
    %b = memref.alloc() : memref<32x32xf32>
    attention.context indexing_maps = [#k, #v, #c]
      ins(%x, %x : memref<64x32xf16>, memref<64x32xf16>) outs(%b : memref<32x32xf32>)
    attention.apply indexing_maps = [#q, #a, #o]
      ins(%x, %b : memref<64x32xf16>, memref<32x32xf32>) outs(%o : memref<64x32xf16>)
  }
  return
}

// CHECK-LABEL: func.func @other_allocations_stay
// CHECK:         memref.alloc()
func.func @other_allocations_stay() -> memref<8xf32> {
  %b = memref.alloc() : memref<8xf32>
  return %b : memref<8xf32>
}
