// RUN: elfatt-opt %s --elfatt-tile-to-vector="machine=gpu" --canonicalize --cse | FileCheck %s
//
// A worker that takes tile after tile of an image, four lines of 16 each, keeps the two lines of V
// around their border in scratch, and fetches the four that it has not.

#q = affine_map<(y, x, d, e) -> (y, x, d)>
#c = affine_map<(y, x, d, e) -> (d, e)>
#o = affine_map<(y, x, d, e) -> (y, x, e)>
#v = affine_map<(y, x, e) -> (y, x, e)>
#w = affine_map<(y, x, e) -> (e)>
#back = affine_map<(i) -> (60 - i)>

// CHECK-LABEL: func.func @forward
// CHECK:         %[[V:.*]] = memref.subview %{{.*}}[0, 0] [98, 32] [1, 1] : memref<98x40xf16, #gpu.address_space<workgroup>>
// CHECK:         scf.for %[[I:.*]] = %[[FIRST:.*]] to
// CHECK:           %[[IS_FIRST:.*]] = arith.cmpi eq, %[[I]], %[[FIRST]]
// CHECK:           %[[LINE:.*]] = arith.select %[[IS_FIRST]], %c0, %c16
// CHECK:           %[[KEPT:.*]] = arith.muli %[[LINE]], %c2
// CHECK:           %[[FROM:.*]] = memref.subview %[[V]][65, 0] [%[[KEPT]], 32]
// CHECK:           %[[TO:.*]] = memref.subview %[[V]][1, 0] [%[[KEPT]], 32]
// CHECK:           linalg.copy ins(%[[FROM]] : {{.*}}) outs(%[[TO]] :
func.func @forward(%q: memref<64x16x32xf16>, %c: memref<32x32xf32>, %v: memref<64x16x32xf16>,
                   %w: memref<3x3x32xf16>, %o: memref<64x16x32xf16>) {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %c64 = arith.constant 64 : index
  scf.for %i = %c0 to %c64 step %c4 {
    %qi = memref.subview %q[%i, 0, 0] [4, 16, 32] [1, 1, 1] : memref<64x16x32xf16> to memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>
    %oi = memref.subview %o[%i, 0, 0] [4, 16, 32] [1, 1, 1] : memref<64x16x32xf16> to memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>
    attention.apply indexing_maps = [#q, #c, #o]
      ins(%qi, %c : memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>, memref<32x32xf32>)
      outs(%oi : memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>)
    attention.lepe indexing_maps = [#v, #w, #v]
      ins(%v, %w : memref<64x16x32xf16>, memref<3x3x32xf16>) offsets(%i, %c0)
      outs(%oi : memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>) grid_dims = [0, 1]
  }
  return
}

// From the last tile to the first the lines move the other way.
// CHECK-LABEL: func.func @back
// CHECK:         %[[V:.*]] = memref.subview %{{.*}}[0, 0] [98, 32] [1, 1] : memref<98x40xf16, #gpu.address_space<workgroup>>
// CHECK:         scf.for
// CHECK:           %[[FROM:.*]] = memref.subview %[[V]][1, 0] [%[[KEPT:.*]], 32]
// CHECK:           %[[TO:.*]] = memref.subview %[[V]][65, 0] [%[[KEPT]], 32]
// CHECK:           linalg.copy ins(%[[FROM]] : {{.*}}) outs(%[[TO]] :
func.func @back(%q: memref<64x16x32xf16>, %c: memref<32x32xf32>, %v: memref<64x16x32xf16>,
                %w: memref<3x3x32xf16>, %o: memref<64x16x32xf16>) {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %c64 = arith.constant 64 : index
  scf.for %i = %c0 to %c64 step %c4 {
    %first = affine.apply #back(%i)
    %qi = memref.subview %q[%first, 0, 0] [4, 16, 32] [1, 1, 1] : memref<64x16x32xf16> to memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>
    %oi = memref.subview %o[%first, 0, 0] [4, 16, 32] [1, 1, 1] : memref<64x16x32xf16> to memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>
    attention.apply indexing_maps = [#q, #c, #o]
      ins(%qi, %c : memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>, memref<32x32xf32>)
      outs(%oi : memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>)
    attention.lepe indexing_maps = [#v, #w, #v]
      ins(%v, %w : memref<64x16x32xf16>, memref<3x3x32xf16>) offsets(%first, %c0)
      outs(%oi : memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>) grid_dims = [0, 1]
  }
  return
}

// A tile of another height than the step says nothing of the tile before.
// CHECK-LABEL: func.func @overlapping
// CHECK-NOT:     arith.select {{.*}}, %c0, %c
// CHECK:         return
func.func @overlapping(%q: memref<64x16x32xf16>, %c: memref<32x32xf32>, %v: memref<64x16x32xf16>,
                       %w: memref<3x3x32xf16>, %o: memref<64x16x32xf16>) {
  %c0 = arith.constant 0 : index
  %c3 = arith.constant 3 : index
  %c60 = arith.constant 60 : index
  scf.for %i = %c0 to %c60 step %c3 {
    %qi = memref.subview %q[%i, 0, 0] [4, 16, 32] [1, 1, 1] : memref<64x16x32xf16> to memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>
    %oi = memref.subview %o[%i, 0, 0] [4, 16, 32] [1, 1, 1] : memref<64x16x32xf16> to memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>
    attention.apply indexing_maps = [#q, #c, #o]
      ins(%qi, %c : memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>, memref<32x32xf32>)
      outs(%oi : memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>)
    attention.lepe indexing_maps = [#v, #w, #v]
      ins(%v, %w : memref<64x16x32xf16>, memref<3x3x32xf16>) offsets(%i, %c0)
      outs(%oi : memref<4x16x32xf16, strided<[512, 32, 1], offset: ?>>) grid_dims = [0, 1]
  }
  return
}
