// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "Alignment.h"
#include "elfatt/GPU/FragmentLayout.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUDISTRIBUTESTAGINGPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

/// The longest chunk, in elements of the innermost dim, that both sides can move
/// at once: contiguous, aligned and at most 16 bytes.
int64_t getChunk(ArrayRef<Value> memrefs) {
  int64_t chunk = 0;
  for (Value memref : memrefs) {
    auto type = cast<MemRefType>(memref.getType());
    int64_t widest = 8 * kPointerAlignment / type.getElementTypeBitWidth();
    chunk = chunk == 0 ? widest : std::min(chunk, widest);
  }
  for (; chunk > 1; chunk /= 2)
    if (llvm::all_of(memrefs, [&](Value memref) {
          auto type = cast<MemRefType>(memref.getType());
          return type.getRank() > 0 && !type.isDynamicDim(type.getRank() - 1) &&
                 type.getShape().back() % chunk == 0 && hasRowsAlignedTo(memref, chunk);
        }))
      return chunk;
  return 1;
}

/// Emits `body` for each chunk of the extents, spread over the lanes:
/// neighbouring lanes take neighbouring chunks.
void forEachChunk(OpBuilder &b, Location loc, ArrayRef<OpFoldResult> extents, int64_t chunk,
                  function_ref<void(OpBuilder &, ValueRange)> body) {
  int64_t rank = extents.size();
  SmallVector<Value> counts;
  for (auto [d, extent] : llvm::enumerate(extents)) {
    OpFoldResult size = extent;
    if (static_cast<int64_t>(d) == rank - 1 && chunk > 1)
      size = b.getIndexAttr(*getConstantIntValue(size) / chunk);
    counts.push_back(getValueOrCreateConstantIndexOp(b, loc, size));
  }
  Value total = arith::ConstantIndexOp::create(b, loc, 1);
  for (Value count : counts)
    total = b.createOrFold<arith::MulIOp>(loc, total, count);
  Value lane = mg::LaneIdOp::create(b, loc, /*upper_bound=*/b.getIndexAttr(kWarpSize));
  Value step = arith::ConstantIndexOp::create(b, loc, kWarpSize);
  auto loop = scf::ForOp::create(b, loc, lane, total, step);
  OpBuilder inner = OpBuilder::atBlockTerminator(loop.getBody());
  SmallVector<Value> indices(rank);
  Value rest = loop.getInductionVar();
  for (int64_t d = rank - 1; d >= 0; --d) {
    indices[d] = d == 0 ? rest : arith::RemUIOp::create(inner, loc, rest, counts[d]).getResult();
    if (d > 0)
      rest = arith::DivUIOp::create(inner, loc, rest, counts[d]);
  }
  if (chunk > 1)
    indices.back() = arith::MulIOp::create(inner, loc, indices.back(),
                                           arith::ConstantIndexOp::create(inner, loc, chunk));
  body(inner, indices);
}

Value load(OpBuilder &b, Location loc, Value memref, ValueRange indices, int64_t chunk) {
  auto type = cast<MemRefType>(memref.getType());
  if (chunk == 1)
    return memref::LoadOp::create(b, loc, memref, indices);
  return vector::LoadOp::create(b, loc, VectorType::get(chunk, type.getElementType()), memref,
                                indices, /*nontemporal=*/false,
                                llvm::MaybeAlign(chunk * type.getElementTypeBitWidth() / 8));
}

