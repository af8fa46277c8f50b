// RUN: elfatt-opt %s --elfatt-tile-to-vector="machine=gpu tensor-f16" --canonicalize --cse | FileCheck %s
// RUN: elfatt-opt %s --elfatt-tile-to-vector="machine=cpu" --canonicalize --cse | FileCheck %s --check-prefix=CPU

#q = affine_map<(n, m, d, e) -> (n, d)>
#k = affine_map<(n, m, d, e) -> (m, d)>
#v = affine_map<(n, m, d, e) -> (m, e)>
#o = affine_map<(n, m, d, e) -> (n, e)>
#kc = affine_map<(j, d, e) -> (j, d)>
#vc = affine_map<(j, d, e) -> (j, e)>
#oc = affine_map<(j, d, e) -> (d, e)>

// In kernels a weight is one multiply-add by what its row shares, and 2^x.
// CHECK-LABEL: func.func @rows
// CHECK:         %[[MAX:.*]] = vector.multi_reduction <maxnumf>
// CHECK:         %[[FACTOR:.*]] = arith.select %{{.*}} : vector<16xi1>, vector<16xf32>
// CHECK:         %[[LEVEL:.*]] = {{math.fma|arith.mulf}} {{.*}} : vector<16xf32>
// CHECK:         %[[SHIFT:.*]] = arith.negf %[[LEVEL]]
// CHECK-NOT:     arith.subf
// CHECK:         %[[POWER:.*]] = math.fma {{.*}} : vector<16x{{.*}}xf32>
// CHECK-NEXT:    math.exp2 %[[POWER]]
// CPU-LABEL:   func.func @rows
// CPU-NOT:       math.fma
// CPU:           arith.subf
// CPU:           math.exp2
func.func @rows(%x: memref<48x32xf16>, %o: memref<48x32xf16>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<48x32xf16>, memref<48x32xf16>, memref<48x32xf16>) outs(%o : memref<48x32xf16>)
  return
}

// A scale of unknown sign comes first: there is nothing to fuse.
// CHECK-LABEL: func.func @unknown_scale
// CHECK-NOT:     math.fma
// CHECK:         arith.subf {{.*}} : vector<16x{{.*}}xf32>
// CHECK-NEXT:    math.exp2
func.func @unknown_scale(%x: memref<48x32xf16>, %scale: f32, %o: memref<48x32xf16>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%x, %x, %x : memref<48x32xf16>, memref<48x32xf16>, memref<48x32xf16>) scale(%scale : f32)
    outs(%o : memref<48x32xf16>)
  return
}

// The maximum and the sum of a tile start from the state. Where parts of the tokens meet, what a
// level was rounded by leaves the state, so that parts differ by their maxima alone.
// CHECK-LABEL: func.func @context
// CHECK:         scf.for
// CHECK:           %[[BEFORE:.*]] = vector.transfer_read {{.*}} vector<32xf32>
// CHECK:           vector.multi_reduction <maxnumf>, %{{.*}}, %[[BEFORE]] [1]
// CHECK:           arith.select {{.*}}, %cst{{.*}}, %cst{{.*}} : vector<32xi1>, vector<32xf32>
// CHECK:           %[[LEVEL:.*]] = math.fma {{.*}} : vector<32xf32>
// CHECK-NEXT:      arith.negf %[[LEVEL]] : vector<32xf32>
// CHECK:           %[[STATE:.*]] = arith.mulf {{.*}} : vector<32xf32>
// CHECK:           vector.multi_reduction <add>, %{{.*}}, %[[STATE]] [1]
// CHECK-NOT:       arith.subf {{.*}} : vector<32x{{.*}}xf32>
// CHECK:           vector.contract
// CHECK:         scf.forall
// CHECK:           %[[LEVEL:.*]] = math.fma %[[MAX:.*]], %[[FACTOR:.*]], {{.*}} : vector<32xf32>
// CHECK-NEXT:      %[[SHIFT:.*]] = arith.negf %[[LEVEL]]
// CHECK-NEXT:      %[[ROUNDING:.*]] = math.fma %[[MAX]], %[[FACTOR]], %[[SHIFT]]
// CHECK:           math.exp2 {{.*}} : vector<32xf32>
// CHECK:           arith.mulf {{.*}} : vector<32x32xf32>
// CHECK:         scf.forall
// CHECK:           arith.subf {{.*}} : vector<16xf32>
// CHECK-NEXT:      arith.mulf
// CHECK-NEXT:      math.exp2
func.func @context(%x: memref<4096x32xf16>, %c: memref<32x32xf32>) {
  attention.context indexing_maps = [#kc, #vc, #oc]
    ins(%x, %x : memref<4096x32xf16>, memref<4096x32xf16>) outs(%c : memref<32x32xf32>)
  return
}

// Warps that have a channel's tokens alone divide as they are: what a level was rounded by cancels.
// CHECK-LABEL: func.func @wide_context
// CHECK:         vector.contract
// CHECK-NOT:     math.exp2
// CHECK:         arith.divf
func.func @wide_context(%x: memref<64x256xf16>, %y: memref<64x16xf16>, %c: memref<256x16xf32>) {
  attention.context indexing_maps = [#kc, #vc, #oc]
    ins(%x, %y : memref<64x256xf16>, memref<64x16xf16>) outs(%c : memref<256x16xf32>)
  return
}
