// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From the LLVM dialect to optimized LLVM IR and object code.
#ifndef ELFATT_CPU_MACHINECODE_H
#define ELFATT_CPU_MACHINECODE_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

#include <memory>

namespace llvm {
class LLVMContext;
class Module;
class TargetMachine;
} // namespace llvm

namespace elfatt::cpu {

/// The module as LLVM IR for `target`. Each function with a C interface (made by
/// `llvm.emit_c_interface`) gets `void elfatt_entry_NAME(void **args)`, which
/// takes one pointer for each of its parameters. The functions' attributes
/// name the target and vectors of `vectorBits`.
llvm::Expected<std::unique_ptr<llvm::Module>> makeLLVMModule(mlir::ModuleOp module,
                                                             llvm::LLVMContext &context,
                                                             llvm::TargetMachine &target,
                                                             int64_t vectorBits);

/// LLVM's optimizations for `target`.
void optimize(llvm::Module &module, llvm::TargetMachine &target);

/// The bytes of each value of `elfatt.constants`. A resource named in the text
/// without its bytes is an error.
llvm::Expected<llvm::SmallVector<std::pair<llvm::StringRef, llvm::ArrayRef<char>>>>
getConstants(mlir::ModuleOp module);

} // namespace elfatt::cpu

#endif // ELFATT_CPU_MACHINECODE_H
