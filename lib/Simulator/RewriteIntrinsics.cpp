// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RewriteIntrinsics.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Module.h"

#include <optional>

using namespace llvm;
using namespace elfatt::sim;

namespace {
/// Address space of shared memory in NVPTX.
constexpr unsigned kSharedSpace = 3;

std::optional<Special> findSpecial(StringRef name) {
  if (!name.consume_front("llvm.nvvm.read.ptx.sreg."))
    return std::nullopt;
  return StringSwitch<std::optional<Special>>(name)
      .Case("tid.x", Special::TidX)
      .Case("tid.y", Special::TidY)
      .Case("tid.z", Special::TidZ)
      .Case("ntid.x", Special::NtidX)
      .Case("ntid.y", Special::NtidY)
      .Case("ntid.z", Special::NtidZ)
      .Case("ctaid.x", Special::CtaidX)
      .Case("ctaid.y", Special::CtaidY)
      .Case("ctaid.z", Special::CtaidZ)
      .Case("nctaid.x", Special::NctaidX)
      .Case("nctaid.y", Special::NctaidY)
      .Case("nctaid.z", Special::NctaidZ)
      .Case("laneid", Special::LaneId)
      .Case("warpsize", Special::WarpSize)
      .Default(std::nullopt);
}

std::optional<WarpOp> findWarpOp(StringRef name) {
  if (name == "llvm.nvvm.mma.m16n8k16.row.col.f32.f32")
    return WarpOp::MmaF16;
  if (name == "llvm.nvvm.mma.m16n8k16.row.col.bf16")
    return WarpOp::MmaBF16;
  if (!name.consume_front("llvm.nvvm.shfl.sync."))
    return std::nullopt;
  auto [mode, type] = name.split('.');
  if (type != "i32" && type != "f32" && type != "i32p" && type != "f32p")
    return std::nullopt;
  return StringSwitch<std::optional<WarpOp>>(mode)
      .Case("idx", WarpOp::ShflIdx)
      .Case("bfly", WarpOp::ShflBfly)
      .Case("up", WarpOp::ShflUp)
      .Case("down", WarpOp::ShflDown)
      .Default(std::nullopt);
}

bool isZero(Value *value) {
  auto *constant = dyn_cast<ConstantInt>(value);
  return constant && constant->isZero();
}

class Rewriter {
public:
  explicit Rewriter(Module &module)
      : module(module), i32(Type::getInt32Ty(module.getContext())),
        pointer(PointerType::get(module.getContext(), 0)) {}

  Expected<RewrittenModule> run();

private:
  Error rewriteCall(CallInst &call);
  void rewriteCollective(CallInst &call, WarpOp op);
  void addEntry(Function &kernel);
  void addDynamicShared(GlobalVariable &global);
  Value *addSite(CallInst &call, StringRef what);
  Value *constant(uint32_t value) { return ConstantInt::get(i32, value); }
  FunctionCallee host(StringRef name, Type *result, ArrayRef<Type *> parameters);

  Module &module;
  Type *i32, *pointer;
  RewrittenModule result;
};
} // namespace

FunctionCallee Rewriter::host(StringRef name, Type *resultType, ArrayRef<Type *> parameters) {
  FunctionCallee callee =
      module.getOrInsertFunction(name, FunctionType::get(resultType, parameters, false));
  auto *function = cast<Function>(callee.getCallee());
  function->setConvergent();
  function->setDoesNotThrow();
  return callee;
}

/// Numbers the place of an instruction: its source location where known.
Value *Rewriter::addSite(CallInst &call, StringRef what) {
  std::string name = (what + " in " + call.getFunction()->getName()).str();
  if (const DebugLoc &loc = call.getDebugLoc())
    name +=
        (" (" + loc->getFilename() + ":" + Twine(loc.getLine()) + ":" + Twine(loc.getCol()) + ")")
            .str();
  else
    name += " (#" + std::to_string(result.sites.size()) + ")";
  result.sites.push_back(name);
  return constant(result.sites.size() - 1);
}

/// Operands go through an array of words, results come back in another.
void Rewriter::rewriteCollective(CallInst &call, WarpOp op) {
  IRBuilder<> entry(&*call.getFunction()->getEntryBlock().getFirstInsertionPt());
  Value *in = entry.CreateAlloca(i32, constant(getNumOperands(op)));
  Value *out = entry.CreateAlloca(i32, constant(getNumResults(op)));
  IRBuilder<> b(&call);
  for (auto [i, argument] : enumerate(call.args()))
    b.CreateStore(b.CreateBitCast(argument, i32), b.CreateConstGEP1_32(i32, in, i));
  Type *voidType = Type::getVoidTy(module.getContext());
  b.CreateCall(host(kCollectiveFunction, voidType, {i32, i32, pointer, pointer}),
               {constant(static_cast<uint32_t>(op)), addSite(call, getName(op)), in, out});
  auto loadAs = [&](Type *type, unsigned i) -> Value * {
    Value *word = b.CreateLoad(i32, b.CreateConstGEP1_32(i32, out, i));
    return type->isIntegerTy(1) ? b.CreateTrunc(word, type) : b.CreateBitCast(word, type);
  };
  Value *value;
  if (auto *structType = dyn_cast<StructType>(call.getType())) {
    value = PoisonValue::get(structType);
    for (unsigned i = 0; i < structType->getNumElements(); ++i)
      value = b.CreateInsertValue(value, loadAs(structType->getElementType(i), i), i);
  } else {
    value = loadAs(call.getType(), 0);
  }
  call.replaceAllUsesWith(value);
}

