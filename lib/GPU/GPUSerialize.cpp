// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "elfatt/Target/Ptxas.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUSERIALIZEPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

/// What ptxas says, as the object's properties: kernel -> {registers, ...}.
DictionaryAttr toProperties(Builder &b, ArrayRef<target::KernelUsage> usage) {
  SmallVector<NamedAttribute> kernels;
  for (const target::KernelUsage &kernel : usage)
    kernels.push_back(b.getNamedAttr(
        kernel.name,
        b.getDictionaryAttr(
            {b.getNamedAttr("registers", b.getI64IntegerAttr(kernel.registers)),
             b.getNamedAttr("shared_bytes", b.getI64IntegerAttr(kernel.sharedBytes)),
             b.getNamedAttr("spill_bytes", b.getI64IntegerAttr(kernel.spillStoreBytes +
                                                               kernel.spillLoadBytes))})));
  return b.getDictionaryAttr(kernels);
}

struct GPUSerializePass : impl::GPUSerializePassBase<GPUSerializePass> {
  using GPUSerializePassBase::GPUSerializePassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (!llvm::is_contained({"ptx", "cubin", "fatbin", "llvm"}, format)) {
      emitError(module.getLoc()) << "unknown format '" << format
                                 << "', expected ptx, cubin, fatbin or llvm";
      return signalPassFailure();
    }
    mg::TargetOptions options(/*toolkitPath=*/{}, /*librariesToLink=*/{}, /*cmdOptions=*/{},
                              /*elfSection=*/{},
                              format == "llvm" ? mg::CompilationTarget::Offload
                                               : mg::CompilationTarget::Assembly);
    if (failed(mg::transformGpuModulesToBinaries(module, nullptr, options)))
      return signalPassFailure();
    if (format == "ptx" || format == "llvm")
      return;
    WalkResult result = module.walk([&](mg::BinaryOp binary) {
      llvm::Error error = assembleObjects(binary);
      if (!error)
        return WalkResult::advance();
      emitError(binary.getLoc()) << llvm::toString(std::move(error));
      return WalkResult::interrupt();
    });
    if (result.wasInterrupted())
      signalPassFailure();
  }

  llvm::Error assembleObjects(mg::BinaryOp binary) {
    Builder b(binary.getContext());
    SmallVector<Attribute> objects;
    for (Attribute attr : binary.getObjects()) {
      auto object = cast<mg::ObjectAttr>(attr);
      auto target = cast<NVVM::NVVMTargetAttr>(object.getTarget());
      llvm::Expected<const target::Chip *> chip = target::findChip(target.getChip());
      if (!chip)
        return chip.takeError();
      llvm::Expected<target::Toolkit> toolkit = target::findToolkit(**chip, cudaPath);
      if (!toolkit)
        return toolkit.takeError();
      StringRef ptx = object.getObject().getValue();
      std::string code;
      auto usage = target::assemble(*toolkit, **chip, ptx.rtrim('\0'), &code);
      if (!usage)
        return usage.takeError();
      auto kind = mg::CompilationTarget::Binary;
      if (format == "fatbin") {
        llvm::Expected<std::string> fatbin =
            target::makeFatbin(*toolkit, **chip, ptx.rtrim('\0'), code);
        if (!fatbin)
          return fatbin.takeError();
        code = std::move(*fatbin);
        kind = mg::CompilationTarget::Fatbin;
      }
      objects.push_back(mg::ObjectAttr::get(b.getContext(), target, kind, b.getStringAttr(code),
                                            toProperties(b, *usage), object.getKernels()));
    }
    binary.setObjectsAttr(b.getArrayAttr(objects));
    return llvm::Error::success();
  }
};
} // namespace
} // namespace elfatt::gpu
