// RUN: elfatt-opt %s --elfatt-raise-contract-products | FileCheck %s

// CHECK-DAG: #[[$Q:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[$K:.*]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-DAG: #[[$S:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>
#a = affine_map<(i, j, d) -> (i, 0, d)>
#b = affine_map<(i, j, d) -> (0, j, d)>
#c = affine_map<(i, j, d) -> (j, d)>
#all = affine_map<(i, j, d) -> (i, j, d)>
#rows = affine_map<(i, j, d) -> (i, j)>

// CHECK-LABEL: func @scores(
// CHECK-SAME: %[[QUERY:.*]]: tensor<4x8xf32>, %[[KEY:.*]]: tensor<5x8xf32>
// CHECK: %[[SUM:.*]] = linalg.generic {indexing_maps = [#[[$Q]], #[[$K]], #[[$S]]]
// CHECK-SAME: ins(%[[QUERY]], %[[KEY]] :
// CHECK: %[[PRODUCT:.*]] = arith.mulf
// CHECK: arith.addf {{.*}}%[[PRODUCT]]
// CHECK: return %[[SUM]]
func.func @scores(%q: tensor<4x8xf32>, %k: tensor<5x8xf32>) -> tensor<4x5xf32> {
  %zero = arith.constant 0.0 : f32
  %q1 = tensor.expand_shape %q [[0, 1], [2]] output_shape [4, 1, 8] : tensor<4x8xf32> into tensor<4x1x8xf32>
  %empty = tensor.empty() : tensor<4x5x8xf32>
  %k1 = linalg.generic {indexing_maps = [#c, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%k : tensor<5x8xf32>) outs(%empty : tensor<4x5x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<4x5x8xf32>
  %p = linalg.generic {indexing_maps = [#a, #all, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%q1, %k1 : tensor<4x1x8xf32>, tensor<4x5x8xf32>) outs(%empty : tensor<4x5x8xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %m = arith.mulf %x, %y : f32
    linalg.yield %m : f32
  } -> tensor<4x5x8xf32>
  %none = tensor.empty() : tensor<4x5xf32>
  %init = linalg.fill ins(%zero : f32) outs(%none : tensor<4x5xf32>) -> tensor<4x5xf32>
  %s = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%p : tensor<4x5x8xf32>) outs(%init : tensor<4x5xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.addf %in, %out : f32
    linalg.yield %m : f32
  } -> tensor<4x5xf32>
  return %s : tensor<4x5xf32>
}

// The exponential of what is repeated for each row is computed once, of any size.
// CHECK-LABEL: func @computed_of_a_broadcast(
// CHECK-SAME: %[[QUERY:.*]]: tensor<?x8xf32>, %[[KEY:.*]]: tensor<?x8xf32>
// CHECK: %[[EXP:.*]] = linalg.generic {{.*}} ins(%[[KEY]] : tensor<?x8xf32>) outs(%{{.*}} : tensor<?x8xf32>)
// CHECK: linalg.generic {indexing_maps = [#[[$Q]], #[[$K]], #[[$S]]]
// CHECK-SAME: ins(%[[QUERY]], %[[EXP]] :
func.func @computed_of_a_broadcast(%q: tensor<?x8xf32>, %k: tensor<?x8xf32>, %init: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %i = tensor.dim %q, %c0 : tensor<?x8xf32>
  %j = tensor.dim %k, %c0 : tensor<?x8xf32>
  %empty = tensor.empty(%i, %j) : tensor<?x?x8xf32>
  %k1 = linalg.generic {indexing_maps = [#c, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%k : tensor<?x8xf32>) outs(%empty : tensor<?x?x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<?x?x8xf32>
  %k2 = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%k1 : tensor<?x?x8xf32>) outs(%empty : tensor<?x?x8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %e = math.exp %in : f32
    linalg.yield %e : f32
  } -> tensor<?x?x8xf32>
  %p = linalg.generic {indexing_maps = [affine_map<(i, j, d) -> (i, d)>, #all, #all], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%q, %k2 : tensor<?x8xf32>, tensor<?x?x8xf32>) outs(%empty : tensor<?x?x8xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %m = arith.mulf %x, %y : f32
    linalg.yield %m : f32
  } -> tensor<?x?x8xf32>
  %s = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%p : tensor<?x?x8xf32>) outs(%init : tensor<?x?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.addf %in, %out : f32
    linalg.yield %m : f32
  } -> tensor<?x?xf32>
  return %s : tensor<?x?xf32>
}

// A sum whose factors share all of its rows is no contraction.
// CHECK-LABEL: func @weighted_sum(
// CHECK: arith.mulf
// CHECK: linalg.yield
// CHECK: arith.addf
func.func @weighted_sum(%x: tensor<4x8xf32>, %w: tensor<4x8xf32>, %init: tensor<4xf32>) -> tensor<4xf32> {
  %empty = tensor.empty() : tensor<4x8xf32>
  %p = linalg.generic {indexing_maps = [affine_map<(i, d) -> (i, d)>, affine_map<(i, d) -> (i, d)>, affine_map<(i, d) -> (i, d)>],
                       iterator_types = ["parallel", "parallel"]}
      ins(%x, %w : tensor<4x8xf32>, tensor<4x8xf32>) outs(%empty : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %m = arith.mulf %a, %b : f32
    linalg.yield %m : f32
  } -> tensor<4x8xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(i, d) -> (i, d)>, affine_map<(i, d) -> (i)>], iterator_types = ["parallel", "reduction"]}
      ins(%p : tensor<4x8xf32>) outs(%init : tensor<4xf32>) {
  ^bb0(%in: f32, %out: f32):
    %m = arith.addf %in, %out : f32
    linalg.yield %m : f32
  } -> tensor<4xf32>
  return %s : tensor<4xf32>
}
