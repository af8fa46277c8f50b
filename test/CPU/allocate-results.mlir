// RUN: elfatt-opt %s --elfatt-cpu-allocate-results | FileCheck %s

// CHECK-LABEL: func.func @reshaped
// CHECK:         %[[R:.*]] = memref.alloc() {alignment = 64 : i64} : memref<4x4xf32>
// CHECK:         %[[C:.*]] = memref.collapse_shape %[[R]] {{\[\[}}0, 1]]
// CHECK:         %[[B:.*]] = memref.expand_shape %[[C]] {{\[\[}}0, 1]] output_shape [2, 8]
// CHECK-NOT:     memref.alloc
// CHECK:         memref.store %{{.*}}, %[[B]]
// CHECK:         return %[[R]]
func.func @reshaped(%x: f32) -> memref<4x4xf32> {
  %i = arith.constant 0 : index
  %b = memref.alloc() {alignment = 64 : i64} : memref<2x8xf32>
  memref.store %x, %b[%i, %i] : memref<2x8xf32>
  %c = memref.collapse_shape %b [[0, 1]] : memref<2x8xf32> into memref<16xf32>
  %r = memref.expand_shape %c [[0, 1]] output_shape [4, 4] : memref<16xf32> into memref<4x4xf32>
  return %r : memref<4x4xf32>
}

// One buffer cannot have two shapes: that of a result as it is stays.
// CHECK-LABEL: func.func @twice
// CHECK:         %[[B:.*]] = memref.alloc() : memref<2x8xf32>
// CHECK:         %[[R:.*]] = memref.collapse_shape %[[B]]
// CHECK:         return %[[R]], %[[B]] : memref<16xf32>, memref<2x8xf32>
func.func @twice() -> (memref<16xf32>, memref<2x8xf32>) {
  %b = memref.alloc() : memref<2x8xf32>
  %r = memref.collapse_shape %b [[0, 1]] : memref<2x8xf32> into memref<16xf32>
  return %r, %b : memref<16xf32>, memref<2x8xf32>
}

// Not an argument's view, nor one whose extents are not known.
// CHECK-LABEL: func.func @left
// CHECK:         %[[C:.*]] = memref.collapse_shape %{{.*}}
// CHECK:         %[[D:.*]] = memref.collapse_shape %{{.*}}
// CHECK:         return %[[C]], %[[D]]
func.func @left(%a: memref<2x8xf32>, %n: index) -> (memref<16xf32>, memref<?xf32>) {
  %b = memref.alloc(%n) : memref<?x8xf32>
  %c = memref.collapse_shape %a [[0, 1]] : memref<2x8xf32> into memref<16xf32>
  %d = memref.collapse_shape %b [[0, 1]] : memref<?x8xf32> into memref<?xf32>
  return %c, %d : memref<16xf32>, memref<?xf32>
}
