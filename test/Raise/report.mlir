// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-report="file=%t.json" -o /dev/null && FileCheck %s < %t.json
// RUN: %exits 2 elfatt-opt %s --elfatt-report="file=%t.missing/sites.json" 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: elfatt-opt %s --elfatt-report -split-input-file -verify-diagnostics

// FILE: error: cannot write sites to

// A raised site with its sizes and costs: 2 * 144 * (8 + 8) operations.
// CHECK:      "bias": "mask"
// CHECK-NEXT: "biases": [
// CHECK-NEXT:   "mask"
// CHECK-NEXT: ]
// CHECK-NEXT: "bytes": 3864
// CHECK-NEXT: "exponentials": 144
// CHECK-NEXT: "flops": 4608
// CHECK-NEXT: "function": "raised"
// CHECK:      "op": "attention.sdpa"
// CHECK-NEXT: "reason": null
// CHECK-NEXT: "score": false
// CHECK-NEXT: "shape": {
// CHECK-NEXT:   "B": 2,
// CHECK-NEXT:   "D": 8,
// CHECK-NEXT:   "Dv": 8,
// CHECK-NEXT:   "H": 3,
// CHECK-NEXT:   "M": 6,
// CHECK-NEXT:   "N": 4
// CHECK:      "status": "raised"
func.func @raised(%q: tensor<2x4x3x8xf32>, %k: tensor<2x6x3x8xf32>, %m: tensor<4x6xi1>,
                  %init: tensor<2x4x3x8xf32>) -> tensor<2x4x3x8xf32> {
  // expected-remark @below {{raised to attention.sdpa: B=2 H=3 N=4 M=6 D=8 Dv=8, bias mask}}
  %o = attention.sdpa indexing_maps = [
      affine_map<(b, h, i, j, d, e) -> (b, i, h, d)>, affine_map<(b, h, i, j, d, e) -> (b, j, h, d)>,
      affine_map<(b, h, i, j, d, e) -> (b, j, h, e)>, affine_map<(b, h, i, j, d, e) -> (i, j)>,
      affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>]
    ins(%q, %k, %k : tensor<2x4x3x8xf32>, tensor<2x6x3x8xf32>, tensor<2x6x3x8xf32>)
    bias(%m : tensor<4x6xi1>) outs(%init : tensor<2x4x3x8xf32>) -> tensor<2x4x3x8xf32>
  return %o : tensor<2x4x3x8xf32>
}

// What a refused site says travels on its second product.
// CHECK:      "function": "refused"
// CHECK:      "message": "the softmax is elsewhere"
// CHECK-NEXT: "op": null
// CHECK-NEXT: "reason": "wrong-softmax-axis"
// CHECK:      "status": "refused"
func.func @refused(%p: tensor<2x4x6xf32>, %v: tensor<2x6x8xf32>, %init: tensor<2x4x8xf32>) -> tensor<2x4x8xf32> {
  // expected-remark @below {{attention not raised (wrong-softmax-axis): the softmax is elsewhere}}
  %o = linalg.batch_matmul {attention.refused = {message = "the softmax is elsewhere", reason = "wrong-softmax-axis"}}
    ins(%p, %v : tensor<2x4x6xf32>, tensor<2x6x8xf32>) outs(%init : tensor<2x4x8xf32>) -> tensor<2x4x8xf32>
  return %o : tensor<2x4x8xf32>
}
