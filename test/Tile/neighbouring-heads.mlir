// RUN: elfatt-opt %s --split-input-file --elfatt-tile-to-forall="machine=gpu processors=16" | FileCheck %s --check-prefixes=CHECK,CHOSEN
// RUN: elfatt-opt %s --split-input-file --elfatt-tile-to-forall="machine=gpu processors=16 heads-per-block=1" | FileCheck %s --check-prefixes=CHECK,ONE
// RUN: elfatt-opt %s --split-input-file --elfatt-tile-to-forall="machine=gpu processors=17" | FileCheck %s --check-prefixes=CHECK,ONE
//
// Rows of 40 channels of 16 bits are two sectors and a half: workers take two heads where these lie
// beside each other, and where no multiprocessor is left without work for it.

#q = affine_map<(b, h, i, j, d, e) -> (b, i, h, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, j, h, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, j, h, e)>
#o = affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>

// CHECK-LABEL: func.func @two_of_eight
// CHOSEN:      scf.forall (%{{.*}}, %{{.*}}) = (0, 0) to (4, 8) step (1, 2)
// CHOSEN:        attention.sdpa {{.*}} tensor<1x64x2x40xbf16>
// ONE:         scf.forall (%{{.*}}, %{{.*}}) in (4, 8)
func.func @two_of_eight(%x: tensor<4x64x8x40xbf16>, %o: tensor<4x64x8x40xbf16>) -> tensor<4x64x8x40xbf16> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
       ins(%x, %x, %x : tensor<4x64x8x40xbf16>, tensor<4x64x8x40xbf16>, tensor<4x64x8x40xbf16>)
       outs(%o : tensor<4x64x8x40xbf16>) -> tensor<4x64x8x40xbf16>
  return %r : tensor<4x64x8x40xbf16>
}

// -----

// The last four of a packed projection's eight heads.
#q = affine_map<(b, h, i, j, d, e) -> (b, i, 0, h, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, j, 1, h, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, j, 2, h, e)>
#o = affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>

// CHECK-LABEL: func.func @half_of_packed
// CHOSEN:      scf.forall (%{{.*}}, %{{.*}}) = (0, 0) to (8, 4) step (1, 2)
// ONE:         scf.forall (%{{.*}}, %{{.*}}) in (8, 4)
func.func @half_of_packed(%x: tensor<8x64x960xf16>, %o: tensor<8x64x4x40xf16>) -> tensor<8x64x4x40xf16> {
  %e = tensor.expand_shape %x [[0], [1], [2, 3, 4]] output_shape [8, 64, 3, 8, 40]
       : tensor<8x64x960xf16> into tensor<8x64x3x8x40xf16>
  %s = tensor.extract_slice %e[0, 0, 0, 4, 0] [8, 64, 3, 4, 40] [1, 1, 1, 1, 1]
       : tensor<8x64x3x8x40xf16> to tensor<8x64x3x4x40xf16>
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
       ins(%s, %s, %s : tensor<8x64x3x4x40xf16>, tensor<8x64x3x4x40xf16>, tensor<8x64x3x4x40xf16>)
       outs(%o : tensor<8x64x4x40xf16>) -> tensor<8x64x4x40xf16>
  return %r : tensor<8x64x4x40xf16>
}

// -----

// From the second of them on twos end in the middle of a sector.
#q = affine_map<(b, h, i, j, d, e) -> (b, i, h, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, j, h, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, j, h, e)>
#o = affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>

// CHECK-LABEL: func.func @not_aligned
// CHECK:       scf.forall (%{{.*}}, %{{.*}}) in (8, 4)
func.func @not_aligned(%x: tensor<8x64x8x40xf16>, %o: tensor<8x64x4x40xf16>) -> tensor<8x64x4x40xf16> {
  %s = tensor.extract_slice %x[0, 0, 1, 0] [8, 64, 4, 40] [1, 1, 1, 1]
       : tensor<8x64x8x40xf16> to tensor<8x64x4x40xf16>
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
       ins(%s, %s, %s : tensor<8x64x4x40xf16>, tensor<8x64x4x40xf16>, tensor<8x64x4x40xf16>)
       outs(%o : tensor<8x64x4x40xf16>) -> tensor<8x64x4x40xf16>
  return %r : tensor<8x64x4x40xf16>
}

