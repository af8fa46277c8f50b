// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_87 cuda=12.6" --stop-after=nvvm | FileCheck %s --check-prefix=NVVM
// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_87 cuda=12.6" | FileCheck %s --check-prefix=PTX
// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_75" | FileCheck %s --check-prefix=TURING
// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_72" | FileCheck %s --check-prefix=XAVIER
// RUN: elfatt-opt %s --elfatt-to-gpu="chip=sm_53" | FileCheck %s --check-prefix=OLD
// RUN: %exits 2 elfatt-opt %s --elfatt-to-gpu="chip=sm_88" 2>&1 | FileCheck %s --check-prefix=CHIP
// RUN: %exits 2 elfatt-opt %s --elfatt-to-gpu="chip=sm_90 cuda=11.4" 2>&1 | FileCheck %s --check-prefix=DRIVER
// RUN: %exits 2 elfatt-opt %s --elfatt-to-gpu="format=elf" 2>&1 | FileCheck %s --check-prefix=FORMAT
// RUN: %exits 2 elfatt-opt %s --elfatt-to-gpu="format=cubin cuda-path=/nonexistent" 2>&1 | FileCheck %s --check-prefix=PTXAS

// One window of one head a block: products on tensor cores, no attention op and
// no tensor left.
// NVVM-LABEL: func.func @sdpa
// NVVM: gpu.launch_func @kernels::@sdpa_0
// NVVM: gpu.module @kernels [#nvvm.target<O = 3, chip = "sm_87", features = "+ptx85">]
// NVVM: llvm.func @sdpa_0(%{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr)
// NVVM: nvvm.cp.async.shared.global
// NVVM: nvvm.cp.async.wait.group 0
// NVVM: nvvm.ldmatrix
// NVVM: nvvm.mma.sync
// NVVM: llvm.nvvm.ex2.approx.ftz.f32
// NVVM-NOT: unrealized_conversion_cast

// PTX: gpu.binary @kernels
// PTX-SAME: .version 8.5\0A.target sm_87
// PTX-SAME: mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32
// PTX-SAME: ex2.approx.ftz.f32

// Turing has shorter products, and no copies past the registers.
// TURING: .target sm_75
// TURING-NOT: cp.async
// TURING-SAME: ldmatrix.sync
// TURING-SAME: mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32

// Before it, quad pairs multiply on their own, and lanes read what they need of shared memory.
// XAVIER: .target sm_72
// XAVIER-NOT: ldmatrix
// XAVIER-NOT: fma.rn.f32
// XAVIER-SAME: ld.shared.v4
// XAVIER-SAME: mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32
// XAVIER-SAME: mma.sync.aligned.m8n8k4.row.row.f32.f16.f16.f32

// The first Jetson has no tensor cores: f32 products.
// OLD: .target sm_53
// OLD-NOT: mma.sync
// OLD: fma.rn.f32

// CHIP: error: unknown chip 'sm_88', expected one of sm_53,
// DRIVER: error: sm_90 needs PTX 7.8, but drivers of CUDA 11.4 load PTX up to 7.4
// FORMAT: error: unknown format 'elf', expected ptx, cubin, fatbin or llvm
// PTXAS: error: no ptxas for sm_87 in '/nonexistent'
func.func @sdpa(%qkv: tensor<2x49x3x4x32xf16>) -> tensor<2x49x4x32xf16> {
  %init = tensor.empty() : tensor<2x49x4x32xf16>
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, i, 0, h, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, j, 1, h, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, j, 2, h, e)>,
         affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>]
       ins(%qkv, %qkv, %qkv : tensor<2x49x3x4x32xf16>, tensor<2x49x3x4x32xf16>, tensor<2x49x3x4x32xf16>)
       outs(%init : tensor<2x49x4x32xf16>) -> tensor<2x49x4x32xf16>
  return %o : tensor<2x49x4x32xf16>
}
