// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OperationSupport.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUMERGEKERNELSPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

/// Everything of a kernel beside its body and its name.
DictionaryAttr getSignature(mg::GPUFuncOp kernel) {
  NamedAttrList attributes(kernel->getAttrDictionary());
  attributes.erase(SymbolTable::getSymbolAttrName());
  return attributes.getDictionary(kernel.getContext());
}

bool areEqual(mg::GPUFuncOp a, mg::GPUFuncOp b) {
  return getSignature(a) == getSignature(b) &&
         OperationEquivalence::isRegionEquivalentTo(&a.getBody(), &b.getBody(),
                                                    OperationEquivalence::IgnoreLocations);
}

struct GPUMergeKernelsPass : impl::GPUMergeKernelsPassBase<GPUMergeKernelsPass> {
  void runOnOperation() override {
    // The full name of each kernel that goes, to that of the one that stays.
    DenseMap<Attribute, SymbolRefAttr> merged;
    SmallVector<mg::GPUFuncOp> gone;
    getOperation().walk([&](mg::GPUModuleOp module) {
      auto nameOf = [&](mg::GPUFuncOp kernel) {
        return SymbolRefAttr::get(module.getNameAttr(), {SymbolRefAttr::get(kernel.getNameAttr())});
      };
      SmallVector<mg::GPUFuncOp> kinds;
      for (mg::GPUFuncOp kernel : module.getOps<mg::GPUFuncOp>()) {
        auto same =
            llvm::find_if(kinds, [&](mg::GPUFuncOp kind) { return areEqual(kind, kernel); });
        if (same == kinds.end()) {
          kinds.push_back(kernel);
          continue;
        }
        merged[nameOf(kernel)] = nameOf(*same);
        gone.push_back(kernel);
      }
    });
    getOperation().walk([&](mg::LaunchFuncOp launch) {
      if (SymbolRefAttr kernel = merged.lookup(launch.getKernelAttr()))
        launch.setKernelAttr(kernel);
    });
    for (mg::GPUFuncOp kernel : gone)
      kernel.erase();
    numMerged += gone.size();
  }
};
} // namespace
} // namespace elfatt::gpu
