// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Recognises a trained ELFATT: a concatenation of linear attention and of softmax
// attention in windows, each with or without LePE, over views of one tensor each
// for queries, keys and values. Pure.
#ifndef ELFATT_LIB_RAISE_RECOGNISEELFATT_H
#define ELFATT_LIB_RAISE_RECOGNISEELFATT_H

#include "ViewPlan.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <memory>

namespace elfatt::raise {

struct RecognisedElfatt {
  std::unique_ptr<ScalarReader> reader;
  attention::LinearOp linear;
  attention::SdpaOp sdpa;
  Domain domain; // batch..., h, n, d, e
  ViewPlan query, key, value;
  OutputPlan output;
  int64_t globalHeads = 0;
  bool localFirst = false;
  llvm::SmallVector<view::Size> grid;
  llvm::SmallVector<int64_t> window;
  /// Weight [3, 3, heads, E] and bias [heads, E] of LePE, as views over `taps`
  /// then heads and values.
  struct Lepe {
    std::optional<ViewPlan> weight, bias;
    Domain weightDomain, biasDomain;
  };
  Lepe globalLepe, localLepe;
};

/// Reads `concat` as ELFATT; fails, with a note for debugging in `why`, where it is
/// none.
llvm::FailureOr<RecognisedElfatt> recogniseElfatt(mlir::tensor::ConcatOp concat, std::string &why);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_RECOGNISEELFATT_H
