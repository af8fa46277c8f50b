// A CPU bundle: what is in it, that it is the same each time, and that each
// version of its code gives what the JIT gives.

// REQUIRES: tool-elfatt-run, x86-64, numpy
// RUN: rm -rf %t && mkdir %t
// RUN: elfatt-compile %s --target=cpu:x86_64-linux-gnu -o %t/a 2>/dev/null
// RUN: elfatt-compile %s --target=cpu:x86_64-linux-gnu -o %t/b 2>/dev/null
// RUN: diff -r %t/a %t/b
// RUN: FileCheck %s --input-file=%t/a/manifest.json --check-prefix=MANIFEST
// RUN: FileCheck %s --input-file=%t/a/bundle.h --check-prefix=HEADER
// RUN: cd %t/a && sha256sum -c manifest.json.sha256

// Nothing but the C library is asked for.
// RUN: llvm-nm -D --undefined-only %t/a/code.x86-64-v2.so | FileCheck %s --check-prefix=SYMBOLS --allow-empty
// SYMBOLS-NOT: {{ (elfatt|_mlir|__)}}

// RUN: %python %S/Inputs/make-arrays.py %t/in.npz 4,2,16 9,4,8
// RUN: elfatt-run %s --inputs=%t/in.npz --save=%t/expect.npz > /dev/null 2>&1
// RUN: elfatt-run %t/a --inputs=%t/in.npz --expect=%t/expect.npz | FileCheck %s --check-prefix=RESULT
// RUN: elfatt-run %t/a --inputs=%t/in.npz --expect=%t/expect.npz --target=cpu:x86-64-v2 | FileCheck %s --check-prefix=RESULT
// RUN: elfatt-run %t/a --inputs=%t/in.npz --benchmark=0.01 --threads=1 | FileCheck %s --check-prefix=BENCHMARK
// RUN: %exits 2 elfatt-run %t/a --no-raise 2>&1 | FileCheck %s --check-prefix=COMPILED
// RUN: %exits 2 elfatt-run %t/a --target=cpu:armv8-a 2>&1 | FileCheck %s --check-prefix=LEVEL

// The example, with the runtime of the build and one level named.
// RUN: %cc -Wall -Wextra -Werror -I %elfatt_src/include %elfatt_src/examples/run_bundle.c -o %t/run_bundle -L %elfatt_lib -lelfatt_runtime -Wl,-rpath,%elfatt_lib
// RUN: %t/run_bundle %t/a x86-64-v2 | FileCheck %s --check-prefix=EXAMPLE
// RUN: %exits 2 %t/run_bundle %t 2>&1 | FileCheck %s --check-prefix=NONE

// Bad targets and places; nothing is left behind.
// RUN: %exits 2 elfatt-compile %s --target=cpu:riscv64-linux-gnu -o %t/c 2>&1 | FileCheck %s --check-prefix=ARCHITECTURE
// RUN: %exits 2 elfatt-compile %s --target=cpu:x86_64-linux-gnu:avx2 -o %t/c 2>&1 | FileCheck %s --check-prefix=NOLEVEL
// RUN: %exits 2 elfatt-compile %s --target=cpu:x86_64-windows-msvc -o %t/c 2>&1 | FileCheck %s --check-prefix=SYSTEM
// RUN: %exits 2 elfatt-compile %s --target=cpu:x86_64-linux-gnu,cpu:x86_64-linux-gnu -o %t/c 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: %exits 2 elfatt-compile %s --target=cpu:x86_64-linux-gnu -o /proc/c 2>&1 | FileCheck %s --check-prefix=PLACE
// RUN: ls %t | FileCheck %s --check-prefix=LEFT

