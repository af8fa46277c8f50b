// RUN: elfatt-opt %s --elfatt-approximate="window=7x7 prefix=5" --elfatt-decompose 2>/dev/null > %t.elfatt
// RUN: elfatt-opt %s --elfatt-decompose > %t.exact
// RUN: diff %t.elfatt %t.exact

// With every token a prefix, ELFATT is exact attention, to the last op.
!t = tensor<2x5x4x8xf32>
func.func @every_token_is_a_prefix(%q: !t, %k: !t, %v: !t, %init: !t) -> !t {
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, i, h, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, h, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, h, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>]
    ins(%q, %k, %v : !t, !t, !t) outs(%init : !t) -> !t
  return %o : !t
}
