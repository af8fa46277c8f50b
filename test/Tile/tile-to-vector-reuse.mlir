// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=gpu --canonicalize --cse | FileCheck %s
//
// Beside LePE, which reads V again, copies of what is not read again say so.
#tokens = affine_map<(b, j, d, e) -> (b, j, d)>
#values = affine_map<(b, j, d, e) -> (b, j, e)>
#sum = affine_map<(b, j, d, e) -> (b, d, e)>
#q = affine_map<(b, y, x, d, e) -> (b, y, x, d)>
#c = affine_map<(b, y, x, d, e) -> (b, d, e)>
#o = affine_map<(b, y, x, d, e) -> (b, y, x, e)>
#sq = affine_map<(b, y, x, i, j, d, e) -> (b, y, x, d)>
#sk = affine_map<(b, y, x, i, j, d, e) -> (b, i, j, d)>
#sv = affine_map<(b, y, x, i, j, d, e) -> (b, i, j, e)>
#so = affine_map<(b, y, x, i, j, d, e) -> (b, y, x, e)>
#v = affine_map<(b, y, x, e) -> (b, y, x, e)>
#w = affine_map<(b, y, x, e) -> (e)>

// K, and not V.
// CHECK-LABEL: func.func @context
// CHECK:         linalg.copy {elfatt.evict_first} ins(%{{.*}} : memref<{{.*}}x16xf16
// CHECK-NOT:     evict_first
// CHECK:         linalg.copy ins(%{{.*}} : memref<{{.*}}x32xf16
// CHECK-NOT:     evict_first
// CHECK:         return
func.func @context(%k: memref<1x128x16xf16>, %v: memref<1x128x32xf16>, %c: memref<1x16x32xf32>) {
  attention.context indexing_maps = [#tokens, #values, #sum]
    ins(%k, %v : memref<1x128x16xf16>, memref<1x128x32xf16>) outs(%c : memref<1x16x32xf32>)
  return
}

// Q and O, and not the lines of V around the tile.
// CHECK-LABEL: func.func @apply
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: {{.*}}, %[[C:[a-z0-9]+]]: {{.*}}, %[[V:[a-z0-9]+]]: {{.*}}, %[[W:[a-z0-9]+]]: {{.*}}, %[[O:[a-z0-9]+]]:
// CHECK-COUNT-2: elfatt.evict_first
// CHECK-NOT:     evict_first
// CHECK:         return
func.func @apply(%q: memref<1x4x8x16xf16>, %c: memref<1x16x32xf32>, %v: memref<1x4x8x32xf16>,
                 %w: memref<3x3x32xf16>, %o: memref<1x4x8x32xf16>) {
  attention.apply indexing_maps = [#q, #c, #o]
    ins(%q, %c : memref<1x4x8x16xf16>, memref<1x16x32xf32>) outs(%o : memref<1x4x8x32xf16>)
  attention.lepe indexing_maps = [#v, #w, #v]
    ins(%v, %w : memref<1x4x8x32xf16>, memref<3x3x32xf16>)
    outs(%o : memref<1x4x8x32xf16>) grid_dims = [1, 2]
  return
}

// A window that one worker has whole: all four.
// CHECK-LABEL: func.func @window
// CHECK-COUNT-4: elfatt.evict_first
// CHECK-NOT:     evict_first
// CHECK:         return
func.func @window(%q: memref<1x7x7x16xf16>, %k: memref<1x7x7x16xf16>, %v: memref<1x7x7x16xf16>,
                  %w: memref<3x3x16xf16>, %o: memref<1x7x7x16xf16>) {
  attention.sdpa indexing_maps = [#sq, #sk, #sv, #so]
    ins(%q, %k, %v : memref<1x7x7x16xf16>, memref<1x7x7x16xf16>, memref<1x7x7x16xf16>)
    outs(%o : memref<1x7x7x16xf16>)
  attention.lepe indexing_maps = [#v, #w, #v]
    ins(%v, %w : memref<1x7x7x16xf16>, memref<3x3x16xf16>)
    outs(%o : memref<1x7x7x16xf16>) grid_dims = [1, 2]
  return
}

// Nothing is read again: no order is better.
// CHECK-LABEL: func.func @plain
// CHECK-NOT:     evict_first
// CHECK:         return
func.func @plain(%q: memref<1x7x7x16xf16>, %k: memref<1x7x7x16xf16>, %v: memref<1x7x7x16xf16>,
                 %o: memref<1x7x7x16xf16>) {
  attention.sdpa indexing_maps = [#sq, #sk, #sv, #so]
    ins(%q, %k, %v : memref<1x7x7x16xf16>, memref<1x7x7x16xf16>, memref<1x7x7x16xf16>)
    outs(%o : memref<1x7x7x16xf16>)
  return
}
