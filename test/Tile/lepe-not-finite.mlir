// RUN: elfatt-opt %s --elfatt-tile-to-vector="machine=gpu tensor-f16" --canonicalize --cse | FileCheck %s
//
// Products with diagonal matrices make NaN of a block's channels where one value is not finite. The
// nine taps are then added lane by lane: in a loop, since that is rare and there are many blocks.

#q = affine_map<(y, x, d, e) -> (y, x, d)>
#c = affine_map<(y, x, d, e) -> (d, e)>
#o = affine_map<(y, x, d, e) -> (y, x, e)>
#v = affine_map<(y, x, e) -> (y, x, e)>
#w = affine_map<(y, x, e) -> (e)>

// CHECK-LABEL: func.func @taps
// CHECK:         %[[IS_NAN:.*]] = arith.cmpf uno, %[[BY_PRODUCTS:.*]], %[[BY_PRODUCTS]] : vector<16x16xf32>
// CHECK:         %[[ANY:.*]] = vector.multi_reduction <or>, %[[IS_NAN]]
// CHECK:         scf.if %[[ANY]]
// CHECK:           scf.for %[[TAP:.*]] = %c0 to %c9 step %c1 iter_args(%[[SUM:.*]] =
// CHECK:             arith.remui %[[TAP]], %c3
// CHECK:             %[[ON_LINE:.*]] = arith.cmpi ult
// CHECK:             vector.transfer_read %{{.*}}[%[[TAP]], %c0]
// CHECK:             %[[NEXT:.*]] = arith.select %{{.*}}, %{{.*}}, %[[SUM]]
// CHECK:             scf.yield %[[NEXT]]
// CHECK:         } else {
// CHECK-NEXT:      scf.yield %[[BY_PRODUCTS]]
func.func @taps(%q: memref<4x16x32xf16>, %c: memref<32x32xf32>, %v: memref<4x16x32xf16>,
                %w: memref<3x3x32xf16>, %o: memref<4x16x32xf16>) {
  attention.apply indexing_maps = [#q, #c, #o]
    ins(%q, %c : memref<4x16x32xf16>, memref<32x32xf32>) outs(%o : memref<4x16x32xf16>)
  attention.lepe indexing_maps = [#v, #w, #v]
    ins(%v, %w : memref<4x16x32xf16>, memref<3x3x32xf16>)
    outs(%o : memref<4x16x32xf16>) grid_dims = [0, 1]
  return
}