void store(OpBuilder &b, Location loc, Value value, Value memref, ValueRange indices,
           int64_t chunk) {
  auto type = cast<MemRefType>(memref.getType());
  if (chunk == 1)
    memref::StoreOp::create(b, loc, value, memref, indices);
  else
    vector::StoreOp::create(b, loc, value, memref, indices, /*nontemporal=*/false,
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

LogicalResult distribute(linalg::FillOp op) {
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
      b, loc, memref::getMixedSizes(b, loc, out), chunk,
      [&](OpBuilder &inner, ValueRange indices) { store(inner, loc, value, out, indices, chunk); });
  op.erase();
  return success();
}

LogicalResult distributeCopy(linalg::LinalgOp op, Value in, Value out) {
  if (failed(checkTypes(op)))
    return failure();
  OpBuilder b(op);
  Location loc = op.getLoc();
  int64_t chunk = getChunk({in, out});
  // The shape of the side that is better known.
  Value shaped = cast<MemRefType>(in.getType()).hasStaticShape() ? in : out;
  forEachChunk(b, loc, memref::getMixedSizes(b, loc, shaped), chunk,
               [&](OpBuilder &inner, ValueRange indices) {
                 Value value = load(inner, loc, in, indices, chunk);
                 value =
                     castTo(inner, loc, value, cast<MemRefType>(out.getType()).getElementType());
                 store(inner, loc, value, out, indices, chunk);
               });
  op.erase();
  return success();
}

LogicalResult distribute(linalg::CopyOp op) {
  return distributeCopy(op, op.getInputs().front(), op.getOutputs().front());
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

/// Any elementwise op: each index of the loops is a dim of some operand.
LogicalResult distribute(linalg::GenericOp op) {
  auto isDimOrConstant = [](AffineExpr e) { return isa<AffineDimExpr, AffineConstantExpr>(e); };
  if (op.getNumDpsInits() != 1 || op.getNumParallelLoops() != op.getNumLoops() ||
      !llvm::all_of(op.getIndexingMapsArray(),
                    [&](AffineMap map) { return llvm::all_of(map.getResults(), isDimOrConstant); }))
    return op.emitOpError("cannot be spread over lanes, expected an elementwise op");
  if (isCopyThatCasts(op))
    return distributeCopy(op, op.getInputs().front(), op.getOutputs().front());

  OpBuilder b(op);
  Location loc = op.getLoc();
  SmallVector<OpFoldResult> extents(op.getNumLoops());
  for (OpOperand &operand : op->getOpOperands())
    for (auto [d, expr] : llvm::enumerate(op.getMatchingIndexingMap(&operand).getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && !extents[dim.getPosition()])
        extents[dim.getPosition()] = memref::getMixedSize(b, loc, operand.get(), d);
  if (llvm::any_of(extents, [](OpFoldResult extent) { return !extent; }))
    return op.emitOpError("cannot be spread over lanes, expected every loop to index an operand");
  forEachChunk(b, loc, extents, /*chunk=*/1, [&](OpBuilder &inner, ValueRange indices) {
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
    for (auto [operand, argument] : llvm::zip(op->getOpOperands(), op.getBlock()->getArguments()))
      if (!argument.use_empty())
        mapping.map(argument, load(inner, loc, operand.get(), indicesOf(operand), 1));
    for (Operation &scalar : op.getBlock()->without_terminator())
      inner.clone(scalar, mapping);
    OpOperand *out = op.getDpsInitOperand(0);
    store(inner, loc, mapping.lookupOrDefault(op.getBlock()->getTerminator()->getOperand(0)),
          out->get(), indicesOf(*out), 1);
  });
  op.erase();
  return success();
}

LogicalResult distribute(linalg::TransposeOp op) {
  if (failed(checkTypes(op)))
    return failure();
  OpBuilder b(op);
  Location loc = op.getLoc();
  Value in = op.getInput(), out = op.getInit();
  // In the order of the input: it is the side in global memory.
  forEachChunk(b, loc, memref::getMixedSizes(b, loc, in), /*chunk=*/1,
               [&](OpBuilder &inner, ValueRange indices) {
                 SmallVector<Value> permuted = llvm::map_to_vector(
                     op.getPermutation(), [&](int64_t d) { return indices[d]; });
                 Value value = load(inner, loc, in, indices, 1);
                 value =
                     castTo(inner, loc, value, cast<MemRefType>(out.getType()).getElementType());
                 store(inner, loc, value, out, permuted, 1);
               });
  op.erase();
  return success();
}

struct GPUDistributeStagingPass : impl::GPUDistributeStagingPassBase<GPUDistributeStagingPass> {
  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> ops;
    getOperation().walk([&](linalg::LinalgOp op) { ops.push_back(op); });
    for (linalg::LinalgOp op : ops) {
      LogicalResult result =
          llvm::TypeSwitch<Operation *, LogicalResult>(op)
              .Case<linalg::FillOp, linalg::CopyOp, linalg::GenericOp, linalg::TransposeOp>(
                  [](auto staged) { return distribute(staged); })
              .Default([](Operation *other) {
                return other->emitOpError(
                    "cannot be spread over lanes, expected linalg.fill, copy, transpose or "
                    "an elementwise linalg.generic");
              });
      if (failed(result))
        return signalPassFailure();
    }
  }
};
} // namespace
} // namespace elfatt::gpu
