// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "elfatt/Target/Instructions.h"
#include "elfatt/Target/Ptxas.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Target/LLVMIR/ModuleTranslation.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"

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

/// The chip and the PTX version of a target attribute: a pair that LLVM takes.
llvm::Expected<std::pair<const target::Chip *, target::PtxVersion>>
checkTarget(NVVM::NVVMTargetAttr attr) {
  // Variants with features of one chip only (sm_90a) have its limits.
  llvm::Expected<const target::Chip *> chip = target::findChip(attr.getChip().rtrim("af"));
  if (!chip)
    return chip.takeError();
  std::optional<target::PtxVersion> ptx = target::parsePtxFeature(attr.getFeatures());
  if (!ptx)
    return llvm::createStringError("expected features with a PTX version, such as '" +
                                   (*chip)->minPtx.feature() + "', got '" + attr.getFeatures() +
                                   "'");
  if (llvm::Error error = target::checkPtxVersion(**chip, *ptx))
    return std::move(error);
  return std::pair(*chip, *ptx);
}

/// LLVM ends the process on an instruction that the chip lacks: look before.
LogicalResult checkInstructions(mg::GPUModuleOp kernels) {
  SmallVector<std::pair<const target::Chip *, target::PtxVersion>> targets;
  for (Attribute attr : kernels.getTargetsAttr()) {
    auto nvvm = dyn_cast<NVVM::NVVMTargetAttr>(attr);
    if (!nvvm)
      return emitError(kernels.getLoc()) << "expected #nvvm.target, got " << attr;
    auto checked = checkTarget(nvvm);
    if (!checked)
      return emitError(kernels.getLoc()) << llvm::toString(checked.takeError());
    targets.push_back(*checked);
  }
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module = translateModuleToLLVMIR(kernels, context);
  if (!module)
    return failure();
  for (llvm::Function &function : *module)
    for (llvm::Instruction &instruction : llvm::instructions(function)) {
      auto *call = dyn_cast<llvm::CallInst>(&instruction);
      llvm::Function *callee = call ? call->getCalledFunction() : nullptr;
      auto *assembly = call ? dyn_cast<llvm::InlineAsm>(call->getCalledOperand()) : nullptr;
      for (auto [chip, ptx] : targets)
        if (llvm::Error error =
                assembly ? target::checkAssembly(*chip, ptx, assembly->getAsmString())
                         : target::checkIntrinsic(*chip, ptx, callee ? callee->getName() : "")) {
          Operation *kernel = SymbolTable::lookupSymbolIn(kernels, function.getName());
          return emitError((kernel ? kernel : kernels)->getLoc())
                 << "kernel '" << function.getName().str()
                 << "': " << llvm::toString(std::move(error));
        }
    }
  return success();
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
      if (!kernels.getTargetsAttr()) {
        emitError(kernels.getLoc()) << "expected a gpu.module with a target, such as "
                                       "#nvvm.target<chip = \"sm_80\", features = \"+ptx70\">";
        return WalkResult::interrupt();
      }
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
