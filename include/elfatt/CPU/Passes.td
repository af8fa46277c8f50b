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

#endif // ELFATT_CPU_PASSES_TD
