// RUN: elfatt-opt %s -pass-pipeline='builtin.module(elfatt-gpu-outline,gpu.module(gpu.func(elfatt-gpu-insert-barriers,elfatt-gpu-distribute,elfatt-gpu-distribute-staging),elfatt-gpu-lower-math))' | FileCheck %s
//
// One window of 7x7 tokens of one head of 32 channels a warp, written by hand
// as the tile stage writes it (docs/TileLevel.md).
#map_q = affine_map<(i, j, d) -> (i, d)>
#map_k = affine_map<(i, j, d) -> (j, d)>
#map_s = affine_map<(i, j, d) -> (i, j)>
#map_p = affine_map<(i, e, j) -> (i, j)>
#map_v = affine_map<(i, e, j) -> (j, e)>
#map_o = affine_map<(i, e, j) -> (i, e)>
#x7 = affine_map<(w) -> (w * 7)>
#x32 = affine_map<(h) -> (h * 32)>
#shared = #gpu.address_space<workgroup>

// The host launches one block a window and head; the kernel takes bare memrefs.
// CHECK-LABEL: func.func @window
// CHECK: gpu.launch_func @kernels::@window_0
// CHECK-LABEL: gpu.func @window_0
// CHECK-SAME: known_block_size = array<i32: 32, 1, 1>
//
// Four blocks of rows, each 8 x 2 products for the scores and 4 x 4 for the values.
// CHECK: gpu.barrier
// CHECK: scf.for
// CHECK-COUNT-16: nvvm.mma.sync
// CHECK: gpu.shuffle xor
// CHECK-COUNT-32: llvm.nvvm.ex2.approx.ftz.f32
// CHECK: arith.truncf {{.*}} : vector<32xf32> to vector<32xf16>
// CHECK-COUNT-16: nvvm.mma.sync
// CHECK-NOT: nvvm.mma.sync
// CHECK-NOT: linalg
// CHECK-NOT: vector.contract
// CHECK-NOT: vector.transfer
func.func @window(%q: memref<1x14x14x64xf16>, %k: memref<1x14x14x64xf16>,
                  %v: memref<1x14x14x64xf16>, %o: memref<1x14x14x64xf16>) {
  %zero = arith.constant 0.0 : f16
  scf.forall (%b, %wy, %wx, %h) in (1, 2, 2, 2) {
    %qs = memref.alloca() : memref<64x32xf16, #shared>
    %ks = memref.alloca() : memref<64x32xf16, #shared>
    %vs = memref.alloca() : memref<64x32xf16, #shared>
    %os = memref.alloca() : memref<64x32xf16, #shared>
    %y = affine.apply #x7(%wy)
    %x = affine.apply #x7(%wx)
    %c = affine.apply #x32(%h)
    linalg.fill ins(%zero : f16) outs(%qs : memref<64x32xf16, #shared>)
    linalg.fill ins(%zero : f16) outs(%ks : memref<64x32xf16, #shared>)
    linalg.fill ins(%zero : f16) outs(%vs : memref<64x32xf16, #shared>)
    %qw = memref.subview %q[%b, %y, %x, %c] [1, 7, 7, 32] [1, 1, 1, 1]
        : memref<1x14x14x64xf16> to memref<7x7x32xf16, strided<[896, 64, 1], offset: ?>>
    %kw = memref.subview %k[%b, %y, %x, %c] [1, 7, 7, 32] [1, 1, 1, 1]
        : memref<1x14x14x64xf16> to memref<7x7x32xf16, strided<[896, 64, 1], offset: ?>>
    %vw = memref.subview %v[%b, %y, %x, %c] [1, 7, 7, 32] [1, 1, 1, 1]
        : memref<1x14x14x64xf16> to memref<7x7x32xf16, strided<[896, 64, 1], offset: ?>>
    %ow = memref.subview %o[%b, %y, %x, %c] [1, 7, 7, 32] [1, 1, 1, 1]
        : memref<1x14x14x64xf16> to memref<7x7x32xf16, strided<[896, 64, 1], offset: ?>>
    %q49 = memref.subview %qs[0, 0] [49, 32] [1, 1] : memref<64x32xf16, #shared> to memref<49x32xf16, strided<[32, 1]>, #shared>
    %k49 = memref.subview %ks[0, 0] [49, 32] [1, 1] : memref<64x32xf16, #shared> to memref<49x32xf16, strided<[32, 1]>, #shared>
    %v49 = memref.subview %vs[0, 0] [49, 32] [1, 1] : memref<64x32xf16, #shared> to memref<49x32xf16, strided<[32, 1]>, #shared>
    %o49 = memref.subview %os[0, 0] [49, 32] [1, 1] : memref<64x32xf16, #shared> to memref<49x32xf16, strided<[32, 1]>, #shared>
    %q77 = memref.expand_shape %q49 [[0, 1], [2]] output_shape [7, 7, 32] : memref<49x32xf16, strided<[32, 1]>, #shared> into memref<7x7x32xf16, strided<[224, 32, 1]>, #shared>
    %k77 = memref.expand_shape %k49 [[0, 1], [2]] output_shape [7, 7, 32] : memref<49x32xf16, strided<[32, 1]>, #shared> into memref<7x7x32xf16, strided<[224, 32, 1]>, #shared>
    %v77 = memref.expand_shape %v49 [[0, 1], [2]] output_shape [7, 7, 32] : memref<49x32xf16, strided<[32, 1]>, #shared> into memref<7x7x32xf16, strided<[224, 32, 1]>, #shared>
    %o77 = memref.expand_shape %o49 [[0, 1], [2]] output_shape [7, 7, 32] : memref<49x32xf16, strided<[32, 1]>, #shared> into memref<7x7x32xf16, strided<[224, 32, 1]>, #shared>
    linalg.copy ins(%qw : memref<7x7x32xf16, strided<[896, 64, 1], offset: ?>>) outs(%q77 : memref<7x7x32xf16, strided<[224, 32, 1]>, #shared>)
    linalg.copy ins(%kw : memref<7x7x32xf16, strided<[896, 64, 1], offset: ?>>) outs(%k77 : memref<7x7x32xf16, strided<[224, 32, 1]>, #shared>)
    linalg.copy ins(%vw : memref<7x7x32xf16, strided<[896, 64, 1], offset: ?>>) outs(%v77 : memref<7x7x32xf16, strided<[224, 32, 1]>, #shared>)
    %c0 = arith.constant 0 : index
    %c16 = arith.constant 16 : index
    %c64 = arith.constant 64 : index
    %scale = arith.constant dense<0.2550297> : vector<16x64xf32> // log2(e) / sqrt(32)
    %inf = arith.constant dense<0xFF800000> : vector<16x64xf32>
    %inf_row = arith.constant dense<0xFF800000> : vector<16xf32>
    %zero_row = arith.constant dense<0.0> : vector<16xf32>
    %zero_s = arith.constant dense<0.0> : vector<16x64xf32>
    %zero_o = arith.constant dense<0.0> : vector<16x32xf32>
    %steps = vector.step : vector<64xindex>
    %bound = arith.constant dense<49> : vector<64xindex>
    %valid_row = arith.cmpi slt, %steps, %bound : vector<64xindex>
    %valid = vector.broadcast %valid_row : vector<64xi1> to vector<16x64xi1>
    scf.for %r = %c0 to %c64 step %c16 {
      %qt = vector.transfer_read %qs[%r, %c0], %zero {in_bounds = [true, true]} : memref<64x32xf16, #shared>, vector<16x32xf16>
      %kt = vector.transfer_read %ks[%c0, %c0], %zero {in_bounds = [true, true]} : memref<64x32xf16, #shared>, vector<64x32xf16>
      %s = vector.contract {indexing_maps = [#map_q, #map_k, #map_s], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
          %qt, %kt, %zero_s : vector<16x32xf16>, vector<64x32xf16> into vector<16x64xf32>
      %t = arith.mulf %s, %scale : vector<16x64xf32>
      %u = arith.select %valid, %t, %inf : vector<16x64xi1>, vector<16x64xf32>
      %m = vector.multi_reduction <maximumf>, %u, %inf_row [1] : vector<16x64xf32> to vector<16xf32>
      %m1 = vector.shape_cast %m : vector<16xf32> to vector<16x1xf32>
      %mb = vector.broadcast %m1 : vector<16x1xf32> to vector<16x64xf32>
      %um = arith.subf %u, %mb : vector<16x64xf32>
      %p = math.exp2 %um : vector<16x64xf32>
      %l = vector.multi_reduction <add>, %p, %zero_row [1] : vector<16x64xf32> to vector<16xf32>
      %ph = arith.truncf %p : vector<16x64xf32> to vector<16x64xf16>
      %vt = vector.transfer_read %vs[%c0, %c0], %zero {in_bounds = [true, true]} : memref<64x32xf16, #shared>, vector<64x32xf16>
      %a = vector.contract {indexing_maps = [#map_p, #map_v, #map_o], iterator_types = ["parallel", "parallel", "reduction"], kind = #vector.kind<add>}
          %ph, %vt, %zero_o : vector<16x64xf16>, vector<64x32xf16> into vector<16x32xf32>
      %l1 = vector.shape_cast %l : vector<16xf32> to vector<16x1xf32>
      %lb = vector.broadcast %l1 : vector<16x1xf32> to vector<16x32xf32>
      %n = arith.divf %a, %lb : vector<16x32xf32>
      %nh = arith.truncf %n : vector<16x32xf32> to vector<16x32xf16>
      vector.transfer_write %nh, %os[%r, %c0] {in_bounds = [true, true]} : vector<16x32xf16>, memref<64x32xf16, #shared>
    }
    linalg.copy ins(%o77 : memref<7x7x32xf16, strided<[224, 32, 1]>, #shared>) outs(%ow : memref<7x7x32xf16, strided<[896, 64, 1], offset: ?>>)
  }
  return
}