// MANIFEST: "file": "code.x86-64-v2.so"
// MANIFEST: "file": "code.x86-64-v3.so"
// MANIFEST: "file": "code.x86-64-v4.so"
// MANIFEST: "constants": "constants.bin"
// MANIFEST: "runtime/Api.cpp"
// MANIFEST: "dims": [
// MANIFEST-NEXT: "arg0_0"
// MANIFEST: "results":
// MANIFEST: "shape": [
// MANIFEST-NEXT: [
// MANIFEST-NEXT: "*"
// MANIFEST: "arg0_0"
// MANIFEST: "schema": 3
// HEADER: #define ELFATT_MAIN_FUNCTION "main"
// HEADER: #define ELFATT_MAIN_INPUT_1_TYPE ELFATT_F32
// HEADER: #define ELFATT_MAIN_INPUT_1_DIM_0 9
// HEADER: #define ELFATT_MAIN_OUTPUTS 2
// RESULT: opened the bundle's code for x86-64-v
// RESULT: out0: {{.*}}: as expected
// RESULT-NEXT: out1: {{.*}}: as expected
// BENCHMARK: benchmark: median {{.*}} 1 threads
// COMPILED: elfatt-run: error: {{.*}} a bundle is compiled already
// LEVEL: elfatt-run: error: the bundle has no code for 'armv8-a'; it has code for x86-64-v2, x86-64-v3, x86-64-v4
// EXAMPLE: code for x86-64-v2
// EXAMPLE: output 0: [8x16]
// EXAMPLE: output 1: [9x4x8]
// NONE: error: cannot read '{{.*}}manifest.json': No such file or directory (status 2)
// ARCHITECTURE: --target=cpu:riscv64-linux-gnu: no code for architecture 'riscv64', expected one of x86_64, aarch64
// NOLEVEL: unknown level 'avx2' of x86_64, expected one of x86-64-v2
// SYSTEM: expected a triple of Linux with glibc, for example aarch64-linux-gnu, got 'x86_64-windows-msvc'
// TWICE: --target: x86_64-linux-gnu is named twice
// PLACE: elfatt-compile: error: cannot write '/proc/c
// LEFT: {{^}}a
// LEFT-NEXT: {{^}}b
// LEFT-NEXT: {{^}}expect.npz
// LEFT-NEXT: {{^}}in.npz
// LEFT-NEXT: {{^}}run_bundle
// LEFT-NOT: {{.}}

#weights = dense_resource<weights> : tensor<16x16xf32>
func.func @main(%x: tensor<?x2x16xf32>, %q: tensor<9x4x8xf32>) -> (tensor<?x16xf32>, tensor<9x4x8xf32>) {
  %w = arith.constant #weights
  %zero = arith.constant 0.0 : f32
  %flat = tensor.collapse_shape %x [[0, 1], [2]] : tensor<?x2x16xf32> into tensor<?x16xf32>
  %c0 = arith.constant 0 : index
  %n = tensor.dim %flat, %c0 : tensor<?x16xf32>
  %e = tensor.empty(%n) : tensor<?x16xf32>
  %fill = linalg.fill ins(%zero : f32) outs(%e : tensor<?x16xf32>) -> tensor<?x16xf32>
  %y = linalg.matmul ins(%flat, %w : tensor<?x16xf32>, tensor<16x16xf32>) outs(%fill : tensor<?x16xf32>) -> tensor<?x16xf32>
  %init = tensor.empty() : tensor<9x4x8xf32>
  %o = attention.sdpa indexing_maps = [
         affine_map<(h, i, j, d, e) -> (i, h, d)>,
         affine_map<(h, i, j, d, e) -> (j, h, d)>,
         affine_map<(h, i, j, d, e) -> (j, h, e)>,
         affine_map<(h, i, j, d, e) -> (i, h, e)>]
       ins(%q, %q, %q : tensor<9x4x8xf32>, tensor<9x4x8xf32>, tensor<9x4x8xf32>)
       outs(%init : tensor<9x4x8xf32>) -> tensor<9x4x8xf32>
  return %y, %o : tensor<?x16xf32>, tensor<9x4x8xf32>
}

{-#
  dialect_resources: {
    builtin: {
      weights: "0x04000000000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F000000BE0000003F000080BE0000C03E0000C0BE0000803E000000BF0000003E000020BF000000000000203F"
    }
  }
#-}
