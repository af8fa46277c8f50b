// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/MachineCode.h"

#include "elfatt/Runtime/CodeInterface.h"
#include "elfatt/Target/Passes.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/Target/TargetMachine.h"

using namespace mlir;
using llvm::Expected;

namespace elfatt::cpu {

constexpr llvm::StringLiteral interfacePrefix = "_mlir_ciface_";

static void addEntries(llvm::Module &module) {
  llvm::IRBuilder<> b(module.getContext());
  for (llvm::Function &function : llvm::make_early_inc_range(module)) {
    llvm::StringRef name = function.getName();
    if (function.isDeclaration() || !name.consume_front(interfacePrefix))
      continue;
    auto *type = llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy()}, false);
    auto *entry = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage,
                                         ELFATT_CODE_ENTRY + name, module);
    b.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "", entry));
    llvm::SmallVector<llvm::Value *> args;
    for (llvm::Argument &arg : function.args()) {
      llvm::Value *slot = b.CreateConstGEP1_64(b.getPtrTy(), entry->getArg(0), arg.getArgNo());
      args.push_back(b.CreateLoad(arg.getType(), slot));
    }
    b.CreateCall(&function, args);
    b.CreateRetVoid();
  }
}

/// Masked accesses of 16-bit floats become such of integers: where vectors of these floats are no
/// type of the processor's, LLVM would convert each element to f32 and back.
static void accessAsIntegers(llvm::Module &module) {
  auto asIntegers = [](llvm::Type *type) -> llvm::Type * {
    return type->isVectorTy() && type->getScalarSizeInBits() == 16 && type->isFPOrFPVectorTy()
               ? type->getWithNewType(llvm::Type::getInt16Ty(type->getContext()))
               : nullptr;
  };
  for (llvm::Function &function : module)
    for (llvm::Instruction &instruction :
         llvm::make_early_inc_range(llvm::instructions(function))) {
      auto *access = llvm::dyn_cast<llvm::IntrinsicInst>(&instruction);
      if (!access)
        continue;
      llvm::IRBuilder<> b(access);
      if (access->getIntrinsicID() == llvm::Intrinsic::masked_load) {
        llvm::Type *type = asIntegers(access->getType());
        if (!type)
          continue;
        llvm::Value *rest = b.CreateBitCast(access->getArgOperand(2), type);
        llvm::Value *loaded = b.CreateMaskedLoad(type, access->getArgOperand(0),
                                                 access->getParamAlign(0).valueOrOne(),
                                                 access->getArgOperand(1), rest);
        access->replaceAllUsesWith(b.CreateBitCast(loaded, access->getType()));
        access->eraseFromParent();
      } else if (access->getIntrinsicID() == llvm::Intrinsic::masked_store) {
        llvm::Value *stored = access->getArgOperand(0);
        llvm::Type *type = asIntegers(stored->getType());
        if (!type)
          continue;
        b.CreateMaskedStore(b.CreateBitCast(stored, type), access->getArgOperand(1),
                            access->getParamAlign(1).valueOrOne(), access->getArgOperand(2));
        access->eraseFromParent();
      }
    }
}

/// The same target on every function, so that the vectorizers see the
/// registers as wide as they are.
static void setTargetAttributes(llvm::Module &module, const llvm::TargetMachine &target,
                                int64_t vectorBits) {
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.getTargetCPU());
    function.addFnAttr("target-features", target.getTargetFeatureString());
    function.addFnAttr("prefer-vector-width", std::to_string(vectorBits));
  }
}

Expected<std::unique_ptr<llvm::Module>> makeLLVMModule(ModuleOp module, llvm::LLVMContext &context,
                                                       llvm::TargetMachine &target,
                                                       int64_t vectorBits) {
  if (failed(mlir::verify(module)))
    return llvm::createStringError("the lowered module is not valid");
  std::unique_ptr<llvm::Module> code = translateModuleToLLVMIR(module, context, "elfatt");
  if (!code)
    return llvm::createStringError("translation to LLVM IR failed");
  code->setDataLayout(target.createDataLayout());
  code->setTargetTriple(target.getTargetTriple());
  addEntries(*code);
  accessAsIntegers(*code);
  setTargetAttributes(*code, target, vectorBits);
  return code;
}

/// What is left of O2's passes: those that code which MLIR has lowered gains by, each as often as
/// it does. Among those that are not here `indvars` moves what a loop does not use behind it, such
/// as the maximum of a panel of scores behind the last panel, where no product is beside it.
static constexpr llvm::StringLiteral kPasses =
    "function("
    "sroa<modify-cfg>,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"
    "loop-mssa(loop-instsimplify,loop-simplifycfg,licm<no-allowspeculation>,"
    "loop-rotate<header-duplication>,licm<allowspeculation>),"
    "simplifycfg,gvn,loop-vectorize,instcombine<no-verify-fixpoint>,"
    "loop-unroll<O2>,instcombine<no-verify-fixpoint>,"
    "loop-mssa(licm<allowspeculation>),simplifycfg)";

void optimize(llvm::Module &module, llvm::TargetMachine &machine) {
  target::runPasses(module, machine, kPasses);
}

Expected<SmallVector<std::pair<llvm::StringRef, ArrayRef<char>>>> getConstants(ModuleOp module) {
  SmallVector<std::pair<llvm::StringRef, ArrayRef<char>>> result;
  auto constants = module->getAttrOfType<DictionaryAttr>("elfatt.constants");
  if (!constants)
    return result;
  for (NamedAttribute constant : constants) {
    if (auto dense = dyn_cast<DenseElementsAttr>(constant.getValue())) {
      result.push_back({constant.getName(), dense.getRawData()});
      continue;
    }
    auto resource = dyn_cast<DenseResourceElementsAttr>(constant.getValue());
    if (!resource)
      continue;
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    size_t bytes =
        resource.getNumElements() * (resource.getElementType().getIntOrFloatBitWidth() / 8);
    if (!blob || blob->getData().size() != bytes)
      return llvm::createStringError("resource '" + resource.getRawHandle().getKey() + "' has " +
                                     llvm::Twine(blob ? blob->getData().size() : 0) +
                                     " bytes, expected " + llvm::Twine(bytes));
    result.push_back({constant.getName(), blob->getData()});
  }
  return result;
}

} // namespace elfatt::cpu
