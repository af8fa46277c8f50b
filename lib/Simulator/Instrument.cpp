// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Instrument.h"

#include "Cost.h"
#include "InlineAssembly.h"
#include "Intrinsics.h"

#include "llvm/ADT/PostOrderIterator.h"
#include "llvm/Analysis/ValueTracking.h"
#include "llvm/IR/DebugInfo.h"
#include "llvm/IR/DebugInfoMetadata.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/IntrinsicsNVPTX.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Transforms/Utils/Local.h"

using namespace llvm;
using namespace elfatt::sim;

namespace {
/// Address spaces of NVPTX.
enum : unsigned { kGeneric = 0, kGlobal = 1, kShared = 3, kConstant = 4, kLocal = 5 };

StringRef spaceSuffix(unsigned space) {
  return space == kGlobal ? ".global" : space == kShared ? ".shared" : "";
}

class Instrumenter {
public:
  Instrumenter(Module &module, char *arena, const elfatt::target::Chip *chip,
               InstrumentedModule &result)
      : module(module), arena(arena), chip(chip), result(result), layout(module.getDataLayout()),
        voidType(Type::getVoidTy(module.getContext())), i32(Type::getInt32Ty(module.getContext())),
        i64(Type::getInt64Ty(module.getContext())),
        pointer(PointerType::get(module.getContext(), 0)) {}

  Error run();

private:
  Error visit(Instruction &instruction);
  Error visitCall(CallInst &call);
  Error visitAccess(Instruction &instruction, StringRef name, SiteKind kind, Value *address,
                    Type *type, Align align);
  void visitRange(MemIntrinsic &copy);
  void visitDivision(Instruction &division);
  void visitTerminator(Instruction &terminator);
  void replaceCollective(CallInst &call, const Collective &collective);
  void replaceBarrier(CallInst &call, const BarrierCall &barrier);
  void replaceAsyncCopy(CallInst &call, const AsyncCall &copy);
  Error visitAssembly(CallInst &call);
  void replaceMath(CallInst &call, const MathFunction &math);
  void addEntry(Function &kernel);

  uint32_t addSite(Instruction &at, const Twine &name, SiteKind kind);
  void setAddress(Site &site, Value *address);
  Value *number(uint32_t value) { return ConstantInt::get(i32, value); }
  FunctionCallee host(StringRef name, Type *resultType, ArrayRef<Type *> parameters);
  Error unknown(const Twine &what, const Function &in) {
    return createStringError("the simulator does not know " + what + " (in " + in.getName() + ")");
  }
  bool isLocal(Value *address) {
    return address->getType()->getPointerAddressSpace() == kLocal ||
           isa<AllocaInst>(getUnderlyingObject(address, /*MaxLookup=*/0));
  }

  Module &module;
  char *arena;
  const elfatt::target::Chip *chip;
  InstrumentedModule &result;
  const DataLayout layout;
  Type *voidType, *i32, *i64, *pointer;
  /// Of the code as it was.
  DenseMap<const BasicBlock *, BlockCost> costs;
  /// Numbers of the instructions in their functions as they are written, for names.
  DenseMap<const Instruction *, unsigned> positions;
};
} // namespace

FunctionCallee Instrumenter::host(StringRef name, Type *resultType, ArrayRef<Type *> parameters) {
  FunctionCallee callee =
      module.getOrInsertFunction(name, FunctionType::get(resultType, parameters, false));
  cast<Function>(callee.getCallee())->setDoesNotThrow();
  return callee;
}

uint32_t Instrumenter::addSite(Instruction &at, const Twine &name, SiteKind kind) {
  Site site;
  site.kind = kind;
  site.name = (name + " in " + at.getFunction()->getName()).str();
  const DebugLoc &loc = at.getDebugLoc();
  if (loc && loc.getLine())
    site.name +=
        (" (" + loc->getFilename() + ":" + Twine(loc.getLine()) + ":" + Twine(loc.getCol()) + ")")
            .str();
  else
    site.name += (" (#" + Twine(positions.lookup(&at)) + ")").str();
  result.sites.push_back(std::move(site));
  return result.sites.size() - 1;
}

