// REQUIRES: ptxas
// RUN: rm -rf %t && mkdir %t
// RUN: elfatt-compile %s --target=sm_80,sm_87:cuda=12.6,sm_90 --no-runtime-source -o %t/a 2>/dev/null
// RUN: FileCheck %s --input-file=%t/a/manifest.json
// RUN: FileCheck %s --input-file=%t/a/bundle.h --check-prefix=HEADER
// RUN: FileCheck %s --input-file=%t/a/kernels.sm_87.ptx --check-prefix=PTX

// The same input gives the same bytes, also over an older bundle.
// RUN: elfatt-compile %s --target=sm_80,sm_87:cuda=12.6,sm_90 --no-runtime-source -o %t/b 2>/dev/null
// RUN: elfatt-compile %s --target=sm_80,sm_87:cuda=12.6,sm_90 --no-runtime-source -o %t/b 2>/dev/null
// RUN: diff -r %t/a %t/b

// Errors leave nothing behind.
// RUN: %exits 2 elfatt-compile %s --target=cuda -o %t/c 2>&1 | FileCheck %s --check-prefix=CUDA
// RUN: %exits 2 elfatt-compile %s --target=sm_88 -o %t/c 2>&1 | FileCheck %s --check-prefix=CHIP
// RUN: %exits 2 elfatt-compile %s --target=sm_87,sm_87 -o %t/c 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: %exits 2 elfatt-compile %s --target=sm_87 2>&1 | FileCheck %s --check-prefix=OUTPUT
// RUN: %exits 2 elfatt-compile %s --target=sm_87 -o %t 2>&1 | FileCheck %s --check-prefix=FOLDER
// RUN: %exits 2 elfatt-compile %s --bundle 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: ls %t | FileCheck %s --check-prefix=LEFT

// CHECK: "file": "kernels.sm_80.ptx"
// CHECK: "ptx": "7.4"
// CHECK: "cuda": 1{{[1-9]}}000
// CHECK-NEXT: "file": "kernels.sm_80.cubin"
// CHECK-NEXT: "format": "cubin"
// CHECK: "registers":
// CHECK: "spill_bytes": 0
// CHECK: "file": "kernels.sm_87.ptx"
// CHECK: "ptx": "8.5"
// CHECK: "file": "kernels.sm_87.cubin"
// CHECK: "file": "kernels.sm_90.ptx"
// CHECK: "file": "kernels.sm_90.cubin"
// CHECK: "files":
// CHECK-NOT: "runtime/
// CHECK: "functions":
// CHECK: "devices":
// CHECK-NEXT: "sm_80":
// CHECK: "launches":
// CHECK: "argument": 0
// CHECK: "result": 0
// CHECK-NOT: "host_code"
// CHECK: "sm_90":
// CHECK: "schema": 3
// HEADER: #define ELFATT_SM_80_MAIN_0_NAME "main_0"
// HEADER: #define ELFATT_SM_80_MAIN_0_GRID_X 8
// HEADER: #define ELFATT_SM_80_MAIN_0_BLOCK_X 128
// PTX: .version 8.5
// PTX: .target sm_87
// CUDA: elfatt-compile: error: --target=cuda: expected cpu or a chip, for example sm_87
// CHIP: elfatt-compile: error: --target=sm_88: unknown chip 'sm_88', expected one of sm_53
// TWICE: elfatt-compile: error: --target: sm_87 is named twice
// OUTPUT: elfatt-compile: error: expected -o DIR
// FOLDER: is not empty and no bundle: not replaced
// UNKNOWN: elfatt-compile: error: unknown option '--bundle'
// LEFT: {{^}}a
// LEFT-NEXT: {{^}}b
// LEFT-NOT: {{.}}
func.func @main(%qkv: tensor<2x49x3x4x32xf16>) -> tensor<2x49x4x32xf16> {
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
