// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPULAUNCHTOCALLPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

/// The host function that runs a kernel: its number in `elfatt.kernels`, the grid, the block,
/// bytes of dynamic shared memory, and a pointer to two words for each parameter of the kernel:
/// its value, and how many bytes it points to (0 for numbers).
constexpr StringLiteral kLaunchFunction = "elfatt_launch";

/// A number by its bits.
FailureOr<Value> toWord(OpBuilder &b, Location loc, Value value) {
  Type i64 = b.getI64Type(), type = value.getType();
  if (isa<FloatType>(type))
    value = arith::BitcastOp::create(b, loc, b.getIntegerType(type.getIntOrFloatBitWidth()), value);
  if (value.getType().isIndex())
    return Value(arith::IndexCastOp::create(b, loc, i64, value));
  if (value.getType() == i64)
    return value;
  if (!value.getType().isInteger() || value.getType().getIntOrFloatBitWidth() > 64)
    return failure();
  return Value(arith::ExtUIOp::create(b, loc, i64, value));
}

struct Word {
  Value value;
  Value bytes; ///< null for numbers
};

/// A memref as its pointer, with the bytes from there to its last element.
struct MemRefWords {
  Value pointer, bytes, offset;
  SmallVector<Value> sizes, strides;
};

MemRefWords expandMemRef(OpBuilder &b, Location loc, Value memref) {
  // Of a base alone the extent is that of the view that it was taken from.
  Value whole = memref;
  if (auto metadata = memref.getDefiningOp<memref::ExtractStridedMetadataOp>())
    whole = metadata.getSource();
  auto metadata = memref::ExtractStridedMetadataOp::create(b, loc, whole);
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, loc, value);
  };
  MemRefWords words;
  words.pointer = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, memref);
  words.offset = metadata.getOffset();
  words.sizes = metadata.getSizes();
  words.strides = metadata.getStrides();
  Value last = words.offset;
  for (auto [size, stride] : llvm::zip_equal(words.sizes, words.strides)) {
    Value steps = arith::SubIOp::create(b, loc, size, constant(1));
    steps = arith::MaxSIOp::create(b, loc, steps, constant(0));
    last = arith::AddIOp::create(b, loc, last, arith::MulIOp::create(b, loc, steps, stride));
  }
  unsigned bits = cast<MemRefType>(whole.getType()).getElementTypeBitWidth();
  Value elements = arith::AddIOp::create(b, loc, last, constant(1));
  words.bytes = arith::MulIOp::create(b, loc, elements, constant(llvm::divideCeil(bits, 8)));
  return words;
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
      if (failed(replace(launch, kernels.size())))
        return signalPassFailure();
      kernels.push_back(launch.getKernelName().getValue());
      launch.erase();
    }
    module->setAttr("elfatt.kernels", b.getStrArrayAttr(kernels));
    module->removeAttr(mg::GPUDialect::getContainerModuleAttrName());
  }

  /// The words of all operands. A memref is one pointer where the kernel has a parameter for
  /// each operand, or else what upstream's descriptors have.
  FailureOr<SmallVector<Word>> collectWords(mg::LaunchFuncOp launch, OpBuilder &b) {
    Location loc = launch.getLoc();
    auto kernel =
        SymbolTable::lookupNearestSymbolFrom<FunctionOpInterface>(launch, launch.getKernelAttr());
    if (!kernel)
      return launch.emitOpError("expected a kernel in a gpu.module of this module");
    bool isBare = kernel.getNumArguments() == launch.getNumKernelOperands();
    SmallVector<Word> words;
    for (Value operand : launch.getKernelOperands()) {
      if (isa<MemRefType>(operand.getType())) {
        MemRefWords memref = expandMemRef(b, loc, operand);
        // Of the two pointers of a descriptor the second is the one to the data.
        if (!isBare)
          words.push_back({memref.pointer, Value()});
        words.push_back({memref.pointer, memref.bytes});
        if (isBare)
          continue;
        for (Value number :
             llvm::concat<Value>(SmallVector<Value>{memref.offset}, memref.sizes, memref.strides))
          words.push_back({number, Value()});
        continue;
      }
      words.push_back({operand, Value()});
    }
    if (words.size() != kernel.getNumArguments())
      return launch.emitOpError("expected operands for the kernel's ")
             << kernel.getNumArguments() << " parameters, got " << words.size();
    return words;
  }

  LogicalResult replace(mg::LaunchFuncOp launch, int64_t number) {
    OpBuilder b(launch);
    Location loc = launch.getLoc();
    auto function = launch->getParentOfType<FunctionOpInterface>();
    if (!function)
      return launch.emitOpError("expected to be inside a function");
    FailureOr<SmallVector<Word>> expanded = collectWords(launch, b);
    if (failed(expanded))
      return failure();
    Value words;
    {
      // Launches in a loop share one array.
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToStart(&function.getFunctionBody().front());
      int64_t size = std::max<int64_t>(2 * expanded->size(), 1);
      words = memref::AllocaOp::create(b, loc, MemRefType::get({size}, b.getI64Type()));
    }
    auto store = [&](Value value, int64_t place) {
      memref::StoreOp::create(b, loc, value, words,
                              ValueRange{arith::ConstantIndexOp::create(b, loc, place)});
    };
    for (auto [i, word] : llvm::enumerate(*expanded)) {
      FailureOr<Value> value = toWord(b, loc, word.value);
      if (failed(value))
        return launch.emitOpError("cannot pass a kernel an argument of type ")
               << word.value.getType();
      store(*value, 2 * i);
      store(word.bytes ? *toWord(b, loc, word.bytes)
                       : Value(arith::ConstantIntOp::create(b, loc, 0, 64)),
            2 * i + 1);
    }
    mg::KernelDim3 grid = launch.getGridSizeOperandValues();
    mg::KernelDim3 block = launch.getBlockSizeOperandValues();
    SmallVector<Value> operands{arith::ConstantIntOp::create(b, loc, number, 64)};
    Value shared = launch.getDynamicSharedMemorySize();
    if (!shared)
      shared = arith::ConstantIntOp::create(b, loc, 0, 32);
    Value arguments = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, words);
    for (Value size : {grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, arguments})
      operands.push_back(*toWord(b, loc, size));
    func::CallOp::create(b, loc, kLaunchFunction, TypeRange{}, operands);
    return success();
  }
};
} // namespace
} // namespace elfatt::gpu
