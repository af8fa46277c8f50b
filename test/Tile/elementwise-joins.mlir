// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=cpu --canonicalize --cse | FileCheck %s
// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=gpu --canonicalize --cse | FileCheck %s --check-prefix=GPU

#q = affine_map<(b, n, d, e) -> (b, n, d)>
#c = affine_map<(b, n, d, e) -> (b, d, e)>
#o = affine_map<(b, n, d, e) -> (b, n, e)>
#same = affine_map<(b, n, e) -> (b, n, e)>
#rows = affine_map<(b, n, e) -> (b, n)>
#columns = affine_map<(b, n, e) -> (e)>

// One store of rows to which a tensor, a value a row and one a column are added; what was
// attention's destination is gone.
// CHECK-LABEL: func.func @one_store
// CHECK-SAME:    %[[OUT:[^ ]*]]: memref<1x8x16xbf16>)
// CHECK-NOT:     alloca
// CHECK:         vector.contract
// CHECK:         vector.transfer_read {{.*}} vector<8x16xf32>
// CHECK:         vector.transfer_read {{.*}} vector<8xf32>
// CHECK:         vector.transfer_read {{.*}} vector<16xf32>
// CHECK:         %[[ROUNDED:.*]] = arith.truncf {{.*}} : vector<8x16xf32> to vector<8x16xbf16>
// CHECK-NOT:     linalg.generic
// CHECK:         vector.transfer_write %[[ROUNDED]]
// CHECK-NOT:     vector.transfer_write
// On the GPU it is a loop of its own.
// GPU-LABEL:   func.func @one_store
// GPU:           vector.contract
// GPU:           vector.transfer_write
// GPU:           arith.truncf {{.*}} : vector<16x16xf32> to vector<16x16xbf16>
// GPU:           vector.transfer_write
// GPU-NOT:       linalg.generic
func.func @one_store(%q: memref<1x8x16xf32>, %c: memref<1x16x16xf32>, %x: memref<1x8x16xf32>,
                     %r: memref<1x8xf32>, %b: memref<16xf32>, %out: memref<1x8x16xbf16>) {
  %o = memref.alloca() : memref<1x8x16xf32>
  attention.apply indexing_maps = [#q, #c, #o]
    ins(%q, %c : memref<1x8x16xf32>, memref<1x16x16xf32>) outs(%o : memref<1x8x16xf32>)
  linalg.generic {indexing_maps = [#same, #same, #rows, #columns, #same],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%o, %x, %r, %b : memref<1x8x16xf32>, memref<1x8x16xf32>, memref<1x8xf32>, memref<16xf32>)
      outs(%out : memref<1x8x16xbf16>) {
  ^bb0(%s: f32, %t: f32, %u: f32, %v: f32, %w: bf16):
    %1 = arith.addf %s, %t : f32
    %2 = arith.addf %1, %u : f32
    %3 = arith.addf %2, %v : f32
    %4 = arith.truncf %3 : f32 to bf16
    linalg.yield %4 : bf16
  }
  return
}

// Somebody else reads attention's rows: they are stored too.
// CHECK-LABEL: func.func @rows_are_read_later
// CHECK:         vector.transfer_write
// CHECK:         math.tanh
// CHECK:         vector.transfer_write
// CHECK:         memref.copy
func.func @rows_are_read_later(%q: memref<1x8x16xf32>, %c: memref<1x16x16xf32>,
                               %out: memref<1x8x16xf32>, %copy: memref<1x8x16xf32>) {
  %o = memref.alloca() : memref<1x8x16xf32>
  attention.apply indexing_maps = [#q, #c, #o]
    ins(%q, %c : memref<1x8x16xf32>, memref<1x16x16xf32>) outs(%o : memref<1x8x16xf32>)
  linalg.generic {indexing_maps = [#same, #same], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%o : memref<1x8x16xf32>) outs(%out : memref<1x8x16xf32>) {
  ^bb0(%s: f32, %w: f32):
    %1 = math.tanh %s : f32
    linalg.yield %1 : f32
  }
  memref.copy %o, %copy : memref<1x8x16xf32> to memref<1x8x16xf32>
  return
}
