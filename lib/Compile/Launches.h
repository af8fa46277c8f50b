// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_COMPILE_LAUNCHES_H
#define ELFATT_LIB_COMPILE_LAUNCHES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/JSON.h"

namespace elfatt::compile {

/// What becomes of a function on a GPU, from the function lowered by
/// buildGPUPipeline (which is changed a little): "workspaces", "launches", and
/// "host_code" where something is left that is neither.
llvm::json::Object makeLaunches(mlir::func::FuncOp func);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_LAUNCHES_H
