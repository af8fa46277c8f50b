#map = affine_map<(d0, d1, d2, d3, d4) -> (d0, d2, d3, d4)>
#map1 = affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2, d3, d4)>
#map2 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#map3 = affine_map<(d0, d1, d2) -> (d0, d1)>
module {
  func.func @f0(%arg0: tensor<2x4x4x4xf32>, %arg1: tensor<2x2x4x4xf32>, %arg2: tensor<2x2x4x4xf32>) -> tensor<2x4x4x4xf32> {
    %collapsed = tensor.collapse_shape %arg0 [[0, 1], [2], [3]] : tensor<2x4x4x4xf32> into tensor<8x4x4xf32>
    %0 = tensor.empty() : tensor<2x2x4x4xf32>
    %transposed = linalg.transpose ins(%arg1 : tensor<2x2x4x4xf32>) outs(%0 : tensor<2x2x4x4xf32>) permutation = [0, 1, 3, 2] 
    %1 = tensor.empty() : tensor<2x2x2x4x4xf32>
    %2 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%transposed : tensor<2x2x4x4xf32>) outs(%1 : tensor<2x2x2x4x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x2x2x4x4xf32>
    %collapsed_0 = tensor.collapse_shape %2 [[0, 1, 2], [3], [4]] : tensor<2x2x2x4x4xf32> into tensor<8x4x4xf32>
    %3 = tensor.empty() : tensor<8x4x4xf32>
    %cst = arith.constant 0.000000e+00 : f32
    %4 = linalg.fill ins(%cst : f32) outs(%3 : tensor<8x4x4xf32>) -> tensor<8x4x4xf32>
    %5 = linalg.batch_matmul ins(%collapsed, %collapsed_0 : tensor<8x4x4xf32>, tensor<8x4x4xf32>) outs(%4 : tensor<8x4x4xf32>) -> tensor<8x4x4xf32>
    %6 = tensor.empty() : tensor<8x4xf32>
    %cst_1 = arith.constant 0xFF800000 : f32
    %7 = linalg.fill ins(%cst_1 : f32) outs(%6 : tensor<8x4xf32>) -> tensor<8x4xf32>
    %reduced = linalg.reduce ins(%5 : tensor<8x4x4xf32>) outs(%7 : tensor<8x4xf32>) dimensions = [2] 
      (%in: f32, %init: f32) {
        %27 = arith.maximumf %in, %init : f32
        linalg.yield %27 : f32
      }
    %8 = tensor.empty() : tensor<8x4x4xf32>
    %9 = linalg.generic {indexing_maps = [#map2, #map3, #map2], iterator_types = ["parallel", "parallel", "parallel"]} ins(%5, %reduced : tensor<8x4x4xf32>, tensor<8x4xf32>) outs(%8 : tensor<8x4x4xf32>) {
    ^bb0(%in: f32, %in_8: f32, %out: f32):
      %27 = arith.subf %in, %in_8 : f32
      linalg.yield %27 : f32
    } -> tensor<8x4x4xf32>
    %10 = tensor.empty() : tensor<8x4xf32>
    %cst_2 = arith.constant 0xFF800000 : f32
    %11 = linalg.fill ins(%cst_2 : f32) outs(%10 : tensor<8x4xf32>) -> tensor<8x4xf32>
    %reduced_3 = linalg.reduce ins(%9 : tensor<8x4x4xf32>) outs(%11 : tensor<8x4xf32>) dimensions = [2] 
      (%in: f32, %init: f32) {
        %27 = arith.maximumf %in, %init : f32
        linalg.yield %27 : f32
      }
    %12 = tensor.empty() : tensor<8x4x4xf32>
    %13 = linalg.generic {indexing_maps = [#map2, #map3, #map2], iterator_types = ["parallel", "parallel", "parallel"]} ins(%9, %reduced_3 : tensor<8x4x4xf32>, tensor<8x4xf32>) outs(%12 : tensor<8x4x4xf32>) {
    ^bb0(%in: f32, %in_8: f32, %out: f32):
      %27 = arith.subf %in, %in_8 : f32
      linalg.yield %27 : f32
    } -> tensor<8x4x4xf32>
    %14 = tensor.empty() : tensor<8x4x4xf32>
    %15 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel", "parallel", "parallel"]} ins(%13 : tensor<8x4x4xf32>) outs(%14 : tensor<8x4x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %27 = math.exp %in : f32
      linalg.yield %27 : f32
    } -> tensor<8x4x4xf32>
    %16 = tensor.empty() : tensor<8x4xf32>
    %cst_4 = arith.constant 0.000000e+00 : f32
    %17 = linalg.fill ins(%cst_4 : f32) outs(%16 : tensor<8x4xf32>) -> tensor<8x4xf32>
    %reduced_5 = linalg.reduce ins(%15 : tensor<8x4x4xf32>) outs(%17 : tensor<8x4xf32>) dimensions = [2] 
      (%in: f32, %init: f32) {
        %27 = arith.addf %in, %init : f32
        linalg.yield %27 : f32
      }
    %18 = tensor.empty() : tensor<8x4x4xf32>
    %19 = linalg.generic {indexing_maps = [#map2, #map3, #map2], iterator_types = ["parallel", "parallel", "parallel"]} ins(%15, %reduced_5 : tensor<8x4x4xf32>, tensor<8x4xf32>) outs(%18 : tensor<8x4x4xf32>) {
    ^bb0(%in: f32, %in_8: f32, %out: f32):
      %27 = arith.divf %in, %in_8 : f32
      linalg.yield %27 : f32
    } -> tensor<8x4x4xf32>
    %20 = tensor.empty() : tensor<8x4x4xf32>
    %21 = linalg.generic {indexing_maps = [#map2, #map2], iterator_types = ["parallel", "parallel", "parallel"]} ins(%19 : tensor<8x4x4xf32>) outs(%20 : tensor<8x4x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %27 = arith.cmpf une, %in, %in : f32
      %cst_8 = arith.constant 0.000000e+00 : f32
      %28 = arith.select %27, %cst_8, %in : f32
      linalg.yield %28 : f32
    } -> tensor<8x4x4xf32>
    %22 = tensor.empty() : tensor<2x2x2x4x4xf32>
    %23 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel", "parallel"]} ins(%arg2 : tensor<2x2x4x4xf32>) outs(%22 : tensor<2x2x2x4x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x2x2x4x4xf32>
    %collapsed_6 = tensor.collapse_shape %23 [[0, 1, 2], [3], [4]] : tensor<2x2x2x4x4xf32> into tensor<8x4x4xf32>
    %24 = tensor.empty() : tensor<8x4x4xf32>
    %cst_7 = arith.constant 0.000000e+00 : f32
    %25 = linalg.fill ins(%cst_7 : f32) outs(%24 : tensor<8x4x4xf32>) -> tensor<8x4x4xf32>
    %26 = linalg.batch_matmul ins(%21, %collapsed_6 : tensor<8x4x4xf32>, tensor<8x4x4xf32>) outs(%25 : tensor<8x4x4xf32>) -> tensor<8x4x4xf32>
    %expanded = tensor.expand_shape %26 [[0, 1], [2], [3]] output_shape [2, 4, 4, 4] : tensor<8x4x4xf32> into tensor<2x4x4x4xf32>
    return %expanded : tensor<2x4x4x4xf32>
  }
}

{-#
  external_resources: {
    mlir_reproducer: {
      pipeline: "builtin.module(elfatt-raise{remarks=true strict=true})",
      disable_threading: false,
      verify_each: true
    }
  }
#-}