/// What the address comes from, where that is one thing.
void Instrumenter::setAddress(Site &site, Value *address) {
  const Value *object = getUnderlyingObject(address, /*MaxLookup=*/0);
  if (auto *argument = dyn_cast<Argument>(object))
    if (argument->getParent()->getCallingConv() == CallingConv::PTX_Kernel)
      site.argument = argument->getArgNo();
  if (auto *global = dyn_cast<GlobalVariable>(object))
    for (auto [i, array] : enumerate(result.shared))
      if (global->getName() == array.name)
        site.sharedArray = i;
}

Error Instrumenter::visitAccess(Instruction &instruction, StringRef name, SiteKind kind,
                                Value *address, Type *type, Align align) {
  if (isLocal(address))
    return Error::success();
  unsigned space = address->getType()->getPointerAddressSpace();
  uint32_t index = addSite(instruction, name + spaceSuffix(space), kind);
  Site &site = result.sites[index];
  site.bytes = layout.getTypeStoreSize(type).getFixedValue();
  if (site.bytes == 0)
    return Error::success();
  // One instruction moves at most 16 bytes, and no more than the code says is aligned.
  site.alignment = std::min<uint64_t>(align.value(), 16);
  site.chunk = std::min<uint64_t>(site.alignment, site.bytes & -site.bytes);
  if (space != kGlobal)
    result.granule = std::min(result.granule, site.chunk);
  if (instruction.isAtomic()) {
    AtomicOrdering ordering = AtomicOrdering::Monotonic;
    if (auto *rmw = dyn_cast<AtomicRMWInst>(&instruction))
      ordering = rmw->getOrdering();
    else if (auto *exchange = dyn_cast<AtomicCmpXchgInst>(&instruction))
      ordering = exchange->getMergedOrdering();
    site.acquires = isAcquireOrStronger(ordering);
    site.releases = isReleaseOrStronger(ordering);
  }
  setAddress(site, address);
  IRBuilder<> b(&instruction);
  Value *generic = b.CreateAddrSpaceCast(address, pointer);
  auto *store = dyn_cast<StoreInst>(&instruction);
  if (store && !store->isAtomic() && space != kGlobal && site.bytes <= 8 &&
      (type->isIntegerTy() || type->isFloatingPointTy())) {
    // Its value tells threads that write the same from a race.
    Value *bits =
        b.CreateBitCast(store->getValueOperand(), b.getIntNTy(type->getPrimitiveSizeInBits()));
    b.CreateCall(host(kStore, voidType, {i32, pointer, i64}),
                 {number(index), generic, b.CreateZExt(bits, i64)});
    return Error::success();
  }
  b.CreateCall(host(kAccess, voidType, {i32, pointer}), {number(index), generic});
  return Error::success();
}

/// Where a GPU gives any number, the host would stop: by zero, and the lowest number
/// by -1, which has no quotient.
void Instrumenter::visitDivision(Instruction &division) {
  Type *type = division.getType();
  unsigned bits = type->getScalarSizeInBits();
  auto *constant = dyn_cast<ConstantInt>(division.getOperand(1));
  if (bits > 64 || (constant && !constant->isZero() && !constant->isMinusOne()))
    return;
  bool isSigned =
      division.getOpcode() == Instruction::SDiv || division.getOpcode() == Instruction::SRem;
  IRBuilder<> b(&division);
  uint32_t index = addSite(division, division.getOpcodeName(), SiteKind::Other);
  auto check = [&](Value *dividend, Value *divisor) {
    Type *element = divisor->getType();
    Value *overflows = b.getFalse();
    if (isSigned)
      overflows = b.CreateAnd(
          b.CreateICmpEQ(dividend, ConstantInt::get(element, APInt::getSignedMinValue(bits))),
          b.CreateICmpEQ(divisor, ConstantInt::getAllOnesValue(element)));
    b.CreateCall(host(kDivide, voidType, {i32, i64, i32}),
                 {number(index), b.CreateZExt(divisor, i64), b.CreateZExt(overflows, i32)});
  };
  Value *dividend = division.getOperand(0), *divisor = division.getOperand(1);
  auto *vector = dyn_cast<FixedVectorType>(type);
  if (!vector)
    return check(dividend, divisor);
  for (unsigned i = 0; i < vector->getNumElements(); ++i)
    check(b.CreateExtractElement(dividend, i), b.CreateExtractElement(divisor, i));
}

