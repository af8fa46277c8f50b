// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "CheckInstructions.h"
#include "elfatt/Target/Ptxas.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/SymbolTable.h"

#include <map>

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUFITREGISTERSPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

/// How a kernel's registers are limited; nothing where they are not.
struct Limits {
  Attribute registers, blocks;

  static Limits of(LLVM::LLVMFuncOp kernel) {
    return {kernel->getAttr(NVVM::NVVMDialect::getMaxnregAttrName()),
            kernel->getAttr(NVVM::NVVMDialect::getMinctasmAttrName())};
  }
  void set(LLVM::LLVMFuncOp kernel) const {
    auto setOne = [&](StringRef name, Attribute value) {
      if (value)
        kernel->setAttr(name, value);
      else
        kernel->removeAttr(name);
    };
    setOne(NVVM::NVVMDialect::getMaxnregAttrName(), registers);
    setOne(NVVM::NVVMDialect::getMinctasmAttrName(), blocks);
  }
};

/// The limits of one block less, or nothing where there are no more registers.
std::optional<Limits> relax(LLVM::LLVMFuncOp kernel, const target::Chip &chip) {
  auto threads = kernel->getAttrOfType<DenseI32ArrayAttr>(NVVM::NVVMDialect::getMaxntidAttrName());
  const Limits limits = Limits::of(kernel);
  if (!threads || limits.blocks)
    return std::nullopt;
  Builder b(kernel.getContext());
  const Limits all{{}, b.getI32IntegerAttr(1)};
  auto registers = dyn_cast_or_null<IntegerAttr>(limits.registers);
  if (!registers)
    return all;
  const int64_t more = target::getRegistersOfFewerBlocks(
      chip, llvm::product_of(threads.asArrayRef()), registers.getInt());
  if (more <= registers.getInt())
    return std::nullopt;
  return more == target::kRegistersPerThread ? all : Limits{b.getI32IntegerAttr(more), {}};
}

struct GPUFitRegistersPass : impl::GPUFitRegistersPassBase<GPUFitRegistersPass> {
  using GPUFitRegistersPassBase::GPUFitRegistersPassBase;

  void runOnOperation() override {
    SmallVector<mg::GPUModuleOp> all(getOperation().getOps<mg::GPUModuleOp>());
    for (mg::GPUModuleOp kernels : all) {
      if (failed(checkInstructions(kernels)))
        return signalPassFailure();
      fit(kernels);
    }
  }

  void fit(mg::GPUModuleOp kernels) {
    std::map<std::string, int64_t> spills = countSpills(kernels);
    while (true) {
      std::map<std::string, Limits> tried;
      for (auto kernel : kernels.getOps<LLVM::LLVMFuncOp>()) {
        auto found = spills.find(kernel.getName().str());
        if (found == spills.end() || found->second == 0)
          continue;
        std::optional<Limits> next = relax(kernel, *chip);
        if (!next)
          continue;
        tried[found->first] = Limits::of(kernel);
        next->set(kernel);
      }
      if (tried.empty())
        return;
      std::map<std::string, int64_t> after = countSpills(kernels);
      for (const auto &[name, limits] : tried) {
        auto kernel = cast<LLVM::LLVMFuncOp>(SymbolTable::lookupSymbolIn(kernels, name));
        if (after.count(name) && after[name] < spills[name]) {
          spills[name] = after[name];
          ++numRelaxed;
          continue;
        }
        limits.set(kernel);
        spills[name] = 0;
      }
    }
  }

  /// What each kernel spills, in bytes; nothing where that is not known. Errors are told by the
  /// serialization.
  std::map<std::string, int64_t> countSpills(mg::GPUModuleOp kernels) {
    std::map<std::string, int64_t> spills;
    auto attr = cast<NVVM::NVVMTargetAttr>(kernels.getTargetsAttr()[0]);
    chip = llvm::cantFail(target::findChip(attr.getChip().rtrim("af")));
    auto toolkit =
        target::findToolkit(*chip, cudaPath, target::parsePtxFeature(attr.getFeatures()));
    if (!toolkit) {
      llvm::consumeError(toolkit.takeError());
      return spills;
    }
    // Places in the source would be debug information, with which ptxas spills more.
    OwningOpRef<ModuleOp> copy = ModuleOp::create(UnknownLoc::get(&getContext()));
    copy->push_back(kernels->clone());
    copy->walk([&](Operation *op) { op->setLoc(UnknownLoc::get(&getContext())); });
    ScopedDiagnosticHandler quiet(&getContext(), [](Diagnostic &) { return success(); });
    mg::TargetOptions options({}, {}, {}, {}, mg::CompilationTarget::Assembly);
    if (failed(mg::transformGpuModulesToBinaries(*copy, nullptr, options)))
      return spills;
    copy->walk([&](mg::BinaryOp binary) {
      auto object = cast<mg::ObjectAttr>(binary.getObjects()[0]);
      StringRef ptx = object.getObject().getValue().rtrim('\0');
      auto usage = target::assemble(*toolkit, *chip, ptx, /*cubin=*/nullptr);
      if (!usage)
        return llvm::consumeError(usage.takeError());
      for (const target::KernelUsage &kernel : *usage)
        spills[kernel.name] = kernel.spillStoreBytes + kernel.spillLoadBytes;
    });
    return spills;
  }

  const target::Chip *chip = nullptr;
};
} // namespace
} // namespace elfatt::gpu
