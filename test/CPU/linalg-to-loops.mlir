// RUN: elfatt-opt %s --pass-pipeline='builtin.module(func.func(elfatt-cpu-linalg-to-loops{grain=1024}))' | FileCheck %s

// The sum lives in a register, and may be made in any order.
// CHECK-LABEL: func @row_sums
// CHECK: scf.forall (%[[I:.*]]) in (64)
// CHECK: %[[INIT:.*]] = memref.load %arg1[%[[I]]]
// CHECK: %[[SUM:.*]] = scf.for {{.*}} iter_args(%{{.*}} = %[[INIT]])
// CHECK: arith.addf {{.*}} fastmath<reassoc>
// CHECK: memref.store %[[SUM]], %arg1[%[[I]]]
func.func @row_sums(%x: memref<64x320xf32>, %s: memref<64xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
                  iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<64x320xf32>) outs(%s : memref<64xf32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    linalg.yield %c : f32
  }
  return
}

// CHECK-LABEL: func @kept_dim_is_read_at_zero
// CHECK: scf.forall (%[[I:.*]]) in (64)
// CHECK: %[[ZERO:.*]] = affine.apply
// CHECK: memref.load %arg1[%[[I]], %[[ZERO]]]
// CHECK: scf.for
func.func @kept_dim_is_read_at_zero(%x: memref<64x320xf32>, %s: memref<64x1xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, 0)>],
                  iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<64x320xf32>) outs(%s : memref<64x1xf32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.maximumf %a, %b : f32
    linalg.yield %c : f32
  }
  return
}

// The dim that lies side by side in the output is the innermost loop.
// CHECK-LABEL: func @transposes_along_the_output
// CHECK: scf.forall (%[[J:.*]]) in (320)
// CHECK: scf.for %[[I:.*]] =
// CHECK: memref.load %arg0[%[[I]], %[[J]]]
// CHECK: memref.store %{{.*}}, %arg1[%[[J]], %[[I]]]
func.func @transposes_along_the_output(%x: memref<64x320xf32>, %y: memref<320x64xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j, i)>],
                  iterator_types = ["parallel", "parallel"]}
      ins(%x : memref<64x320xf32>) outs(%y : memref<320x64xf32>) {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  }
  return
}

// CHECK-LABEL: func @small_ops_stay_on_one_thread
// CHECK-NOT: scf.forall
// CHECK: scf.for
// CHECK-NOT: linalg
func.func @small_ops_stay_on_one_thread(%x: memref<4x8xf32>) {
  %zero = arith.constant 0.0 : f32
  linalg.fill ins(%zero : f32) outs(%x : memref<4x8xf32>)
  return
}

// CHECK-LABEL: func @index_is_the_iterator
// CHECK: scf.for %[[I:.*]] =
// CHECK: arith.index_cast %[[I]] : index to i64
func.func @index_is_the_iterator(%x: memref<16xi64>) {
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      outs(%x : memref<16xi64>) {
  ^bb0(%a: i64):
    %i = linalg.index 0 : index
    %c = arith.index_cast %i : index to i64
    linalg.yield %c : i64
  }
  return
}

// CHECK-LABEL: func @scalar_op
// CHECK: memref.load %arg0[]
// CHECK: memref.store %{{.*}}, %arg1[]
func.func @scalar_op(%x: memref<f32>, %y: memref<f32>) {
  linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>],
                  iterator_types = []} ins(%x : memref<f32>) outs(%y : memref<f32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.negf %a : f32
    linalg.yield %c : f32
  }
  return
}

// An output that fusion left in an op beside the sum over it has an element a turn.
// CHECK-LABEL: func @sum_beside_what_is_summed
// CHECK: %[[INIT:.*]] = memref.load %arg2[%[[I:.*]]]
// CHECK: %[[SUM:.*]] = scf.for %[[J:.*]] = {{.*}} iter_args(%[[ACC:.*]] = %[[INIT]])
// CHECK: %[[DOUBLE:.*]] = arith.addf
// CHECK: %[[NEXT:.*]] = arith.addf %[[ACC]], %[[DOUBLE]] fastmath<reassoc>
// CHECK: memref.store %[[DOUBLE]], %arg1[%[[I]], %[[J]]]
// CHECK: scf.yield %[[NEXT]]
// CHECK: memref.store %[[SUM]], %arg2[%[[I]]]
func.func @sum_beside_what_is_summed(%x: memref<4x8xf32>, %y: memref<4x8xf32>, %s: memref<4xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>,
                                   affine_map<(i, j) -> (i)>],
                  iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<4x8xf32>) outs(%y, %s : memref<4x8xf32>, memref<4xf32>) {
  ^bb0(%a: f32, %b: f32, %c: f32):
    %d = arith.addf %a, %a : f32
    %e = arith.addf %c, %d : f32
    linalg.yield %d, %e : f32, f32
  }
  return
}

// A window's turns stand in a row: the loop along the image's rows is the innermost one.
// CHECK-LABEL: func @depthwise_convolution
// CHECK: scf.forall
// CHECK: scf.for
// CHECK-NOT: scf.for
// CHECK: memref.load %arg2
// CHECK-COUNT-9: arith.mulf
// CHECK: memref.store
func.func @depthwise_convolution(%x: memref<2x64x10x34xf32>, %w: memref<64x3x3xf32>,
                                 %y: memref<2x64x8x32xf32>) {
  linalg.depthwise_conv_2d_nchw_chw {dilations = dense<1> : vector<2xi64>,
                                     strides = dense<1> : vector<2xi64>}
    ins(%x, %w : memref<2x64x10x34xf32>, memref<64x3x3xf32>)
    outs(%y : memref<2x64x8x32xf32>)
  return
}

// What is summed lies side by side: there the sum is the loop that becomes vectors.
// CHECK-LABEL: func @short_rows
// CHECK: scf.for {{.*}} iter_args
func.func @short_rows(%x: memref<64x16xf32>, %s: memref<64xf32>) {
  linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
                  iterator_types = ["parallel", "reduction"]}
      ins(%x : memref<64x16xf32>) outs(%s : memref<64xf32>) {
  ^bb0(%a: f32, %b: f32):
    %c = arith.addf %a, %b : f32
    linalg.yield %c : f32
  }
  return
}
