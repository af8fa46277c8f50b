// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Extents as expressions over the extents of a function's arguments.
#ifndef ELFATT_LIB_COMPILE_EXTENTS_H
#define ELFATT_LIB_COMPILE_EXTENTS_H

#include "mlir/IR/Value.h"
#include "llvm/Support/JSON.h"

#include <optional>
#include <string>

namespace elfatt::compile {

/// The name of an extent of an argument.
std::string getDimName(int64_t argument, int64_t dim);

/// `value`, an index or, with `dim`, an extent of a shaped value, as an expression over
/// the extents of the function's arguments: a number, a dim's name ("arg0_1") or
/// [op, a, b]. Nothing where it is no such expression.
std::optional<llvm::json::Value> makeExpression(mlir::Value value,
                                                std::optional<int64_t> dim = std::nullopt);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_EXTENTS_H
