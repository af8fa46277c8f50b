// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The arrays of a module: where those in shared memory lie and which kernels use them, and
// what there is in constant and global memory.
#include "Instrument.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;
using namespace elfatt::sim;

/// Between arrays, so that steps over an end are seen; a multiple of all banks, so that these
/// stay what they are.
constexpr uint64_t kSharedGap = 128;

/// The address space of shared memory in NVPTX.
static constexpr unsigned kShared = 3;

Error elfatt::sim::placeShared(Module &module, InstrumentedModule &result) {
  const DataLayout &layout = module.getDataLayout();
  GlobalVariable *dynamic = nullptr;
  auto place = [&](GlobalVariable &global, uint64_t bytes, bool isDynamic) {
    if (!global.hasName())
      global.setName("shared");
    uint64_t alignment = std::max<uint64_t>(global.getAlign().valueOrOne().value(), kSharedGap);
    uint64_t offset = alignTo(result.arenaBytes, alignment);
    result.shared.push_back({global.getName().str(), offset, bytes, isDynamic});
    result.arenaBytes = offset + bytes + kSharedGap;
  };
  for (GlobalVariable &global : module.globals()) {
    if (global.getAddressSpace() != kShared)
      continue;
    uint64_t bytes = layout.getTypeAllocSize(global.getValueType()).getFixedValue();
    if (!global.isDeclaration()) {
      place(global, bytes, /*isDynamic=*/false);
      continue;
    }
    if (dynamic)
      return createStringError(
          "the simulator does not know two arrays of dynamic shared memory ('" +
          dynamic->getName() + "' and '" + global.getName() + "')");
    dynamic = &global;
  }
  if (dynamic)
    place(*dynamic, kMaxDynamicShared, /*isDynamic=*/true);
  return Error::success();
}

void elfatt::sim::collectSharedUses(Module &module, ArrayRef<Function *> kernels,
                                    InstrumentedModule &result) {
  for (auto [kernel, known] : zip_equal(kernels, result.kernels))
    known.usesShared.assign(result.shared.size(), false);
  for (auto [i, array] : enumerate(result.shared)) {
    SmallVector<const Value *> stack{module.getNamedGlobal(array.name)};
    SmallPtrSet<const Value *, 16> seen;
    while (!stack.empty()) {
      const Value *value = stack.pop_back_val();
      if (!seen.insert(value).second)
        continue;
      for (auto [kernel, known] : zip_equal(kernels, result.kernels))
        if (kernel == value)
          known.usesShared[i] = true;
      for (const User *user : value->users()) {
        auto *instruction = dyn_cast<Instruction>(user);
        stack.push_back(instruction ? static_cast<const Value *>(instruction->getFunction())
                                    : user);
      }
    }
  }
}

void elfatt::sim::moveShared(Module &module, char *arena, const InstrumentedModule &result) {
  Type *i64 = Type::getInt64Ty(module.getContext());
  for (const SharedArray &array : result.shared) {
    GlobalVariable *global = module.getNamedGlobal(array.name);
    auto address = reinterpret_cast<uintptr_t>(arena + array.offset);
    global->replaceAllUsesWith(
        ConstantExpr::getIntToPtr(ConstantInt::get(i64, address), global->getType()));
    global->eraseFromParent();
  }
}

Error elfatt::sim::exportGlobals(Module &module, InstrumentedModule &result) {
  const DataLayout &layout = module.getDataLayout();
  for (GlobalVariable &global : module.globals()) {
    if (global.isDeclaration())
      return createStringError("the simulator does not know the external array '" +
                               global.getName() + "'");
    if (!global.hasName())
      global.setName("array");
    global.setLinkage(GlobalValue::ExternalLinkage);
    result.globals.push_back({global.getName().str(),
                              layout.getTypeAllocSize(global.getValueType()).getFixedValue(),
                              !global.isConstant()});
  }
  return Error::success();
}
