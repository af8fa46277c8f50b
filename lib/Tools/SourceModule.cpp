// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tools/SourceModule.h"

#include "elfatt/InitAll.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

/// What a process can address at most.
static constexpr int64_t kMostBytes = int64_t(1) << 47;

/// Whether `type` is static and larger than any memory.
static bool isBeyondMemory(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  if (!shaped || !shaped.hasStaticShape() || !shaped.getElementType().isIntOrFloat())
    return false;
  if (llvm::is_contained(shaped.getShape(), 0))
    return false;
  int64_t bytes = llvm::divideCeil(shaped.getElementTypeBitWidth(), 8);
  for (int64_t extent : shaped.getShape())
    if (llvm::MulOverflow(bytes, extent, bytes) || bytes > kMostBytes)
      return true;
  return false;
}

static LogicalResult checkSizes(ModuleOp module) {
  auto fits = [](Value value) {
    if (!isBeyondMemory(value.getType()))
      return true;
    emitError(value.getLoc()) << "no memory holds " << value.getType();
    return false;
  };
  WalkResult found = module.walk([&](Operation *op) {
    bool allFit = llvm::all_of(op->getResults(), fits);
    for (Region &region : op->getRegions())
      for (Block &block : region)
        allFit = allFit && llvm::all_of(block.getArguments(), fits);
    return allFit ? WalkResult::advance() : WalkResult::interrupt();
  });
  return failure(found.wasInterrupted());
}

/// Refuses `function` where calls lead from it to one of `callers`. `done` are known to
/// end.
static LogicalResult checkCalls(FunctionOpInterface function, SymbolTableCollection &symbols,
                                llvm::SetVector<Operation *> &callers,
                                llvm::DenseSet<Operation *> &done) {
  if (done.contains(function))
    return success();
  callers.insert(function);
  WalkResult found = function.walk([&](CallOpInterface call) {
    auto callee = dyn_cast_or_null<FunctionOpInterface>(call.resolveCallableInTable(&symbols));
    if (!callee)
      return WalkResult::advance();
    if (callers.contains(callee)) {
      call.emitError() << "@" << callee.getName() << " calls itself: recursion is not supported";
      return WalkResult::interrupt();
    }
    return failed(checkCalls(callee, symbols, callers, done)) ? WalkResult::interrupt()
                                                              : WalkResult::advance();
  });
  callers.pop_back();
  done.insert(function);
  return failure(found.wasInterrupted());
}

static LogicalResult checkCalls(ModuleOp module) {
  SymbolTableCollection symbols;
  llvm::SetVector<Operation *> callers;
  llvm::DenseSet<Operation *> done;
  WalkResult found = module.walk([&](FunctionOpInterface function) {
    return failed(checkCalls(function, symbols, callers, done)) ? WalkResult::interrupt()
                                                                : WalkResult::advance();
  });
  return failure(found.wasInterrupted());
}

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
  return module && succeeded(checkSizes(*module)) && succeeded(checkCalls(*module));
}
