// RUN: elfatt-opt %s --elfatt-cpu-channels-last | FileCheck %s

#last = affine_map<(b, i, j, d, e) -> (b, i, d)>
#keyFirst = affine_map<(b, i, j, d, e) -> (b, 1, d, j)>
#value = affine_map<(b, i, j, d, e) -> (b, j, e)>
#outFirst = affine_map<(b, i, j, d, e) -> (b, e, i)>

// K without its constant, and the result, pass through a transposed tensor; Q and V stay.
// CHECK-DAG: #[[K:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, d3)>
// CHECK-DAG: #[[O:.*]] = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d4)>
// CHECK-LABEL: func.func @transposed_once
// CHECK-SAME:    %[[Q:[^:]*]]: tensor<2x?x8xf32>, %[[K_IN:[^:]*]]: tensor<2x3x8x9xf32>, %[[V:[^:]*]]: tensor
// CHECK:         %[[PART:.*]] = tensor.extract_slice %[[K_IN]][0, 1, 0, 0] [2, 1, 8, 9]
// CHECK:         %[[KT:.*]] = linalg.transpose ins(%[[PART]] {{.*}} permutation = [0, 2, 1]
// CHECK:         %[[R:.*]] = attention.sdpa indexing_maps = [{{.*}}, #[[K]], {{.*}}, #[[O]]]
// CHECK-SAME:      ins(%[[Q]], %[[KT]], %[[V]]
// CHECK:         linalg.transpose ins(%[[R]] : tensor<2x?x4xf32>) outs({{.*}} : tensor<2x4x?xf32>) permutation = [0, 2, 1]
func.func @transposed_once(%q: tensor<2x?x8xf32>, %k: tensor<2x3x8x9xf32>, %v: tensor<2x9x4xf32>,
                           %o: tensor<2x4x?xf32>) -> tensor<2x4x?xf32> {
  %0 = attention.sdpa indexing_maps = [#last, #keyFirst, #value, #outFirst]
    ins(%q, %k, %v : tensor<2x?x8xf32>, tensor<2x3x8x9xf32>, tensor<2x9x4xf32>)
    outs(%o : tensor<2x4x?xf32>) -> tensor<2x4x?xf32>
  return %0 : tensor<2x4x?xf32>
}
