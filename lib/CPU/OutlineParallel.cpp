// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/OperationSupport.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Transforms/RegionUtils.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_OUTLINEPARALLELPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// Larger buffers of an iteration stay on the heap.
constexpr int64_t maxStackBytes = 1 << 20;

constexpr StringLiteral launchName = "elfatt_parallel_for";

/// Clones into the loop what is cheap to make anew: constants.
void sinkConstants(scf::ForallOp forall) {
  llvm::SetVector<Value> captured;
  getUsedValuesDefinedAbove(forall.getRegion(), captured);
  OpBuilder b = OpBuilder::atBlockBegin(forall.getBody());
  for (Value value : captured) {
    Operation *constant = value.getDefiningOp();
    if (!constant || !matchPattern(constant, m_Constant()))
      continue;
    Value copy = b.clone(*constant)->getResult(0);
    replaceAllUsesInRegionWith(value, copy, forall.getRegion());
  }
}

/// Buffers of static size that are made in each iteration become stack
/// memory: kernels do not call the allocator.
void moveToStack(scf::ForallOp forall) {
  SmallVector<memref::AllocOp> allocs;
  forall.walk([&](memref::AllocOp alloc) {
    MemRefType type = alloc.getType();
    if (type.hasStaticShape() && type.getElementType().isIntOrFloat() &&
        type.getNumElements() * type.getElementTypeBitWidth() / 8 <= maxStackBytes)
      allocs.push_back(alloc);
  });
  for (memref::AllocOp alloc : allocs) {
    OpBuilder b(alloc);
    for (Operation *user : llvm::make_early_inc_range(alloc->getUsers()))
      if (isa<memref::DeallocOp>(user))
        user->erase();
    auto onStack = memref::AllocaOp::create(b, alloc.getLoc(), alloc.getType());
    onStack.setAlignment(64);
    alloc.replaceAllUsesWith(onStack.getResult());
    alloc.erase();
  }
}

/// Number of steps of one dim: (upper - lower) / step, rounded up.
Value makeTripCount(OpBuilder &b, Location loc, OpFoldResult lower, OpFoldResult upper,
                    OpFoldResult step) {
  auto value = [&](OpFoldResult v) { return getValueOrCreateConstantIndexOp(b, loc, v); };
  if (isZeroInteger(lower) && isOneInteger(step))
    return value(upper);
  Value extent = arith::SubIOp::create(b, loc, value(upper), value(lower));
  return arith::CeilDivSIOp::create(b, loc, extent, value(step));
}

/// Replaces one parallel loop by a kernel and a call of the runtime.
class Outliner {
public:
  Outliner(ModuleOp module, SymbolTable &symbols)
      : module(module), symbols(symbols), converter(module.getContext()) {}

  LogicalResult outline(scf::ForallOp forall) {
    if (!forall.getOutputs().empty())
      return forall.emitOpError("has tensor results; expected a loop on buffers");
    sinkConstants(forall);
    moveToStack(forall);
    OpBuilder b(forall);
    llvm::SetVector<Value> captured;
    getUsedValuesDefinedAbove(forall.getRegion(), captured);
    SmallVector<OpFoldResult> lower = forall.getMixedLowerBound(),
                              upper = forall.getMixedUpperBound(), step = forall.getMixedStep();
    for (auto *list : {&lower, &upper, &step})
      for (OpFoldResult bound : *list)
        if (auto value = dyn_cast<Value>(bound))
          captured.insert(value);
    SmallVector<Type> fields;
    for (Value value : captured) {
      Type type = converter.convertType(value.getType());
      if (!type)
        return forall.emitOpError("captures a value of type ")
               << value.getType() << " that has no form in memory";
      fields.push_back(type);
    }
    auto pack = LLVM::LLVMStructType::getLiteral(b.getContext(), fields);
    func::FuncOp kernel = makeKernel(forall, captured.getArrayRef(), pack);
    emitLaunch(b, forall, captured.getArrayRef(), pack, findEqual(kernel));
    forall.erase();
    return success();
  }

