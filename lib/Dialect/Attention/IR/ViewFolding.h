// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_DIALECT_ATTENTION_IR_VIEWFOLDING_H
#define ELFATT_LIB_DIALECT_ATTENTION_IR_VIEWFOLDING_H

#include "elfatt/Dialect/Attention/IR/Attention.h"

namespace elfatt::attention {

/// A tensor seen through a map.
struct View {
  mlir::Value source;
  mlir::AffineMap map;
};

/// `view` with one step of data movement or exact extension less: the op that
/// defines its source is folded into the map. Every dim that the map has, it
/// keeps. Fails where there is no such op.
llvm::FailureOr<View> foldProducer(View view);

/// The op of the body of an elementwise linalg.generic of one tensor input that
/// computes nothing else, and the yielded value of which it is; null otherwise.
mlir::Operation *getOnlyElementwiseOp(mlir::linalg::GenericOp op);

} // namespace elfatt::attention

#endif // ELFATT_LIB_DIALECT_ATTENTION_IR_VIEWFOLDING_H
