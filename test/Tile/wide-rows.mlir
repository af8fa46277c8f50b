// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=cpu --canonicalize --cse | FileCheck %s

#q = affine_map<(b, y, x, d, e) -> (b, y, x, d)>
#c = affine_map<(b, y, x, d, e) -> (b, d, e)>
#o = affine_map<(b, y, x, d, e) -> (b, y, x, e)>
#v = affine_map<(b, y, x, e) -> (b, y, x, e)>
#w = affine_map<(b, y, x, e) -> (e)>
#e = affine_map<(b, y, x, e) -> (b, y, x, e)>

// Rows of more registers than there are lie in scratch before LePE is added, sixteen columns at a
// time, and the residual after it.
// CHECK-LABEL: func.func @some_columns_at_a_time
// CHECK:         %[[PRODUCT:.*]] = vector.contract {{.*}} into vector<[[R:[0-9]+]]x160xf32>
// CHECK:         vector.transfer_write %{{.*}}, %[[SCRATCH:.*]][%c0, %c0] {{.*}} : vector<[[R]]x160xf32>
// CHECK:         scf.for %[[FIRST:.*]] = %c0 to %c160 step %c16
// CHECK:           memref.subview %[[SCRATCH]][0, %[[FIRST]]] {{\[}}[[R]], 16]
// CHECK-COUNT-9:   arith.mulf {{.*}} fastmath<contract> : vector<[[R]]x16xf32>
// CHECK:           %[[SUM:.*]] = arith.addf %{{[0-9a-z_]+}}, %{{[0-9a-z_]+}} : vector<[[R]]x16xf32>
// CHECK:           vector.transfer_write %[[SUM]], {{.*}} : vector<[[R]]x16xf32>
// CHECK-NOT:     linalg.generic
func.func @some_columns_at_a_time(%q: memref<1x8x8x160xf32>, %c: memref<1x160x160xf32>,
    %v: memref<1x8x8x160xf32>, %w: memref<3x3x160xf32>,
    %residual: memref<1x8x8x160xf32>, %sum: memref<1x8x8x160xf32>) {
  %o = memref.alloca() : memref<1x8x8x160xf32>
  attention.apply indexing_maps = [#q, #c, #o]
    ins(%q, %c : memref<1x8x8x160xf32>, memref<1x160x160xf32>) outs(%o : memref<1x8x8x160xf32>)
  attention.lepe indexing_maps = [#v, #w, #v]
    ins(%v, %w : memref<1x8x8x160xf32>, memref<3x3x160xf32>)
    outs(%o : memref<1x8x8x160xf32>) grid_dims = [1, 2]
  linalg.generic {indexing_maps = [#e, #e, #e],
      iterator_types = ["parallel", "parallel", "parallel", "parallel"]}
      ins(%o, %residual : memref<1x8x8x160xf32>, memref<1x8x8x160xf32>)
      outs(%sum : memref<1x8x8x160xf32>) {
  ^bb0(%s: f32, %t: f32, %u: f32):
    %1 = arith.addf %s, %t : f32
    linalg.yield %1 : f32
  }
  return
}

// Columns that are no multiple of a register's end in a narrower one.
// CHECK-LABEL: func.func @rest_of_the_columns
// CHECK:         scf.for %{{.*}} = %c0 to %c64 step %c16
// CHECK:           vector.transfer_write {{.*}} : vector<[[R:[0-9]+]]x16xf32>
// CHECK:         }
// CHECK:         vector.transfer_write {{.*}} : vector<[[R]]x8xf32>
func.func @rest_of_the_columns(%q: memref<1x8x8x72xf32>, %c: memref<1x72x72xf32>,
    %v: memref<1x8x8x72xf32>, %w: memref<3x3x72xf32>, %o: memref<1x8x8x72xf32>) {
  attention.apply indexing_maps = [#q, #c, #o]
    ins(%q, %c : memref<1x8x8x72xf32>, memref<1x72x72xf32>) outs(%o : memref<1x8x8x72xf32>)
  attention.lepe indexing_maps = [#v, #w, #v]
    ins(%v, %w : memref<1x8x8x72xf32>, memref<3x3x72xf32>)
    outs(%o : memref<1x8x8x72xf32>) grid_dims = [1, 2]
  return
}

// Nothing joins these: each register is stored as it is made.
// CHECK-LABEL: func.func @rows_alone
// CHECK:         vector.contract
// CHECK-NOT:     scf.for
// CHECK:         vector.transfer_write {{.*}}x160xf32>, memref
func.func @rows_alone(%q: memref<1x8x8x160xf32>, %c: memref<1x160x160xf32>, %o: memref<1x8x8x160xf32>) {
  attention.apply indexing_maps = [#q, #c, #o]
    ins(%q, %c : memref<1x8x8x160xf32>, memref<1x160x160xf32>) outs(%o : memref<1x8x8x160xf32>)
  return
}
