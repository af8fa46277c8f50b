// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "Chunks.h"
#include "Layout/Alignment.h"
#include "elfatt/Dialect/Attention/IR/TileAttributes.h"
#include "elfatt/GPU/FragmentLayout.h"
#include "elfatt/Target/Chip.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUDISTRIBUTESTAGINGPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

Value load(OpBuilder &b, Location loc, Value memref, ValueRange indices, int64_t chunk) {
  auto type = cast<MemRefType>(memref.getType());
  if (chunk == 1)
    return memref::LoadOp::create(b, loc, memref, indices);
  return vector::LoadOp::create(b, loc, VectorType::get(chunk, type.getElementType()), memref,
                                indices, /*nontemporal=*/false,
                                llvm::MaybeAlign(chunk * type.getElementTypeBitWidth() / 8));
}

Operation *store(OpBuilder &b, Location loc, Value value, Value memref, ValueRange indices,
                 int64_t chunk) {
  auto type = cast<MemRefType>(memref.getType());
  if (chunk == 1)
    return memref::StoreOp::create(b, loc, value, memref, indices);
  return vector::StoreOp::create(b, loc, value, memref, indices, /*nontemporal=*/false,
                                 llvm::MaybeAlign(chunk * type.getElementTypeBitWidth() / 8));
}

/// The float `value` (a scalar or a vector) as elements of `element`.
Value castTo(OpBuilder &b, Location loc, Value value, Type element) {
  Type from = getElementTypeOrSelf(value);
  if (from == element)
    return value;
  Type to = element;
  if (auto vector = dyn_cast<VectorType>(value.getType()))
    to = vector.clone(element);
  if (from.getIntOrFloatBitWidth() > element.getIntOrFloatBitWidth())
    return arith::TruncFOp::create(b, loc, to, value);
  return arith::ExtFOp::create(b, loc, to, value);
}

LogicalResult checkTypes(Operation *op) {
  for (Value operand : op->getOperands()) {
    Type element = getElementTypeOrSelf(operand.getType());
    if (!isa<MemRefType>(operand.getType()) && !element.isIntOrFloat())
      return op->emitOpError("expected memrefs or scalars, got ") << operand.getType();
    if (!element.isF16() && !element.isBF16() && !element.isF32())
      return op->emitOpError("no kernel stages elements of type ")
             << element << ", expected f16, bf16 or f32";
  }
  auto elements =
      llvm::map_range(op->getOperandTypes(), [](Type type) { return getElementTypeOrSelf(type); });
  auto is16 = [](Type type) { return type.isF16() || type.isBF16(); };
  Type first = *elements.begin();
  for (Type element : elements)
    if (element != first && is16(element) && is16(first))
      return op->emitOpError("no kernel copies ") << first << " to " << element;
  return success();
}

LogicalResult distribute(linalg::FillOp op, const target::Chip &) {
  if (failed(checkTypes(op)))
    return failure();
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value out = op.getOutputs().front();
  int64_t chunk = getChunk({out});
  Type element = cast<MemRefType>(out.getType()).getElementType();
  Value value = castTo(b, loc, op.getInputs().front(), element);
  if (chunk > 1)
    value = vector::BroadcastOp::create(b, loc, VectorType::get(chunk, element), value);
  forEachChunk(
      b, loc, memref::getMixedSizes(b, loc, out), chunk, getOrder({out}, chunk), isAnyShared({out}),
      [&](OpBuilder &inner, ValueRange indices) { store(inner, loc, value, out, indices, chunk); });
  op.erase();
  return success();
}

/// Whether chunks can go from global to shared memory past the registers.
bool isAsynchronous(const target::Chip &chip, Value in, Value out, int64_t chunk) {
  auto from = cast<MemRefType>(in.getType()), to = cast<MemRefType>(out.getType());
  int64_t bytes = chunk * from.getElementTypeBitWidth() / 8;
  auto isContiguous = [](MemRefType type) {
    return type.getRank() > 0 && type.isLastDimUnitStride();
  };
  return chip.asyncCopy && isContiguous(from) && isContiguous(to) &&
         from.getElementType() == to.getElementType() &&
         mg::GPUDialect::hasWorkgroupMemoryAddressSpace(to) && !from.getMemorySpace() &&
         llvm::is_contained({4, 8, 16}, bytes);
}

/// Makes rows of several dims rows of one, where they are equally far apart on both sides: the
/// places of a thread's chunks then differ by constants.
void flattenRows(OpBuilder &b, Location loc, Value &in, Value &out) {
  auto from = cast<MemRefType>(in.getType()), to = cast<MemRefType>(out.getType());
  const int64_t rank = from.getRank();
  if (rank < 3 || to.getRank() != rank)
    return;
  SmallVector<ReassociationIndices> groups(2);
  for (int64_t dim = 0; dim < rank; ++dim)
    groups[dim == rank - 1].push_back(dim);
  if (!memref::CollapseShapeOp::isGuaranteedCollapsible(from, groups) ||
      !memref::CollapseShapeOp::isGuaranteedCollapsible(to, groups))
    return;
  in = memref::CollapseShapeOp::create(b, loc, in, groups);
  out = memref::CollapseShapeOp::create(b, loc, out, groups);
}

