// RUN: elfatt-opt %s --elfatt-tile-to-vector="machine=gpu tensor-f16" --canonicalize --cse | FileCheck %s
//
// Warps of a context read sixteen channels at a time. Of heads with an odd number of eights the last
// eight are the next row's: rows of K have no padding, and are copied whole.
#tokens = affine_map<(b, j, d, e) -> (b, j, d)>
#values = affine_map<(b, j, d, e) -> (b, j, e)>
#sum = affine_map<(b, j, d, e) -> (b, d, e)>

// CHECK-LABEL: func.func @one_head
// CHECK:         %[[BUFFER:.*]] = memref.alloca() {{.*}} : memref<6152xf16, #gpu.address_space<workgroup>>
// CHECK:         %[[K:.*]] = memref.reinterpret_cast %[[BUFFER]] to offset: [0], sizes: [256, 32], strides: [24, 1]
// CHECK:         %[[ROWS:.*]] = memref.subview %[[K]][0, 0] [256, 24] [1, 1]
// CHECK:         linalg.copy {{.*}} outs(%[[ROWS]]
// CHECK:         vector.transfer_read %[[K]][{{.*}} {in_bounds = [true, true], permutation_map = {{.*}}} : {{.*}}, vector<32x32xf16>
func.func @one_head(%k: memref<1x1024x24xf16>, %v: memref<1x1024x24xf16>, %c: memref<1x24x24xf32>) {
  attention.context indexing_maps = [#tokens, #values, #sum]
    ins(%k, %v : memref<1x1024x24xf16>, memref<1x1024x24xf16>) outs(%c : memref<1x24x24xf32>)
  return
}

#headTokens = affine_map<(b, h, j, d, e) -> (b, j, h, d)>
#headValues = affine_map<(b, h, j, d, e) -> (b, j, h, e)>
#headSum = affine_map<(b, h, j, d, e) -> (b, h, d, e)>

// Two heads lie 88 columns apart, which is what the last one's warps read.
// CHECK-LABEL: func.func @two_heads
// CHECK-NOT:     reinterpret_cast
// CHECK:         vector.transfer_read {{.*}} {in_bounds = [true, true], permutation_map = {{.*}}} : memref<64x88xf16, #gpu.address_space<workgroup>>, vector<16x64xf16>
func.func @two_heads(%k: memref<1x1024x2x40xf16>, %v: memref<1x1024x2x40xf16>, %c: memref<1x2x40x40xf32>) {
  attention.context indexing_maps = [#headTokens, #headValues, #headSum]
    ins(%k, %v : memref<1x1024x2x40xf16>, memref<1x1024x2x40xf16>) outs(%c : memref<1x2x40x40xf32>)
  return
}
