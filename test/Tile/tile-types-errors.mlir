// RUN: elfatt-opt %s -verify-diagnostics --elfatt-tile-to-forall=machine=gpu

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>
func.func @doubles(%x: tensor<1x16x8xf64>) -> tensor<1x16x8xf64> {
  // expected-error @below {{no kernel computes in 'f64', expected operands of type f16, bf16 or f32}}
  %0 = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : tensor<1x16x8xf64>, tensor<1x16x8xf64>, tensor<1x16x8xf64>)
    outs(%x : tensor<1x16x8xf64>) -> tensor<1x16x8xf64>
  return %0 : tensor<1x16x8xf64>
}
