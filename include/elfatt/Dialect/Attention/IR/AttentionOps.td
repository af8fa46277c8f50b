// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_DIALECT_ATTENTION_IR_ATTENTIONOPS_TD
#define ELFATT_DIALECT_ATTENTION_IR_ATTENTIONOPS_TD

include "elfatt/Dialect/Attention/IR/AttentionBase.td"
include "elfatt/Dialect/Attention/IR/AttentionInterfaces.td"
include "mlir/Dialect/Linalg/IR/LinalgInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/TilingInterface.td"

def AnyView : AnyTypeOf<[RankedTensorOf<[AnyFloat]>, StridedMemRefOf<[AnyFloat]>]>;
def AnyMaskView : AnyTypeOf<[RankedTensorOf<[AnyFloat, I1]>,
                             StridedMemRefOf<[AnyFloat, I1]>]>;

// An op on views, in destination style, on tensors or on buffers.
class Attention_Op<string mnemonic, list<Trait> traits = []>
    : Op<Attention_Dialect, mnemonic, !listconcat(traits, [
        DestinationStyleOpInterface,
        DeclareOpInterfaceMethods<ViewOpInterface, ["getViewedOperands", "getViewIteratorTypes"]>,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
        DeclareOpInterfaceMethods<ConditionallySpeculatable>,
        DeclareOpInterfaceMethods<ReifyRankedShapedTypeOpInterface, ["reifyResultShapes"]>])> {
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let hasVerifier = 1;
  code commonClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable();
  }];
  let extraClassDeclaration = commonClassDeclaration;
}

// An op that tiles: the methods are written once, in AttentionTiling.cpp.
class Attention_TileableOp<string mnemonic, list<Trait> traits = []>
    : Attention_Op<mnemonic, !listconcat(traits, [
        DeclareOpInterfaceMethods<TilingInterface, [
          "getLoopIteratorTypes", "getIterationDomain", "getTiledImplementation",
          "getResultTilePosition", "generateResultTileValue",
          "getIterationDomainTileFromResultTile"]>])>;

def Attention_SdpaOp : Attention_TileableOp<"sdpa", [
    AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<ViewOpInterface, ["getPositionDims"]>]> {
  let summary = "exact softmax attention";
  let description = [{
    ```
    O[b,i,e] = sum_j P[b,i,j] * V[b,j,e]
    P        = softmax_j( S )
    S[b,i,j] = scale * sum_d Q[b,i,d] * K[b,j,d] + bias[b,i,j]
    ```

    | operand  | view     | types                                          |
    |----------|----------|------------------------------------------------|
    | query    | (b,i,d)  | f16, bf16, f32, f64                            |
    | key      | (b,j,d)  | f16, bf16, f32, f64                            |
    | value    | (b,j,e)  | f16, bf16, f32, f64                            |
    | bias     | any part of (b,i,j) | a float is added, i1 keeps where true |
    | scale    | scalar   | a float; absent: 1/sqrt(extent of d)           |
    | init     | (b,i,e)  | f16, bf16, f32, f64                            |

    Types may differ between operands. The computation is in f64 when any
    operand is f64, else in f32; the result is rounded once.

    `causal` masks j > i, with i the last row dim and j the only key dim.
    `score` replaces the bias rule by any scalar function: its block takes the
    scaled score, one element of every bias, and the indices of b, i, j in the
    order of the domain, and yields the new score. `masked_rows` says what a row
    gives whose scores are all -inf. `offsets`, one per dim of b, i, j, is this
    op's origin in the op it was tiled from.

    Exact. It exists beside `attention.linear`, whose softmaxes are over the
    channels of Q and the tokens of K, apart.

    ```mlir
    %o = attention.sdpa indexing_maps = [
           affine_map<(b, h, i, j, d, e) -> (b, i, 0, h, d)>,
           affine_map<(b, h, i, j, d, e) -> (b, j, 1, h, d)>,
           affine_map<(b, h, i, j, d, e) -> (b, j, 2, h, e)>,
           affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>]
         ins(%qkv, %qkv, %qkv : tensor<2x49x3x4x32xf32>, tensor<2x49x3x4x32xf32>,
                                tensor<2x49x3x4x32xf32>)
         outs(%init : tensor<2x49x4x32xf32>) -> tensor<2x49x4x32xf32>
    ```
  }];
  let arguments = (ins
    AnyView:$query, AnyView:$key, AnyView:$value,
    Variadic<AnyMaskView>:$bias, Optional<AnyFloat>:$scale,
    Variadic<Index>:$offsets, AnyView:$init,
    AffineMapArrayAttr:$indexing_maps, UnitAttr:$causal,
    DefaultValuedAttr<Attention_MaskedRowsAttr,
      "::elfatt::attention::MaskedRows::Zero">:$masked_rows);
  let regions = (region MaxSizedRegion<1>:$score);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $query `,` $key `,` $value `:` type($query) `,` type($key) `,` type($value) `)`
    (`bias` `(` $bias^ `:` type($bias) `)`)?
    (`scale` `(` $scale^ `:` type($scale) `)`)?
    (`offsets` `(` $offsets^ `)`)?
    `outs` `(` $init `:` type($init) `)`
    (`score` $score^)? (`causal` $causal^)? (`masked_rows` `=` $masked_rows^)?
    attr-dict (`->` type($results)^)?
  }];
  let hasCanonicalizer = 1;
  let hasRegionVerifier = 1;
}

