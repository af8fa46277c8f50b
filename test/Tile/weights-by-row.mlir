// RUN: elfatt-opt %s --elfatt-tile-to-vector="machine=cpu vector-bits=512 vector-registers=32" --canonicalize --cse --split-input-file | FileCheck %s

#q = affine_map<(n, m, d, e) -> (n, d)>
#k = affine_map<(n, m, d, e) -> (m, d)>
#v = affine_map<(n, m, d, e) -> (m, e)>
#o = affine_map<(n, m, d, e) -> (n, e)>

// Scores of more registers than there are lie in scratch. Weights of the next keys are made before
// the product of those that have them.
// CHECK-LABEL: func.func @many_scores
// CHECK:         vector.contract
// CHECK:         vector.multi_reduction <maxnumf>, {{.*}} : vector<{{[0-9]+}}x192xf32>
// CHECK:         math.exp2 {{.*}} : vector<{{[0-9]+}}x16xf32>
// CHECK:         scf.for
// CHECK:           math.exp2 {{.*}} : vector<{{[0-9]+}}x16xf32>
// CHECK:           vector.transfer_write
// CHECK:           vector.contract
// CHECK:           scf.yield
// CHECK:         vector.contract
// CHECK:         vector.multi_reduction <add>, {{.*}} : vector<{{[0-9]+}}x16xf32>
func.func @many_scores(%q: memref<192x32xf32>, %k: memref<192x32xf32>, %o: memref<192x32xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %k : memref<192x32xf32>, memref<192x32xf32>, memref<192x32xf32>) outs(%o : memref<192x32xf32>)
  return
}

// -----

#q = affine_map<(n, m, d, e) -> (n, d)>
#k = affine_map<(n, m, d, e) -> (m, d)>
#v = affine_map<(n, m, d, e) -> (m, e)>
#o = affine_map<(n, m, d, e) -> (n, e)>

// Of as many as there are no score leaves them.
// CHECK-LABEL: func.func @few_scores
// CHECK:         vector.contract
// CHECK-NOT:     vector.transfer_write
// CHECK:         math.exp2
func.func @few_scores(%q: memref<32x32xf32>, %k: memref<32x32xf32>, %o: memref<32x32xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %k : memref<32x32xf32>, memref<32x32xf32>, memref<32x32xf32>) outs(%o : memref<32x32xf32>)
  return
}

// -----

#q = affine_map<(n, m, d, e) -> (n, d)>
#k = affine_map<(n, m, d, e) -> (m, d)>
#v = affine_map<(n, m, d, e) -> (m, e)>
#o = affine_map<(n, m, d, e) -> (n, e)>

// Sums of wide values leave the registers: the code of one row's weights serves all, and the product
// comes after them.
// CHECK-LABEL: func.func @wide_values
// CHECK:         vector.contract
// CHECK:         scf.for
// CHECK:           math.exp2 {{.*}} : vector<1x192xf32>
// CHECK:           vector.multi_reduction <add>, {{.*}} : vector<1x192xf32> to vector<1xf32>
// CHECK-NOT:     math.exp2
// CHECK:         vector.contract
func.func @wide_values(%q: memref<192x160xf32>, %k: memref<192x160xf32>, %o: memref<192x160xf32>) {
  attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %k : memref<192x160xf32>, memref<192x160xf32>, memref<192x160xf32>) outs(%o : memref<192x160xf32>)
  return
}
