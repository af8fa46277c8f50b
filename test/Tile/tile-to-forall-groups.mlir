// RUN: elfatt-opt %s --elfatt-tile-to-forall --canonicalize --cse | FileCheck %s
// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu shared-bytes=45056 processors=16" --canonicalize --cse | FileCheck %s
//
// Rows are (group, token). Where tokens are many or of no known number, workers take one group
// each and divide its tokens, so that a tile has a bound.
#q = affine_map<(b, h, g, i, j, d, e) -> (b, h, g, i, d)>
#k = affine_map<(b, h, g, i, j, d, e) -> (b, h, j, d)>
#v = affine_map<(b, h, g, i, j, d, e) -> (b, h, j, e)>
#o = affine_map<(b, h, g, i, j, d, e) -> (b, h, g, i, e)>

// CHECK-LABEL: func.func @dynamic_tokens
// CHECK:       scf.forall (%{{.*}}) = (0, 0, 0, 0) to (%{{.*}}, 2, 3, %{{.*}}) step (1, 1, 1, [[STEP:[0-9]+]])
// CHECK:         affine.min #{{.*}}(%{{.*}})
// CHECK:         attention.sdpa {{.*}} ins(%{{.*}} : tensor<1x1x1x?x16xf32>, tensor<1x1x?x16xf32>
// CHECK-SAME:      causal
func.func @dynamic_tokens(%q: tensor<?x2x3x?x16xf32>, %k: tensor<?x2x?x16xf32>,
                          %o: tensor<?x2x3x?x16xf32>) -> tensor<?x2x3x?x16xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %k : tensor<?x2x3x?x16xf32>, tensor<?x2x?x16xf32>, tensor<?x2x?x16xf32>)
    outs(%o : tensor<?x2x3x?x16xf32>) causal -> tensor<?x2x3x?x16xf32>
  return %r : tensor<?x2x3x?x16xf32>
}

// CHECK-LABEL: func.func @many_tokens
// CHECK:       scf.forall (%{{.*}}) = (0, 0, 0, 0) to (4, 2, 3, 4096) step (1, 1, 1,
// CHECK:         attention.sdpa {{.*}} ins(%{{.*}} : tensor<1x1x1x{{[0-9]+|\?}}x16xf32>, tensor<1x1x4096x16xf32>
func.func @many_tokens(%q: tensor<4x2x3x4096x16xf32>, %k: tensor<4x2x4096x16xf32>,
                       %o: tensor<4x2x3x4096x16xf32>) -> tensor<4x2x3x4096x16xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %k : tensor<4x2x3x4096x16xf32>, tensor<4x2x4096x16xf32>, tensor<4x2x4096x16xf32>)
    outs(%o : tensor<4x2x3x4096x16xf32>) -> tensor<4x2x3x4096x16xf32>
  return %r : tensor<4x2x3x4096x16xf32>
}

// Groups of few tokens share a worker, which reads their keys once.
// CHECK-LABEL: func.func @few_tokens
// CHECK:       attention.sdpa {{.*}} ins(%{{.*}} : tensor<1x1x3x5x16xf32>, tensor<1x1x40x16xf32>
func.func @few_tokens(%q: tensor<4x8x3x5x16xf32>, %k: tensor<4x8x40x16xf32>,
                      %o: tensor<4x8x3x5x16xf32>) -> tensor<4x8x3x5x16xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %k : tensor<4x8x3x5x16xf32>, tensor<4x8x40x16xf32>, tensor<4x8x40x16xf32>)
    outs(%o : tensor<4x8x3x5x16xf32>) -> tensor<4x8x3x5x16xf32>
  return %r : tensor<4x8x3x5x16xf32>
}
