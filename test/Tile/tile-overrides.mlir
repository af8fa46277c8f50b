// RUN: elfatt-opt %s --elfatt-tile-to-forall=machine=gpu | FileCheck %s --check-prefixes=CHECK,CHOSEN
// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu rows-per-block=32" | FileCheck %s --check-prefixes=CHECK,ROWS

#q = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#o = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>

// CHECK-LABEL: func.func @rows_of_a_block
// CHOSEN-NOT:    step (1, 1, 32)
// ROWS:          scf.forall ({{.*}}) = (0, 0, 0) to (2, 3, 512) step (1, 1, 32)
func.func @rows_of_a_block(%q: tensor<2x3x512x32xf16>, %o: tensor<2x3x512x32xf16>)
    -> tensor<2x3x512x32xf16> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
       ins(%q, %q, %q : tensor<2x3x512x32xf16>, tensor<2x3x512x32xf16>, tensor<2x3x512x32xf16>)
       outs(%o : tensor<2x3x512x32xf16>) -> tensor<2x3x512x32xf16>
  return %r : tensor<2x3x512x32xf16>
}