LogicalResult distributeCopy(linalg::LinalgOp op, Value in, Value out, const target::Chip &chip) {
  if (failed(checkTypes(op)))
    return failure();
  OpBuilder b(op);
  Location loc = op.getLoc();
  int64_t chunk = getChunk({in, out});
  bool async = isAsynchronous(chip, in, out, chunk);
  flattenRows(b, loc, in, out);
  auto hint = [&](Operation *piece) {
    if (Attribute attr = op->getAttr(attention::kEvictFirstAttr))
      piece->setDiscardableAttr(attention::kEvictFirstAttr, attr);
  };
  // The shape of the side that is better known.
  Value shaped = cast<MemRefType>(in.getType()).hasStaticShape() ? in : out;
  // What leaves has the places of what came: kept from then on, they would take registers from
  // the products in between. So they are computed anew.
  const bool leaves = !cast<MemRefType>(out.getType()).getMemorySpace();
  const ThreadNumber number = leaves ? ThreadNumber::OfLane : ThreadNumber::Known;
  forEachChunk(
      b, loc, memref::getMixedSizes(b, loc, shaped), chunk, getOrder({in, out}, chunk),
      isAnyShared({in, out}),
      [&](OpBuilder &inner, ValueRange indices) {
        auto to = cast<MemRefType>(out.getType());
        if (async) {
          // Only copies of 16 bytes can leave the L1 cache out.
          bool past = chunk * to.getElementTypeBitWidth() / 8 == kPointerAlignment;
          auto copy = nvgpu::DeviceAsyncCopyOp::create(
              inner, loc, nvgpu::DeviceAsyncTokenType::get(inner.getContext()), out, indices, in,
              indices, inner.getIndexAttr(chunk), /*srcElements=*/Value(),
              past ? inner.getUnitAttr() : UnitAttr());
          return hint(copy);
        }
        Value value = load(inner, loc, in, indices, chunk);
        value = castTo(inner, loc, value, to.getElementType());
        hint(store(inner, loc, value, out, indices, chunk));
      },
      number);
  op.erase();
  return success();
}

LogicalResult distribute(linalg::CopyOp op, const target::Chip &chip) {
  return distributeCopy(op, op.getInputs().front(), op.getOutputs().front(), chip);
}

/// One input and one output in the same order, and a body that yields the
/// input's element, cast or not.
bool isCopyThatCasts(linalg::GenericOp op) {
  Value element = op.getBlock()->getTerminator()->getOperand(0);
  if (auto cast = element.getDefiningOp(); isa_and_nonnull<arith::TruncFOp, arith::ExtFOp>(cast))
    element = cast->getOperand(0);
  return op.getNumDpsInputs() == 1 && element == op.getBlock()->getArgument(0) &&
         llvm::all_of(op.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); });
}

/// Whether the body computes vectors as it does scalars, of operands whose elements are all in the
/// order of the loops. An i1 in memory is a byte, in a vector a bit.
bool computesVectors(linalg::GenericOp op) {
  auto holdsBytes = [](Type type) {
    auto memref = dyn_cast<MemRefType>(type);
    return memref && !memref.getElementType().isInteger(1);
  };
  return llvm::all_of(op->getOperandTypes(), holdsBytes) &&
         llvm::all_of(op.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); }) &&
         llvm::all_of(op.getBlock()->without_terminator(), [](Operation &inner) {
           return isa<arith::ConstantOp>(inner) || OpTrait::hasElementwiseMappableTraits(&inner);
         });
}

