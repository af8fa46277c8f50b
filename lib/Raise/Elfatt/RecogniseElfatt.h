// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recognises a trained ELFATT: linear attention and softmax attention in windows,
// each with or without LePE, joined along their heads. Pure.
#ifndef ELFATT_LIB_RAISE_ELFATT_RECOGNISEELFATT_H
#define ELFATT_LIB_RAISE_ELFATT_RECOGNISEELFATT_H

#include "ElfattOperands.h"

#include <memory>

namespace elfatt::raise {

struct RecognisedElfatt {
  std::unique_ptr<ScalarReader> reader;
  /// The attention ops that become one, in the order of the op's heads.
  llvm::SmallVector<mlir::Operation *> ops;
  mlir::Value scale;
  Domain domain; // batch..., h, n, d, e
  ElfattOperand query, key, value;
  OutputPlan output;
  int64_t globalHeads = 0;
  bool localFirst = false;
  llvm::SmallVector<view::Size> grid;
  llvm::SmallVector<int64_t> window;
  /// Weight [3.., heads, E] and bias [heads, E] of LePE, as views over `taps` then
  /// heads and values.
  struct Lepe {
    std::optional<ViewPlan> weight, bias;
    Domain weightDomain, biasDomain;
    bool rounds = false; ///< the source rounds it before it is added
  };
  Lepe globalLepe, localLepe;

  /// What the join is made of, in its order: slices of the op's result, with what
  /// else is added to each. Empty where the join is the result as it is.
  struct Part {
    int64_t offset = 0, size = 0;
    llvm::SmallVector<ViewPlan, 1> addends;
    /// The slice as a view, and the sum as an output.
    ViewPlan view;
    OutputPlan sum;
    Domain domain;
  };
  unsigned joinDim = 0;
  llvm::SmallVector<Part, 0> parts;
};

/// Why a join is no ELFATT, and the attention ops that it joins.
struct ElfattRefusal {
  JoinRefusal why;
  llvm::SmallVector<mlir::Operation *> ops;
  /// Both a global and a local branch are there: it looks like one.
  bool isLikely = false;
};

llvm::FailureOr<RecognisedElfatt> recogniseElfatt(const Join &join, ElfattRefusal &refusal);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ELFATT_RECOGNISEELFATT_H
