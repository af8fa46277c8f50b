// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CheckInstructions.h"

#include "elfatt/Target/Chip.h"
#include "elfatt/Target/Instructions.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Target/LLVMIR/ModuleTranslation.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"

using namespace mlir;
using namespace elfatt;
namespace mg = mlir::gpu;

/// The chip and the PTX version of a target attribute: a pair that LLVM takes.
static llvm::Expected<std::pair<const target::Chip *, target::PtxVersion>>
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

LogicalResult elfatt::gpu::checkInstructions(mg::GPUModuleOp kernels) {
  if (!kernels.getTargetsAttr())
    return emitError(kernels.getLoc()) << "expected a gpu.module with a target, such as "
                                          "#nvvm.target<chip = \"sm_80\", features = \"+ptx70\">";
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
