// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=gpu processors=132" --canonicalize --cse | FileCheck %s
// RUN: elfatt-opt %s --elfatt-tile-to-forall="machine=cpu" --canonicalize --cse | FileCheck %s --check-prefix=CPU

// Whoever applies a context of segments merges them first: two launches, not three. On the CPU a
// worker merges them for all.
// CHECK-LABEL: func.func @few_heads
// CHECK:         scf.forall
// CHECK:           %[[C:.*]] = attention.merge {{.*}} outs(%{{.*}} : tensor<1x32x32xf32>)
// CHECK:           attention.apply {{.*}} ins(%{{.*}}, %[[C]] : tensor<1x?x32xf16>, tensor<1x32x32xf32>)
// CHECK-NOT:     scf.forall (
// CPU:         attention.merge
// CPU:         scf.forall
// CPU-NOT:       attention.merge
// CPU:           attention.apply
func.func @few_heads(%q: tensor<1x3136x32xf16>, %acc: tensor<8x1x32x32xf32>,
                     %max: tensor<8x1x32xf32>, %sum: tensor<8x1x32xf32>,
                     %init: tensor<1x32x32xf32>, %o: tensor<1x3136x32xf16>) -> tensor<1x3136x32xf16> {
  %context = attention.merge indexing_maps = [
      affine_map<(s, b, d, e) -> (s, b, d, e)>, affine_map<(s, b, d, e) -> (s, b, d)>,
      affine_map<(s, b, d, e) -> (s, b, d)>, affine_map<(s, b, d, e) -> (b, d, e)>]
    ins(%acc, %max, %sum : tensor<8x1x32x32xf32>, tensor<8x1x32xf32>, tensor<8x1x32xf32>)
    outs(%init : tensor<1x32x32xf32>) -> tensor<1x32x32xf32>
  %r = attention.apply indexing_maps = [
      affine_map<(b, i, d, e) -> (b, i, d)>, affine_map<(b, i, d, e) -> (b, d, e)>,
      affine_map<(b, i, d, e) -> (b, i, e)>]
    ins(%q, %context : tensor<1x3136x32xf16>, tensor<1x32x32xf32>)
    outs(%o : tensor<1x3136x32xf16>) -> tensor<1x3136x32xf16>
  return %r : tensor<1x3136x32xf16>
}
