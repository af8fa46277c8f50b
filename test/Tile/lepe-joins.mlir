// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=cpu --canonicalize --cse | FileCheck %s

#q = affine_map<(b, y, x, d, e) -> (b, y, x, d)>
#c = affine_map<(b, y, x, d, e) -> (b, d, e)>
#o = affine_map<(b, y, x, d, e) -> (b, y, x, e)>
#v = affine_map<(b, y, x, e) -> (b, y, x, e)>
#w = affine_map<(b, y, x, e) -> (e)>

// LePE is added to rows before they are written: they are written once, and rounded once.
// CHECK-LABEL: func.func @added_before_rows_are_written
// CHECK:         scf.for
// CHECK:           memref.prefetch
// CHECK:           vector.contract
// CHECK-COUNT-9:   arith.mulf {{.*}} fastmath<contract> : vector<8x16xf32>
// CHECK:           arith.truncf
// CHECK:           vector.transfer_write
// CHECK-NOT:     scf.for
// CHECK-NOT:     vector.transfer_write
func.func @added_before_rows_are_written(%q: memref<1x3x8x16xbf16>, %c: memref<1x16x16xf32>,
    %v: memref<1x3x8x16xbf16>, %w: memref<3x3x16xf32>, %o: memref<1x3x8x16xbf16>) {
  attention.apply indexing_maps = [#q, #c, #o]
    ins(%q, %c : memref<1x3x8x16xbf16>, memref<1x16x16xf32>) outs(%o : memref<1x3x8x16xbf16>)
  attention.lepe indexing_maps = [#v, #w, #v]
    ins(%v, %w : memref<1x3x8x16xbf16>, memref<3x3x16xf32>)
    outs(%o : memref<1x3x8x16xbf16>) grid_dims = [1, 2]
  return
}

// Something between them reads the rows: each has its own loop.
// CHECK-LABEL: func.func @rows_are_read_between
// CHECK:         vector.transfer_write
// CHECK:         memref.copy
// CHECK:         vector.transfer_write
func.func @rows_are_read_between(%q: memref<1x3x8x16xf32>, %c: memref<1x16x16xf32>,
    %v: memref<1x3x8x16xf32>, %w: memref<3x3x16xf32>, %o: memref<1x3x8x16xf32>,
    %copy: memref<1x3x8x16xf32>) {
  attention.apply indexing_maps = [#q, #c, #o]
    ins(%q, %c : memref<1x3x8x16xf32>, memref<1x16x16xf32>) outs(%o : memref<1x3x8x16xf32>)
  memref.copy %o, %copy : memref<1x3x8x16xf32> to memref<1x3x8x16xf32>
  attention.lepe indexing_maps = [#v, #w, #v]
    ins(%v, %w : memref<1x3x8x16xf32>, memref<3x3x16xf32>)
    outs(%o : memref<1x3x8x16xf32>) grid_dims = [1, 2]
  return
}
