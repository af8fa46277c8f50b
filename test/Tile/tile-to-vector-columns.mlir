// RUN: elfatt-opt %s --elfatt-tile-to-vector=machine=gpu --canonicalize --cse | FileCheck %s

// Rows of 20 columns in scratch are read as 24, of which the last are zero: lanes cover steps
// of 8. The division by the sums needs no other padding, since what is beyond is not written.
// CHECK-LABEL: func.func @finalize
// CHECK:         vector.transfer_read %{{.*}} {in_bounds = [true, false]} : {{.*}}, vector<16x24xf32>
// CHECK:         vector.transfer_write %{{.*}} {in_bounds = [true, false]} : vector<16x24xf32>
func.func @finalize(%acc: memref<1x16x20xf32>, %sum: memref<1x16xf32>, %o: memref<1x16x20xf32>) {
  attention.finalize indexing_maps = [
      affine_map<(b, i, e) -> (b, i, e)>, affine_map<(b, i, e) -> (b, i)>,
      affine_map<(b, i, e) -> (b, i, e)>]
    ins(%acc, %sum : memref<1x16x20xf32>, memref<1x16xf32>) outs(%o : memref<1x16x20xf32>)
  return
}

// A context is written where it belongs, without a copy in scratch: that would have to hold all
// of it.
// CHECK-LABEL: func.func @context
// CHECK-SAME:    %[[C:[a-z0-9]+]]: memref<1x32x32xf32>
// CHECK:         scf.for
// CHECK-NOT:     linalg.copy {{.*}} outs(%{{.*}} : memref<32x32xf32
// CHECK:         vector.transfer_write %{{.*}} {in_bounds = [true, true]} : vector<16x32xf32>, memref<32x32xf32, strided<[32, 1]>>
func.func @context(%k: memref<1x64x32xf16>, %v: memref<1x64x32xf16>, %c: memref<1x32x32xf32>) {
  attention.context indexing_maps = [
      affine_map<(b, j, d, e) -> (b, j, d)>, affine_map<(b, j, d, e) -> (b, j, e)>,
      affine_map<(b, j, d, e) -> (b, d, e)>]
    ins(%k, %v : memref<1x64x32xf16>, memref<1x64x32xf16>) outs(%c : memref<1x32x32xf32>)
  return
}

// Rows of channels-first operands are a transposed view, whose bounds are those of what it views.
// CHECK-LABEL: func.func @transposed
// CHECK:         memref.transpose
// CHECK:         memref.alloca() {{.*}} : memref<16x24xf16, #gpu.address_space<workgroup>>
// CHECK:         vector.contract
func.func @transposed(%x: memref<1x16x64xf16>, %n: index) {
  %least = affine.min affine_map<(d0) -> (d0, 16)>(%n)
  %q = memref.subview %x[0, 0, 0] [1, 16, %least] [1, 1, 1]
    : memref<1x16x64xf16> to memref<1x16x?xf16, strided<[1024, 64, 1]>>
  attention.sdpa indexing_maps = [
      affine_map<(b, i, j, d, e) -> (b, d, i)>, affine_map<(b, i, j, d, e) -> (b, d, j)>,
      affine_map<(b, i, j, d, e) -> (b, e, j)>, affine_map<(b, i, j, d, e) -> (b, e, i)>]
    ins(%q, %x, %x : memref<1x16x?xf16, strided<[1024, 64, 1]>>, memref<1x16x64xf16>, memref<1x16x64xf16>)
    outs(%q : memref<1x16x?xf16, strided<[1024, 64, 1]>>)
  return
}

// Warps merge the states of segments in registers, and read four of them before they join the
// first.
// CHECK-LABEL: func.func @merge
// CHECK:         scf.forall (%{{.*}}) in (2)
// CHECK:           %[[ALL:.*]]:3 = scf.for {{.*}} step %c4 iter_args
// CHECK-COUNT-4:     vector.transfer_read {{.*}} : memref<8x32x32xf32, {{.*}}>, vector<16x32xf32>
// CHECK:           arith.divf
// CHECK:           vector.transfer_write {{.*}} : vector<16x32xf32>
func.func @merge(%acc: memref<8x1x32x32xf32>, %max: memref<8x1x32xf32>, %sum: memref<8x1x32xf32>,
                 %o: memref<1x32x32xf32>) {
  attention.merge indexing_maps = [
      affine_map<(s, b, d, e) -> (s, b, d, e)>, affine_map<(s, b, d, e) -> (s, b, d)>,
      affine_map<(s, b, d, e) -> (s, b, d)>, affine_map<(s, b, d, e) -> (b, d, e)>]
    ins(%acc, %max, %sum : memref<8x1x32x32xf32>, memref<8x1x32xf32>, memref<8x1x32xf32>)
    outs(%o : memref<1x32x32xf32>)
  return
}

// Warps that share the tokens of a context leave their states in scratch, where one is read at a time.
// CHECK-LABEL: func.func @parts_of_a_context
// CHECK:         scf.forall (%{{.*}}) in (2)
// CHECK:           vector.transfer_read {{.*}} : memref<256x24xf32, {{.*}}>, vector<16x24xf32>
// CHECK:           %[[JOINED:.*]]:3 = scf.for {{.*}} = %c32 to %c256 step %c32 iter_args
// CHECK:             vector.transfer_read {{.*}} : memref<256x24xf32, {{.*}}>, vector<16x24xf32>
// CHECK-NOT:         vector.transfer_read {{.*}} : memref<256x24xf32
// CHECK:             scf.yield
// CHECK:           arith.mulf %[[JOINED]]#0
func.func @parts_of_a_context(%k: memref<512x24xf16>, %v: memref<512x24xf16>, %c: memref<24x24xf32>) {
  attention.context indexing_maps = [
      affine_map<(j, d, e) -> (j, d)>, affine_map<(j, d, e) -> (j, e)>, affine_map<(j, d, e) -> (d, e)>]
    ins(%k, %v : memref<512x24xf16>, memref<512x24xf16>) outs(%c : memref<24x24xf32>)
  return
}
