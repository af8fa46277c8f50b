// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_ATTENTION_TALKINGHEADS_H
#define ELFATT_LIB_RAISE_ATTENTION_TALKINGHEADS_H

#include "Analysis/Contraction.h"

namespace elfatt::raise {

struct TalkingHeads {
  ContractionPair pair;
  /// The products that mix the heads.
  llvm::SmallVector<mlir::Operation *> mixtures;
};

/// Talking-heads attention that ends in `second`: a softmax between two products of
/// activations, and on either side of it a product with a weight that mixes the
/// heads at each score: a constant, or any tensor that knows heads alone. Looks at a bounded number
/// of scalars.
std::optional<TalkingHeads> findTalkingHeads(mlir::linalg::LinalgOp second);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_TALKINGHEADS_H
