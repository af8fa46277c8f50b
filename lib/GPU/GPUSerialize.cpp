// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "CodeGen/CheckInstructions.h"
#include "CodeGen/KernelText.h"
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
    SmallVector<mg::GPUModuleOp> all;
    WalkResult checked = module.walk([&](mg::GPUModuleOp kernels) {
      all.push_back(kernels);
      return failed(checkInstructions(kernels)) ? WalkResult::interrupt() : WalkResult::skip();
    });
    if (checked.wasInterrupted() || failed(format == "llvm" ? makeBitcode(all) : makeObjects(all)))
      signalPassFailure();
  }

  LogicalResult makeObjects(ArrayRef<mg::GPUModuleOp> all) {
    const TextOptions options{cudaPath, /*assemble=*/format != "ptx", fitRegisters,
                              /*dropLocations=*/false};
    for (mg::GPUModuleOp kernels : all) {
      FailureOr<KernelText> text = makeText(kernels, options, counts);
      if (failed(text))
        return failure();
      mg::BinaryOp binary = text->binary.release();
      kernels->getBlock()->getOperations().insertAfter(kernels->getIterator(), binary);
      kernels.erase();
      if (format == "ptx")
        continue;
      if (llvm::Error error = addCode(binary, text->assemblies))
        return emitError(binary.getLoc()) << llvm::toString(std::move(error));
    }
    numRelaxed += counts.relaxed;
    numTightened += counts.tightened;
    return success();
  }

  /// Machine code in place of PTX, or both.
  llvm::Error addCode(mg::BinaryOp binary, ArrayRef<Assembly> assemblies) {
    Builder b(binary.getContext());
    SmallVector<Attribute> objects;
    for (auto [attr, assembly] : llvm::zip_equal(binary.getObjects(), assemblies)) {
      if (!assembly.error.empty())
        return llvm::createStringError(assembly.error);
      auto object = cast<mg::ObjectAttr>(attr);
      std::string code = assembly.cubin;
      auto kind = mg::CompilationTarget::Binary;
      if (format == "fatbin") {
        auto target = cast<NVVM::NVVMTargetAttr>(object.getTarget());
        auto chip = target::findChip(target.getChip());
        if (!chip)
          return chip.takeError();
        auto toolkit =
            target::findToolkit(**chip, cudaPath, target::parsePtxFeature(target.getFeatures()));
        if (!toolkit)
          return toolkit.takeError();
        StringRef ptx = object.getObject().getValue().rtrim('\0');
        llvm::Expected<std::string> fatbin = target::makeFatbin(*toolkit, **chip, ptx, code);
        if (!fatbin)
          return fatbin.takeError();
        code = std::move(*fatbin);
        kind = mg::CompilationTarget::Fatbin;
      }
      objects.push_back(mg::ObjectAttr::get(b.getContext(), object.getTarget(), kind,
                                            b.getStringAttr(code), toProperties(b, assembly.usage),
                                            object.getKernels()));
    }
    binary.setObjectsAttr(b.getArrayAttr(objects));
    return llvm::Error::success();
  }

  LogicalResult makeBitcode(ArrayRef<mg::GPUModuleOp> all) {
    mg::TargetOptions options({}, {}, {}, {}, mg::CompilationTarget::Offload);
    DictionaryAttr usage;
    if (countRegisters)
      usage = collectUsage(all);
    if (failed(mg::transformGpuModulesToBinaries(getOperation(), nullptr, options)))
      return failure();
    if (usage)
      getOperation().walk([&](mg::BinaryOp binary) { addProperties(binary, usage); });
    return success();
  }

  /// What ptxas says of all kernels. Bitcode is of use without it: where it is missing, or
  /// refuses a kernel, a warning says so.
  DictionaryAttr collectUsage(ArrayRef<mg::GPUModuleOp> all) {
    const TextOptions options{cudaPath, /*assemble=*/true, fitRegisters, /*dropLocations=*/true};
    Builder b(&getContext());
    NamedAttrList usage;
    for (mg::GPUModuleOp kernels : all) {
      FailureOr<KernelText> text = makeText(kernels, options, counts);
      if (failed(text))
        return nullptr;
      for (const Assembly &assembly : text->assemblies) {
        if (!assembly.error.empty())
          mlir::emitWarning(kernels.getLoc()) << "registers are not known: " << assembly.error;
        usage.append(toProperties(b, assembly.usage).getValue());
      }
    }
    numRelaxed += counts.relaxed;
    numTightened += counts.tightened;
    return usage.getDictionary(&getContext());
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

  FitCounts counts;
};
} // namespace
} // namespace elfatt::gpu
