// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_120 format=ptx" | FileCheck %s
//
// Rows of 72 channels of 16 bits are no whole sectors, and those of two heads are. But lines of 64
// rows of two heads, with the lines around for LePE, have no room: a block takes one head.

#q = affine_map<(b, h, n, d, e) -> (b, n, 0, h, d)>
#k = affine_map<(b, h, n, d, e) -> (b, n, 1, h, d)>
#v = affine_map<(b, h, n, d, e) -> (b, n, 2, h, e)>
#o = affine_map<(b, h, n, d, e) -> (b, n, h, e)>
!qkv = tensor<1x4096x3x8x72xbf16>
!o = tensor<1x4096x8x72xbf16>
!taps = tensor<3x3x4x72xbf16>
!bias = tensor<4x72xbf16>

// CHECK: gpu.launch_func {{.*}} dynamic_shared_memory_size %c{{[0-9][0-9][0-9][0-9][0-9]_}}
func.func @main(%x: !qkv, %init: !o, %gw: !taps, %gb: !bias, %lw: !taps, %lb: !bias) -> !o {
  %r = attention.elfatt indexing_maps = [#q, #k, #v, #o] ins(%x, %x, %x : !qkv, !qkv, !qkv)
      global_lepe(%gw, %gb : !taps, !bias) local_lepe(%lw, %lb : !taps, !bias) outs(%init : !o)
      global_heads = 4 grid = [64, 64] window = [8, 8] -> !o
  return %r : !o
}
