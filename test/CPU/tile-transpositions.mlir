// RUN: elfatt-opt %s --elfatt-cpu-tile-transpositions | FileCheck %s
// RUN: elfatt-opt %s --elfatt-cpu-tile-transpositions=vector-bits=7 | FileCheck %s --check-prefix=NARROW

// CHECK: #[[BLOCK:.*]] = affine_map<(d0) -> (d0 * 16)>

// Sixteen lines at a time, and the four that are left.
// CHECK-LABEL: func @lines_in_blocks
// NARROW-LABEL: func @lines_in_blocks
// NARROW: scf.forall ({{.*}}) in (196)
// CHECK: scf.forall (%[[BLOCK_INDEX:.*]]) in (12)
// CHECK:   %[[LINE:.*]] = affine.apply #[[BLOCK]](%[[BLOCK_INDEX]])
// CHECK:   %[[FROM:.*]] = memref.subview %arg0[%[[LINE]], 0] [16, 64] [1, 1]
// CHECK:   %[[TO:.*]] = memref.subview %arg1[0, %[[LINE]]] [64, 16] [1, 1]
// CHECK:   linalg.transpose ins(%[[FROM]] : {{.*}}) outs(%[[TO]] : {{.*}}) permutation = [1, 0]
// CHECK: scf.forall
// CHECK:   memref.subview %arg0[{{.*}}] [4, 64] [1, 1]
func.func @lines_in_blocks(%x: memref<196x64xf32>, %y: memref<64x196xf32>) {
  linalg.transpose ins(%x : memref<196x64xf32>) outs(%y : memref<64x196xf32>) permutation = [1, 0]
  return
}

// The other dims are loops.
// CHECK-LABEL: func @heads
// CHECK: scf.forall (%[[B:.*]], %[[T:.*]], %[[H:.*]]) in (2, 4, 3)
// CHECK:   memref.subview %arg0[%[[B]], {{.*}}, %[[H]], 0] [1, 16, 1, 32] [1, 1, 1, 1]
// CHECK:   memref.subview %arg1[%[[B]], %[[H]], 0, {{.*}}] [1, 1, 32, 16] [1, 1, 1, 1]
// CHECK:   linalg.transpose
func.func @heads(%x: memref<2x64x3x32xf32>, %y: memref<2x3x32x64xf32>) {
  linalg.generic {indexing_maps = [affine_map<(b, t, h, d) -> (b, t, h, d)>,
                                   affine_map<(b, t, h, d) -> (b, h, d, t)>],
                  iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%x : memref<2x64x3x32xf32>) outs(%y : memref<2x3x32x64xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  }
  return
}

// Rows stay rows; few elements, and sizes that are not known, are left to plain loops.
// CHECK-LABEL: func @others_stay
// CHECK-NOT: scf.forall
func.func @others_stay(%x: memref<64x3x32xf32>, %y: memref<3x64x32xf32>, %a: memref<16x16xf32>,
                       %b: memref<16x16xf32>, %c: memref<?x256xf32>, %d: memref<256x?xf32>) {
  linalg.transpose ins(%x : memref<64x3x32xf32>) outs(%y : memref<3x64x32xf32>)
      permutation = [1, 0, 2]
  linalg.transpose ins(%a : memref<16x16xf32>) outs(%b : memref<16x16xf32>) permutation = [1, 0]
  linalg.transpose ins(%c : memref<?x256xf32>) outs(%d : memref<256x?xf32>) permutation = [1, 0]
  return
}
