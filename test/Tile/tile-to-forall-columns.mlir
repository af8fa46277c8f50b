// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu processors=2 shared-bytes=49152 most-shared-bytes=101376" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,OWN
// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu processors=1024 shared-bytes=49152" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,APART
// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu processors=1024 shared-bytes=163840" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,ROOM
//
// A context of 160 x 160 does not fit the shared memory of a small chip: workers make some of the
// result's columns each, and read K and Q once more for each of them. A context that leaves its
// worker lies in global memory: there only those who apply it have too many columns.
#k = affine_map<(b, j, d, e) -> (b, j, d)>
#v = affine_map<(b, j, d, e) -> (b, j, e)>
#context = affine_map<(b, j, d, e) -> (b, d, e)>

// CHECK-LABEL: func.func @linear
// OWN:         scf.forall (%{{.*}}, %[[E:.*]]) = (0, 0) to (2, 160) step (1, [[COLUMNS:[0-9]+]])
// OWN:           attention.context {{.*}} tensor<1x2048x160xf16>, tensor<1x2048x[[COLUMNS]]xf16>
// OWN:           attention.apply
// OWN-NOT:     scf.forall (
// APART:       scf.forall (%{{.*}}) in (2)
// APART:         attention.context
// APART:       scf.forall (%{{.*}}, %{{.*}}, %{{.*}}) = (0, 0, 0) to (2, 2048, 160) step (1, {{[0-9]+}}, {{[0-9]+}})
// APART:         attention.apply
// ROOM:        scf.forall (%{{.*}}) in (2)
// ROOM:          attention.context
// ROOM:        scf.forall (%{{.*}}, %{{.*}}) = (0, 0) to (2, 2048) step (1, {{[0-9]+}})
// ROOM:          attention.apply
func.func @linear(%q: tensor<2x2048x160xf16>, %k: tensor<2x2048x160xf16>, %v: tensor<2x2048x160xf16>,
                  %init: tensor<2x160x160xf32>, %o: tensor<2x2048x160xf16>) -> tensor<2x2048x160xf16> {
  %context = attention.context indexing_maps = [#k, #v, #context]
    ins(%k, %v : tensor<2x2048x160xf16>, tensor<2x2048x160xf16>) outs(%init : tensor<2x160x160xf32>)
    -> tensor<2x160x160xf32>
  %r = attention.apply indexing_maps = [
      affine_map<(b, i, d, e) -> (b, i, d)>, affine_map<(b, i, d, e) -> (b, d, e)>,
      affine_map<(b, i, d, e) -> (b, i, e)>]
    ins(%q, %context : tensor<2x2048x160xf16>, tensor<2x160x160xf32>)
    outs(%o : tensor<2x2048x160xf16>) -> tensor<2x2048x160xf16>
  return %r : tensor<2x2048x160xf16>
}