def Attention_ElfattOp : Attention_Op<"elfatt", [
    AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "ELFATT: linear global heads and windowed local heads";
  let description = [{
    Heads are in two groups: `global_heads` of them attend globally at linear
    cost, the others exactly inside windows of the token grid. For a query
    token i of the grid, with w(i) the tokens of its window:

    ```
    O[b,h,i,e] = sum_d softmax_d(Q)[b,h,i,d] *
                 sum_j softmax_j(K)[b,h,j,d] * V[b,h,j,e] + L_grid(V)[b,h,i,e]      global h
    O[b,h,i,e] = sum_j softmax_j( scale * <Q[b,h,i,:], K[b,h,j,:]> ) * V[b,h,j,e]
                 + L_window(V)[b,h,i,e]           j in prefix and w(i);  local h
    ```

    L is LePE, a depthwise 3-tap convolution per grid axis of V, zero padded: at
    the border of the grid for global heads, of each window for local ones.
    The first `prefix` tokens (class, registers) are not on the grid: as queries
    they attend exactly to all tokens in every head, and LePE leaves them alone.
    Source: arXiv 2501.06098, eq. for ELFATT; prefix tokens are ours.

    | operand            | view or shape   | types               |
    |--------------------|-----------------|---------------------|
    | query, key         | (b,h,n,d)       | f16, bf16, f32, f64 |
    | value, init        | (b,h,n,e)       | f16, bf16, f32, f64 |
    | global_lepe_weight | [3.., Hg, E]    | a float             |
    | global_lepe_bias   | [Hg, E]         | a float             |
    | local_lepe_*       | the same, of the local heads | a float |
    | scale              | scalar, default 1/sqrt(extent of d) | a float |

    The domain is (batch..., h, n, d, e), in this order. `grid` has one extent
    per axis, row-major: static, an SSA value, or `-1` (written at most once)
    for the extent that the number of tokens implies. `0x0` is valid when every
    token is a prefix; the op is then exact attention. Global heads are the
    first ones, or the last with `local_first`.

    Exact with respect to its own formula; an approximation of softmax attention.

    ```mlir
    %o = attention.elfatt indexing_maps = [
           affine_map<(b, h, n, d, e) -> (b, n, 0, h, d)>,
           affine_map<(b, h, n, d, e) -> (b, n, 1, h, d)>,
           affine_map<(b, h, n, d, e) -> (b, n, 2, h, e)>,
           affine_map<(b, h, n, d, e) -> (b, n, h, e)>]
         ins(%qkv, %qkv, %qkv : tensor<8x3136x3x2x32xf32>, tensor<8x3136x3x2x32xf32>,
                                tensor<8x3136x3x2x32xf32>)
         global_lepe(%w, %c : tensor<3x3x1x32xf32>, tensor<1x32xf32>)
         outs(%init : tensor<8x3136x2x32xf32>)
         global_heads = 1 grid = [56, 56] window = [7, 7] -> tensor<8x3136x2x32xf32>
    ```
  }];
  let arguments = (ins
    AnyView:$query, AnyView:$key, AnyView:$value,
    Optional<AnyView>:$global_lepe_weight, Optional<AnyView>:$global_lepe_bias,
    Optional<AnyView>:$local_lepe_weight, Optional<AnyView>:$local_lepe_bias,
    Optional<AnyFloat>:$scale, Variadic<Index>:$grid, AnyView:$init,
    AffineMapArrayAttr:$indexing_maps,
    ConfinedAttr<I64Attr, [IntNonNegative]>:$global_heads, UnitAttr:$local_first,
    DenseI64ArrayAttr:$static_grid, DenseI64ArrayAttr:$window,
    DefaultValuedAttr<ConfinedAttr<I64Attr, [IntNonNegative]>, "0">:$prefix);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $query `,` $key `,` $value `:` type($query) `,` type($key) `,` type($value) `)`
    (`global_lepe` `(` $global_lepe_weight^ (`,` $global_lepe_bias^)? `:`
       type($global_lepe_weight) (`,` type($global_lepe_bias)^)? `)`)?
    (`local_lepe` `(` $local_lepe_weight^ (`,` $local_lepe_bias^)? `:`
       type($local_lepe_weight) (`,` type($local_lepe_bias)^)? `)`)?
    (`scale` `(` $scale^ `:` type($scale) `)`)?
    `outs` `(` $init `:` type($init) `)`
    `global_heads` `=` $global_heads (`local_first` $local_first^)?
    `grid` `=` custom<DynamicIndexList>($grid, $static_grid) `window` `=` $window
    (`prefix` `=` $prefix^)?
    attr-dict (`->` type($results)^)?
  }];
  let hasCanonicalizer = 1;
  let extraClassDeclaration = commonClassDeclaration # [{
    /// Marks the grid extent that follows from the number of tokens.
    static constexpr int64_t kInferredExtent = -1;
    /// Extents of the grid at `builder`'s insertion point, the inferred one as
    /// (tokens - prefix) / the others.
    ::llvm::SmallVector<::mlir::OpFoldResult> getMixedGrid(::mlir::OpBuilder &builder);
    /// Static extents; ShapedType::kDynamic where not known.
    ::llvm::SmallVector<int64_t> getKnownGrid();
    /// Static extent of the head dim and of the token dim, or kDynamic.
    int64_t getNumHeads();
    int64_t getNumTokens();
  }];
}