// -----

#q = affine_map<(b, h, i, j, d, e) -> (b, i, h, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, j, h, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, j, h, e)>
#o = affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>
#bias = affine_map<(b, h, i, j, d, e) -> (h, i, j)>

// Rows of all three waste half a sector.
// CHECK-LABEL: func.func @three_heads
// ONE:         scf.forall (%{{.*}}, %{{.*}}) in (16, 3)
// CHOSEN:      scf.forall (%{{.*}}, %{{.*}}) = (0, 0) to (16, 3) step (1, 3)
// CHOSEN:        attention.sdpa {{.*}} tensor<1x64x3x40xf16>
func.func @three_heads(%x: tensor<16x64x3x40xf16>, %o: tensor<16x64x3x40xf16>) -> tensor<16x64x3x40xf16> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
       ins(%x, %x, %x : tensor<16x64x3x40xf16>, tensor<16x64x3x40xf16>, tensor<16x64x3x40xf16>)
       outs(%o : tensor<16x64x3x40xf16>) -> tensor<16x64x3x40xf16>
  return %r : tensor<16x64x3x40xf16>
}

// CHECK-LABEL: func.func @whole_sectors
// CHECK:       scf.forall (%{{.*}}, %{{.*}}) in (16, 4)
func.func @whole_sectors(%x: tensor<16x64x4x32xf16>, %o: tensor<16x64x4x32xf16>) -> tensor<16x64x4x32xf16> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
       ins(%x, %x, %x : tensor<16x64x4x32xf16>, tensor<16x64x4x32xf16>, tensor<16x64x4x32xf16>)
       outs(%o : tensor<16x64x4x32xf16>) -> tensor<16x64x4x32xf16>
  return %r : tensor<16x64x4x32xf16>
}

// CHECK-LABEL: func.func @bias_of_a_head
// CHECK:       scf.forall (%{{.*}}, %{{.*}}) in (16, 4)
func.func @bias_of_a_head(%x: tensor<16x64x4x40xf16>, %b: tensor<4x64x64xf16>, %o: tensor<16x64x4x40xf16>) -> tensor<16x64x4x40xf16> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #bias, #o]
       ins(%x, %x, %x : tensor<16x64x4x40xf16>, tensor<16x64x4x40xf16>, tensor<16x64x4x40xf16>)
       bias(%b : tensor<4x64x64xf16>)
       outs(%o : tensor<16x64x4x40xf16>) -> tensor<16x64x4x40xf16>
  return %r : tensor<16x64x4x40xf16>
}

// Three wide heads leave a multiprocessor few warps.
// CHECK-LABEL: func.func @three_wide_heads
// CHECK:       scf.forall (%{{.*}}, %{{.*}}) in (16, 3)
func.func @three_wide_heads(%x: tensor<16x64x3x72xf16>, %o: tensor<16x64x3x72xf16>) -> tensor<16x64x3x72xf16> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
       ins(%x, %x, %x : tensor<16x64x3x72xf16>, tensor<16x64x3x72xf16>, tensor<16x64x3x72xf16>)
       outs(%o : tensor<16x64x3x72xf16>) -> tensor<16x64x3x72xf16>
  return %r : tensor<16x64x3x72xf16>
}

// Keys in blocks: half as many rows of twice as many heads would read them twice as often.
// CHECK-LABEL: func.func @long_rows
// CHECK:       scf.forall (%{{.*}}, %{{.*}}, %{{.*}}) = (0, 0, 0) to (16, 4, 1024) step (1, 1, {{[0-9]+}})
func.func @long_rows(%x: tensor<16x1024x4x40xf16>, %o: tensor<16x1024x4x40xf16>) -> tensor<16x1024x4x40xf16> {
  %r = attention.sdpa indexing_maps = [#q, #k, #v, #o]
       ins(%x, %x, %x : tensor<16x1024x4x40xf16>, tensor<16x1024x4x40xf16>, tensor<16x1024x4x40xf16>)
       outs(%o : tensor<16x1024x4x40xf16>) -> tensor<16x1024x4x40xf16>
  return %r : tensor<16x1024x4x40xf16>
}
