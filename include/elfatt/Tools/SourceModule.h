// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The module that a tool was given, and what must live as long as it does.
#ifndef ELFATT_TOOLS_SOURCEMODULE_H
#define ELFATT_TOOLS_SOURCEMODULE_H

#include "elfatt/Tools/Tool.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/SourceMgr.h"

namespace elfatt {

struct SourceModule {
  /// Reads and parses `file` with all dialects known, and refuses what no machine can run:
  /// functions that call themselves, tensors that no memory holds. Diagnostics show the
  /// line that they are about. False, with the errors printed, when that fails.
  bool parse(Tool &tool, llvm::StringRef file);

  // In this order: the module goes first, the context last.
  std::unique_ptr<mlir::MLIRContext> context;
  std::shared_ptr<llvm::SourceMgr> sources;
  std::unique_ptr<mlir::SourceMgrDiagnosticHandler> handler;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

} // namespace elfatt

#endif // ELFATT_TOOLS_SOURCEMODULE_H
