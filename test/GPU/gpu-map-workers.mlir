// RUN: elfatt-opt %s -pass-pipeline='builtin.module(func.func(elfatt-gpu-map-workers),canonicalize)' | FileCheck %s

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>

// One iteration, which canonicalization leaves alone.
// CHECK-LABEL: func.func @alone
// CHECK: scf.forall (%{{.*}}) in (1) {
// CHECK-NEXT: attention.sdpa
// CHECK: } {mapping = [#gpu.block<linear_dim_0>]}
func.func @alone(%q: memref<1x16x16xf32>, %o: memref<1x16x16xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %q, %q : memref<1x16x16xf32>, memref<1x16x16xf32>, memref<1x16x16xf32>)
    outs(%o : memref<1x16x16xf32>)
  return
}

// What has a loop keeps it.
// CHECK-LABEL: func.func @in_a_loop
// CHECK: scf.forall (%{{.*}}) in (4) {
// CHECK-NOT: scf.forall
// CHECK: attention.sdpa
// CHECK-NOT: mapping
func.func @in_a_loop(%q: memref<4x1x16x16xf32>, %o: memref<4x1x16x16xf32>) {
  scf.forall (%i) in (4) {
    %qi = memref.subview %q[%i, 0, 0, 0] [1, 1, 16, 16] [1, 1, 1, 1] : memref<4x1x16x16xf32> to memref<1x16x16xf32, strided<[256, 16, 1], offset: ?>>
    %oi = memref.subview %o[%i, 0, 0, 0] [1, 1, 16, 16] [1, 1, 1, 1] : memref<4x1x16x16xf32> to memref<1x16x16xf32, strided<[256, 16, 1], offset: ?>>
    attention.sdpa indexing_maps = [#q, #k, #v, #o]
      ins(%qi, %qi, %qi : memref<1x16x16xf32, strided<[256, 16, 1], offset: ?>>, memref<1x16x16xf32, strided<[256, 16, 1], offset: ?>>, memref<1x16x16xf32, strided<[256, 16, 1], offset: ?>>)
      outs(%oi : memref<1x16x16xf32, strided<[256, 16, 1], offset: ?>>)
  }
  return
}
