// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where a stage ends in a pipeline. Tools stop there, or write the IR to a file.
#ifndef ELFATT_PIPELINES_STAGES_H
#define ELFATT_PIPELINES_STAGES_H

#include "llvm/ADT/StringRef.h"

namespace mlir {
class OpPassManager;
class Pass;
} // namespace mlir

namespace elfatt {

/// Adds the mark `elfatt-end-stage{stage=NAME}` to `pm`: every pass before it,
/// back to the last mark, belongs to stage `name`. It changes nothing in the IR.
void endStage(mlir::OpPassManager &pm, llvm::StringRef name);

/// The stage that `pass` is, or marks the end of; empty for all others.
llvm::StringRef getEndedStage(const mlir::Pass &pass);

/// Registers `elfatt-end-stage`, so that a printed pipeline can be parsed.
void registerStagePasses();

} // namespace elfatt

#endif // ELFATT_PIPELINES_STAGES_H