  unsigned numKernels = 0, numMerged = 0;

private:
  func::FuncOp makeKernel(scf::ForallOp forall, ArrayRef<Value> captured,
                          LLVM::LLVMStructType pack) {
    MLIRContext *context = module.getContext();
    Location loc = forall.getLoc();
    OpBuilder b(context);
    Type pointer = LLVM::LLVMPointerType::get(context);
    auto kernel = func::FuncOp::create(
        loc, "kernel", b.getFunctionType({pointer, b.getI64Type(), b.getI64Type()}, {}));
    kernel.setPrivate();
    Block *entry = kernel.addEntryBlock();
    b.setInsertionPointToStart(entry);
    IRMapping mapping;
    Value address = LLVM::LoadOp::create(b, loc, pointer, entry->getArgument(0));
    Value values = LLVM::LoadOp::create(b, loc, pack, address);
    for (auto [i, value] : llvm::enumerate(captured)) {
      Value field = LLVM::ExtractValueOp::create(b, loc, values, i);
      mapping.map(value,
                  UnrealizedConversionCastOp::create(b, loc, value.getType(), field).getResult(0));
    }
    auto toIndex = [&](Value v) {
      return arith::IndexCastOp::create(b, loc, b.getIndexType(), v).getResult();
    };
    Value begin = toIndex(entry->getArgument(1)), end = toIndex(entry->getArgument(2));
    auto loop = scf::ForOp::create(b, loc, begin, end, arith::ConstantIndexOp::create(b, loc, 1));
    func::ReturnOp::create(b, loc);
    b.setInsertionPointToStart(loop.getBody());
    mapIterators(b, forall, loop.getInductionVar(), mapping);
    for (Operation &op : forall.getBody()->without_terminator())
      b.clone(op, mapping);
    hoistScratch(kernel);
    return kernel;
  }

  /// The loop's iterators from the linear index, the last one running fastest.
  static void mapIterators(OpBuilder &b, scf::ForallOp forall, Value linear, IRMapping &mapping) {
    Location loc = forall.getLoc();
    SmallVector<OpFoldResult> lower = forall.getMixedLowerBound(),
                              upper = forall.getMixedUpperBound(), step = forall.getMixedStep();
    auto local = [&](OpFoldResult bound) -> OpFoldResult {
      auto value = dyn_cast<Value>(bound);
      return value ? OpFoldResult(mapping.lookupOrDefault(value)) : bound;
    };
    for (unsigned d = forall.getRank(); d-- > 0;) {
      Value index = linear;
      if (d > 0) {
        Value count = makeTripCount(b, loc, local(lower[d]), local(upper[d]), local(step[d]));
        index = arith::RemUIOp::create(b, loc, linear, count);
        linear = arith::DivUIOp::create(b, loc, linear, count);
      }
      if (!isOneInteger(step[d]))
        index = arith::MulIOp::create(b, loc, index,
                                      getValueOrCreateConstantIndexOp(b, loc, local(step[d])));
      if (!isZeroInteger(lower[d]))
        index = arith::AddIOp::create(b, loc, index,
                                      getValueOrCreateConstantIndexOp(b, loc, local(lower[d])));
      mapping.map(forall.getInductionVar(d), index);
    }
  }

  /// Scratch of static size is made once for all iterations of a kernel: in a
  /// loop it would grow the stack.
  static void hoistScratch(func::FuncOp kernel) {
    Block &entry = kernel.getBody().front();
    kernel.walk([&](memref::AllocaOp scratch) {
      if (scratch.getType().hasStaticShape() && scratch->getBlock() != &entry)
        scratch->moveBefore(&entry, entry.begin());
    });
  }

