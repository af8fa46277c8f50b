// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=gpu --canonicalize --cse | FileCheck %s

#q = affine_map<(y, x, u, v, d, e) -> (y, x, 0, d)>
#k = affine_map<(y, x, u, v, d, e) -> (u, v, 1, d)>
#v = affine_map<(y, x, u, v, d, e) -> (u, v, 2, e)>
#o = affine_map<(y, x, u, v, d, e) -> (y, x, e)>
#l = affine_map<(y, x, e) -> (y, x, 0, e)>
#w = affine_map<(y, x, e) -> (e)>
#i = affine_map<(y, x, e) -> (y, x, e)>

// An image of one window: its V and LePE's are two views of the same memory, staged once.
// CHECK-LABEL: func.func @same_memory
// CHECK:         linalg.copy {{.*}}ins({{.*}}, offset: 32>>)
// CHECK-NOT:     linalg.copy {{.*}}ins({{.*}}, offset: 32>>)
// CHECK:         return
func.func @same_memory(%x: memref<7x7x3x16xf16>, %w: memref<3x3x16xf16>, %o: memref<7x7x16xf16>) {
  %v = memref.subview %x[0, 0, 2, 0] [7, 7, 1, 16] [1, 1, 1, 1] : memref<7x7x3x16xf16>
    to memref<7x7x1x16xf16, strided<[336, 48, 16, 1], offset: 32>>
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<7x7x3x16xf16>, memref<7x7x3x16xf16>, memref<7x7x3x16xf16>)
    outs(%o : memref<7x7x16xf16>)
  attention.lepe indexing_maps = [#l, #w, #i]
    ins(%v, %w : memref<7x7x1x16xf16, strided<[336, 48, 16, 1], offset: 32>>, memref<3x3x16xf16>)
    outs(%o : memref<7x7x16xf16>) grid_dims = [0, 1]
  return
}

// LePE of what are the window's keys reads them by itself.
// CHECK-LABEL: func.func @other_memory
// CHECK-COUNT-2: linalg.copy {{.*}}ins({{.*}}, offset: 16>>)
// CHECK:         linalg.copy {{.*}}ins({{.*}}, offset: 32>>)
// CHECK:         return
func.func @other_memory(%x: memref<7x7x3x16xf16>, %w: memref<3x3x16xf16>, %o: memref<7x7x16xf16>) {
  %v = memref.subview %x[0, 0, 1, 0] [7, 7, 1, 16] [1, 1, 1, 1] : memref<7x7x3x16xf16>
    to memref<7x7x1x16xf16, strided<[336, 48, 16, 1], offset: 16>>
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<7x7x3x16xf16>, memref<7x7x3x16xf16>, memref<7x7x3x16xf16>)
    outs(%o : memref<7x7x16xf16>)
  attention.lepe indexing_maps = [#l, #w, #i]
    ins(%v, %w : memref<7x7x1x16xf16, strided<[336, 48, 16, 1], offset: 16>>, memref<3x3x16xf16>)
    outs(%o : memref<7x7x16xf16>) grid_dims = [0, 1]
  return
}