def Attention_LinearOp : Attention_TileableOp<"linear", [
    DeclareOpInterfaceMethods<AggregatedOpInterface, ["decomposeOperation"]>]> {
  let summary = "linear attention with separate softmaxes";
  let description = [{
    Efficient Attention (Shen et al. 2018), the global branch of ELFATT alone:

    ```
    O[b,i,e] = sum_d softmax_d(Q)[b,i,d] * sum_j softmax_j(K)[b,j,d] * V[b,j,e]
    ```

    | operand | view    | types               |
    |---------|---------|---------------------|
    | query   | (b,i,d) | f16, bf16, f32, f64 |
    | key     | (b,j,d) | f16, bf16, f32, f64 |
    | value   | (b,j,e) | f16, bf16, f32, f64 |
    | init    | (b,i,e) | f16, bf16, f32, f64 |

    No scale. Exact with respect to its own formula. It decomposes into
    `attention.context` and `attention.apply`.

    ```mlir
    %o = attention.linear indexing_maps = [
           affine_map<(b, i, j, d, e) -> (b, i, d)>, affine_map<(b, i, j, d, e) -> (b, j, d)>,
           affine_map<(b, i, j, d, e) -> (b, j, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
         ins(%q, %k, %v : tensor<4x99x16xf32>, tensor<4x99x16xf32>, tensor<4x99x16xf32>)
         outs(%init : tensor<4x99x16xf32>) -> tensor<4x99x16xf32>
    ```
  }];
  let arguments = (ins AnyView:$query, AnyView:$key, AnyView:$value, AnyView:$init,
    AffineMapArrayAttr:$indexing_maps);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $query `,` $key `,` $value `:` type($query) `,` type($key) `,` type($value) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
  let hasCanonicalizer = 1;
}

