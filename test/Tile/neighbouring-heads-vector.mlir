// RUN: elfatt-opt %s --elfatt-tile-to-vector="machine=gpu" --canonicalize --cse | FileCheck %s
//
// Rows of two heads lie beside each other in scratch, as they do in memory: one copy moves them.
// Row blocks are those of one head and then of the other, which read and write its columns.

#q = affine_map<(h, i, j, d, e) -> (i, h, d)>
#k = affine_map<(h, i, j, d, e) -> (j, h, d)>
#v = affine_map<(h, i, j, d, e) -> (j, h, e)>
#o = affine_map<(h, i, j, d, e) -> (i, h, e)>

// CHECK-LABEL: func.func @beside
// CHECK:         linalg.copy ins(%{{.*}} : memref<32x80xf16, strided<[320, 1]>>)
// CHECK:         linalg.copy
// CHECK:         linalg.copy
// CHECK-NOT:     linalg.copy
// CHECK:         scf.forall (%[[W:.*]]) in (4)
// CHECK:           %[[P:.*]] = arith.muli %[[W]], %c16
// CHECK-DAG:       %[[HEAD:.*]] = arith.divui %[[P]], %c32
// CHECK-DAG:       %[[ROW:.*]] = arith.remui %[[P]], %c32
// CHECK:           %[[COLUMN:.*]] = arith.muli %[[HEAD]], %c40
// CHECK:           vector.transfer_read %[[Q:.*]][%[[ROW]], %[[COLUMN]]]
// CHECK:           vector.transfer_read %{{.*}}[%c0, %[[COLUMN]]]
// CHECK:           vector.transfer_write %{{.*}}, %[[Q]][%[[ROW]], %[[COLUMN]]]
// CHECK:         linalg.copy
func.func @beside(%x: memref<32x2x40xf16, strided<[320, 40, 1]>>, %o: memref<32x2x40xf16, strided<[320, 40, 1]>>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<32x2x40xf16, strided<[320, 40, 1]>>, memref<32x2x40xf16, strided<[320, 40, 1]>>, memref<32x2x40xf16, strided<[320, 40, 1]>>)
    outs(%o : memref<32x2x40xf16, strided<[320, 40, 1]>>)
  return
}

// A destination that holds something between the heads: a copy of each.
// CHECK-LABEL: func.func @apart
// CHECK:         scf.forall (%{{.*}}) in (4)
// CHECK:         linalg.copy {{.*}} outs(%{{.*}} : memref<32x40xf16, strided<[640, 1]>>)
// CHECK:         linalg.copy {{.*}} outs(%{{.*}} : memref<32x40xf16, strided<[640, 1], offset: 80>>)
func.func @apart(%x: memref<32x2x40xf16, strided<[320, 40, 1]>>, %o: memref<32x2x40xf16, strided<[640, 80, 1]>>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<32x2x40xf16, strided<[320, 40, 1]>>, memref<32x2x40xf16, strided<[320, 40, 1]>>, memref<32x2x40xf16, strided<[320, 40, 1]>>)
    outs(%o : memref<32x2x40xf16, strided<[640, 80, 1]>>)
  return
}
