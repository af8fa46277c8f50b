// The compiler as a library: a program in C, linked to libElfatt-C.so alone, runs our
// passes between upstream's.

// REQUIRES: x86-64
// UNSUPPORTED: asan
// RUN: %cc -std=c99 -Wall -Wextra -pedantic -Werror=implicit-function-declaration \
// RUN:   -I %elfatt_src/include -isystem %mlir_include %elfatt_src/examples/run_passes.c \
// RUN:   -o %t.run -L %elfatt_lib -lElfatt-C -Wl,-rpath,%elfatt_lib
// RUN: %t.run %s 'builtin.module(func.func(elfatt-decompose),canonicalize,elfatt-raise,elfatt-approximate{window=7x7})' \
// RUN:   2>%t.remarks | FileCheck %s
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t.remarks
// RUN: %t.run %s 'builtin.module(elfatt-to-gpu{chip=sm_87 format=ptx})' | FileCheck %s --check-prefix=GPU

// Errors come with their places, and nothing else happens.
// RUN: %exits 2 %t.run %s 'builtin.module(elfatt-raze)' 2>&1 | FileCheck %s --check-prefix=PASS
// RUN: %exits 2 %t.run %S/absent.mlir 'builtin.module(cse)' 2>&1 | FileCheck %s --check-prefix=FILE
// RUN: echo 'func.func @f() { "attention.sdpa"() : () -> () return }' > %t.bad.mlir
// RUN: %exits 2 %t.run %t.bad.mlir 'builtin.module(cse)' 2>&1 | FileCheck %s --check-prefix=BAD

// CHECK-LABEL: func.func @sdpa
// CHECK-NOT: linalg.generic
// CHECK: attention.elfatt
// CHECK-SAME: window = [7, 7]
// CHECK-NOT: linalg.generic
// CHECK: return
// REMARK: raised to attention.sdpa: B=1 H=4 N=196 M=196 D=32 Dv=32
// GPU: gpu.binary
// PASS: elfatt-raze
// FILE: error: {{.*}}absent.mlir
// BAD: bad.mlir":1:18): error: 'attention.sdpa' op
#q = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#o = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>
func.func @sdpa(%q: tensor<1x4x196x32xf32>, %k: tensor<1x4x196x32xf32>,
                %v: tensor<1x4x196x32xf32>) -> tensor<1x4x196x32xf32> {
  %init = tensor.empty() : tensor<1x4x196x32xf32>
  %0 = attention.sdpa indexing_maps = [#q, #k, #v, #o]
      ins(%q, %k, %v : tensor<1x4x196x32xf32>, tensor<1x4x196x32xf32>, tensor<1x4x196x32xf32>)
      outs(%init : tensor<1x4x196x32xf32>) masked_rows = nan -> tensor<1x4x196x32xf32>
  return %0 : tensor<1x4x196x32xf32>
}
