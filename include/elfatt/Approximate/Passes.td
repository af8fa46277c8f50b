// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_APPROXIMATE_PASSES_TD
#define ELFATT_APPROXIMATE_PASSES_TD

include "mlir/Pass/PassBase.td"

def ApproximatePass : Pass<"elfatt-approximate"> {
  let summary = "Replace exact self-attention by ELFATT";
  let description = [{
    Turns each exact `attention.sdpa` over one set of tokens into
    `attention.elfatt`: the first `global-heads` heads attend globally at linear
    cost, the others inside windows of the token grid. This changes results, so it
    happens where this pass is asked for and nowhere else; a remark at each site
    says what was done or why not, and the attribute `attention.refused` carries
    the reason to `elfatt-report`. docs/Reasons.md lists the reasons.

    The grid follows from the window: among prefixes of 0 to 8 tokens (class and
    register tokens) the smallest one that leaves a square (one axis: any length,
    three: a cube) that the window divides.

    - Preconditions: `elfatt-raise` has run; other ops are left alone.
    - Postconditions: attention that can be served is `attention.elfatt`; all other
      ops are as they were.
    - Changes numerics: yes (approximates).

    Before:
    ```mlir
    %o = attention.sdpa indexing_maps = [...]
         ins(%q, %k, %v : tensor<1x197x12x64xf32>, ...) outs(%init : ...)
    ```
    After, with `window=7x7`:
    ```mlir
    %o = attention.elfatt indexing_maps = [...]
         ins(%q, %k, %v : tensor<1x197x12x64xf32>, ...) outs(%init : ...)
         global_heads = 6 grid = [14, 14] window = [7, 7] prefix = 1
    ```
  }];
  let options = [
    Option<"window", "window", "std::string", "\"\"",
      "Tokens of a window along each grid axis, such as 7x7 (each at least 1); required">,
    Option<"grid", "grid", "std::string", "\"\"",
      "Tokens of the grid along each axis, such as 56x56; multiples of the window's; "
      "inferred when absent">,
    Option<"globalHeads", "global-heads", "int64_t", "-1",
      "Number of heads that attend globally (0 to all heads); -1: half of them">,
    Option<"minTokens", "min-tokens", "int64_t", "0",
      "Leave attention over fewer tokens alone (tokens, at least 0)">,
    Option<"prefix", "prefix", "int64_t", "-1",
      "Number of tokens before the grid (at least 0); -1: the smallest that fits, at most 8">];
  let statistics = [
    Statistic<"numApproximated", "num-approximated", "Number of attention.sdpa ops replaced">,
    Statistic<"numRefused", "num-refused", "Number of attention.sdpa ops left alone">];
  let dependentDialects = ["::elfatt::attention::AttentionDialect"];
}

#endif // ELFATT_APPROXIMATE_PASSES_TD