void Instrumenter::visitRange(MemIntrinsic &copy) {
  IRBuilder<> b(&copy);
  auto add = [&](Value *address, StringRef name, SiteKind kind) {
    if (isLocal(address))
      return;
    unsigned space = address->getType()->getPointerAddressSpace();
    uint32_t index = addSite(copy, name + spaceSuffix(space), kind);
    Site &site = result.sites[index];
    site.bytes = site.chunk = 1;
    if (space != kGlobal)
      result.granule = 1;
    setAddress(site, address);
    b.CreateCall(host(kRange, voidType, {i32, pointer, i64}),
                 {number(index), b.CreateAddrSpaceCast(address, pointer),
                  b.CreateZExtOrTrunc(copy.getLength(), i64)});
  };
  add(copy.getRawDest(), "st", SiteKind::Store);
  if (auto *transfer = dyn_cast<MemTransferInst>(&copy))
    add(transfer->getRawSource(), "ld", SiteKind::Load);
}

void Instrumenter::visitTerminator(Instruction &terminator) {
  uint32_t index = addSite(terminator, "branch", SiteKind::BasicBlock);
  BlockCost cost = costs.lookup(terminator.getParent());
  result.sites[index].slots = cost.slots;
  result.sites[index].floats = cost.floats;
  IRBuilder<> b(&terminator);
  Value *where = number(0);
  if (auto *branch = dyn_cast<BranchInst>(&terminator); branch && branch->isConditional())
    where = b.CreateZExt(branch->getCondition(), i32);
  else if (auto *choice = dyn_cast<SwitchInst>(&terminator))
    where = b.CreateZExtOrTrunc(choice->getCondition(), i32);
  b.CreateCall(host(kBranch, voidType, {i32, i32}), {number(index), where});
}

/// Operands go through an array of words, results come back in another.
void Instrumenter::replaceCollective(CallInst &call, const Collective &collective) {
  uint32_t index = addSite(call, getInstructionName(call), SiteKind::Collective);
  result.sites[index].collective = collective;
  if (collective.kind == CollectiveKind::LdMatrix || collective.kind == CollectiveKind::StMatrix)
    setAddress(result.sites[index], call.getArgOperand(0));
  IRBuilder<> entry(&*call.getFunction()->getEntryBlock().getFirstInsertionPt());
  auto allocate = [&](int words) {
    AllocaInst *array = entry.CreateAlloca(ArrayType::get(i32, std::max(words, 1)));
    array->setAlignment(Align(8));
    return array;
  };
  Value *in = allocate(collective.numOperands), *out = allocate(collective.numResults);
  IRBuilder<> b(&call);
  int word = 0;
  for (Value *argument : call.args()) {
    Type *type = argument->getType();
    if (type->isPointerTy())
      argument = b.CreatePtrToInt(b.CreateAddrSpaceCast(argument, pointer), i64);
    else if (type->isIntegerTy(1))
      argument = b.CreateZExt(argument, i32);
    b.CreateAlignedStore(argument, b.CreateConstGEP1_32(i32, in, word), Align(4));
    word += layout.getTypeStoreSize(argument->getType()).getFixedValue() / 4;
  }
  b.CreateCall(host(kCollective, voidType, {i32, pointer, pointer}), {number(index), in, out});
  auto loadAs = [&](Type *type, unsigned i) -> Value * {
    Value *at = b.CreateConstGEP1_32(i32, out, i);
    if (type->isIntegerTy(1))
      return b.CreateTrunc(b.CreateLoad(i32, at), type);
    return b.CreateAlignedLoad(type, at, Align(4));
  };
  if (auto *structType = dyn_cast<StructType>(call.getType())) {
    Value *value = PoisonValue::get(structType);
    for (unsigned i = 0; i < structType->getNumElements(); ++i)
      value = b.CreateInsertValue(value, loadAs(structType->getElementType(i), i), i);
    call.replaceAllUsesWith(value);
  } else if (!call.getType()->isVoidTy()) {
    call.replaceAllUsesWith(loadAs(call.getType(), 0));
  }
}

