// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RAISE_ATTENTION_TALKINGHEADS_H
#define ELFATT_LIB_RAISE_ATTENTION_TALKINGHEADS_H

#include "Analysis/Contraction.h"

namespace elfatt::raise {

/// Talking-heads attention that ends in `second`: a softmax between two products of
/// activations, and on either side of it a product with a weight that mixes the
/// heads at each score. Looks at a bounded number of scalars.
std::optional<ContractionPair> findTalkingHeads(mlir::linalg::LinalgOp second);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_TALKINGHEADS_H
