// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_DIALECT_ATTENTION_IR_VIEWVERIFIER_H
#define ELFATT_LIB_DIALECT_ATTENTION_IR_VIEWVERIFIER_H

#include "elfatt/Dialect/Attention/IR/Attention.h"

namespace elfatt::attention {

/// Whether attention may be stored in `type`: f16, bf16, f32 or f64.
bool isElementType(mlir::Type type);

/// Constraints view_c1 to view_c10 of docs/Semantics.md, which every op has.
llvm::LogicalResult verifyViews(ViewOpInterface op);

/// Constraint view_c11: 1/sqrt(extent of d) needs an extent.
llvm::LogicalResult verifyDefaultScale(ViewOpInterface op, mlir::Value scale, unsigned channels);

} // namespace elfatt::attention

#endif // ELFATT_LIB_DIALECT_ATTENTION_IR_VIEWVERIFIER_H
