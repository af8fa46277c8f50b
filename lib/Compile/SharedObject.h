// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// CPU code of a bundle: a shared object that needs a C library alone.
#ifndef ELFATT_LIB_COMPILE_SHAREDOBJECT_H
#define ELFATT_LIB_COMPILE_SHAREDOBJECT_H

#include "BindRuntime.h"

#include "elfatt/Target/Processor.h"
#include "elfatt/Tools/Tool.h"

#include "mlir/IR/BuiltinOps.h"

namespace elfatt::compile {

/// Compiles and links `module`, lowered to the LLVM dialect, for one level of
/// `triple`. Large constants go to `constants`.
llvm::Expected<std::string> makeSharedObject(Tool &tool, mlir::ModuleOp module,
                                             llvm::StringRef triple,
                                             const target::Processor &processor,
                                             ConstantFile &constants);

} // namespace elfatt::compile

#endif // ELFATT_LIB_COMPILE_SHAREDOBJECT_H
