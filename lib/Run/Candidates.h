// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUN_CANDIDATES_H
#define ELFATT_LIB_RUN_CANDIDATES_H

#include "elfatt/Run/Model.h"

namespace elfatt::run {

/// The tile sizes that the kernels of `module` could have on the chip of `options`, measured
/// on its simulator by one wave of blocks: those that are chosen, and others. Each is
/// compiled and run in a process of its own, `jobs` at a time, with a line of progress on
/// stderr. Prints a table, the fastest first.
///
/// Returns {"chip", "parts", "candidates": [{"tile", "kernels" as --stats has them, or
/// "refused" with the reason, ...}]}; the error says why there is none.
llvm::Expected<llvm::json::Object> listCandidates(Tool &tool, mlir::ModuleOp module,
                                                  const CompileOptions &options,
                                                  const ArrayMap &inputs, int jobs);

} // namespace elfatt::run

#endif // ELFATT_LIB_RUN_CANDIDATES_H
