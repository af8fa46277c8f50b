// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_DIALECT_ATTENTION_TRANSFORMS_PASSES_TD
#define ELFATT_DIALECT_ATTENTION_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def DecomposeAttentionPass : Pass<"elfatt-decompose"> {
  let summary = "Decompose attention ops into plain linalg";
  let description = [{
    Turns every op of the `attention` dialect on tensors back into linalg,
    tensor, arith and math ops that read as the op's formula, so that any other
    compiler can take the result.

    - Preconditions: tensors; none besides.
    - Postconditions: no op of the `attention` dialect on tensors is left.
    - Changes numerics: no (same formula; the order of sums is linalg's).
  }];
  let dependentDialects = [
    "mlir::affine::AffineDialect", "mlir::arith::ArithDialect", "mlir::linalg::LinalgDialect",
    "mlir::math::MathDialect", "mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numDecomposed", "num-decomposed", "Number of attention ops decomposed">];
}

#endif // ELFATT_DIALECT_ATTENTION_TRANSFORMS_PASSES_TD