void Instrumenter::replaceBarrier(CallInst &call, const BarrierCall &barrier) {
  uint32_t index = addSite(call, getInstructionName(call), SiteKind::Barrier);
  result.sites[index].barrier = barrier.kind;
  IRBuilder<> b(&call);
  unsigned next = 1;
  Value *count = barrier.hasCount ? call.getArgOperand(next++) : number(0);
  Value *value = number(0);
  if (barrier.kind.reduces != BarrierKind::None)
    value = b.CreateZExt(call.getArgOperand(next), i32);
  Value *reduced = b.CreateCall(host(kBarrier, i32, {i32, i32, i32, i32}),
                                {number(index), call.getArgOperand(0), count, value});
  if (!call.getType()->isVoidTy())
    call.replaceAllUsesWith(b.CreateZExtOrTrunc(reduced, call.getType()));
}

void Instrumenter::replaceAsyncCopy(CallInst &call, const AsyncCall &copy) {
  uint32_t index = addSite(call, getInstructionName(call), SiteKind::AsyncCopy);
  uint32_t store = addSite(call, getInstructionName(call), SiteKind::Store);
  for (uint32_t i : {index, store}) {
    Site &site = result.sites[i];
    site.bytes = site.chunk = site.alignment = copy.bytes;
    setAddress(site, call.getArgOperand(i == index ? 1 : 0));
  }
  // beginAsync looks at the bounds of the array with this site.
  result.sites[index].sharedArray = result.sites[store].sharedArray;
  IRBuilder<> b(&call);
  Value *bytes = copy.hasSize ? call.getArgOperand(2) : number(copy.bytes);
  b.CreateCall(host(kCopyAsync, voidType, {i32, pointer, pointer, i32}),
               {number(index), b.CreateAddrSpaceCast(call.getArgOperand(0), pointer),
                b.CreateAddrSpaceCast(call.getArgOperand(1), pointer), bytes});
}

/// Values of 16 bits and pairs of them pass as integers.
void Instrumenter::replaceMath(CallInst &call, const MathFunction &math) {
  auto passed = [&](Type *type) -> Type * {
    unsigned bits = type->getPrimitiveSizeInBits();
    bool isPlain = type->isFloatTy() || type->isDoubleTy() || type->isIntegerTy();
    return isPlain ? type : Type::getIntNTy(module.getContext(), bits);
  };
  IRBuilder<> b(&call);
  SmallVector<Value *> arguments;
  SmallVector<Type *> types;
  for (Value *argument : call.args()) {
    types.push_back(passed(argument->getType()));
    arguments.push_back(b.CreateBitCast(argument, types.back()));
  }
  Type *type = call.getType();
  Value *value =
      b.CreateCall(host(("elfatt_sim." + math.name).str(), passed(type), types), arguments);
  call.replaceAllUsesWith(b.CreateBitCast(value, type));
}

/// What our kernels have inline becomes what it is an instruction of, and that is looked at.
Error Instrumenter::visitAssembly(CallInst &call) {
  Instruction *instruction = expandAssembly(call);
  if (!instruction)
    return unknown("inline assembly '" + getAssembly(call) + "'", *call.getFunction());
  size_t firstSite = result.sites.size();
  if (Error error = visit(*instruction))
    return error;
  for (Site &site : MutableArrayRef(result.sites).drop_front(firstSite))
    site.evictsFirst = true;
  call.eraseFromParent();
  return Error::success();
}

