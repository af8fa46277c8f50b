// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// RUN: elfatt-opt %s --elfatt-raise=remarks=false | FileCheck %s

// Batch and tokens are dynamic, heads are merged with the batch and split again:
// the operands are views of the arguments all the same.
// CHECK-LABEL: func.func @dynamic(
// CHECK-SAME: %[[Q:[a-z0-9]+]]: {{[^,]*}}, %[[K:[a-z0-9]+]]: {{[^,]*}}, %[[V:[a-z0-9]+]]:
// CHECK: attention.sdpa
// CHECK-SAME: ins(%[[Q]], %[[K]], %[[V]] : tensor<?x4x?x8xf32>, tensor<?x4x?x8xf32>, tensor<?x4x?x8xf32>)
// CHECK-NOT: linalg.
// CHECK-NOT: tensor.expand_shape
// CHECK: return
func.func @dynamic(%q: tensor<?x4x?x8xf32>, %k: tensor<?x4x?x8xf32>, %v: tensor<?x4x?x8xf32>,
                   %b: index, %n: index, %m: index) -> tensor<?x4x?x8xf32> {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %qf = tensor.collapse_shape %q [[0, 1], [2], [3]] : tensor<?x4x?x8xf32> into tensor<?x?x8xf32>
  %kf = tensor.collapse_shape %k [[0, 1], [2], [3]] : tensor<?x4x?x8xf32> into tensor<?x?x8xf32>
  %vf = tensor.collapse_shape %v [[0, 1], [2], [3]] : tensor<?x4x?x8xf32> into tensor<?x?x8xf32>
  %bh = tensor.dim %qf, %c0 : tensor<?x?x8xf32>
  %es = tensor.empty(%bh, %n, %m) : tensor<?x?x?xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(b, i, j, d) -> (b, i, d)>,
      affine_map<(b, i, j, d) -> (b, j, d)>, affine_map<(b, i, j, d) -> (b, i, j)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction"]}
    ins(%qf, %kf : tensor<?x?x8xf32>, tensor<?x?x8xf32>) outs(%zs : tensor<?x?x?xf32>) {
  ^bb0(%x: f32, %y: f32, %sum: f32):
    %xy = arith.mulf %x, %y : f32
    %r = arith.addf %sum, %xy : f32
    linalg.yield %r : f32
  } -> tensor<?x?x?xf32>
  %p = linalg.softmax dimension(2) ins(%s : tensor<?x?x?xf32>) outs(%es : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  %eo = tensor.empty(%bh, %n) : tensor<?x?x8xf32>
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  %o = linalg.batch_matmul ins(%p, %vf : tensor<?x?x?xf32>, tensor<?x?x8xf32>) outs(%zo : tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  %e = tensor.expand_shape %o [[0, 1], [2], [3]] output_shape [%b, 4, %n, 8] : tensor<?x?x8xf32> into tensor<?x4x?x8xf32>
  return %e : tensor<?x4x?x8xf32>
}
