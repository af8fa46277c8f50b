// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=cpu --canonicalize --cse | FileCheck %s

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>

// A window asks for the next iteration's Q, K and V, that of the next head where the last
// window of one ends, and for the rows that it will write.
// CHECK-LABEL: func.func @next_window
// CHECK:         scf.forall (%[[HEAD:.*]], %[[WINDOW:.*]]) in (4, 6)
// CHECK:           %[[MORE:.*]] = arith.addi %[[WINDOW]], %c1
// CHECK:           %[[ENDS:.*]] = arith.cmpi sge, %[[MORE]], %c6
// CHECK:           %[[NEXT:.*]] = arith.select %[[ENDS]], %c0, %[[MORE]]
// CHECK:           %[[OTHER:.*]] = arith.select %[[ENDS]], %{{.*}}, %[[HEAD]]
// CHECK-COUNT-3:   memref.subview %{{.*}}[%[[OTHER]], %[[NEXT]], 0, 0]
// CHECK:           scf.for %[[Q:.*]] = %c0 to %c8
// CHECK-NEXT:        memref.prefetch %{{.*}}[%[[Q]], %c0], read
// CHECK:           memref.prefetch %{{.*}}, read
// CHECK:           memref.prefetch %{{.*}}, read
// CHECK:           memref.prefetch %{{.*}}, write
// CHECK:           vector.contract
func.func @next_window(%q: memref<4x6x8x16xf32>, %k: memref<4x6x8x16xf32>,
    %v: memref<4x6x8x16xf32>, %o: memref<4x6x8x16xf32>) {
  scf.forall (%h, %w) in (4, 6) {
    %qw = memref.subview %q[%h, %w, 0, 0] [1, 1, 8, 16] [1, 1, 1, 1]
      : memref<4x6x8x16xf32> to memref<1x8x16xf32, strided<[128, 16, 1], offset: ?>>
    %kw = memref.subview %k[%h, %w, 0, 0] [1, 1, 8, 16] [1, 1, 1, 1]
      : memref<4x6x8x16xf32> to memref<1x8x16xf32, strided<[128, 16, 1], offset: ?>>
    %vw = memref.subview %v[%h, %w, 0, 0] [1, 1, 8, 16] [1, 1, 1, 1]
      : memref<4x6x8x16xf32> to memref<1x8x16xf32, strided<[128, 16, 1], offset: ?>>
    %ow = memref.subview %o[%h, %w, 0, 0] [1, 1, 8, 16] [1, 1, 1, 1]
      : memref<4x6x8x16xf32> to memref<1x8x16xf32, strided<[128, 16, 1], offset: ?>>
    attention.sdpa indexing_maps = [#q, #k, #v, #o]
      ins(%qw, %kw, %vw : memref<1x8x16xf32, strided<[128, 16, 1], offset: ?>>,
          memref<1x8x16xf32, strided<[128, 16, 1], offset: ?>>,
          memref<1x8x16xf32, strided<[128, 16, 1], offset: ?>>)
      outs(%ow : memref<1x8x16xf32, strided<[128, 16, 1], offset: ?>>)
  }
  return
}

// Outside of a loop over workers there is no next window.
// CHECK-LABEL: func.func @no_next_window
// CHECK-NOT:     memref.prefetch %{{.*}}, read
func.func @no_next_window(%q: memref<1x8x16xf32>, %k: memref<1x8x16xf32>,
    %v: memref<1x8x16xf32>, %o: memref<1x8x16xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : memref<1x8x16xf32>, memref<1x8x16xf32>, memref<1x8x16xf32>)
    outs(%o : memref<1x8x16xf32>)
  return
}