Error Rewriter::rewriteCall(CallInst &call) {
  StringRef name = call.getCalledFunction()->getName();
  IRBuilder<> b(&call);
  Type *voidType = Type::getVoidTy(module.getContext());
  Type *f32 = Type::getFloatTy(module.getContext());
  if (std::optional<Special> special = findSpecial(name)) {
    call.replaceAllUsesWith(b.CreateCall(host(kSpecialFunction, i32, {i32}),
                                         {constant(static_cast<uint32_t>(*special))}));
  } else if (std::optional<WarpOp> op = findWarpOp(name)) {
    rewriteCollective(call, *op);
  } else if (name == "llvm.nvvm.barrier.cta.sync.aligned.all" && isZero(call.getArgOperand(0))) {
    b.CreateCall(host(kBarrierFunction, voidType, {i32}), {addSite(call, "bar.sync")});
  } else if (name == "llvm.nvvm.ex2.approx.ftz.f32") {
    call.replaceAllUsesWith(b.CreateCall(host(kExp2Function, f32, {f32}), {call.getArgOperand(0)}));
  } else {
    return createStringError("the simulator does not know " + name + " (in " +
                             call.getFunction()->getName() + ")");
  }
  call.eraseFromParent();
  return Error::success();
}

/// void elfatt_sim_run_KERNEL(void **args): one pointer to each argument.
void Rewriter::addEntry(Function &kernel) {
  kernel.setCallingConv(CallingConv::C);
  Type *voidType = Type::getVoidTy(module.getContext());
  auto *entry =
      Function::Create(FunctionType::get(voidType, {pointer}, false), Function::ExternalLinkage,
                       kEntryPrefix + kernel.getName(), module);
  IRBuilder<> b(BasicBlock::Create(module.getContext(), "", entry));
  SmallVector<Value *> arguments;
  for (Argument &argument : kernel.args()) {
    Value *slot = b.CreateConstGEP1_32(pointer, entry->getArg(0), argument.getArgNo());
    arguments.push_back(b.CreateLoad(argument.getType(), b.CreateLoad(pointer, slot)));
  }
  b.CreateCall(&kernel, arguments);
  b.CreateRetVoid();
  result.kernels.push_back({kernel.getName().str(), kernel.arg_size()});
}

/// An array whose size the launch gives becomes one that holds the most.
void Rewriter::addDynamicShared(GlobalVariable &global) {
  auto *type = ArrayType::get(Type::getInt8Ty(module.getContext()), kMaxDynamicShared);
  auto *array = new GlobalVariable(module, type, /*isConstant=*/false, GlobalValue::ExternalLinkage,
                                   Constant::getNullValue(type), "", nullptr,
                                   GlobalValue::NotThreadLocal, kSharedSpace);
  array->setAlignment(Align(128));
  array->takeName(&global);
  global.replaceAllUsesWith(array);
  global.eraseFromParent();
  result.shared.push_back({array->getName().str(), kMaxDynamicShared, /*isDynamic=*/true});
}

Expected<RewrittenModule> Rewriter::run() {
  SmallVector<CallInst *> calls;
  SmallVector<Function *> kernels;
  for (Function &function : module) {
    for (StringRef attribute : {"target-cpu", "target-features", "tune-cpu"})
      function.removeFnAttr(attribute);
    if (function.isDeclaration())
      continue;
    if (function.getCallingConv() == CallingConv::PTX_Kernel)
      kernels.push_back(&function);
    for (Instruction &instruction : instructions(function))
      if (auto *call = dyn_cast<CallInst>(&instruction)) {
        Function *callee = call->getCalledFunction();
        if (!callee)
          return createStringError("the simulator does not know indirect calls or inline assembly "
                                   "(in " +
                                   function.getName() + ")");
        if (callee->getName().starts_with("llvm.nvvm."))
          calls.push_back(call);
      }
  }
  for (CallInst *call : calls)
    if (Error error = rewriteCall(*call))
      return std::move(error);
  for (Function *kernel : kernels)
    addEntry(*kernel);
  const DataLayout &layout = module.getDataLayout();
  for (GlobalVariable &global : make_early_inc_range(module.globals())) {
    if (global.getAddressSpace() != kSharedSpace)
      continue;
    if (!global.hasInitializer()) {
      addDynamicShared(global);
      continue;
    }
    global.setLinkage(GlobalValue::ExternalLinkage);
    global.setInitializer(Constant::getNullValue(global.getValueType()));
    result.shared.push_back({global.getName().str(),
                             layout.getTypeAllocSize(global.getValueType()).getFixedValue(),
                             /*isDynamic=*/false});
  }
  for (Function &function : make_early_inc_range(module))
    if (function.isDeclaration() && function.use_empty())
      function.eraseFromParent();
  for (NamedMDNode &node : make_early_inc_range(module.named_metadata()))
    if (node.getName().starts_with("nvvm"))
      module.eraseNamedMetadata(&node);
  return std::move(result);
}

Expected<RewrittenModule> elfatt::sim::rewriteForHost(Module &module) {
  return Rewriter(module).run();
}
