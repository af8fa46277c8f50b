// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu processors=16" --canonicalize --cse | FileCheck %s --check-prefix=MANY
// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu processors=1024" --canonicalize --cse | FileCheck %s --check-prefix=FEW
// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=cpu" --canonicalize --cse | FileCheck %s --check-prefix=FEW
//
// Sixteen heads: on a GPU with as many multiprocessors a worker sums the context of its head and
// applies it, tile after tile of the rows, the last ones first.
#k = affine_map<(b, j, d, e) -> (b, j, d)>
#v = affine_map<(b, j, d, e) -> (b, j, e)>
#context = affine_map<(b, j, d, e) -> (b, d, e)>

// MANY-DAG:   #[[REVERSED:.*]] = affine_map<(d0) -> (-d0 + {{[0-9]+}})>
// MANY-LABEL: func.func @linear
// MANY:       scf.forall (%{{.*}}) in (16)
// MANY:         %[[C:.*]] = attention.context
// MANY:         scf.for %[[I:arg[0-9]+]] =
// MANY:           affine.apply #[[REVERSED]](%[[I]])
// MANY:           attention.apply {{.*}} ins(%{{.*}}, %[[C]] :
// MANY-NOT:   scf.forall (

// FEW-LABEL:  func.func @linear
// FEW:        scf.forall
// FEW:          attention.context
// FEW:        scf.forall
// FEW:          attention.apply
func.func @linear(%q: tensor<16x2048x32xf16>, %k: tensor<16x2048x32xf16>, %v: tensor<16x2048x32xf16>,
                  %init: tensor<16x32x32xf32>, %o: tensor<16x2048x32xf16>) -> tensor<16x2048x32xf16> {
  %context = attention.context indexing_maps = [#k, #v, #context]
    ins(%k, %v : tensor<16x2048x32xf16>, tensor<16x2048x32xf16>) outs(%init : tensor<16x32x32xf32>)
    -> tensor<16x32x32xf32>
  %r = attention.apply indexing_maps = [
      affine_map<(b, i, d, e) -> (b, i, d)>, affine_map<(b, i, d, e) -> (b, d, e)>,
      affine_map<(b, i, d, e) -> (b, i, e)>]
    ins(%q, %context : tensor<16x2048x32xf16>, tensor<16x32x32xf32>)
    outs(%o : tensor<16x2048x32xf16>) -> tensor<16x2048x32xf16>
  return %r : tensor<16x2048x32xf16>
}
