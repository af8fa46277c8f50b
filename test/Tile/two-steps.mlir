// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=cpu --canonicalize --cse | FileCheck %s

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#a = affine_map<(b, i, j, d, e) -> (b, i, e)>
#m = affine_map<(b, i, j, d, e) -> (b, i)>
#fa = affine_map<(b, i, e) -> (b, i, e)>
#fs = affine_map<(b, i, e) -> (b, i)>

// Prefix tokens and a window are the keys of one softmax: no state in memory, one product
// of scores and one of weights.
// CHECK-LABEL: func.func @one_softmax
// CHECK-NOT:     math.exp2 {{.*}} : vector<8xf32>
// CHECK:         vector.contract {{.*}} into vector<8x16xf32>
// CHECK:         math.exp2 {{.*}} : vector<8x16xf32>
// CHECK:         vector.contract {{.*}} into vector<8x16xf32>
// CHECK-NOT:     vector.contract
func.func @one_softmax(%q: memref<1x8x16xf32>, %k0: memref<1x2x16xf32>, %v0: memref<1x2x16xf32>,
    %k1: memref<1x8x16xf32>, %v1: memref<1x8x16xf32>, %o: memref<1x8x16xf32>) {
  %zero = arith.constant 0.0 : f32
  %none = arith.constant 0xFF800000 : f32
  %acc = memref.alloca() : memref<1x8x16xf32>
  %max = memref.alloca() : memref<1x8xf32>
  %sum = memref.alloca() : memref<1x8xf32>
  linalg.fill ins(%zero : f32) outs(%acc : memref<1x8x16xf32>)
  linalg.fill ins(%none : f32) outs(%max : memref<1x8xf32>)
  linalg.fill ins(%zero : f32) outs(%sum : memref<1x8xf32>)
  attention.online indexing_maps = [#q, #k, #v, #a, #m, #m]
    ins(%q, %k0, %v0 : memref<1x8x16xf32>, memref<1x2x16xf32>, memref<1x2x16xf32>)
    outs(%acc, %max, %sum : memref<1x8x16xf32>, memref<1x8xf32>, memref<1x8xf32>)
  attention.online indexing_maps = [#q, #k, #v, #a, #m, #m]
    ins(%q, %k1, %v1 : memref<1x8x16xf32>, memref<1x8x16xf32>, memref<1x8x16xf32>)
    outs(%acc, %max, %sum : memref<1x8x16xf32>, memref<1x8xf32>, memref<1x8xf32>)
  attention.finalize indexing_maps = [#fa, #fs, #fa]
    ins(%acc, %sum : memref<1x8x16xf32>, memref<1x8xf32>) outs(%o : memref<1x8x16xf32>)
  return
}

// The state of the first step is read: the steps stay two.
// CHECK-LABEL: func.func @state_is_read
// CHECK-COUNT-4: vector.contract
func.func @state_is_read(%q: memref<1x8x16xf32>, %k0: memref<1x2x16xf32>, %v0: memref<1x2x16xf32>,
    %k1: memref<1x8x16xf32>, %v1: memref<1x8x16xf32>, %o: memref<1x8x16xf32>,
    %copy: memref<1x8xf32>) {
  %zero = arith.constant 0.0 : f32
  %none = arith.constant 0xFF800000 : f32
  %acc = memref.alloca() : memref<1x8x16xf32>
  %max = memref.alloca() : memref<1x8xf32>
  %sum = memref.alloca() : memref<1x8xf32>
  linalg.fill ins(%zero : f32) outs(%acc : memref<1x8x16xf32>)
  linalg.fill ins(%none : f32) outs(%max : memref<1x8xf32>)
  linalg.fill ins(%zero : f32) outs(%sum : memref<1x8xf32>)
  attention.online indexing_maps = [#q, #k, #v, #a, #m, #m]
    ins(%q, %k0, %v0 : memref<1x8x16xf32>, memref<1x2x16xf32>, memref<1x2x16xf32>)
    outs(%acc, %max, %sum : memref<1x8x16xf32>, memref<1x8xf32>, memref<1x8xf32>)
  memref.copy %sum, %copy : memref<1x8xf32> to memref<1x8xf32>
  attention.online indexing_maps = [#q, #k, #v, #a, #m, #m]
    ins(%q, %k1, %v1 : memref<1x8x16xf32>, memref<1x8x16xf32>, memref<1x8x16xf32>)
    outs(%acc, %max, %sum : memref<1x8x16xf32>, memref<1x8xf32>, memref<1x8xf32>)
  attention.finalize indexing_maps = [#fa, #fs, #fa]
    ins(%acc, %sum : memref<1x8x16xf32>, memref<1x8xf32>) outs(%o : memref<1x8x16xf32>)
  return
}
