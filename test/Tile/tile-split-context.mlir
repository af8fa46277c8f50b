// RUN: elfatt-opt %s --elfatt-tile-split-context --elfatt-tile-to-forall=machine=cpu --canonicalize --cse | FileCheck %s
// RUN: elfatt-opt %s --elfatt-tile-split-context="machine=gpu processors=16" | FileCheck %s --check-prefix=GPU
// RUN: elfatt-opt %s --elfatt-tile-split-context="machine=gpu processors=132" | FileCheck %s --check-prefix=LARGE

#k = affine_map<(b, j, d, e) -> (b, j, 1, d)>
#v = affine_map<(b, j, d, e) -> (b, j, 2, e)>
#c = affine_map<(b, j, d, e) -> (b, d, e)>

// Each image's tokens are summed by several workers, which one worker an image merges.
// CHECK-LABEL: func.func @segments_are_workers
// CHECK:         tensor.expand_shape {{.*}} into tensor<2x4x1024x3x16xf32>
// CHECK:         %[[PARTS:.*]]:3 = scf.forall ({{.*}}) in (2, 4)
// CHECK:           attention.partial_context {{.*}} tensor<1x1x1024x1x16xf32>
// CHECK:         scf.forall ({{.*}}) in (2)
// CHECK:           tensor.extract_slice %[[PARTS]]#0
// CHECK:           attention.merge {{.*}} ins({{.*}} : tensor<4x1x16x16xf32>, tensor<4x1x16xf32>, tensor<4x1x16xf32>) outs({{.*}} : tensor<1x16x16xf32>)
// CHECK-NOT:     attention.context
// Kernels split contexts only where multiprocessors would have none.
// GPU-LABEL:   func.func @segments_are_workers
// GPU-NEXT:      attention.context
// LARGE-LABEL: func.func @segments_are_workers
// LARGE:         tensor.expand_shape {{.*}} into tensor<2x8x512x3x16xf32>
// LARGE:         attention.partial_context
// LARGE:         attention.merge
func.func @segments_are_workers(%kv: tensor<2x4096x3x16xf32>, %init: tensor<2x16x16xf32>)
    -> tensor<2x16x16xf32> {
  %o = attention.context indexing_maps = [#k, #v, #c]
    ins(%kv, %kv : tensor<2x4096x3x16xf32>, tensor<2x4096x3x16xf32>)
    outs(%init : tensor<2x16x16xf32>) -> tensor<2x16x16xf32>
  return %o : tensor<2x16x16xf32>
}

// What is left is a segment of its own.
// CHECK-LABEL: func.func @rest
// CHECK:         attention.partial_context {{.*}} tensor<1x1x1024x1x16xf32>
// CHECK:         attention.partial_context {{.*}} tensor<1x1x3x1x16xf32>
// CHECK:         attention.merge {{.*}} ins({{.*}} : tensor<5x1x16x16xf32>
func.func @rest(%kv: tensor<1x4099x3x16xf32>, %init: tensor<1x16x16xf32>)
    -> tensor<1x16x16xf32> {
  %o = attention.context indexing_maps = [#k, #v, #c]
    ins(%kv, %kv : tensor<1x4099x3x16xf32>, tensor<1x4099x3x16xf32>)
    outs(%init : tensor<1x16x16xf32>) -> tensor<1x16x16xf32>
  return %o : tensor<1x16x16xf32>
}

// CHECK-LABEL: func.func @images_enough
// CHECK:         attention.context
func.func @images_enough(%kv: tensor<16x4096x3x16xf32>, %init: tensor<16x16x16xf32>)
    -> tensor<16x16x16xf32> {
  %o = attention.context indexing_maps = [#k, #v, #c]
    ins(%kv, %kv : tensor<16x4096x3x16xf32>, tensor<16x4096x3x16xf32>)
    outs(%init : tensor<16x16x16xf32>) -> tensor<16x16x16xf32>
  return %o : tensor<16x16x16xf32>
}