  /// The kernel itself, put into the module, or one that does the same.
  func::FuncOp findEqual(func::FuncOp kernel) {
    // Operands are told apart by what comes before them in the code alone.
    auto hash = llvm::hash_value(0);
    kernel.walk<WalkOrder::PreOrder>([&](Operation *op) {
      if (op != kernel)
        hash = llvm::hash_combine(
            hash, OperationEquivalence::computeHash(op, OperationEquivalence::ignoreHashValue,
                                                    OperationEquivalence::ignoreHashValue,
                                                    OperationEquivalence::IgnoreLocations));
    });
    for (func::FuncOp other : known[hash]) {
      if (!OperationEquivalence::isRegionEquivalentTo(&kernel.getBody(), &other.getBody(),
                                                      OperationEquivalence::IgnoreLocations))
        continue;
      kernel.erase();
      ++numMerged;
      return other;
    }
    kernel.setSymName(("elfatt_kernel_" + Twine(numKernels++)).str());
    symbols.insert(kernel, module.getBody()->end());
    known[hash].push_back(kernel);
    return kernel;
  }

  void emitLaunch(OpBuilder &b, scf::ForallOp forall, ArrayRef<Value> captured,
                  LLVM::LLVMStructType pack, func::FuncOp kernel) {
    Location loc = forall.getLoc();
    Type pointer = LLVM::LLVMPointerType::get(b.getContext());
    Value one, slot, args;
    {
      // On the stack once, however often the launch is reached.
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(&forall->getParentOfType<func::FuncOp>().getBody().front());
      one = LLVM::ConstantOp::create(b, loc, b.getI64IntegerAttr(1));
      slot = LLVM::AllocaOp::create(b, loc, pointer, pack, one);
      args = LLVM::AllocaOp::create(b, loc, pointer, pointer, one);
    }
    Value values = LLVM::UndefOp::create(b, loc, pack);
    for (auto [i, value] : llvm::enumerate(captured)) {
      Value field =
          UnrealizedConversionCastOp::create(b, loc, pack.getBody()[i], value).getResult(0);
      values = LLVM::InsertValueOp::create(b, loc, values, field, i);
    }
    LLVM::StoreOp::create(b, loc, values, slot);
    LLVM::StoreOp::create(b, loc, slot, args);
    Value count = arith::ConstantIndexOp::create(b, loc, 1);
    for (auto [lower, upper, step] : llvm::zip_equal(
             forall.getMixedLowerBound(), forall.getMixedUpperBound(), forall.getMixedStep()))
      count = arith::MulIOp::create(b, loc, count, makeTripCount(b, loc, lower, upper, step));
    count = arith::IndexCastOp::create(b, loc, b.getI64Type(), count);
    Value function =
        func::ConstantOp::create(b, loc, kernel.getFunctionType(), kernel.getSymName());
    function = UnrealizedConversionCastOp::create(b, loc, pointer, function).getResult(0);
    func::CallOp::create(b, loc, getOrDeclareLaunch(), ValueRange{function, args, count});
  }

  func::FuncOp getOrDeclareLaunch() {
    if (auto launch = symbols.lookup<func::FuncOp>(launchName))
      return launch;
    OpBuilder b(module.getContext());
    Type pointer = LLVM::LLVMPointerType::get(b.getContext());
    auto launch = func::FuncOp::create(module.getLoc(), launchName,
                                       b.getFunctionType({pointer, pointer, b.getI64Type()}, {}));
    launch.setPrivate();
    symbols.insert(launch, module.getBody()->begin());
    return launch;
  }

  ModuleOp module;
  SymbolTable &symbols;
  LLVMTypeConverter converter;
  llvm::DenseMap<llvm::hash_code, SmallVector<func::FuncOp>> known;
};

struct OutlineParallel : impl::OutlineParallelPassBase<OutlineParallel> {
  using OutlineParallelPassBase::OutlineParallelPassBase;

  void runOnOperation() override {
    SmallVector<scf::ForallOp> loops;
    getOperation().walk<WalkOrder::PreOrder>([&](scf::ForallOp forall) {
      loops.push_back(forall);
      return WalkResult::skip();
    });
    SymbolTable symbols(getOperation());
    Outliner outliner(getOperation(), symbols);
    for (scf::ForallOp forall : loops)
      if (failed(outliner.outline(forall)))
        return signalPassFailure();
    numKernels += outliner.numKernels;
    numMerged += outliner.numMerged;
  }
};

} // namespace
} // namespace elfatt::cpu
