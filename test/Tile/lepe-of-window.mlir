// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=cpu --canonicalize --cse | FileCheck %s

#q = affine_map<(b, y, x, u, v, d, e) -> (b, y, x, d)>
#k = affine_map<(b, y, x, u, v, d, e) -> (b, u, v, d)>
#v = affine_map<(b, y, x, u, v, d, e) -> (b, u, v, e)>
#o = affine_map<(b, y, x, u, v, d, e) -> (b, y, x, e)>
#l = affine_map<(b, y, x, e) -> (b, y, x, e)>
#w = affine_map<(b, y, x, e) -> (e)>

// The taps of LePE read V in scratch, where a window's values lie beside each other and are wide.
// CHECK-LABEL: func.func @window
// CHECK-SAME:    %{{.*}}: memref<1x4x8x16xbf16>, %{{.*}}: memref<1x4x8x16xbf16>, %[[V:.*]]: memref<1x4x8x16xbf16>
// CHECK:         %[[ROWS:.*]] = memref.expand_shape %{{.*}} {{\[\[}}0, 1], [2]] {{.*}} : memref<32x16xf32{{.*}}> into memref<4x8x16xf32
// CHECK-COUNT-9: vector.transfer_read %[[ROWS]]
// CHECK-NOT:     vector.transfer_read %[[V]]
func.func @window(%q: memref<1x4x8x16xbf16>, %k: memref<1x4x8x16xbf16>, %v: memref<1x4x8x16xbf16>,
                  %w: memref<3x3x16xbf16>, %o: memref<1x4x8x16xbf16>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : memref<1x4x8x16xbf16>, memref<1x4x8x16xbf16>, memref<1x4x8x16xbf16>)
    outs(%o : memref<1x4x8x16xbf16>)
  attention.lepe indexing_maps = [#l, #w, #l]
    ins(%v, %w : memref<1x4x8x16xbf16>, memref<3x3x16xbf16>)
    outs(%o : memref<1x4x8x16xbf16>) grid_dims = [1, 2]
  return
}
