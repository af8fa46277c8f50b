// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_RAISE_PASSES_TD
#define ELFATT_RAISE_PASSES_TD

include "mlir/Pass/PassBase.td"

def RaisePass : Pass<"elfatt-raise", "::mlir::ModuleOp"> {
  let summary = "Raise attention and say what was found";
  let description = [{
    Runs the passes of this stage in order and emits one remark at every site,
    raised or refused. `elfatt-raise-to-linalg` comes first, so that attention in TOSA, or
    in elementwise ops of arith and math on tensors, is found. A function without a site
    stays as it was.

    - Preconditions: linalg, TOSA, tensor, arith and math on tensors; anything else is left
      alone.
    - Postconditions: those of `elfatt-raise-attention`; in functions with a site no TOSA,
      and no elementwise op on a tensor outside of linalg.
    - Changes numerics: as `elfatt-raise-attention` does.
  }];
  let options = [
    Option<"strict", "strict", "bool", "false",
      "Refuse attention that the op computes more precisely, or in a larger range, "
      "than the source does">,
    Option<"remarks", "remarks", "bool", "true", "Emit one remark for each site">];
  let dependentDialects = [
    "::elfatt::attention::AttentionDialect", "::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect"];
}

def ToLinalgPass : Pass<"elfatt-raise-to-linalg", "::mlir::ModuleOp"> {
  let summary = "Lower to linalg what upstream has a lowering for";
  let description = [{
    Runs upstream's passes on what is not linalg but stands for it: ops of TOSA, and
    elementwise ops of arith and math on tensors.

    - Preconditions: none; anything else is left alone.
    - Postconditions: no TOSA, no elementwise op on a tensor outside of linalg.
    - Changes numerics: as upstream's passes do.

    Before:
    ```mlir
    %x = math.exp %d : tensor<2x64x64xf32>
    ```
    After: a `linalg.generic` with `math.exp` in its body.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect"];
}

def ContractProductsPass : Pass<"elfatt-raise-contract-products"> {
  let summary = "Make sums of broadcast products contractions";
  let description = [{
    Scores that are written as a product of all queries with all keys, summed over the
    channels, and probabilities that multiply values so, are contractions. What a factor is
    computed of may be broadcast before: the norms of `cosine_similarity` are computed of
    queries and keys that were repeated for each other, and here of each once.

    - Preconditions: none; other sums stay, and products with other uses.
    - Postconditions: none.
    - Changes numerics: no.

    Before:
    ```mlir
    %p = linalg.generic  // (i,d) -> q[i,0,d] * k[0,j,d]
    %s = linalg.generic  // sum over d
    ```
    After: one `linalg.generic` with the maps `(i,j,d) -> (i,d)` and `(i,j,d) -> (j,d)`.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numContracted", "num-contracted", "Number of sums that became contractions">];
}

def SimplifySizesPass : Pass<"elfatt-raise-simplify-sizes"> {
  let summary = "Replace sizes that are computed there and back by what they are";
  let description = [{
    What importers make of a batch whose size is open: dims are merged for a product of
    matrices and divided again, the larger of two is taken where they broadcast, and a
    negative one would stand for another. Quotients, maxima and selects that are a number
    or the size of one dim become that.

    - Preconditions: none. Integers that are no sizes are divided as they are where a
      quotient is not exact.
    - Postconditions: none.
    - Changes numerics: no.

    Before:
    ```mlir
    %d = tensor.dim %x, %c0 : tensor<?x50x64xf32>
    %m = arith.muli %d, %c2 : index
    %q = arith.divsi %m, %c2 : index
    ```
    After: `%d` in place of `%q`.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
  let statistics = [
    Statistic<"numSimplified", "num-simplified", "Number of sizes replaced">];
}

def ReportPass : Pass<"elfatt-report", "::mlir::ModuleOp"> {
  let summary = "Write the sites of a module as JSON";
  let description = [{
    Writes an array with one record for every attention op and every site that
    `elfatt-raise` refused: function, location, status, op, reason, message, sizes (H
    counts query heads), `bias` (the strongest of causal, mask and additive; `biases`
    lists all), whether there is a `score` region, and what the attention costs. What is
    not known is null. Without `file` the sites become remarks.

    - Preconditions: none; meant to follow `elfatt-raise`.
    - Postconditions: the module is as it was.
    - Changes numerics: no.
  }];
  let options = [
    Option<"file", "file", "std::string", "\"\"", "Path to write, `-` for standard output">];
}

def RaiseAttentionPass : Pass<"elfatt-raise-attention"> {
  let summary = "Raise softmax and linear attention to ops";
  let description = [{
    Finds pairs of contractions with a softmax between them (or, for linear
    attention, a softmax on either side) and proves what they compute: reads the
    scalar expression of one score through all elementwise ops, reductions and
    data movement, and every operand as a view of the tensor it comes from. What
    is proven becomes `attention.sdpa` or `attention.linear`; any other place that
    looks like attention gets the attribute `attention.refused`, which
    `elfatt-report` reads. docs/Reasons.md lists the reasons.

    - Preconditions: linalg, tensor, arith and math on tensors; anything else is
      left alone.
    - Postconditions: no proven attention is left in linalg.
    - Changes numerics: no, except for the order of sums and two excesses that are
      reported: an inner rounding that is dropped, and rows that overflow or hold
      NaN, where the op has no maximum or guard less or more than the source.
      `strict` takes the form that has none, or refuses.

    Before:
    ```mlir
    %s = linalg.batch_matmul ins(%q, %kt : ...) outs(%zero : ...)
    // scale, mask, maximum, subtract, exp, sum, divide
    %o = linalg.batch_matmul ins(%p, %v : ...) outs(%zero : ...)
    ```
    After:
    ```mlir
    %o = attention.sdpa indexing_maps = [...] ins(%q, %k, %v : ...) outs(%e : ...)
    ```
  }];
  let options = [
    Option<"strict", "strict", "bool", "false",
      "Refuse attention that the op computes more precisely, or in a larger range, "
      "than the source does">];
  let statistics = [
    Statistic<"numSdpa", "num-sdpa", "Number of attention.sdpa ops raised">,
    Statistic<"numLinear", "num-linear", "Number of attention.linear ops raised">,
    Statistic<"numRefused", "num-refused", "Number of sites refused">];
  let dependentDialects = ["::elfatt::attention::AttentionDialect"];
}

def RaiseElfattPass : Pass<"elfatt-raise-elfatt"> {
  let summary = "Join both branches of a trained ELFATT to one op";
  let description = [{
    Finds where `attention.linear` and `attention.sdpa` in windows are joined along
    their heads, by a concatenation or by slices written into one tensor, each with or
    without the depthwise convolution of its values (LePE), and proves that both attend
    to the tokens of the result. Grid and window are read off the strides of the
    tokens. Queries, keys and values become one view each: of one tensor, where the
    heads stand side by side, else of one projection whose constant weights are those
    of the branches' own. What else is added to a branch is added behind the op. The
    result is one `attention.elfatt`; branches that look like it and stay apart get the
    attribute `attention.apart`, which `elfatt-report` reads. docs/Reasons.md lists the
    reasons.

    - Preconditions: `elfatt-raise-attention` has run.
    - Postconditions: none; what is no ELFATT is left as it is.
    - Changes numerics: no.

    Before:
    ```mlir
    %g = attention.linear ...
    %l = attention.sdpa ... // in windows
    // depthwise convolutions, windows back to tokens
    %o = tensor.concat dim(2) %gl, %ll : ...
    ```
    After:
    ```mlir
    %o = attention.elfatt ... global_heads = 1 grid = [14, 14] window = [7, 7] -> ...
    ```
  }];
  let statistics = [
    Statistic<"numRaised", "num-raised", "Number of attention.elfatt ops raised">];
  let dependentDialects = ["::elfatt::attention::AttentionDialect"];
}

#endif // ELFATT_RAISE_PASSES_TD
