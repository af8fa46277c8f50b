// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One warp that executes one collective instruction.
#ifndef ELFATT_TEST_UNIT_SIMULATORWARPKERNEL_H
#define ELFATT_TEST_UNIT_SIMULATORWARPKERNEL_H

#include "SimulatorKernels.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/Intrinsics.h"
#include "llvm/IR/IntrinsicsNVPTX.h"

namespace elfatt::sim {
constexpr int kLanes = 32;
/// The words of each lane.
using Words = std::vector<std::array<uint32_t, 16>>;

/// A kernel that loads the operands of one intrinsic from in[thread], calls it and stores its
/// results to out[thread]. Pointers are offsets into a shared array that begins with `shared`.
class WarpKernel {
public:
  explicit WarpKernel(const std::string &name, std::vector<uint32_t> immediates = {}) {
    auto context = std::make_unique<llvm::LLVMContext>();
    auto module = std::make_unique<llvm::Module>("warp", *context);
    module->setTargetTriple(llvm::Triple("nvptx64-nvidia-cuda"));
    llvm::IRBuilder<> b(*context);
    llvm::Intrinsic::ID id = llvm::Intrinsic::lookupIntrinsicID(name);
    EXPECT_NE(id, llvm::Intrinsic::not_intrinsic) << name;
    std::vector<llvm::Type *> overloads;
    if (name.ends_with(".p3"))
      overloads.push_back(b.getPtrTy(3));
    llvm::Function *intrinsic =
        llvm::Intrinsic::getOrInsertDeclaration(module.get(), id, overloads);
    auto *kernel = llvm::Function::Create(
        llvm::FunctionType::get(b.getVoidTy(), {b.getPtrTy(), b.getPtrTy(), b.getPtrTy()}, false),
        llvm::Function::ExternalLinkage, "k", module.get());
    kernel->setCallingConv(llvm::CallingConv::PTX_Kernel);
    b.SetInsertPoint(llvm::BasicBlock::Create(*context, "", kernel));
    auto *tile = new llvm::GlobalVariable(
        *module, llvm::ArrayType::get(b.getInt32Ty(), kTileWords), false,
        llvm::GlobalValue::InternalLinkage,
        llvm::UndefValue::get(llvm::ArrayType::get(b.getInt32Ty(), kTileWords)), "tile", nullptr,
        llvm::GlobalValue::NotThreadLocal, 3);
    tile->setAlignment(llvm::Align(128));
    llvm::Value *lane =
        b.CreateIntrinsic(b.getInt32Ty(), llvm::Intrinsic::nvvm_read_ptx_sreg_laneid, {});
    // Every lane copies its part of the shared array.
    auto part = [&](llvm::Value *base, llvm::Type *type, int i) {
      llvm::Value *word =
          b.CreateAdd(b.CreateMul(lane, b.getInt32(kTileWords / kLanes)), b.getInt32(i));
      return b.CreateGEP(type, base, word);
    };
    for (int i = 0; i < kTileWords / kLanes; ++i)
      b.CreateStore(b.CreateLoad(b.getInt32Ty(), part(kernel->getArg(2), b.getInt32Ty(), i)),
                    part(tile, b.getInt32Ty(), i));
    auto barrier = [&] {
      b.CreateIntrinsic(b.getVoidTy(), llvm::Intrinsic::nvvm_bar_warp_sync, {b.getInt32(-1)});
    };
    barrier();
    auto place = [&](int argument, int word) {
      llvm::Value *base =
          b.CreateGEP(b.getInt32Ty(), kernel->getArg(argument), b.CreateMul(lane, b.getInt32(16)));
      return b.CreateConstGEP1_32(b.getInt32Ty(), base, word);
    };
    std::vector<llvm::Value *> operands;
    int word = 0;
    size_t immediate = 0;
    for (llvm::Type *type : intrinsic->getFunctionType()->params()) {
      if (intrinsic->hasParamAttribute(operands.size(), llvm::Attribute::ImmArg)) {
        operands.push_back(b.getInt32(immediates.at(immediate++)));
        continue;
      }
      if (type->isPointerTy()) {
        llvm::Value *offset = b.CreateLoad(b.getInt32Ty(), place(0, word++));
        operands.push_back(b.CreateGEP(b.getInt8Ty(), tile, offset));
        continue;
      }
      llvm::Type *stored = type->isIntegerTy(1) ? b.getInt32Ty() : type;
      llvm::Value *value = b.CreateAlignedLoad(stored, place(0, word), llvm::Align(4));
      operands.push_back(type->isIntegerTy(1) ? b.CreateTrunc(value, type) : value);
      word += std::max<int>(stored->getPrimitiveSizeInBits() / 32, 1);
    }
    llvm::Value *result = b.CreateCall(intrinsic, operands);
    auto store = [&](llvm::Value *value, int i) {
      if (value->getType()->isIntegerTy(1))
        value = b.CreateZExt(value, b.getInt32Ty());
      b.CreateAlignedStore(value, place(1, i), llvm::Align(4));
    };
    if (auto *type = llvm::dyn_cast<llvm::StructType>(result->getType())) {
      for (unsigned i = 0; i < type->getNumElements(); ++i)
        store(b.CreateExtractValue(result, i), i);
    } else if (!result->getType()->isVoidTy()) {
      store(result, 0);
    }
    barrier();
    for (int i = 0; i < kTileWords / kLanes; ++i)
      b.CreateStore(b.CreateLoad(b.getInt32Ty(), part(tile, b.getInt32Ty(), i)),
                    part(kernel->getArg(2), b.getInt32Ty(), i));
    b.CreateRetVoid();
    auto created = Program::create(std::move(context), std::move(module));
    if (created)
      program = std::move(*created);
    else
      ADD_FAILURE() << llvm::toString(created.takeError());
  }

  Words run(Words in, std::vector<uint32_t> *tile = nullptr) {
    Words out(kLanes);
    std::vector<uint32_t> none(kTileWords);
    std::vector<uint32_t> &words = tile ? *tile : none;
    LaunchConfig config;
    config.block = {kLanes};
    auto counts = launch(*program, "k", config, {bufferOf(in), bufferOf(out), bufferOf(words)});
    if (counts)
      last = *counts;
    else
      ADD_FAILURE() << llvm::toString(counts.takeError());
    return out;
  }

  static constexpr int kTileWords = 512;
  LaunchCounts last;

private:
  std::unique_ptr<Program> program;
};

} // namespace elfatt::sim

#endif // ELFATT_TEST_UNIT_SIMULATORWARPKERNEL_H
