// What a loop carries may be another buffer in each turn: attention inside is a kernel that
// the loop launches.

// RUN: elfatt-opt %s --elfatt-to-gpu=chip=sm_87 | FileCheck %s
// RUN: elfatt-opt %s --elfatt-to-cpu -o /dev/null

// CHECK-LABEL: func.func @main
// CHECK: scf.for {{.*}} iter_args
// CHECK: gpu.launch_func
// CHECK: scf.yield
#q = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#o = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>
func.func @main(%x: tensor<1x2x64x32xf32>, %turns: index) -> tensor<1x2x64x32xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %r = scf.for %i = %c0 to %turns step %c1 iter_args(%y = %x) -> tensor<1x2x64x32xf32> {
    %init = tensor.empty() : tensor<1x2x64x32xf32>
    %0 = attention.sdpa indexing_maps = [#q, #k, #v, #o]
        ins(%y, %y, %y : tensor<1x2x64x32xf32>, tensor<1x2x64x32xf32>, tensor<1x2x64x32xf32>)
        outs(%init : tensor<1x2x64x32xf32>) -> tensor<1x2x64x32xf32>
    scf.yield %0 : tensor<1x2x64x32xf32>
  }
  return %r : tensor<1x2x64x32xf32>
}
