// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu shared-bytes=49152 processors=1" --canonicalize --cse | FileCheck %s
//
// One worker takes all rows of a head in turns. Without a batch dim some loop still has to be
// mapped to blocks: one over the columns, of one iteration.
#q = affine_map<(i, j, d, e) -> (i, d)>
#k = affine_map<(i, j, d, e) -> (j, d)>
#v = affine_map<(i, j, d, e) -> (j, e)>
#o = affine_map<(i, j, d, e) -> (i, e)>

// CHECK-LABEL: func.func @sdpa
// CHECK:       scf.forall (%{{.*}}) = (0) to (16) step (16)
// CHECK:         attention.sdpa
// CHECK:       } {mapping = [#gpu.block<linear_dim_0>]}
func.func @sdpa(%q: tensor<64x16xf32>, %k: tensor<20x16xf32>, %v: tensor<20x16xf32>, %o: tensor<64x16xf32>) -> tensor<64x16xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : tensor<64x16xf32>, tensor<20x16xf32>, tensor<20x16xf32>)
    outs(%o : tensor<64x16xf32>) -> tensor<64x16xf32>
  return %r : tensor<64x16xf32>
}

// CHECK-LABEL: func.func @apply
// CHECK:       scf.forall (%{{.*}}) = (0) to (24) step (24)
// CHECK:         attention.context
// CHECK:         attention.apply
// CHECK:       } {mapping = [#gpu.block<linear_dim_0>]}
func.func @apply(%q: tensor<64x16xf32>, %k: tensor<20x16xf32>, %v: tensor<20x24xf32>, %c: tensor<16x24xf32>, %o: tensor<64x24xf32>) -> tensor<64x24xf32> {
  %context = attention.context indexing_maps = [affine_map<(j, d, e) -> (j, d)>,
      affine_map<(j, d, e) -> (j, e)>, affine_map<(j, d, e) -> (d, e)>]
    ins(%k, %v : tensor<20x16xf32>, tensor<20x24xf32>) outs(%c : tensor<16x24xf32>) -> tensor<16x24xf32>
  %r = attention.apply indexing_maps = [affine_map<(i, d, e) -> (i, d)>,
      affine_map<(i, d, e) -> (d, e)>, affine_map<(i, d, e) -> (i, e)>]
    ins(%q, %context : tensor<64x16xf32>, tensor<16x24xf32>) outs(%o : tensor<64x24xf32>) -> tensor<64x24xf32>
  return %r : tensor<64x24xf32>
}
