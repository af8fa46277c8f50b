// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/SplitModule.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;

namespace elfatt::cpu {

static bool isLocal(LLVM::Linkage linkage) {
  return linkage == LLVM::Linkage::Internal || linkage == LLVM::Linkage::Private;
}

/// Whether each part may have its own: constants that only their module knows, and what is
/// declared.
static bool isCopied(Operation &op) {
  if (auto function = dyn_cast<LLVM::LLVMFuncOp>(op))
    return function.isExternal();
  auto global = dyn_cast<LLVM::GlobalOp>(op);
  if (!global || !global.getInitializerRegion().empty())
    return false;
  bool isDeclared = !global.getValueAttr();
  return isDeclared || (global.getConstant() && isLocal(global.getLinkage()));
}

/// Functions in parts of about the same number of ops.
static SmallVector<SmallVector<LLVM::LLVMFuncOp>> share(ArrayRef<LLVM::LLVMFuncOp> functions,
                                                        size_t count) {
  struct Function {
    size_t place, ops;
  };
  SmallVector<Function> largestFirst;
  for (auto [place, function] : llvm::enumerate(functions)) {
    size_t ops = 0;
    function->walk([&](Operation *) { ++ops; });
    largestFirst.push_back({place, ops});
  }
  llvm::sort(largestFirst, [](Function a, Function b) {
    return std::pair(b.ops, a.place) < std::pair(a.ops, b.place);
  });
  SmallVector<size_t> partOf(functions.size()), total(count);
  for (Function function : largestFirst) {
    size_t part = llvm::min_element(total) - total.begin();
    partOf[function.place] = part;
    total[part] += function.ops;
  }
  SmallVector<SmallVector<LLVM::LLVMFuncOp>> parts(count);
  for (auto [function, part] : llvm::zip_equal(functions, partOf))
    parts[part].push_back(function);
  return parts;
}

SmallVector<OwningOpRef<ModuleOp>> splitModule(ModuleOp module, size_t count) {
  SmallVector<LLVM::LLVMFuncOp> functions;
  SmallVector<Operation *> copied;
  bool canSplit = true;
  for (Operation &op : *module.getBody())
    if (isCopied(op))
      copied.push_back(&op);
    else if (auto function = dyn_cast<LLVM::LLVMFuncOp>(op))
      functions.push_back(function);
    else
      canSplit = false;
  count = canSplit ? std::min(count, functions.size()) : 0;
  SmallVector<OwningOpRef<ModuleOp>> result;
  if (count <= 1) {
    result.push_back(ModuleOp::create(module.getLoc()));
    result.back()->getOperation()->setAttrs(module->getAttrDictionary());
    result.back()->getBodyRegion().takeBody(module.getBodyRegion());
    module.getBodyRegion().emplaceBlock();
    return result;
  }
  const SmallVector<SmallVector<LLVM::LLVMFuncOp>> parts = share(functions, count);
  SmallVector<llvm::DenseSet<StringAttr>> used(count);
  for (auto [names, part] : llvm::zip_equal(used, parts))
    for (LLVM::LLVMFuncOp function : part) {
      std::optional<SymbolTable::UseRange> uses = SymbolTable::getSymbolUses(&function.getBody());
      for (SymbolTable::SymbolUse use : *uses)
        names.insert(use.getSymbolRef().getRootReference());
    }
  for (auto [names, part] : llvm::zip_equal(used, parts)) {
    result.push_back(ModuleOp::create(module.getLoc()));
    result.back()->getOperation()->setAttrs(module->getAttrDictionary());
    auto b = OpBuilder::atBlockEnd(result.back()->getBody());
    for (Operation *op : copied)
      if (names.contains(SymbolTable::getSymbolName(op)))
        b.clone(*op);
    for (LLVM::LLVMFuncOp function : functions) {
      if (isLocal(function.getLinkage()))
        function.setLinkage(LLVM::Linkage::External);
      if (!llvm::is_contained(part, function) && names.contains(function.getSymNameAttr()))
        b.insert(function->cloneWithoutRegions());
    }
  }
  for (auto [target, part] : llvm::zip_equal(result, parts))
    for (LLVM::LLVMFuncOp function : part)
      function->moveBefore(target->getBody(), target->getBody()->end());
  return result;
}

} // namespace elfatt::cpu
