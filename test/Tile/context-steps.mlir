// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=cpu --canonicalize --cse | FileCheck %s

#k = affine_map<(b, j, d, e) -> (b, j, d)>
#v = affine_map<(b, j, d, e) -> (b, j, e)>
#c = affine_map<(b, j, d, e) -> (b, d, e)>

// Of 196 tokens every step has 28.
// CHECK-LABEL: func.func @steps_are_even
// CHECK:         scf.for {{.*}} to %c196 step %c28
// CHECK-NOT:       arith.select {{.*}} vector<28x
// CHECK:           vector.contract {{.*}} : vector<28x8xf32>, vector<28x32xf32>
// CHECK-NOT:     vector.contract
func.func @steps_are_even(%k: memref<1x196x32xf32>, %v: memref<1x196x32xf32>, %c: memref<1x32x32xf32>) {
  attention.context indexing_maps = [#k, #v, #c]
    ins(%k, %v : memref<1x196x32xf32>, memref<1x196x32xf32>) outs(%c : memref<1x32x32xf32>)
  return
}

// What 49 tokens leave is a step of its own, and no step masks tokens.
// CHECK-LABEL: func.func @last_step_is_shorter
// CHECK:         vector.contract {{.*}} : vector<[[STEP:[0-9]+]]x8xf32>, vector<[[STEP]]x32xf32>
// CHECK-NOT:     in_bounds = [false
// CHECK:         vector.contract {{.*}} : vector<[[REST:[0-9]+]]x8xf32>, vector<[[REST]]x32xf32>
// CHECK-NOT:     vector.contract
func.func @last_step_is_shorter(%k: memref<1x49x32xf32>, %v: memref<1x49x32xf32>, %c: memref<1x32x32xf32>) {
  attention.context indexing_maps = [#k, #v, #c]
    ins(%k, %v : memref<1x49x32xf32>, memref<1x49x32xf32>) outs(%c : memref<1x32x32xf32>)
  return
}

// Tokens of no known number may end within a step.
// CHECK-LABEL: func.func @unknown_tokens_are_masked
// CHECK:         scf.for
// CHECK:           arith.select {{.*}} vector<32x32xi1>
// CHECK:           vector.contract {{.*}} : vector<32x8xf32>, vector<32x32xf32>
// CHECK-NOT:     vector.contract
func.func @unknown_tokens_are_masked(%k: memref<1x?x32xf32>, %v: memref<1x?x32xf32>, %c: memref<1x32x32xf32>) {
  attention.context indexing_maps = [#k, #v, #c]
    ins(%k, %v : memref<1x?x32xf32>, memref<1x?x32xf32>) outs(%c : memref<1x32x32xf32>)
  return
}