Error Instrumenter::visitCall(CallInst &call) {
  if (Error error = chip ? checkCall(call, *chip) : Error::success())
    return error;
  if (call.isInlineAsm())
    return visitAssembly(call);
  Function *callee = call.getCalledFunction();
  if (!callee)
    return unknown("calls through a pointer", *call.getFunction());
  if (!callee->isDeclaration())
    return Error::success();
  StringRef name = callee->getName();
  IRBuilder<> b(&call);
  if (auto *copy = dyn_cast<MemIntrinsic>(&call)) {
    visitRange(*copy);
    return Error::success();
  }
  if (std::optional<Special> special = findSpecial(name)) {
    call.replaceAllUsesWith(
        b.CreateCall(host(kSpecial, i32, {i32}), {number(static_cast<uint32_t>(*special))}));
  } else if (std::optional<Collective> collective = findCollective(name)) {
    replaceCollective(call, *collective);
  } else if (std::optional<BarrierCall> barrier = findBarrier(name)) {
    replaceBarrier(call, *barrier);
  } else if (std::optional<AsyncCall> copy = findAsyncCopy(name)) {
    replaceAsyncCopy(call, *copy);
  } else if (name == "llvm.nvvm.cp.async.commit.group") {
    b.CreateCall(host(kCommit, voidType, {}));
  } else if (name == "llvm.nvvm.cp.async.wait.group") {
    b.CreateCall(host(kWait, voidType, {i32}), {call.getArgOperand(0)});
  } else if (name == "llvm.nvvm.cp.async.wait.all") {
    b.CreateCall(host(kWait, voidType, {i32}), {ConstantInt::getSigned(i32, -1)});
  } else if (const MathFunction *math = findMath(name)) {
    replaceMath(call, *math);
  } else if (name.starts_with("llvm.nvvm.isspacep.")) {
    Value *isShared = b.CreateTrunc(
        b.CreateCall(host(kIsShared, i32, {pointer}), {call.getArgOperand(0)}), b.getInt1Ty());
    if (name.ends_with(".global"))
      isShared = b.CreateNot(isShared);
    else if (!name.ends_with(".shared"))
      return unknown(name, *call.getFunction());
    call.replaceAllUsesWith(isShared);
  } else if (name == "llvm.nvvm.exit") {
    b.CreateCall(host(kExit, voidType, {}));
  } else if (name == "llvm.trap" || name == "llvm.ubsantrap" || name == "__assertfail") {
    StringRef what = name == "__assertfail" ? "a failed assertion" : "a trap";
    b.CreateCall(host(kFail, voidType, {i32}), {number(addSite(call, what, SiteKind::Other))});
    if (!call.getType()->isVoidTy())
      call.replaceAllUsesWith(PoisonValue::get(call.getType()));
  } else if (name.starts_with("llvm.nvvm.") || !name.starts_with("llvm.")) {
    if (!isFence(name))
      return unknown(name, *call.getFunction());
  } else {
    return Error::success();
  }
  call.eraseFromParent();
  return Error::success();
}

Error Instrumenter::visit(Instruction &instruction) {
  // What the host assumes of addresses is checked, and then not needed.
  if (auto *load = dyn_cast<LoadInst>(&instruction)) {
    Error error = visitAccess(*load, "ld", load->isAtomic() ? SiteKind::Atomic : SiteKind::Load,
                              load->getPointerOperand(), load->getType(), load->getAlign());
    if (!load->isAtomic() && !isLocal(load->getPointerOperand()))
      load->setAlignment(Align(1));
    return error;
  }
  if (auto *store = dyn_cast<StoreInst>(&instruction)) {
    Error error = visitAccess(*store, "st", store->isAtomic() ? SiteKind::Atomic : SiteKind::Store,
                              store->getPointerOperand(), store->getValueOperand()->getType(),
                              store->getAlign());
    if (!store->isAtomic() && !isLocal(store->getPointerOperand()))
      store->setAlignment(Align(1));
    return error;
  }
  if (auto *rmw = dyn_cast<AtomicRMWInst>(&instruction))
    return visitAccess(*rmw, "atom", SiteKind::Atomic, rmw->getPointerOperand(),
                       rmw->getValOperand()->getType(), rmw->getAlign());
  if (auto *exchange = dyn_cast<AtomicCmpXchgInst>(&instruction))
    return visitAccess(*exchange, "atom.cas", SiteKind::Atomic, exchange->getPointerOperand(),
                       exchange->getNewValOperand()->getType(), exchange->getAlign());
  if (auto *call = dyn_cast<CallInst>(&instruction))
    return visitCall(*call);
  if (instruction.isIntDivRem())
    visitDivision(instruction);
  if (instruction.isTerminator())
    visitTerminator(instruction);
  return Error::success();
}