def Attention_YieldOp : Op<Attention_Dialect, "yield",
    [Pure, Terminator, HasParent<"SdpaOp">]> {
  let summary = "ends the score region of attention.sdpa";
  let description = [{
    Yields the new score, of the type of the region's first argument.

    ```mlir
    attention.yield %s : f32
    ```
  }];
  let arguments = (ins AnyFloat:$score);
  let assemblyFormat = "$score attr-dict `:` type($score)";
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

def Attention_ContextOp : Attention_TileableOp<"context"> {
  let summary = "the D x E context of linear attention";
  let description = [{
    ```
    C[b,d,e] = sum_j softmax_j(K)[b,j,d] * V[b,j,e]
    ```
    A part of `attention.linear` and `attention.elfatt`.

    ```mlir
    %c = attention.context indexing_maps = [
           affine_map<(b, j, d, e) -> (b, j, d)>, affine_map<(b, j, d, e) -> (b, j, e)>,
           affine_map<(b, j, d, e) -> (b, d, e)>]
         ins(%k, %v : tensor<4x99x16xf32>, tensor<4x99x16xf32>)
         outs(%init : tensor<4x16x16xf32>) -> tensor<4x16x16xf32>
    ```
  }];
  let arguments = (ins AnyView:$key, AnyView:$value, AnyView:$init,
    AffineMapArrayAttr:$indexing_maps);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $key `,` $value `:` type($key) `,` type($value) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
}

def Attention_PartialContextOp : Attention_TileableOp<"partial_context"> {
  let summary = "the context of some tokens, undivided, with its softmax's state";
  let description = [{
    ```
    max[b,d]   = max_j K[b,j,d]
    sum[b,d]   = sum_j exp(K[b,j,d] - max[b,d])
    acc[b,d,e] = sum_j exp(K[b,j,d] - max[b,d]) * V[b,j,e]
    ```
    acc and sum may both carry one power of two, the same for all tokens. What acc,
    max and sum held is not read. acc, max and sum have the computation's type. It
    exists beside `attention.context` so that segments of the tokens can be summed
    beside each other, as a batch dim: `attention.merge` puts them together.

    ```mlir
    %a, %m, %l = attention.partial_context indexing_maps = [
           affine_map<(b, s, j, d, e) -> (b, s, j, d)>, affine_map<(b, s, j, d, e) -> (b, s, j, e)>,
           affine_map<(b, s, j, d, e) -> (b, s, d, e)>, affine_map<(b, s, j, d, e) -> (b, s, d)>,
           affine_map<(b, s, j, d, e) -> (b, s, d)>]
         ins(%k, %v : tensor<4x3x99x16xf32>, tensor<4x3x99x16xf32>)
         outs(%acc, %max, %sum : tensor<4x3x16x16xf32>, tensor<4x3x16xf32>, tensor<4x3x16xf32>)
         -> tensor<4x3x16x16xf32>, tensor<4x3x16xf32>, tensor<4x3x16xf32>
    ```
  }];
  let arguments = (ins AnyView:$key, AnyView:$value, AnyView:$acc, AnyView:$max, AnyView:$sum,
    AffineMapArrayAttr:$indexing_maps);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $key `,` $value `:` type($key) `,` type($value) `)`
    `outs` `(` $acc `,` $max `,` $sum `:` type($acc) `,` type($max) `,` type($sum) `)`
    attr-dict (`->` type($results)^)?
  }];
}

def Attention_MergeOp : Attention_TileableOp<"merge"> {
  let summary = "puts the states of a softmax over segments together and ends it";
  let description = [{
    ```
    m[b,d]   = max_s max[s,b,d]          r[s,b,d] = exp(max[s,b,d] - m[b,d])
    C[b,d,e] = sum_s r[s,b,d] * acc[s,b,d,e] / sum_s r[s,b,d] * sum[s,b,d]
    ```
    s is the one dim that init lacks, the segments; exp(-inf - -inf) counts as 0.
    Ends `attention.partial_context`.

    ```mlir
    %c = attention.merge indexing_maps = [
           affine_map<(b, s, d, e) -> (b, s, d, e)>, affine_map<(b, s, d, e) -> (b, s, d)>,
           affine_map<(b, s, d, e) -> (b, s, d)>, affine_map<(b, s, d, e) -> (b, d, e)>]
         ins(%acc, %max, %sum : tensor<4x3x16x16xf32>, tensor<4x3x16xf32>, tensor<4x3x16xf32>)
         outs(%init : tensor<4x16x16xf32>) -> tensor<4x16x16xf32>
    ```
  }];
  let arguments = (ins AnyView:$acc, AnyView:$max, AnyView:$sum, AnyView:$init,
    AffineMapArrayAttr:$indexing_maps);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $acc `,` $max `,` $sum `:` type($acc) `,` type($max) `,` type($sum) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
}

