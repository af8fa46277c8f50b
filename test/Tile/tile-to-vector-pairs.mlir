// RUN: elfatt-opt %s --elfatt-tile-to-vector="machine=cpu dots-bf16" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,DOTS
// RUN: elfatt-opt %s --elfatt-tile-to-vector="machine=cpu" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,PLAIN

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>

// Scores are sums of pairs of exact products; the weights, which are rounded nowhere,
// multiply values in f32.
// CHECK-LABEL: func.func @scores_are_products_of_pairs
// DOTS:          %[[KEYS:.*]] = memref.alloca() {{.*}} : memref<8x64x2xbf16>
// DOTS:          linalg.transpose {{.*}} outs(%[[KEYS]] : memref<8x64x2xbf16>) permutation = [1, 0, 2]
// DOTS:          vector.contract {{.*}} : vector<7x8x2xbf16>, vector<8x64x2xbf16> into vector<7x64xf32>
// DOTS:          vector.contract {{.*}} : vector<7x64xf32>, vector<64x16xf32> into vector<7x16xf32>
// PLAIN:         vector.contract {{.*}} : vector<7x16xf32>, vector<16x56xf32> into vector<7x56xf32>
// PLAIN:         vector.contract {{.*}} : vector<7x56xf32>, vector<56x16xf32> into vector<7x16xf32>
func.func @scores_are_products_of_pairs(%q: memref<1x7x16xbf16>, %k: memref<1x49x16xbf16>,
                                        %o: memref<1x7x16xbf16>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
      ins(%q, %k, %k : memref<1x7x16xbf16>, memref<1x49x16xbf16>, memref<1x49x16xbf16>)
      outs(%o : memref<1x7x16xbf16>)
  return
}

// CHECK-LABEL: func.func @odd_channels_are_widened
// CHECK-NOT:     xbf16>, vector<{{.*}} into
// CHECK:         vector.contract {{.*}} : vector<7x15xf32>, vector<15x56xf32> into vector<7x56xf32>
func.func @odd_channels_are_widened(%q: memref<1x7x15xbf16>, %k: memref<1x49x15xbf16>,
                                    %o: memref<1x7x15xbf16>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
      ins(%q, %k, %k : memref<1x7x15xbf16>, memref<1x49x15xbf16>, memref<1x49x15xbf16>)
      outs(%o : memref<1x7x15xbf16>)
  return
}

// CHECK-LABEL: func.func @f16_is_widened
// CHECK-NOT:     xf16>, vector<{{.*}} into
// CHECK:         vector.contract {{.*}} : vector<7x16xf32>, vector<16x56xf32> into vector<7x56xf32>
func.func @f16_is_widened(%q: memref<1x7x16xf16>, %k: memref<1x49x16xf16>,
                          %o: memref<1x7x16xf16>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
      ins(%q, %k, %k : memref<1x7x16xf16>, memref<1x49x16xf16>, memref<1x49x16xf16>)
      outs(%o : memref<1x7x16xf16>)
  return
}