/// void elfatt_sim_run_KERNEL(void **args): one pointer to each argument.
void Instrumenter::addEntry(Function &kernel) {
  kernel.setCallingConv(CallingConv::C);
  auto *entry =
      Function::Create(FunctionType::get(voidType, {pointer}, false), Function::ExternalLinkage,
                       kEntryPrefix + kernel.getName(), module);
  IRBuilder<> b(BasicBlock::Create(module.getContext(), "", entry));
  SmallVector<Value *> arguments;
  InstrumentedKernel known{kernel.getName().str(), {}, 0, {}};
  for (Argument &argument : kernel.args()) {
    Value *slot = b.CreateConstGEP1_32(pointer, entry->getArg(0), argument.getArgNo());
    arguments.push_back(b.CreateLoad(argument.getType(), b.CreateLoad(pointer, slot)));
    known.isPointer.push_back(argument.getType()->isPointerTy());
  }
  b.CreateCall(&kernel, arguments);
  b.CreateRetVoid();
  for (StringRef name : {"nvvm.maxntid", "nvvm.reqntid"}) {
    // "128" or "16,8,1"
    StringRef text = kernel.getFnAttribute(name).getValueAsString();
    uint32_t threads = 1, extent = 0;
    while (!text.empty() && !text.consumeInteger(10, extent)) {
      threads *= extent;
      known.maxThreads = threads;
      text.consume_front(",");
    }
  }
  result.kernels.push_back(std::move(known));
}

Error Instrumenter::run() {
  SmallVector<Function *> kernels;
  for (Function &function : module) {
    for (StringRef attribute : {"target-cpu", "target-features", "tune-cpu"})
      function.removeFnAttr(attribute);
    if (function.isDeclaration())
      continue;
    if (function.getCallingConv() == CallingConv::PTX_Kernel) {
      kernels.push_back(&function);
      for (Argument &argument : function.args())
        if (argument.hasByValAttr())
          return unknown("parameters by value of a struct", function);
    }
    // In the order of the code: lanes that part meet at what comes first.
    SmallVector<Instruction *> ordered;
    unsigned position = 0;
    for (Instruction &instruction : instructions(function))
      positions[&instruction] = ++position;
    removeUnreachableBlocks(function);
    for (BasicBlock *block : ReversePostOrderTraversal<Function *>(&function)) {
      costs[block] = getCost(*block);
      for (Instruction &instruction : *block)
        ordered.push_back(&instruction);
    }
    for (Instruction *instruction : ordered) {
      if (auto *alloca = dyn_cast<AllocaInst>(instruction))
        if (std::optional<TypeSize> size = alloca->getAllocationSize(layout))
          result.stackBytes += size->getFixedValue();
      if (Error error = visit(*instruction))
        return error;
    }
  }
  for (Function *kernel : kernels)
    addEntry(*kernel);
  collectSharedUses(module, kernels, result);
  moveShared(module, arena, result);
  if (Error error = exportGlobals(module, result))
    return error;
  for (Function &function : make_early_inc_range(module))
    if (function.isDeclaration() && function.use_empty())
      function.eraseFromParent();
  for (NamedMDNode &node : make_early_inc_range(module.named_metadata()))
    if (node.getName().starts_with("nvvm"))
      module.eraseNamedMetadata(&node);
  StripDebugInfo(module);
  return Error::success();
}

Error elfatt::sim::instrument(Module &module, char *arena, const target::Chip *chip,
                              InstrumentedModule &result) {
  return Instrumenter(module, arena, chip, result).run();
}
