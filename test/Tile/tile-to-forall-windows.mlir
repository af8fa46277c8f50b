// RUN: elfatt-opt %s --elfatt-tile-to-forall --canonicalize --cse --split-input-file | FileCheck %s
//
// Where windows are enough for everybody, one worker of the host has all rows that see the same
// keys: these are read and transposed once, and its next window is known.
#q = affine_map<(b, y, x, u, v, d, e) -> (b, y, x, d)>
#k = affine_map<(b, y, x, u, v, d, e) -> (b, u, v, d)>
#v = affine_map<(b, y, x, u, v, d, e) -> (b, u, v, e)>
#o = affine_map<(b, y, x, u, v, d, e) -> (b, y, x, e)>

// CHECK-LABEL: func.func @many_windows
// CHECK:         scf.forall (%{{.*}}) in (32)
// CHECK:           attention.sdpa {{.*}} ins(%{{.*}} : tensor<1x14x14x32xf32>, tensor<1x14x14x32xf32>
func.func @many_windows(%q: tensor<32x14x14x32xf32>, %o: tensor<32x14x14x32xf32>) -> tensor<32x14x14x32xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %q, %q : tensor<32x14x14x32xf32>, tensor<32x14x14x32xf32>, tensor<32x14x14x32xf32>)
    outs(%o : tensor<32x14x14x32xf32>) -> tensor<32x14x14x32xf32>
  return %r : tensor<32x14x14x32xf32>
}

// -----

#q = affine_map<(b, y, x, u, v, d, e) -> (b, y, x, d)>
#k = affine_map<(b, y, x, u, v, d, e) -> (b, u, v, d)>
#v = affine_map<(b, y, x, u, v, d, e) -> (b, u, v, e)>
#o = affine_map<(b, y, x, u, v, d, e) -> (b, y, x, e)>

// Of fewer windows rows are shared.
// CHECK-LABEL: func.func @few_windows
// CHECK:         scf.forall (%{{.*}}, %{{.*}}) = (0, 0) to (31, 14) step (1, 7)
func.func @few_windows(%q: tensor<31x14x14x32xf32>, %o: tensor<31x14x14x32xf32>) -> tensor<31x14x14x32xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %q, %q : tensor<31x14x14x32xf32>, tensor<31x14x14x32xf32>, tensor<31x14x14x32xf32>)
    outs(%o : tensor<31x14x14x32xf32>) -> tensor<31x14x14x32xf32>
  return %r : tensor<31x14x14x32xf32>
}

// -----

#q = affine_map<(b, n, m, d, e) -> (b, n, d)>
#k = affine_map<(b, n, m, d, e) -> (b, m, d)>
#v = affine_map<(b, n, m, d, e) -> (b, m, e)>
#o = affine_map<(b, n, m, d, e) -> (b, n, e)>

// So are rows that are many beside their keys.
// CHECK-LABEL: func.func @long_rows
// CHECK:         scf.forall (%{{.*}}, %{{.*}}) = (0, 0) to (32, 4096) step (1, {{[0-9]+}})
func.func @long_rows(%q: tensor<32x4096x32xf32>, %k: tensor<32x64x32xf32>, %o: tensor<32x4096x32xf32>) -> tensor<32x4096x32xf32> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
    ins(%q, %k, %k : tensor<32x4096x32xf32>, tensor<32x64x32xf32>, tensor<32x64x32xf32>)
    outs(%o : tensor<32x4096x32xf32>) -> tensor<32x4096x32xf32>
  return %r : tensor<32x4096x32xf32>
}
