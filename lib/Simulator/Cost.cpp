// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An estimate: ptxas has not scheduled this code yet. Address arithmetic with constant offsets,
// casts that move no bits, and the picking apart of vectors cost nothing; vectors cost one
// instruction an element, pairs of 16 bits one.
#include "Cost.h"

#include "llvm/IR/Constants.h"
#include "llvm/IR/DataLayout.h"
#include "llvm/IR/Function.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/Module.h"

using namespace llvm;
using namespace elfatt::sim;

static uint32_t countElements(const Type *type) {
  auto *vector = dyn_cast<FixedVectorType>(type);
  if (!vector)
    return 1;
  uint32_t n = vector->getNumElements();
  return vector->getScalarSizeInBits() == 16 ? (n + 1) / 2 : n;
}

static uint32_t countAccesses(const Instruction &at, Type *type, Align align) {
  const DataLayout &layout = at.getModule()->getDataLayout();
  uint64_t bytes = layout.getTypeStoreSize(type).getFixedValue();
  uint64_t each = std::min<uint64_t>({align.value(), bytes & -bytes, 16});
  return each ? bytes / each : 0;
}

static BlockCost getCost(const Instruction &instruction) {
  Type *type = instruction.getType();
  switch (instruction.getOpcode()) {
  case Instruction::PHI:
  case Instruction::BitCast:
  case Instruction::AddrSpaceCast:
  case Instruction::PtrToInt:
  case Instruction::IntToPtr:
  case Instruction::Trunc:
  case Instruction::ZExt:
  case Instruction::ExtractElement:
  case Instruction::InsertElement:
  case Instruction::ExtractValue:
  case Instruction::InsertValue:
  case Instruction::ShuffleVector:
  case Instruction::Freeze:
  case Instruction::Alloca:
  case Instruction::Ret:
  case Instruction::Unreachable:
    return {};
  case Instruction::GetElementPtr:
    return {!cast<GetElementPtrInst>(instruction).hasAllConstantIndices() ? 1u : 0u, 0};
  case Instruction::Load:
    return {countAccesses(instruction, type, cast<LoadInst>(instruction).getAlign()), 0};
  case Instruction::Store: {
    auto &store = cast<StoreInst>(instruction);
    return {countAccesses(instruction, store.getValueOperand()->getType(), store.getAlign()), 0};
  }
  case Instruction::FAdd:
  case Instruction::FSub:
  case Instruction::FMul:
    return {countElements(type), countElements(type)};
  case Instruction::FDiv:
    // A reciprocal and three steps.
    return {4 * countElements(type), 3 * countElements(type)};
  case Instruction::UDiv:
  case Instruction::SDiv:
  case Instruction::URem:
  case Instruction::SRem:
    // About so many steps, if not by a constant (CUDA C++ Best Practices Guide: costly).
    return {isa<Constant>(instruction.getOperand(1)) ? 4u : 20u, 0};
  case Instruction::Call: {
    auto &call = cast<CallInst>(instruction);
    if (auto *intrinsic = dyn_cast<IntrinsicInst>(&call)) {
      if (intrinsic->isAssumeLikeIntrinsic())
        return {};
      if (intrinsic->getIntrinsicID() == Intrinsic::fma ||
          intrinsic->getIntrinsicID() == Intrinsic::fmuladd)
        return {countElements(type), countElements(type)};
    }
    // HMMA.884, in four steps (SASS of sm_72).
    if (call.getCalledFunction() &&
        call.getCalledFunction()->getName().starts_with("llvm.nvvm.mma.m8n8k4."))
      return {4, 0};
    return {type->isVectorTy() ? countElements(type) : 1, 0};
  }
  default:
    return {countElements(type), 0};
  }
}

BlockCost elfatt::sim::getCost(const BasicBlock &block) {
  BlockCost sum;
  for (const Instruction &instruction : block) {
    BlockCost cost = ::getCost(instruction);
    sum.slots += cost.slots;
    sum.floats += cost.floats;
  }
  return sum;
}

std::string elfatt::sim::getInstructionName(const CallInst &call) {
  StringRef name = call.getCalledFunction()->getName();
  name.consume_front("llvm.nvvm.");
  std::string text = name.str();
  auto replace = [&](StringRef from, StringRef to) {
    if (size_t at = text.find(from); at != std::string::npos)
      text.replace(at, from.size(), to.str());
  };
  replace("barrier.cta.", "bar.");
  for (StringRef noise : {".aligned", ".all", ".count", ".m8n8", ".b16", ".p3", ".p0", ".shared",
                          ".global", ".row.col"})
    replace(noise, "");
  if (StringRef(text).starts_with("mma."))
    text.insert(4, "sync.");
  return text;
}
