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

    Before:
    ```mlir
    %o = attention.sdpa indexing_maps = [...] ins(%q, %k, %v : ...) outs(%init : ...)
    ```
    After:
    ```mlir
    %qk = linalg.generic ins(%q, %k) outs(%zero)       // mulf, addf
    %s = linalg.generic ins(%qk) outs(%e0)             // mulf by the scale
    %m = linalg.generic ins(%s) outs(%minus_infinity)  // maximumf
    %x = linalg.generic ins(%s, %m) outs(%e1)          // subf, exp
    %l = linalg.generic ins(%x) outs(%zeros)           // addf
    %p = linalg.generic ins(%x, %l, %m) outs(%e2)      // divf, 0 for a masked row
    %o = linalg.generic ins(%p, %v) outs(%zeroed_init) // mulf, addf
    ```
  }];
  let options = [
    Option<"untileable", "untileable", "bool", "false",
           "Only what no tile holds: channels, values or inner keys of no known number, contexts "
           "with tokens of several dims">];
  let dependentDialects = [
    "mlir::affine::AffineDialect", "mlir::arith::ArithDialect", "mlir::linalg::LinalgDialect",
    "mlir::math::MathDialect", "mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numDecomposed", "num-decomposed", "Number of attention ops decomposed">];
}

#endif // ELFATT_DIALECT_ATTENTION_TRANSFORMS_PASSES_TD
