// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_CPU_PASSES_TD
#define ELFATT_CPU_PASSES_TD

include "mlir/Pass/PassBase.td"

def LowerStagingPass : Pass<"elfatt-cpu-lower-staging"> {
  let summary = "Lower copies into and out of scratch to loops over rows";
  let description = [{
    linalg ops on buffers inside an `scf.forall` are a tile's staging. A copy with
    static contiguous rows moves a row as one vector; everything else becomes
    scalar loops.

    - Preconditions: the tile level.
    - Postconditions: no linalg op is left inside an `scf.forall`.
    - Changes numerics: no.
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect",
                           "mlir::scf::SCFDialect", "mlir::vector::VectorDialect"];
  let statistics = [Statistic<"numLowered", "num-lowered", "Number of staging ops lowered">];
}

def LowerProductsPass : Pass<"elfatt-cpu-lower-products"> {
  let summary = "Lower products of register tiles to loops of fused multiply-adds";
  let description = [{
    A 2-D `vector.contract` becomes an `scf.for` over its sum: a broadcast of one
    element of the left operand times a row of the right one, accumulators in
    registers. Operands that were just read from memory are read there again, in
    the loop; others pass through scratch. Columns that would need more
    accumulators than there are registers are done in panels. Rows of the right
    operand that lie beyond its buffer are skipped.

    - Preconditions: the tile level, with the products of docs/TileLevel.md.
    - Postconditions: no `vector.contract` of those kinds is left.
    - Changes numerics: products are fused into their sums (one rounding).
  }];
  let options = [
    Option<"vectorBits", "vector-bits", "int64_t", "512",
           "Width of a vector register in bits: 128, 256 or 512">,
    Option<"vectorRegisters", "vector-registers", "int64_t", "32",
           "Number of vector registers: 16 or 32">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::memref::MemRefDialect",
                           "mlir::scf::SCFDialect", "mlir::vector::VectorDialect"];
  let statistics = [Statistic<"numLowered", "num-lowered", "Number of products lowered">];
}

def LowerReductionsPass : Pass<"elfatt-cpu-lower-reductions"> {
  let summary = "Lower sums and maxima of register tiles to whole-vector steps";
  let description = [{
    A 2-D `vector.multi_reduction` becomes vertical steps over whole vectors, then
    halves of one vector. Upstream's lowering is one scalar step per element.

    - Preconditions: the tile level.
    - Postconditions: no sum or maximum over one dim of a float tile is left.
    - Changes numerics: the order of sums, the same for every run.
  }];
  let options = [Option<"vectorBits", "vector-bits", "int64_t", "512",
                        "Width of a vector register in bits: 128, 256 or 512">];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::vector::VectorDialect"];
}

def LowerExp2Pass : Pass<"elfatt-cpu-lower-exp2"> {
  let summary = "Expand powers of two of f32 vectors to a polynomial";
  let description = [{
    `math.exp2` on vectors of f32 becomes a rounding to the nearest integer, a
    polynomial of degree 6 and an addition to the exponent, at most 2 ulp from the
    exact value; results below 2^-126 are 0.

    - Preconditions: none.
    - Postconditions: no `math.exp2` on vectors of f32 is left.
    - Changes numerics: yes, by at most 2 ulp.
  }];
  let dependentDialects = ["mlir::arith::ArithDialect", "mlir::math::MathDialect"];
}

def ExternalizeConstantsPass : Pass<"elfatt-cpu-externalize-constants", "::mlir::ModuleOp"> {
  let summary = "Take large constants out of the code and bind them by name";
  let description = [{
    Weights do not go through LLVM: a `memref.global` with a large value becomes
    a declaration, and the value is kept in the module's dictionary
    `elfatt.constants`. Whoever loads the code binds each name to the address
    of its value; nothing is copied.

    - Preconditions: bufferized constants (`memref.global`).
    - Postconditions: no `memref.global` of a byte-sized element type holds a
      value of more than `min-bytes` bytes that is not a splat.
    - Changes numerics: no.

    Before:
    ```mlir
    memref.global "private" constant @w : memref<64x64xf32> = dense_resource<w>
    ```
    After:
    ```mlir
    module attributes {elfatt.constants = {elfatt_constant_w = dense_resource<w> : tensor<64x64xf32>}} {
      memref.global @elfatt_constant_w : memref<64x64xf32>
    }
    ```
  }];
  let options = [Option<"minBytes", "min-bytes", "int64_t", /*default=*/"256",
                        "Smallest value that is taken out, in bytes (>= 0)">];
  let statistics = [Statistic<"numExternalized", "externalized", "Constants taken out">];
  let dependentDialects = ["::mlir::memref::MemRefDialect"];
}

def CopiesToLinalgPass : Pass<"elfatt-cpu-copies-to-linalg"> {
  let summary = "Turn copies of buffers into linalg";
  let description = [{
    A `memref.copy` becomes a `linalg.generic` that yields its input, to be
    tiled and vectorized as all else is. Left alone, a copy with strides is a
    call of a routine that copies element by element.

    - Preconditions: ranked memrefs.
    - Postconditions: no `memref.copy` is left.
    - Changes numerics: no.

    Before:
    ```mlir
    memref.copy %a, %b : memref<4x8xf32, strided<[16, 1]>> to memref<4x8xf32>
    ```
    After:
    ```mlir
    linalg.generic {...} ins(%a) outs(%b) { ^bb0(%in: f32, %out: f32): linalg.yield %in : f32 }
    ```
  }];
  let statistics = [Statistic<"numCopies", "copies", "Copies that became linalg ops">];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
}

def DenseToLibraryPass : Pass<"elfatt-cpu-dense-to-library", "::mlir::ModuleOp"> {
  let summary = "Call the dense library for f32 matrix products";
  let description = [{
    A linalg op on memrefs that multiplies f32 matrices (`linalg.matmul`,
    `linalg.batch_matmul`, any generic of that meaning, with any strides) becomes
    a call of the runtime's `elfatt_sgemm`. A fill with zero just before it goes
    away. Dims of one kind that lie behind each other in every operand count
    as one dim; what is still beyond two batch dims becomes a loop.

    - Preconditions: bufferized code.
    - Postconditions: no f32 contraction with an m, an n and a k dim is left,
      but those inside parallel loops.
    - Changes numerics: the order of the sum over k.

    Before:
    ```mlir
    linalg.matmul ins(%a, %b : memref<4x8xf32>, memref<8x16xf32>) outs(%c : memref<4x16xf32>)
    ```
    After:
    ```mlir
    call @elfatt_sgemm(%c1, %c1, %c4, %c16, %c8, %pa, ..., %beta)
    ```
  }];
  let statistics = [Statistic<"numCalls", "calls", "Products that became calls">];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
}

#endif // ELFATT_CPU_PASSES_TD
