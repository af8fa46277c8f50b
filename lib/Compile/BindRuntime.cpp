// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BindRuntime.h"

#include "elfatt/Runtime/CodeInterface.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"
#include "llvm/IR/ReplaceConstant.h"
#include "llvm/Support/SHA256.h"

using namespace llvm;

namespace elfatt::compile {

int64_t ConstantFile::add(ArrayRef<char> bytes) {
  std::array<uint8_t, 32> hash =
      SHA256::hash({reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()});
  StringRef key(reinterpret_cast<const char *>(hash.data()), hash.size());
  auto [it, isNew] = places.try_emplace(key, 0);
  if (isNew) {
    contents.resize(alignTo(contents.size(), ELFATT_CONSTANT_ALIGNMENT));
    it->second = contents.size();
    contents.append(bytes.data(), bytes.size());
  }
  return it->second;
}

namespace {

/// Fields of elfatt_code_interface.
enum Field : unsigned { Version, Constants, ParallelFor, Sgemm, Fail, Alloc, Free, NumFields };
static_assert(sizeof(elfatt_code_interface) == NumFields * 8);

struct Service {
  StringLiteral name;
  Field field;
};
constexpr Service kServices[] = {{"elfatt_parallel_for", ParallelFor},
                                 {"elfatt_sgemm", Sgemm},
                                 {"elfatt_fail", Fail},
                                 {"_mlir_memref_to_llvm_aligned_alloc", Alloc},
                                 {"_mlir_memref_to_llvm_free", Free}};

GlobalVariable *addInterface(Module &module) {
  LLVMContext &context = module.getContext();
  SmallVector<Type *> types(NumFields, PointerType::get(context, 0));
  types[Version] = Type::getInt64Ty(context);
  SmallVector<Constant *> values;
  for (Type *type : types)
    values.push_back(Constant::getNullValue(type));
  values[Version] = ConstantInt::get(types[Version], ELFATT_CODE_INTERFACE_VERSION);
  auto *type = StructType::get(context, types);
  return new GlobalVariable(module, type, /*isConstant=*/false, GlobalValue::ExternalLinkage,
                            ConstantStruct::get(type, values), ELFATT_CODE_INTERFACE);
}

/// The runtime writes the interface before any of the code runs.
Value *loadField(IRBuilder<> &b, GlobalVariable *interface, Field field) {
  Value *slot = b.CreateStructGEP(interface->getValueType(), interface, field);
  LoadInst *load = b.CreateLoad(b.getPtrTy(), slot);
  load->setMetadata(LLVMContext::MD_invariant_load, MDNode::get(b.getContext(), {}));
  return load;
}

void forward(Function &function, GlobalVariable *interface, Field field) {
  IRBuilder<> b(BasicBlock::Create(function.getContext(), "", &function));
  SmallVector<Value *> args;
  for (Argument &arg : function.args())
    args.push_back(&arg);
  CallInst *call = b.CreateCall(function.getFunctionType(), loadField(b, interface, field), args);
  call->setTailCall();
  if (function.getReturnType()->isVoidTy())
    b.CreateRetVoid();
  else
    b.CreateRet(call);
}

void bindConstant(GlobalVariable *constant, int64_t place, GlobalVariable *interface) {
  convertUsersOfConstantsToInstructions(constant);
  MapVector<Function *, SmallVector<Use *>> uses;
  for (Use &use : constant->uses())
    uses[cast<Instruction>(use.getUser())->getFunction()].push_back(&use);
  for (auto &[function, places] : uses) {
    IRBuilder<> b(&*function->getEntryBlock().getFirstInsertionPt());
    Value *address =
        b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), loadField(b, interface, Constants), place);
    for (Use *use : places)
      use->set(address);
  }
  constant->eraseFromParent();
}

} // namespace

void bindRuntime(Module &module, ArrayRef<std::pair<StringRef, ArrayRef<char>>> values,
                 ConstantFile &constants) {
  GlobalVariable *interface = addInterface(module);
  for (const Service &service : kServices)
    if (Function *function = module.getFunction(service.name);
        function && function->isDeclaration())
      forward(*function, interface, service.field);
  for (auto [name, bytes] : values)
    if (GlobalVariable *global = module.getNamedGlobal(name))
      bindConstant(global, constants.add(bytes), interface);
  for (Function &function : module) {
    if (function.isDeclaration())
      continue;
    // The runtime ends a run by an exception that passes through.
    function.setUWTableKind(UWTableKind::Sync);
    if (!function.getName().starts_with(ELFATT_CODE_ENTRY))
      function.setLinkage(GlobalValue::InternalLinkage);
  }
}

void splitMultiplyAdds(Module &module) {
  for (Function &function : module)
    for (Instruction &instruction : make_early_inc_range(instructions(function))) {
      auto *call = dyn_cast<IntrinsicInst>(&instruction);
      if (!call || call->getIntrinsicID() != Intrinsic::fma || !call->getType()->isVectorTy())
        continue;
      IRBuilder<> b(call);
      b.setFastMathFlags(call->getFastMathFlags());
      Value *product = b.CreateFMul(call->getArgOperand(0), call->getArgOperand(1));
      call->replaceAllUsesWith(b.CreateFAdd(product, call->getArgOperand(2)));
      call->eraseFromParent();
    }
}

} // namespace elfatt::compile