/// `value` for vectors of `chunk` elements: what is no vector is the same for all of them.
Value spread(OpBuilder &b, Location loc, Value value, int64_t chunk) {
  if (chunk == 1 || isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(b, loc, VectorType::get(chunk, value.getType()), value);
}

/// Clones `scalar` to compute vectors of `chunk` elements.
void cloneSpread(OpBuilder &b, Operation &scalar, int64_t chunk, IRMapping &mapping) {
  const bool isSpread = chunk > 1 && !isa<arith::ConstantOp>(scalar);
  if (isSpread)
    for (Value operand : scalar.getOperands())
      mapping.map(operand, spread(b, scalar.getLoc(), mapping.lookupOrDefault(operand), chunk));
  Operation *cloned = b.clone(scalar, mapping);
  if (isSpread)
    for (Value result : cloned->getResults())
      result.setType(VectorType::get(chunk, result.getType()));
}

/// Any elementwise op: each index of the loops is a dim of some operand.
LogicalResult distribute(linalg::GenericOp op, const target::Chip &chip) {
  auto isDimOrConstant = [](AffineExpr e) { return isa<AffineDimExpr, AffineConstantExpr>(e); };
  if (op.getNumDpsInits() != 1 || op.getNumParallelLoops() != op.getNumLoops() ||
      !llvm::all_of(op.getIndexingMapsArray(),
                    [&](AffineMap map) { return llvm::all_of(map.getResults(), isDimOrConstant); }))
    return op.emitOpError("cannot be spread over lanes, expected an elementwise op");
  if (isCopyThatCasts(op))
    return distributeCopy(op, op.getInputs().front(), op.getOutputs().front(), chip);

  OpBuilder b(op);
  Location loc = op.getLoc();
  SmallVector<OpFoldResult> extents(op.getNumLoops());
  for (OpOperand &operand : op->getOpOperands())
    for (auto [d, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && !extents[dim.getPosition()])
        extents[dim.getPosition()] = memref::getMixedSize(b, loc, operand.get(), d);
  if (llvm::any_of(extents, [](OpFoldResult extent) { return !extent; }))
    return op.emitOpError("cannot be spread over lanes, expected every loop to index an operand");
  auto operands = llvm::to_vector(op->getOperands());
  const int64_t chunk = computesVectors(op) ? getChunk(operands) : 1;
  forEachChunk(
      b, loc, extents, chunk, chunk == 1 ? ChunkOrder::AlongRows : getOrder(operands, chunk),
      /*isShared=*/false, [&](OpBuilder &inner, ValueRange indices) {
        auto indicesOf = [&](OpOperand &operand) {
          return llvm::map_to_vector(op.getMatchingIndexingMap(&operand).getResults(),
                                     [&](AffineExpr expr) -> Value {
                                       if (auto dim = dyn_cast<AffineDimExpr>(expr))
                                         return indices[dim.getPosition()];
                                       return arith::ConstantIndexOp::create(
                                           inner, loc, cast<AffineConstantExpr>(expr).getValue());
                                     });
        };
        IRMapping mapping;
        for (auto [operand, argument] :
             llvm::zip(op->getOpOperands(), op.getBlock()->getArguments()))
          if (!argument.use_empty())
            mapping.map(argument, load(inner, loc, operand.get(), indicesOf(operand), chunk));
        for (Operation &scalar : op.getBlock()->without_terminator())
          cloneSpread(inner, scalar, chunk, mapping);
        OpOperand *out = op.getDpsInitOperand(0);
        Value made = mapping.lookupOrDefault(op.getBlock()->getTerminator()->getOperand(0));
        store(inner, loc, spread(inner, loc, made, chunk), out->get(), indicesOf(*out), chunk);
      });
  op.erase();
  return success();
}

/// Copies that are under way must have landed before a barrier tells other threads so. Returns
/// whether any is at the block's end.
bool waitBeforeBarriers(Block &block) {
  bool pending = false;
  auto wait = [](OpBuilder b, Location loc) {
    Value group = nvgpu::DeviceAsyncCreateGroupOp::create(
        b, loc, nvgpu::DeviceAsyncTokenType::get(b.getContext()), ValueRange());
    nvgpu::DeviceAsyncWaitOp::create(b, loc, group, b.getI32IntegerAttr(0));
  };
  for (Operation &op : llvm::make_early_inc_range(block)) {
    pending |= isa<nvgpu::DeviceAsyncCopyOp>(op);
    for (Region &region : op.getRegions())
      for (Block &nested : region) {
        // What is under way meets the barriers inside.
        bool hasBarrier = nested.getParentOp()
                              ->walk([](mg::BarrierOp) { return WalkResult::interrupt(); })
                              .wasInterrupted();
        if (pending && hasBarrier) {
          wait(OpBuilder(&op), op.getLoc());
          pending = false;
        }
        bool pendingInside = waitBeforeBarriers(nested);
        if (pendingInside && hasBarrier && isa<LoopLikeOpInterface>(op))
          wait(OpBuilder(nested.getTerminator()), op.getLoc());
        else
          pending |= pendingInside;
      }
    if (pending && isa<mg::BarrierOp>(op)) {
      wait(OpBuilder(&op), op.getLoc());
      pending = false;
    }
  }
  return pending;
}

struct GPUDistributeStagingPass : impl::GPUDistributeStagingPassBase<GPUDistributeStagingPass> {
  using GPUDistributeStagingPassBase::GPUDistributeStagingPassBase;
  void runOnOperation() override {
    llvm::Expected<const target::Chip *> found = target::findChip(chip);
    if (!found) {
      emitError(getOperation().getLoc()) << llvm::toString(found.takeError());
      return signalPassFailure();
    }
    SmallVector<linalg::LinalgOp> ops;
    getOperation().walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    for (linalg::LinalgOp op : ops) {
      LogicalResult result = llvm::TypeSwitch<Operation *, LogicalResult>(op)
                                 .Case<linalg::FillOp, linalg::CopyOp, linalg::GenericOp>(
                                     [&](auto staged) { return distribute(staged, **found); })
                                 .Default([](Operation *other) {
                                   return other->emitOpError(
                                       "cannot be spread over lanes, expected linalg.fill, copy or "
                                       "an elementwise linalg.generic");
                                 });
      if (failed(result))
        return signalPassFailure();
    }
    for (Block &block : getOperation().getBody())
      waitBeforeBarriers(block);
  }
};
} // namespace
} // namespace elfatt::gpu
