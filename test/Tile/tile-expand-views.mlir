// RUN: elfatt-opt %s --elfatt-tile-expand-views --expand-strided-metadata --lower-affine | FileCheck %s --check-prefix=LOWERED
// RUN: elfatt-opt %s --elfatt-tile-expand-views | FileCheck %s

// Rows and columns of an image of any size: upstream derives one unknown size of a group, not two.
// CHECK-LABEL: func.func @two_unknown
// CHECK-SAME:    (%[[X:.*]]: memref<?x8xf32>, %[[H:.*]]: index, %[[W:.*]]: index)
// CHECK:         %[[BASE:[a-z_]+]], %{{.*}} = memref.extract_strided_metadata %[[X]]
// CHECK:         %[[ROW:.*]] = affine.apply #{{.*}}()[%[[W]]]
// CHECK:         memref.reinterpret_cast %[[BASE]] to offset: [0], sizes: [%[[H]], %[[W]], 2, 4], strides: [%[[ROW]], 8, 4, 1]
// CHECK-NOT:     memref.expand_shape
// LOWERED-LABEL: func.func @two_unknown
// LOWERED-NOT:   memref.expand_shape
func.func @two_unknown(%x: memref<?x8xf32>, %h: index, %w: index) -> memref<?x?x2x4xf32> {
  %e = memref.expand_shape %x [[0, 1], [2, 3]] output_shape [%h, %w, 2, 4] : memref<?x8xf32> into memref<?x?x2x4xf32>
  return %e : memref<?x?x2x4xf32>
}

// CHECK-LABEL: func.func @of_a_view
// CHECK:         memref.extract_strided_metadata
// CHECK:         memref.reinterpret_cast %{{.*}} to offset: [%{{.*}}], sizes: [%{{.*}}, %{{.*}}, 4], strides: [%{{.*}}, %{{.*}}, 1]
func.func @of_a_view(%x: memref<?x4xf32, strided<[?, 1], offset: ?>>, %h: index, %w: index) -> memref<?x?x4xf32, strided<[?, ?, 1], offset: ?>> {
  %e = memref.expand_shape %x [[0, 1], [2]] output_shape [%h, %w, 4]
    : memref<?x4xf32, strided<[?, 1], offset: ?>> into memref<?x?x4xf32, strided<[?, ?, 1], offset: ?>>
  return %e : memref<?x?x4xf32, strided<[?, ?, 1], offset: ?>>
}

// CHECK-LABEL: func.func @one_unknown
// CHECK:         memref.expand_shape
func.func @one_unknown(%x: memref<?x8xf32>, %h: index) -> memref<?x7x8xf32> {
  %e = memref.expand_shape %x [[0, 1], [2]] output_shape [%h, 7, 8] : memref<?x8xf32> into memref<?x7x8xf32>
  return %e : memref<?x7x8xf32>
}