def Attention_ApplyOp : Attention_TileableOp<"apply"> {
  let summary = "query times the context of linear attention";
  let description = [{
    ```
    O[b,i,e] = sum_d softmax_d(Q)[b,i,d] * C[b,d,e]
    ```
    A part of `attention.linear` and `attention.elfatt`.

    ```mlir
    %o = attention.apply indexing_maps = [
           affine_map<(b, i, d, e) -> (b, i, d)>, affine_map<(b, i, d, e) -> (b, d, e)>,
           affine_map<(b, i, d, e) -> (b, i, e)>]
         ins(%q, %c : tensor<4x99x16xf32>, tensor<4x16x16xf32>)
         outs(%init : tensor<4x99x16xf32>) -> tensor<4x99x16xf32>
    ```
  }];
  let arguments = (ins AnyView:$query, AnyView:$context, AnyView:$init,
    AffineMapArrayAttr:$indexing_maps);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $query `,` $context `:` type($query) `,` type($context) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
}

def Attention_LepeOp : Attention_TileableOp<"lepe", [
    AttrSizedOperandSegments,
    DeclareOpInterfaceMethods<ViewOpInterface, ["getPositionDims", "isOperandTiled"]>]> {
  let summary = "adds the depthwise convolution of V to its destination";
  let description = [{
    With g the position on the grid, and V zero outside of it:

    ```
    O[b,g,e] = init[b,g,e] + bias[e] + sum_{t in {0,1,2}^axes} weight[t,e] * V[b,g+t-1,e]
    ```

    The domain holds b, g and e; `grid_dims` names the dims g, in axis order.
    The weight's leading dims are the taps, one of extent 3 per axis; its map
    gives the others. `offsets`, one per grid dim, is the position of init's
    first element on value's grid (value keeps the whole grid when init is cut).
    A part of `attention.elfatt`; source: CSWin (arXiv 2107.00652), LePE.

    ```mlir
    %o = attention.lepe indexing_maps = [
           affine_map<(b, y, x, e) -> (b, y, x, e)>, affine_map<(b, y, x, e) -> (e)>,
           affine_map<(b, y, x, e) -> (e)>, affine_map<(b, y, x, e) -> (b, y, x, e)>]
         ins(%v, %w : tensor<4x7x7x16xf32>, tensor<3x3x16xf32>) bias(%c : tensor<16xf32>)
         outs(%init : tensor<4x7x7x16xf32>) grid_dims = [1, 2] -> tensor<4x7x7x16xf32>
    ```
  }];
  let arguments = (ins AnyView:$value, AnyView:$weight, Optional<AnyView>:$bias,
    Variadic<Index>:$offsets, AnyView:$init, AffineMapArrayAttr:$indexing_maps,
    DenseI64ArrayAttr:$grid_dims);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $value `,` $weight `:` type($value) `,` type($weight) `)`
    (`bias` `(` $bias^ `:` type($bias) `)`)?
    (`offsets` `(` $offsets^ `)`)?
    `outs` `(` $init `:` type($init) `)` `grid_dims` `=` $grid_dims
    attr-dict (`->` type($results)^)?
  }];
}

