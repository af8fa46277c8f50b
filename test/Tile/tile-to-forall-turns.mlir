// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu shared-bytes=45056 processors=16" --canonicalize --cse | FileCheck %s --check-prefix=MANY
// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu shared-bytes=45056 processors=170" --canonicalize --cse | FileCheck %s --check-prefix=FEW
//
// All keys of a window fit a block beside half of its rows. One worker has both halves in turns,
// so that keys are read once; where heads are fewer than multiprocessors two workers have them.
#q = affine_map<(b, y, x, u, v, d, e) -> (b, y, x, d)>
#k = affine_map<(b, y, x, u, v, d, e) -> (b, u, v, d)>
#v = affine_map<(b, y, x, u, v, d, e) -> (b, u, v, e)>
#o = affine_map<(b, y, x, u, v, d, e) -> (b, y, x, e)>

// MANY-LABEL: func.func @windows
// MANY:       scf.forall (%{{.*}}) in (64)
// MANY:         scf.for %[[ROW:.*]] = %c0 to %c14 step %c7
// MANY:           attention.sdpa {{.*}} ins(%{{.*}} : tensor<1x7x14x40xf16>, tensor<1x14x14x40xf16>

// FEW-LABEL:  func.func @windows
// FEW:        scf.forall (%{{.*}}, %{{.*}}) = (0, 0) to (64, 14) step (1, 7)
// FEW-NOT:      scf.for %
// FEW:          attention.sdpa
func.func @windows(%q: tensor<64x14x14x40xf16>, %k: tensor<64x14x14x40xf16>, %v: tensor<64x14x14x40xf16>,
                   %o: tensor<64x14x14x40xf16>) -> tensor<64x14x14x40xf16> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : tensor<64x14x14x40xf16>, tensor<64x14x14x40xf16>, tensor<64x14x14x40xf16>)
    outs(%o : tensor<64x14x14x40xf16>) -> tensor<64x14x14x40xf16>
  return %r : tensor<64x14x14x40xf16>
}
