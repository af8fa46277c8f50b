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

/// The record of one function on tensors: "name", "dims", "arguments",
/// "results". What a bundle cannot take or give is an error at its place.
llvm::FailureOr<llvm::json::Object> makeSignature(mlir::func::FuncOp func);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_SIGNATURE_H
