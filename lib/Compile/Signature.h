// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the functions of a bundle take and give, as its manifest says it.
#ifndef ELFATT_LIB_COMPILE_SIGNATURE_H
#define ELFATT_LIB_COMPILE_SIGNATURE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/JSON.h"

namespace elfatt::compile {

/// The functions that callers of a bundle see: public ones with a body.
llvm::SmallVector<mlir::func::FuncOp> getFunctions(mlir::ModuleOp module);

/// `value`, an index or, with `dim`, an extent of a shaped value, as an affine
/// expression over the extents of the function's arguments: a number, a dim's
/// name ("arg0_1") or [op, a, b]. Nothing where it is no such expression.
std::optional<llvm::json::Value> makeExpression(mlir::Value value,
                                                std::optional<int64_t> dim = std::nullopt);

/// The record of one function on tensors: "name", "dims", "arguments",
/// "results". The error says what a bundle cannot take or give.
llvm::Expected<llvm::json::Object> makeSignature(mlir::func::FuncOp func);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_SIGNATURE_H
