// REQUIRES: ptxas
// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_80 format=cubin" | FileCheck %s
// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_87 format=cubin" | FileCheck %s
// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_90 format=cubin" | FileCheck %s

// Both halves of ELFATT with LePE assemble, and nothing spills.
// CHECK: gpu.binary @kernels
// CHECK-SAME: registers = {{[0-9]+}} : i64, shared_bytes = {{[0-9]+}} : i64, spill_bytes = 0 : i64
// CHECK-SAME: registers = {{[0-9]+}} : i64, shared_bytes = {{[0-9]+}} : i64, spill_bytes = 0 : i64
// CHECK-SAME: bin = "\7FELF
func.func @elfatt(%qkv: tensor<1x196x3x2x32xf16>, %w: tensor<3x3x1x32xf16>, %c: tensor<1x32xf16>)
    -> tensor<1x196x2x32xf16> {
  %init = tensor.empty() : tensor<1x196x2x32xf16>
  %o = attention.elfatt indexing_maps = [
         affine_map<(b, h, n, d, e) -> (b, n, 0, h, d)>,
         affine_map<(b, h, n, d, e) -> (b, n, 1, h, d)>,
         affine_map<(b, h, n, d, e) -> (b, n, 2, h, e)>,
         affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
       ins(%qkv, %qkv, %qkv : tensor<1x196x3x2x32xf16>, tensor<1x196x3x2x32xf16>, tensor<1x196x3x2x32xf16>)
       global_lepe(%w, %c : tensor<3x3x1x32xf16>, tensor<1x32xf16>)
       local_lepe(%w, %c : tensor<3x3x1x32xf16>, tensor<1x32xf16>)
       outs(%init : tensor<1x196x2x32xf16>)
       global_heads = 1 grid = [14, 14] window = [7, 7] -> tensor<1x196x2x32xf16>
  return %o : tensor<1x196x2x32xf16>
}
