// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_DIALECT_ATTENTION_IR_ATTENTIONBASE_TD
#define ELFATT_DIALECT_ATTENTION_IR_ATTENTIONBASE_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"

def Attention_Dialect : Dialect {
  let name = "attention";
  let cppNamespace = "::elfatt::attention";
  let summary = "Exact and linear-cost attention over views";
  let description = [{
    Attention as one op, with the storage of its operands kept as it is in the
    source: an operand is a *view*, an affine map from the op's iteration domain
    to the dims of a tensor. Packed projections, head splits and transposes are
    maps; windows and grids are attributes; nothing is copied to meet an op.

    Three ops are public: `attention.sdpa` (exact softmax attention),
    `attention.elfatt` (ELFATT, arXiv 2501.06098) and `attention.linear` (its
    global branch alone). They decompose into the parts `attention.context`,
    `attention.apply`, `attention.lepe`, `attention.online` and
    `attention.finalize`, which tile through `TilingInterface`.

    #### Iteration domain

    The dims of the domain are classified by the maps they occur in, where Q, K,
    V, O stand for the maps of query, key, value and output:

    | class      | occurs in              | name in formulas |
    |------------|------------------------|------------------|
    | rows       | Q, O                   | i (query tokens) |
    | keys       | K, V                   | j (key tokens)   |
    | channels   | Q, K                   | d                |
    | values     | V, O                   | e                |
    | batch      | O and K or V otherwise | b (batch, head)  |

    A map is a projected permutation of the domain plus constants. A batch dim
    that K and V lack is a row dim: grouped heads share their keys by leaving
    the group out of K's and V's maps.
  }];
  let useDefaultAttributePrinterParser = 1;
  let dependentDialects = [
    "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::tensor::TensorDialect"
  ];
}

def Attention_MaskedRows : I32EnumAttr<"MaskedRows",
    "what a row with every score masked gives", [
      I32EnumAttrCase<"Zero", 0, "zero">,
      I32EnumAttrCase<"NaN", 1, "nan">]> {
  let cppNamespace = "::elfatt::attention";
  let genSpecializedAttr = 0;
}
def Attention_MaskedRowsAttr
    : EnumAttr<Attention_Dialect, Attention_MaskedRows, "masked_rows">;

def Attention_LaneDim : I32EnumAttr<"LaneDim",
    "what one dim of a tile is spread over, of the 32 lanes of a warp", [
      // Every lane holds all of it.
      I32EnumAttrCase<"None", 0, "none">,
      // Element e belongs to the lanes with lane / 4 == e % 8.
      I32EnumAttrCase<"Group", 1, "group">,
      // Element e belongs to the lanes with lane % 4 == (e % 8) / 2.
      I32EnumAttrCase<"Quad", 2, "quad">,
      // Of mma.m8n8k4, whose quad pairs have two by two blocks of 8 x 8. Rows and columns of the
      // accumulators, rows of the left operand, columns of the right one; its sums and columns
      // where columns are neighbours in memory. getLaneBits says which lanes.
      I32EnumAttrCase<"PairRow", 3, "pair_row">,
      I32EnumAttrCase<"PairColumn", 4, "pair_column">,
      I32EnumAttrCase<"PairLeft", 5, "pair_left">,
      I32EnumAttrCase<"PairRight", 6, "pair_right">,
      I32EnumAttrCase<"PairSum", 7, "pair_sum">,
      I32EnumAttrCase<"PairFour", 8, "pair_four">]> {
  let cppNamespace = "::elfatt::attention";
  let genSpecializedAttr = 0;
}

def Attention_LanesAttr : AttrDef<Attention_Dialect, "Lanes"> {
  let mnemonic = "lanes";
  let summary = "how a tile is spread over the lanes of a warp";
  let description = [{
    For each dim of a tile what it is spread over: `group`, `quad`, `none`, or a piece of a quad
    pair, as include/elfatt/GPU/FragmentLayout.h defines them. `#attention.lanes<group, quad>` is
    the layout of the tensor cores' accumulators and of their left operands, from sm_75 on.
  }];
  let parameters = (ins ArrayRefParameter<"::elfatt::attention::LaneDim">:$dims);
  let assemblyFormat = "`<` $dims `>`";
}

#endif // ELFATT_DIALECT_ATTENTION_IR_ATTENTIONBASE_TD
