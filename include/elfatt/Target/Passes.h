// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// LLVM's passes over code that MLIR has lowered.
#ifndef ELFATT_TARGET_PASSES_H
#define ELFATT_TARGET_PASSES_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/IR/PassManager.h"

namespace llvm {
class TargetMachine;
} // namespace llvm

namespace elfatt::target {

/// Runs `passes`, in the words of `opt -passes=`, on `module`, and behind them what `addMore` adds.
void runPasses(llvm::Module &module, llvm::TargetMachine &machine, llvm::StringRef passes,
               llvm::function_ref<void(llvm::ModulePassManager &)> addMore = {});

} // namespace elfatt::target

#endif // ELFATT_TARGET_PASSES_H
