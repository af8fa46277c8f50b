// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=cpu --canonicalize --cse | FileCheck %s

#q = affine_map<(b, i, j, d, e) -> (b, i, d)>
#k = affine_map<(b, i, j, d, e) -> (b, j, d)>
#v = affine_map<(b, i, j, d, e) -> (b, j, e)>
#o = affine_map<(b, i, j, d, e) -> (b, i, e)>

// Keys are rows of the product, where they lie.
// CHECK:         #[[NT:.*]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-LABEL: func.func @one_query
// CHECK-SAME:    %{{[^:]*}}: memref<1x1x32xf32>, %[[K:[^:]*]]: memref<1x197x32xf32>
// CHECK-NOT:     linalg.transpose
// CHECK:         vector.contract {indexing_maps = [#{{[a-z0-9]+}}, #[[NT]], #{{[a-z0-9]+}}]
func.func @one_query(%q: memref<1x1x32xf32>, %k: memref<1x197x32xf32>, %v: memref<1x197x32xf32>,
                     %o: memref<1x1x32xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : memref<1x1x32xf32>, memref<1x197x32xf32>, memref<1x197x32xf32>)
    outs(%o : memref<1x1x32xf32>)
  return
}

// Two pay for a transposition.
// CHECK-LABEL: func.func @two_queries
// CHECK:         linalg.transpose
func.func @two_queries(%q: memref<1x2x32xf32>, %k: memref<1x197x32xf32>, %v: memref<1x197x32xf32>,
                       %o: memref<1x2x32xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %v : memref<1x2x32xf32>, memref<1x197x32xf32>, memref<1x197x32xf32>)
    outs(%o : memref<1x2x32xf32>)
  return
}
