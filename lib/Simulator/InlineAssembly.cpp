// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "InlineAssembly.h"

#include "elfatt/Target/Instructions.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/IntrinsicsNVPTX.h"
#include "llvm/IR/Module.h"

using namespace llvm;
using namespace elfatt;

StringRef sim::getAssembly(const CallBase &call) {
  return cast<InlineAsm>(call.getCalledOperand())->getAsmString();
}

Error sim::checkCall(CallBase &call, const target::Chip &chip) {
  // Which PTX a kernel is written in is looked at where that is done.
  const target::PtxVersion newest = target::getCudaReleases().back().ptx;
  Function *callee = call.getCalledFunction();
  Error error = call.isInlineAsm() ? target::checkAssembly(chip, newest, getAssembly(call))
                : callee && callee->isDeclaration()
                    ? target::checkIntrinsic(chip, newest, callee->getName())
                    : Error::success();
  if (!error)
    return error;
  return createStringError("kernel '" + call.getFunction()->getName() +
                           "': " + toString(std::move(error)));
}

Instruction *sim::expandAssembly(CallBase &call) {
  IRBuilder<> b(&call);
  StringRef text = getAssembly(call);
  if (text == target::kCopyEvictFirst) {
    Function *intrinsic = Intrinsic::getOrInsertDeclaration(
        call.getModule(), Intrinsic::nvvm_cp_async_cg_shared_global_16);
    return b.CreateCall(intrinsic, {call.getArgOperand(0), call.getArgOperand(1)});
  }
  if (text != target::kStoreEvictFirst)
    return nullptr;
  Value *words = PoisonValue::get(FixedVectorType::get(b.getInt32Ty(), 4));
  for (unsigned i = 0; i < 4; ++i)
    words = b.CreateInsertElement(words, call.getArgOperand(1 + i), i);
  return b.CreateAlignedStore(words, call.getArgOperand(0), Align(16));
}