def Attention_OnlineOp : Attention_TileableOp<"online"> {
  let summary = "one step of softmax attention over a segment of keys";
  let description = [{
    Carries the state of an online softmax over one more segment of keys. With
    S as in `attention.sdpa` (no bias), acc, max and sum read and written:

    ```
    m'       = max(max, max_j S)          r = exp(max - m')
    P[b,i,j] = exp(S[b,i,j] - m'[b,i])
    sum'     = r * sum + sum_j P
    acc'     = r * acc + sum_j P * V
    ```

    where exp(-inf - -inf) counts as 0: keys that are masked so far weigh nothing.
    Start from acc = 0, max = -inf, sum = 0; end with `attention.finalize`. It
    exists so that segments that are not neighbours in memory (prefix tokens and
    a window) share one softmax. acc, max and sum have the computation's type.

    ```mlir
    %a, %m, %l = attention.online indexing_maps = [
           affine_map<(b, i, j, d, e) -> (b, i, d)>, affine_map<(b, i, j, d, e) -> (b, j, d)>,
           affine_map<(b, i, j, d, e) -> (b, j, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>,
           affine_map<(b, i, j, d, e) -> (b, i)>, affine_map<(b, i, j, d, e) -> (b, i)>]
         ins(%q, %k, %v : tensor<4x9x16xf32>, tensor<4x5x16xf32>, tensor<4x5x16xf32>)
         outs(%acc, %max, %sum : tensor<4x9x16xf32>, tensor<4x9xf32>, tensor<4x9xf32>)
         -> tensor<4x9x16xf32>, tensor<4x9xf32>, tensor<4x9xf32>
    ```
  }];
  let arguments = (ins AnyView:$query, AnyView:$key, AnyView:$value,
    Optional<AnyFloat>:$scale, AnyView:$acc, AnyView:$max, AnyView:$sum,
    AffineMapArrayAttr:$indexing_maps);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $query `,` $key `,` $value `:` type($query) `,` type($key) `,` type($value) `)`
    (`scale` `(` $scale^ `:` type($scale) `)`)?
    `outs` `(` $acc `,` $max `,` $sum `:` type($acc) `,` type($max) `,` type($sum) `)`
    attr-dict (`->` type($results)^)?
  }];
}

def Attention_FinalizeOp : Attention_TileableOp<"finalize"> {
  let summary = "ends a chain of online steps";
  let description = [{
    ```
    O[b,i,e] = acc[b,i,e] / sum[b,i]
    ```
    A row without a key (sum = 0) gives 0.

    ```mlir
    %o = attention.finalize indexing_maps = [
           affine_map<(b, i, e) -> (b, i, e)>, affine_map<(b, i, e) -> (b, i)>,
           affine_map<(b, i, e) -> (b, i, e)>]
         ins(%acc, %sum : tensor<4x9x16xf32>, tensor<4x9xf32>)
         outs(%init : tensor<4x9x16xf16>) -> tensor<4x9x16xf16>
    ```
  }];
  let arguments = (ins AnyView:$acc, AnyView:$sum, AnyView:$init,
    AffineMapArrayAttr:$indexing_maps);
  let assemblyFormat = [{
    `indexing_maps` `=` $indexing_maps
    `ins` `(` $acc `,` $sum `:` type($acc) `,` type($sum) `)`
    `outs` `(` $init `:` type($init) `)` attr-dict (`->` type($results)^)?
  }];
}

//===----------------------------------------------------------------------===//
// Fragments
//===----------------------------------------------------------------------===//

def Attention_ConvertLayoutOp : Op<Attention_Dialect, "convert_layout",
    [Pure, SameOperandsAndResultType]> {
  let summary = "hands the elements of a warp's tile to the lanes of another layout";
  let description = [{
    ```
    O[i,j] = X[i,j]
    ```
    The same tile, of which each lane holds other elements: where the op that makes a tile
    and the op that reads it want it spread over the lanes in different ways. It costs
    shuffles, at most two an element that a lane gets. Layouts that are the same, and one
    change after the other, fold.

    ```mlir
    %1 = attention.convert_layout %0 <group> to <quad> : vector<16xf32>
    ```
  }];
  let arguments = (ins VectorOfRankAndType<[1, 2], [AnyType]>:$source,
    Attention_LanesAttr:$from, Attention_LanesAttr:$to);
  let results = (outs VectorOfRankAndType<[1, 2], [AnyType]>:$result);
  let assemblyFormat = "$source $from `to` $to attr-dict `:` type($result)";
  let hasFolder = 1;
  let hasVerifier = 1;
}

#endif // ELFATT_DIALECT_ATTENTION_IR_ATTENTIONOPS_TD
