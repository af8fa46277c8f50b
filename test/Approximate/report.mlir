// RUN: elfatt-opt %s --elfatt-approximate="window=7x7" --elfatt-report="file=%t.json" -o /dev/null 2>/dev/null
// RUN: FileCheck %s < %t.json

// What was left exact has a reason in the report; it is still raised.
// CHECK:      "message": "raised to attention.sdpa: B=2 H=4 N=60 M=60 D=8 Dv=8, bias none; left exact (approximate-no-grid): no grid of windows fits the number of tokens: got 60 tokens"
// CHECK-NEXT: "op": "attention.sdpa"
// CHECK-NEXT: "reason": "approximate-no-grid"
// CHECK:      "status": "raised"
!t = tensor<2x60x4x8xf32>
func.func @no_grid(%q: !t, %init: !t) -> !t {
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, i, h, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, h, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, h, e)>,
      affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>]
    ins(%q, %q, %q : !t, !t, !t) outs(%init : !t) -> !t
  return %o : !t
}
