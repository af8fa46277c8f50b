// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPULAUNCHTOCALLPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

/// The host function that runs a kernel: its number in `elfatt.kernels`, the
/// grid, the block, bytes of dynamic shared memory, and a pointer to one word for each argument.
constexpr StringLiteral kLaunchFunction = "elfatt_launch";

/// A kernel's argument as 64 bits: pointers and numbers by their bits.
FailureOr<Value> toWord(OpBuilder &b, Location loc, Value value) {
  Type i64 = b.getI64Type(), type = value.getType();
  if (isa<MemRefType>(type))
    value = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, value);
  else if (isa<FloatType>(type))
    value = arith::BitcastOp::create(b, loc, b.getIntegerType(type.getIntOrFloatBitWidth()), value);
  if (value.getType().isIndex())
    return Value(arith::IndexCastOp::create(b, loc, i64, value));
  if (value.getType() == i64)
    return value;
  if (!value.getType().isInteger() || value.getType().getIntOrFloatBitWidth() > 64)
    return failure();
  return Value(arith::ExtUIOp::create(b, loc, i64, value));
}

struct GPULaunchToCallPass : impl::GPULaunchToCallPassBase<GPULaunchToCallPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    Builder b(module.getContext());
    SmallVector<mg::LaunchFuncOp> launches;
    module.walk([&](mg::LaunchFuncOp op) { launches.push_back(op); });
    if (launches.empty())
      return;
    SmallVector<Type> parameters(9, b.getI64Type());
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    auto callee = func::FuncOp::create(top, module.getLoc(), kLaunchFunction,
                                       b.getFunctionType(parameters, {}));
    callee.setPrivate();
    SmallVector<StringRef> kernels;
    for (mg::LaunchFuncOp launch : launches) {
      StringRef name = launch.getKernelName().getValue();
      auto *known = llvm::find(kernels, name);
      int64_t number = known - kernels.begin();
      if (known == kernels.end())
        kernels.push_back(name);
      if (failed(replace(launch, number)))
        return signalPassFailure();
    }
    module->setAttr("elfatt.kernels", b.getStrArrayAttr(kernels));
    module->removeAttr(mg::GPUDialect::getContainerModuleAttrName());
  }

  LogicalResult replace(mg::LaunchFuncOp launch, int64_t number) {
    OpBuilder b(launch);
    Location loc = launch.getLoc();
    int64_t numArguments = launch.getNumKernelOperands();
    auto function = launch->getParentOfType<func::FuncOp>();
    if (!function)
      return launch.emitOpError("expected to be inside a function");
    Value words;
    {
      // Launches in a loop share one array.
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(&function.getBody().front());
      words = memref::AllocaOp::create(
          b, loc, MemRefType::get({std::max<int64_t>(numArguments, 1)}, b.getI64Type()));
    }
    for (auto [i, operand] : llvm::enumerate(launch.getKernelOperands())) {
      FailureOr<Value> word = toWord(b, loc, operand);
      if (failed(word))
        return launch.emitOpError("cannot pass a kernel an argument of type ") << operand.getType();
      memref::StoreOp::create(b, loc, *word, words,
                              ValueRange{arith::ConstantIndexOp::create(b, loc, i)});
    }
    mg::KernelDim3 grid = launch.getGridSizeOperandValues();
    mg::KernelDim3 block = launch.getBlockSizeOperandValues();
    SmallVector<Value> operands{arith::ConstantIntOp::create(b, loc, number, 64)};
    Value shared = launch.getDynamicSharedMemorySize();
    if (!shared)
      shared = arith::ConstantIntOp::create(b, loc, 0, 32);
    for (Value size : {grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, words})
      operands.push_back(*toWord(b, loc, size));
    func::CallOp::create(b, loc, kLaunchFunction, TypeRange{}, operands);
    launch.erase();
    return success();
  }
};
} // namespace
} // namespace elfatt::gpu
