// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "CheckInstructions.h"
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

/// Upstream looks for libdevice in the Toolkit that the environment names (CUDA_HOME), goes
/// on without it, but calls it an error. Kernels that call it are told by ptxas.
class WithoutLibdevice : public ScopedDiagnosticHandler {
public:
  explicit WithoutLibdevice(MLIRContext *context)
      : ScopedDiagnosticHandler(context, [](Diagnostic &diagnostic) {
          std::string text = diagnostic.str();
          return success(StringRef(text).starts_with("CUDA path: ") ||
                         StringRef(text).starts_with("LibDevice path: "));
        }) {}
};

struct GPUSerializePass : impl::GPUSerializePassBase<GPUSerializePass> {
  using GPUSerializePassBase::GPUSerializePassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    WithoutLibdevice quiet(&getContext());
    if (!llvm::is_contained({"ptx", "cubin", "fatbin", "llvm"}, format)) {
      emitError(module.getLoc()) << "unknown format '" << format
                                 << "', expected ptx, cubin, fatbin or llvm";
      return signalPassFailure();
    }
    WalkResult checked = module.walk([&](mg::GPUModuleOp kernels) {
      return failed(checkInstructions(kernels)) ? WalkResult::interrupt() : WalkResult::skip();
    });
    if (checked.wasInterrupted())
      return signalPassFailure();
    mg::TargetOptions options(/*toolkitPath=*/{}, /*librariesToLink=*/{}, /*cmdOptions=*/{},
                              /*elfSection=*/{},
                              format == "llvm" ? mg::CompilationTarget::Offload
                                               : mg::CompilationTarget::Assembly);
    DictionaryAttr usage;
    if (format == "llvm" && countRegisters)
      usage = collectUsage(module);
    if (failed(mg::transformGpuModulesToBinaries(module, nullptr, options)))
      return signalPassFailure();
    if (usage)
      module.walk([&](mg::BinaryOp binary) { addProperties(binary, usage); });
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

  /// What ptxas says of all kernels. Bitcode is of use without it: where it is missing, or
  /// refuses a kernel, a warning says so.
  DictionaryAttr collectUsage(ModuleOp module) {
    Builder b(module.getContext());
    OwningOpRef<ModuleOp> copy = module.clone();
    // The simulator's places in the source would be debug information, with which ptxas
    // spills more and may crash: a kernel that is shipped has none.
    copy->walk([&](Operation *op) { op->setLoc(b.getUnknownLoc()); });
    mg::TargetOptions options({}, {}, {}, {}, mg::CompilationTarget::Assembly);
    if (failed(mg::transformGpuModulesToBinaries(*copy, nullptr, options)))
      return nullptr;
    NamedAttrList all;
    copy->walk([&](mg::BinaryOp binary) {
      auto object = cast<mg::ObjectAttr>(binary.getObjects()[0]);
      auto target = cast<NVVM::NVVMTargetAttr>(object.getTarget());
      const target::Chip *chip = llvm::cantFail(target::findChip(target.getChip()));
      llvm::Expected<target::Toolkit> toolkit =
          target::findToolkit(*chip, cudaPath, target::parsePtxFeature(target.getFeatures()));
      llvm::Error error = toolkit.takeError();
      if (!error) {
        StringRef ptx = object.getObject().getValue().rtrim('\0');
        auto usage = target::assemble(*toolkit, *chip, ptx, /*cubin=*/nullptr);
        if (usage)
          return all.append(toProperties(b, *usage).getValue());
        error = usage.takeError();
      }
      mlir::emitWarning(binary.getLoc())
          << "registers are not known: " << llvm::toString(std::move(error));
    });
    return all.getDictionary(module.getContext());
  }

  void addProperties(mg::BinaryOp binary, DictionaryAttr usage) {
    Builder b(binary.getContext());
    SmallVector<Attribute> objects;
    for (Attribute attr : binary.getObjects()) {
      auto object = cast<mg::ObjectAttr>(attr);
      objects.push_back(mg::ObjectAttr::get(b.getContext(), object.getTarget(), object.getFormat(),
                                            object.getObject(), usage, object.getKernels()));
    }
    binary.setObjectsAttr(b.getArrayAttr(objects));
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
      llvm::Expected<target::Toolkit> toolkit =
          target::findToolkit(**chip, cudaPath, target::parsePtxFeature(target.getFeatures()));
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
