// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tools/SourceModule.h"

#include "elfatt/InitAll.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;

bool elfatt::SourceModule::parse(Tool &tool, llvm::StringRef file) {
  DialectRegistry registry;
  registerUpstreamDialects(registry);
  registerAllDialects(registry);
  context = std::make_unique<MLIRContext>(registry);
  context->loadAllAvailableDialects();
  auto text = tool.readInput(file);
  if (!text)
    return false;
  sources = std::make_shared<llvm::SourceMgr>();
  sources->AddNewSourceBuffer(std::move(text), SMLoc());
  handler = std::make_unique<SourceMgrDiagnosticHandler>(*sources, context.get());
  module = parseSourceFile<ModuleOp>(sources, context.get());
  return static_cast<bool>(module);
}
