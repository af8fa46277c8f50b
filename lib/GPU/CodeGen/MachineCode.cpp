// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "MachineCode.h"

#include "elfatt/Target/Passes.h"

#include "mlir/Target/LLVM/NVVM/Utils.h"
#include "llvm/Analysis/LoopInfo.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/OptBisect.h"
#include "llvm/Support/NVPTXAddrSpace.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;

namespace elfatt::gpu {
namespace {

/// What is left of O2's passes: those that code which MLIR has lowered gains by. Without the others
/// LLVM takes half of the time, and kernels as many instructions and fewer registers.
constexpr llvm::StringLiteral kPasses =
    "function(sroa<modify-cfg>,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"
    "loop-mssa(loop-rotate<header-duplication>,licm<allowspeculation>),"
    "simplifycfg,instcombine<no-verify-fixpoint>)";

/// Has ptxas leave loops rolled that do not wait for global memory. It unrolls what is short, and
/// most of all what hardly ever runs (LePE's taps where a value is not finite). Of loads from
/// global memory several turns can be on their way at once.
struct LeaveLoopsPass : llvm::PassInfoMixin<LeaveLoopsPass> {
  static bool loadsGlobal(const llvm::BasicBlock *block) {
    return llvm::any_of(*block, [](const llvm::Instruction &instruction) {
      auto *load = llvm::dyn_cast<llvm::LoadInst>(&instruction);
      return load && llvm::is_contained({llvm::NVPTXAS::ADDRESS_SPACE_GENERIC,
                                         llvm::NVPTXAS::ADDRESS_SPACE_GLOBAL},
                                        load->getPointerAddressSpace());
    });
  }

  llvm::PreservedAnalyses run(llvm::Function &function, llvm::FunctionAnalysisManager &analyses) {
    for (llvm::Loop *loop : analyses.getResult<llvm::LoopAnalysis>(function).getLoopsInPreorder())
      if (llvm::none_of(loop->blocks(), loadsGlobal))
        loop->setLoopAlreadyUnrolled(); // becomes .pragma "nounroll"
    return llvm::PreservedAnalyses::all();
  }
};

/// Kernels of more instructions than these do without straight-line strength reduction, whose time
/// grows with their square.
constexpr unsigned kLongKernel = 5000;

/// Keeps the code generator's loop strength reduction from kernels. It counts on a pointer a turn
/// for each place that a loop touches, which takes registers through the loop; places that differ
/// by constants need one. From long kernels the same for straight lines.
class KeepPlaces : public llvm::OptPassGate {
public:
  explicit KeepPlaces(const llvm::Module &module)
      : isLong(llvm::any_of(module, [](const llvm::Function &function) {
          return function.getInstructionCount() > kLongKernel;
        })) {}

  bool isEnabled() const override { return true; }
  bool shouldRunPass(llvm::StringRef pass, llvm::StringRef) const override {
    return pass != "Loop Strength Reduction" && !(isLong && pass == "slsr");
  }

private:
  bool isLong;
};

class Serializer : public NVVM::SerializeGPUModuleBase {
public:
  Serializer(mlir::gpu::GPUModuleOp kernels, NVVM::NVVMTargetAttr target, bool isForeign)
      : SerializeGPUModuleBase(*kernels, target), isForeign(isForeign) {}

protected:
  LogicalResult optimizeModule(llvm::Module &module, int level) override {
    if (isForeign)
      return SerializeGPUModuleBase::optimizeModule(module, level);
    FailureOr<llvm::TargetMachine *> machine = getOrCreateTargetMachine();
    if (failed(machine))
      return getOperation().emitError("LLVM has no target for ") << chip;
    target::runPasses(module, **machine, kPasses, [](llvm::ModulePassManager &passes) {
      passes.addPass(llvm::createModuleToFunctionPassAdaptor(LeaveLoopsPass()));
    });
    keepPlaces.emplace(module);
    module.getContext().setOptPassGate(*keepPlaces);
    return success();
  }

  FailureOr<SmallVector<char, 0>> moduleToObject(llvm::Module &module) override {
    FailureOr<llvm::TargetMachine *> machine = getOrCreateTargetMachine();
    if (failed(machine))
      return getOperation().emitError("LLVM has no target for ") << chip;
    FailureOr<SmallString<0>> ptx =
        translateModuleToISA(module, **machine, [&] { return getOperation().emitError(); });
    if (failed(ptx))
      return failure();
    return SmallVector<char, 0>(ptx->begin(), ptx->end());
  }

private:
  bool isForeign;
  std::optional<KeepPlaces> keepPlaces;
};

} // namespace

FailureOr<std::string> makePtx(mlir::gpu::GPUModuleOp kernels, NVVM::NVVMTargetAttr target,
                               bool isForeign) {
  Serializer serializer(kernels, target, isForeign);
  serializer.init();
  std::optional<SmallVector<char, 0>> ptx = serializer.run();
  if (!ptx)
    return failure();
  return std::string(ptx->begin(), ptx->end());
}

} // namespace elfatt::gpu
