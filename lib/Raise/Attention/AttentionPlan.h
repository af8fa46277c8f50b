// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From what was recognised, elements as functions of atoms, to the operands, maps and
// dims of an attention op. Pure.
#ifndef ELFATT_LIB_RAISE_ATTENTION_ATTENTIONPLAN_H
#define ELFATT_LIB_RAISE_ATTENTION_ATTENTIONPLAN_H

#include "Analysis/ViewPlan.h"
#include "Scores.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

namespace elfatt::raise {

/// A view of a tensor, or a tensor that is computed from views, one dim for each atom.
struct OperandPlan {
  llvm::SmallVector<ViewPlan, 1> views;
  std::shared_ptr<ScalarProgram> program;
  /// The dims of what is computed.
  llvm::SmallVector<unsigned> atoms;

  mlir::Type getElementType() const;
  /// Whether a dim of size 1 is there that no atom has.
  bool hasFreeUnit() const;
  void addUnit(unsigned atom);
  bool isOver(const Domain &domain) const;
  mlir::AffineMap getMap(const Domain &domain, mlir::MLIRContext *context) const;
};

/// An attention op to be built.
struct RecognisedAttention {
  std::unique_ptr<ScalarReader> reader;
  /// `attention.sdpa`, or `attention.linear`.
  bool isLinear = false;
  Domain domain;
  attention::AttentionDims dims;
  OperandPlan query, key, value;
  OutputPlan output;
  /// Of the scores; of the result of linear attention, a constant.
  Scale scale;
  /// The scale is that of the op's default.
  bool hasDefaultScale = false;
  struct BiasPlan {
    OperandPlan operand;
    bool isInverted = false;
  };
  llvm::SmallVector<BiasPlan, 0> biases;
  bool isCausal = false;
  /// The atom of the rows that the triangle is over.
  unsigned causalRow = 0;
  /// Query heads that share keys, which are rows to the op, where the source tells them
  /// from tokens.
  std::optional<int64_t> groups;
  /// The function of a score, in place of the rule for biases.
  std::optional<ScalarProgram> program;
  bool zeroMaskedRows = false;
  /// The source computes in f64 whatever its operands are.
  bool computesInF64 = false;
  /// The op rounds less, or overflows later, than the source.
  bool hasExcessPrecision = false, hasExcessRange = false;
};

/// What an attention is made of.
struct AttentionParts {
  // Atoms by class; the channels are d.
  llvm::SmallVector<unsigned> batch, rows, keys, values, channels;
  /// The rows are one loop of the source, whatever they are cut into.
  bool isOneRow = false;
  ProgramElement query, key, value;
  llvm::SmallVector<Bias, 0> biases;
  /// The element of the result.
  view::Element result;
};

/// Plans the op for `parts`, of which `attention` has all that is no operand or dim.
llvm::LogicalResult planAttention(const AttentionParts &parts, ScalarReader &reader,
                                  RecognisedAttention &attention, Refusal &why);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_ATTENTIONPLAN_H
