// RUN: elfatt-opt %s --pass-pipeline='builtin.module(func.func(elfatt-cpu-convolution-to-product))' | FileCheck %s

// CHECK: #[[GATHER:.*]] = affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d3, d1 * 4 + d4, d2 * 4 + d5)>

// CHECK-LABEL: func @patch_embedding
// CHECK: %[[PATCHES:.*]] = linalg.generic {indexing_maps = [#[[GATHER]], {{.*}}} ins(%arg0
// CHECK: linalg.generic {{.*}} ins(%[[PATCHES]], %arg1 : tensor<2x2x2x3x4x4xf32>, tensor<5x3x4x4xf32>)
// CHECK: arith.mulf
// CHECK-NEXT: arith.addf
func.func @patch_embedding(%x: tensor<2x3x8x8xf32>, %w: tensor<5x3x4x4xf32>,
                           %c: tensor<2x5x2x2xf32>) -> tensor<2x5x2x2xf32> {
  %0 = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>,
                                 strides = dense<4> : vector<2xi64>}
    ins(%x, %w : tensor<2x3x8x8xf32>, tensor<5x3x4x4xf32>)
    outs(%c : tensor<2x5x2x2xf32>) -> tensor<2x5x2x2xf32>
  return %0 : tensor<2x5x2x2xf32>
}

// CHECK-LABEL: func @open_sizes
// CHECK: %[[PATCHES:.*]] = linalg.generic {indexing_maps = [#[[GATHER]], {{.*}}} ins(%arg0
// CHECK-SAME: outs({{.*}} : tensor<?x?x2x3x4x4xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[PATCHES]], %arg1 :
func.func @open_sizes(%x: tensor<?x3x?x8xf32>, %w: tensor<5x3x4x4xf32>,
                      %c: tensor<?x5x?x2xf32>) -> tensor<?x5x?x2xf32> {
  %0 = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>,
                                 strides = dense<4> : vector<2xi64>}
    ins(%x, %w : tensor<?x3x?x8xf32>, tensor<5x3x4x4xf32>)
    outs(%c : tensor<?x5x?x2xf32>) -> tensor<?x5x?x2xf32>
  return %0 : tensor<?x5x?x2xf32>
}

// Patches that overlap have the image's rows side by side.
// CHECK-LABEL: func @overlapping_patches
// CHECK: %[[PATCHES:.*]] = linalg.generic {{.*}} ins(%arg0
// CHECK-SAME: outs({{.*}} : tensor<2x3x3x3x6x6xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[PATCHES]], %arg1 : tensor<2x3x3x3x6x6xf32>, tensor<5x3x3x3xf32>)
func.func @overlapping_patches(%x: tensor<2x3x8x8xf32>, %w: tensor<5x3x3x3xf32>,
                               %c: tensor<2x5x6x6xf32>) -> tensor<2x5x6x6xf32> {
  %0 = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>,
                                 strides = dense<1> : vector<2xi64>}
    ins(%x, %w : tensor<2x3x8x8xf32>, tensor<5x3x3x3xf32>)
    outs(%c : tensor<2x5x6x6xf32>) -> tensor<2x5x6x6xf32>
  return %0 : tensor<2x5x6x6xf32>
}

// CHECK-LABEL: func @filter_of_one_pixel
// CHECK: %[[FILTER:.*]] = tensor.collapse_shape %arg1 {{\[\[}}0], [1, 2, 3]] :
// CHECK: linalg.generic {{.*}} ins(%arg0, %[[FILTER]] : tensor<2x3x8x8xf32>, tensor<5x3xf32>)
func.func @filter_of_one_pixel(%x: tensor<2x3x8x8xf32>, %w: tensor<5x3x1x1xf32>,
                               %c: tensor<2x5x8x8xf32>) -> tensor<2x5x8x8xf32> {
  %0 = linalg.conv_2d_nchw_fchw {dilations = dense<1> : vector<2xi64>,
                                 strides = dense<1> : vector<2xi64>}
    ins(%x, %w : tensor<2x3x8x8xf32>, tensor<5x3x1x1xf32>)
    outs(%c : tensor<2x5x8x8xf32>) -> tensor<2x5x8x8xf32>
  return %0 : tensor<2x5x8x8xf32>
}

// CHECK-LABEL: func @filter_of_one_pixel_channels_last
// CHECK: %[[FILTER:.*]] = tensor.collapse_shape %arg1 {{\[\[}}0, 1, 2], [3]] :
// CHECK: %[[PIXELS:.*]] = linalg.generic {{.*}} ins(%arg0 {{.*}} outs({{.*}} : tensor<2x4x4x3xf32>)
// CHECK: linalg.generic {{.*}} ins(%[[PIXELS]], %[[FILTER]] : tensor<2x4x4x3xf32>, tensor<3x5xf32>)
func.func @filter_of_one_pixel_channels_last(%x: tensor<2x8x8x3xf32>, %w: tensor<1x1x3x5xf32>,
                                             %c: tensor<2x4x4x5xf32>) -> tensor<2x4x4x5xf32> {
  %0 = linalg.conv_2d_nhwc_hwcf {dilations = dense<1> : vector<2xi64>,
                                 strides = dense<2> : vector<2xi64>}
    ins(%x, %w : tensor<2x8x8x3xf32>, tensor<1x1x3x5xf32>)
    outs(%c : tensor<2x4x4x5xf32>) -> tensor<2x4x4x5xf32>
  return %0 : tensor<2x4x4x5xf32>
}
