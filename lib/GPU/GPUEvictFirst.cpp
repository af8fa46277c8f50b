// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "elfatt/Dialect/Attention/IR/TileAttributes.h"
#include "elfatt/Target/Instructions.h"

#include "mlir/Conversion/GPUCommon/GPUCommonPass.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Transforms/DialectConversion.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUEVICTFIRSTPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

/// Address spaces of NVPTX, and what one instruction moves.
constexpr unsigned kGlobalSpace = 1, kSharedSpace = 3;
constexpr int64_t kBytes = 16, kWords = 4;

bool isMarked(Operation *op) { return op->hasAttr(attention::kEvictFirstAttr); }

bool isMarked(nvgpu::DeviceAsyncCopyOp op) {
  int64_t bits = cast<MemRefType>(op.getDst().getType()).getElementTypeBitWidth();
  return isMarked(op.getOperation()) && !op.getSrcElements() &&
         op.getDstElements().getZExtValue() * bits == 8 * kBytes;
}

bool isMarked(vector::StoreOp op) {
  VectorType type = op.getVectorType();
  return isMarked(op.getOperation()) && type.getRank() == 1 &&
         !op.getMemRefType().getMemorySpace() &&
         type.getNumElements() * type.getElementTypeBitWidth() == 8 * kBytes;
}

Value toGlobal(OpBuilder &b, Location loc, Value pointer) {
  auto type = LLVM::LLVMPointerType::get(b.getContext(), kGlobalSpace);
  return LLVM::AddrSpaceCastOp::create(b, loc, type, pointer);
}

void emitAssembly(OpBuilder &b, Location loc, ValueRange operands, StringRef text,
                  StringRef constraints) {
  LLVM::InlineAsmOp::create(b, loc, TypeRange(), operands, text, constraints,
                            /*has_side_effects=*/true, /*is_align_stack=*/false,
                            LLVM::tailcallkind::TailCallKind::None, LLVM::AsmDialectAttr(),
                            ArrayAttr());
}

struct LowerCopy : ConvertOpToLLVMPattern<nvgpu::DeviceAsyncCopyOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult matchAndRewrite(nvgpu::DeviceAsyncCopyOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Value to = getStridedElementPtr(rewriter, loc, cast<MemRefType>(op.getDst().getType()),
                                    adaptor.getDst(), adaptor.getDstIndices());
    Value from = getStridedElementPtr(rewriter, loc, cast<MemRefType>(op.getSrc().getType()),
                                      adaptor.getSrc(), adaptor.getSrcIndices());
    emitAssembly(rewriter, loc, {to, toGlobal(rewriter, loc, from)}, target::kCopyEvictFirst,
                 "l,l");
    rewriter.eraseOp(op);
    return success();
  }
};

struct LowerStore : ConvertOpToLLVMPattern<vector::StoreOp> {
  using ConvertOpToLLVMPattern::ConvertOpToLLVMPattern;

  LogicalResult matchAndRewrite(vector::StoreOp op, OpAdaptor adaptor,
                                ConversionPatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Value to = getStridedElementPtr(rewriter, loc, op.getMemRefType(), adaptor.getBase(),
                                    adaptor.getIndices());
    SmallVector<Value> operands = {toGlobal(rewriter, loc, to)};
    auto words = VectorType::get(kWords, rewriter.getI32Type());
    Value bits = LLVM::BitcastOp::create(rewriter, loc, words, adaptor.getValueToStore());
    // Else LLVM would load the words of shared memory one by one.
    bits = LLVM::FreezeOp::create(rewriter, loc, bits);
    for (int64_t i = 0; i < kWords; ++i) {
      Value index = LLVM::ConstantOp::create(rewriter, loc, rewriter.getI64IntegerAttr(i));
      operands.push_back(LLVM::ExtractElementOp::create(rewriter, loc, bits, index));
    }
    emitAssembly(rewriter, loc, operands, target::kStoreEvictFirst, "l,r,r,r,r");
    rewriter.eraseOp(op);
    return success();
  }
};

struct GPUEvictFirstPass : impl::GPUEvictFirstPassBase<GPUEvictFirstPass> {
  void runOnOperation() override {
    int64_t marked = 0;
    getOperation().walk([&](nvgpu::DeviceAsyncCopyOp op) { marked += isMarked(op); });
    getOperation().walk([&](vector::StoreOp op) { marked += isMarked(op); });
    if (marked == 0 || !isServed())
      return;
    numHints += marked;
    LLVMTypeConverter converter(&getContext());
    populateGpuMemorySpaceAttributeConversions(converter, [](mg::AddressSpace space) -> unsigned {
      return space == mg::AddressSpace::Workgroup ? kSharedSpace : 0;
    });
    ConversionTarget legal(getContext());
    legal.addLegalDialect<LLVM::LLVMDialect>();
    legal.addDynamicallyLegalOp<nvgpu::DeviceAsyncCopyOp>(
        [](nvgpu::DeviceAsyncCopyOp op) { return !isMarked(op); });
    legal.addDynamicallyLegalOp<vector::StoreOp>([](vector::StoreOp op) { return !isMarked(op); });
    RewritePatternSet patterns(&getContext());
    patterns.add<LowerCopy, LowerStore>(converter);
    if (failed(applyPartialConversion(getOperation(), legal, std::move(patterns))))
      signalPassFailure();
  }

  /// Whether all targets have the instructions.
  bool isServed() {
    ArrayAttr targets = getOperation().getTargetsAttr();
    return targets && llvm::all_of(targets, [](Attribute attr) {
             auto nvvm = dyn_cast<NVVM::NVVMTargetAttr>(attr);
             llvm::Expected<const target::Chip *> chip =
                 target::findChip(nvvm ? nvvm.getChip() : StringRef());
             if (!chip) {
               llvm::consumeError(chip.takeError());
               return false;
             }
             auto ptx = target::parsePtxFeature(nvvm.getFeatures());
             return ptx && target::hasEvictFirst(**chip, *ptx);
           });
  }
};
} // namespace
} // namespace elfatt::gpu
