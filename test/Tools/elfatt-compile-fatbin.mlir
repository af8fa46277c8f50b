// REQUIRES: ptxas, fatbinary
// RUN: rm -rf %t && mkdir %t
// RUN: elfatt-compile %s --target=sm_80,sm_87:cuda=12.6 --fatbin --no-runtime-source -o %t/a
// RUN: ls %t/a | FileCheck %s --check-prefix=FILES
// RUN: FileCheck %s --input-file=%t/a/manifest.json
// The magic number, 0xba55ed50.
// RUN: head -c 4 %t/a/kernels.sm_87.fatbin | od -An -tx4 | FileCheck %s --check-prefix=MAGIC
// It holds the PTX as it is.
// RUN: grep -a -c "target sm_87" %t/a/kernels.sm_87.fatbin

// The same input gives the same bytes.
// RUN: elfatt-compile %s --target=sm_80,sm_87:cuda=12.6 --fatbin --no-runtime-source -o %t/b
// RUN: diff -r %t/a %t/b

// RUN: %exits 2 elfatt-compile %s --target=cpu --fatbin -o %t/c 2>&1 | FileCheck %s --check-prefix=CHIP

// FILES: bundle.h
// FILES-NEXT: kernels.sm_80.fatbin
// FILES-NEXT: kernels.sm_87.fatbin
// FILES-NEXT: manifest.json
// CHECK: "cuda": 1{{[1-9]}}000
// CHECK-NEXT: "file": "kernels.sm_80.fatbin"
// CHECK-NEXT: "format": "fatbin"
// CHECK: "spill_bytes": 0
// CHECK: "ptx": "7.4"
// CHECK: "file": "kernels.sm_87.fatbin"
// CHECK: "ptx": "8.5"
// MAGIC: ba55ed50
// CHIP: error: --fatbin: expected a chip in --target
func.func @main(%q: tensor<2x4x49x32xf16>) -> tensor<2x4x49x32xf16> {
  %init = tensor.empty() : tensor<2x4x49x32xf16>
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>, affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>, affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
       ins(%q, %q, %q : tensor<2x4x49x32xf16>, tensor<2x4x49x32xf16>, tensor<2x4x49x32xf16>)
       outs(%init : tensor<2x4x49x32xf16>) -> tensor<2x4x49x32xf16>
  return %o : tensor<2x4x49x32xf16>
}
