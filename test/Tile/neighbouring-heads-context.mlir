// RUN: elfatt-opt %s --split-input-file --elfatt-tile-to-forall="machine=gpu processors=16" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,SMALL
// RUN: elfatt-opt %s --split-input-file --elfatt-tile-to-forall="machine=gpu processors=132 shared-bytes=115000 most-shared-bytes=232448" --canonicalize --cse | FileCheck %s --check-prefixes=CHECK,LARGE
//
// Rows of 40 channels of 16 bits are two sectors and a half: workers sum the contexts of two heads
// that lie beside each other, and apply them.

#k = affine_map<(s, b, h, j, d, e) -> (b, s, j, h, d)>
#v = affine_map<(s, b, h, j, d, e) -> (b, s, j, h, e)>
#acc = affine_map<(s, b, h, j, d, e) -> (s, b, h, d, e)>
#max = affine_map<(s, b, h, j, d, e) -> (s, b, h, d)>

// CHECK-LABEL: func.func @segments
// CHECK:         scf.forall (%{{.*}}, %{{.*}}, %{{.*}}) = (0, 0, 0) to (4, 2, 4) step (1, 1, 2)
// CHECK:           attention.partial_context {{.*}} ins({{.*}} : tensor<1x1x1024x2x40xbf16>, tensor<1x1x1024x2x40xbf16>) outs({{.*}} : tensor<1x1x2x40x40xf32>, tensor<1x1x2x40xf32>, tensor<1x1x2x40xf32>)
func.func @segments(%x: tensor<2x4x1024x4x40xbf16>, %acc: tensor<4x2x4x40x40xf32>, %max: tensor<4x2x4x40xf32>,
                    %sum: tensor<4x2x4x40xf32>) -> tensor<4x2x4x40x40xf32> {
  %r:3 = attention.partial_context indexing_maps = [#k, #v, #acc, #max, #max]
    ins(%x, %x : tensor<2x4x1024x4x40xbf16>, tensor<2x4x1024x4x40xbf16>)
    outs(%acc, %max, %sum : tensor<4x2x4x40x40xf32>, tensor<4x2x4x40xf32>, tensor<4x2x4x40xf32>)
    -> tensor<4x2x4x40x40xf32>, tensor<4x2x4x40xf32>, tensor<4x2x4x40xf32>
  return %r#0 : tensor<4x2x4x40x40xf32>
}

// -----

#q = affine_map<(b, h, i, d, e) -> (b, i, h, d)>
#c = affine_map<(b, h, i, d, e) -> (b, h, d, e)>
#o = affine_map<(b, h, i, d, e) -> (b, i, h, e)>

// Where heads are few for the chip the contexts have a launch of their own.
// CHECK-LABEL: func.func @own
// SMALL:         scf.forall (%{{.*}}, %{{.*}}) = (0, 0) to (2, 4) step (1, 2)
// SMALL:           attention.context {{.*}} ins({{.*}} : tensor<1x4096x2x40xbf16>, tensor<1x4096x2x40xbf16>)
// SMALL:           scf.for
// SMALL:             attention.apply
// LARGE:         attention.context {{.*}} tensor<1x2x40x40xf32>
// LARGE:         scf.forall
// LARGE:           attention.apply {{.*}} tensor<1x2x40x40xf32>
func.func @own(%x: tensor<2x4096x4x40xbf16>, %init: tensor<2x4x40x40xf32>, %o: tensor<2x4096x4x40xbf16>) -> tensor<2x4096x4x40xbf16> {
  %context = attention.context indexing_maps = [#q, #o, #c]
    ins(%x, %x : tensor<2x4096x4x40xbf16>, tensor<2x4096x4x40xbf16>) outs(%init : tensor<2x4x40x40xf32>)
    -> tensor<2x4x40x40xf32>
  %r = attention.apply indexing_maps = [#q, #c, #o]
    ins(%x, %context : tensor<2x4096x4x40xbf16>, tensor<2x4x40x40xf32>)
    outs(%o : tensor<2x4096x4x40xbf16>) -> tensor<2x4096x4x40xbf16>
  return %r : tensor<2x4096x4x40xbf16>
}

// -----

#q = affine_map<(b, h, i, d, e) -> (b, i, h, d)>
#c = affine_map<(b, h, i, d, e) -> (b, h, d, e)>
#o = affine_map<(b, h, i, d, e) -> (b, i, h, e)>
#acc = affine_map<(s, b, h, d, e) -> (s, b, h, d, e)>
#max = affine_map<(s, b, h, d, e) -> (s, b, h, d)>
#merged = affine_map<(s, b, h, d, e) -> (b, h, d, e)>

// Who merges segments for two heads has a multiprocessor to itself.
// CHECK-LABEL: func.func @merged
// LARGE:         scf.forall (%{{.*}}, %{{.*}}, %{{.*}}) = (0, 0, 0) to (2, 4, 4096) step (1, 2,
// LARGE:           attention.merge {{.*}} ins({{.*}} : tensor<4x1x2x40x40xf32>
// LARGE:           attention.apply
func.func @merged(%x: tensor<2x4096x4x40xbf16>, %acc: tensor<4x2x4x40x40xf32>, %max: tensor<4x2x4x40xf32>,
                  %init: tensor<2x4x40x40xf32>, %o: tensor<2x4096x4x40xbf16>) -> tensor<2x4096x4x40xbf16> {
  %context = attention.merge indexing_maps = [#acc, #max, #max, #merged]
    ins(%acc, %max, %max : tensor<4x2x4x40x40xf32>, tensor<4x2x4x40xf32>, tensor<4x2x4x40xf32>)
    outs(%init : tensor<2x4x40x40xf32>) -> tensor<2x4x40x40xf32>
  %r = attention.apply indexing_maps = [#q, #c, #o]
    ins(%x, %context : tensor<2x4096x4x40xbf16>, tensor<2x4x40x40xf32>)
    outs(%o : tensor<2x4096x4x40xbf16>) -> tensor<2x4096x4x40xbf16>
  return %r : tensor<2x4096x4x40xbf16>
}

// -----

#q = affine_map<(b, h, i, d, e) -> (b, i, h, d)>
#c = affine_map<(b, h, i, d, e) -> (b, h, d, e)>
#o = affine_map<(b, h, i, d, e) -> (b, i, h, e)>

// Heads that are no whole twos, and contexts that have something between the heads and their
// channels.
// CHECK-LABEL: func.func @three
// CHECK:         attention.context {{.*}} tensor<1x1x40x40xf32>
func.func @three(%x: tensor<8x256x3x40xbf16>, %init: tensor<8x3x40x40xf32>) -> tensor<8x3x40x40xf32> {
  %context = attention.context indexing_maps = [#q, #o, #c]
    ins(%x, %x : tensor<8x256x3x40xbf16>, tensor<8x256x3x40xbf16>) outs(%init : tensor<8x3x40x40xf32>)
    -> tensor<8x3x40x40xf32>
  return %context : tensor<8x3x40x40xf32>
}

// CHECK-LABEL: func.func @channels_first
// CHECK:         attention.context {{.*}} tensor<1x40x1x40xf32>
func.func @channels_first(%x: tensor<8x256x4x40xbf16>, %init: tensor<8x40x4x40xf32>) -> tensor<8x40x4x40xf32> {
  %context = attention.context indexing_maps = [#q, #o, affine_map<(b, h, i, d, e) -> (b, d, h, e)>]
    ins(%x, %x : tensor<8x256x4x40xbf16>, tensor<8x256x4x40xbf16>) outs(%init : tensor<8x40x4x40xf32>)
    -> tensor<8x40x4x40xf32>
  return %context : tensor<8x40x4x40xf32>
}
