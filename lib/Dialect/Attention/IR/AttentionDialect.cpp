// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/IR/DialectImplementation.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace elfatt::attention;

#include "elfatt/Dialect/Attention/IR/AttentionDialect.cpp.inc"
#include "elfatt/Dialect/Attention/IR/AttentionEnums.cpp.inc"
#include "elfatt/Dialect/Attention/IR/AttentionInterfaces.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "elfatt/Dialect/Attention/IR/AttentionAttributes.cpp.inc"

#define GET_OP_CLASSES
#include "elfatt/Dialect/Attention/IR/AttentionOps.cpp.inc"

void AttentionDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "elfatt/Dialect/Attention/IR/AttentionOps.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "elfatt/Dialect/Attention/IR/AttentionAttributes.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// What all ops share: effects, speculation, shapes of results
//===----------------------------------------------------------------------===//

/// Reads what it is given, writes its destinations; nothing on tensors.
static void
getViewEffects(Operation *op,
               SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {
  auto dps = cast<DestinationStyleOpInterface>(op);
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    effects.emplace_back(MemoryEffects::Read::get(), &operand);
    if (dps.isDpsInit(&operand))
      effects.emplace_back(MemoryEffects::Write::get(), &operand);
  }
}

/// Results have the shapes of the destinations.
static LogicalResult reifyFromInits(Operation *op, OpBuilder &builder,
                                    ReifiedRankedShapedTypeDims &shapes) {
  auto dps = cast<DestinationStyleOpInterface>(op);
  for (OpResult result : op->getResults())
    shapes.push_back(
        tensor::getMixedSizes(builder, op->getLoc(), dps.getTiedOpOperand(result)->get()));
  return success();
}

#define ELFATT_SHARED_METHODS(OpTy)                                                                \
  void OpTy::getEffects(                                                                           \
      SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>> &effects) {              \
    getViewEffects(*this, effects);                                                                \
  }                                                                                                \
  Speculation::Speculatability OpTy::getSpeculatability() {                                        \
    return cast<DestinationStyleOpInterface>(getOperation()).hasPureTensorSemantics()              \
               ? Speculation::Speculatable                                                         \
               : Speculation::NotSpeculatable;                                                     \
  }                                                                                                \
  LogicalResult OpTy::reifyResultShapes(OpBuilder &builder, ReifiedRankedShapedTypeDims &shapes) { \
    return reifyFromInits(*this, builder, shapes);                                                 \
  }

ELFATT_SHARED_METHODS(SdpaOp)
ELFATT_SHARED_METHODS(ElfattOp)
ELFATT_SHARED_METHODS(LinearOp)
ELFATT_SHARED_METHODS(ContextOp)
ELFATT_SHARED_METHODS(PartialContextOp)
ELFATT_SHARED_METHODS(MergeOp)
ELFATT_SHARED_METHODS(ApplyOp)
ELFATT_SHARED_METHODS(LepeOp)
ELFATT_SHARED_METHODS(OnlineOp)
ELFATT_SHARED_METHODS(FinalizeOp)
#undef ELFATT_SHARED_METHODS

#define ELFATT_ONE_INIT(OpTy)                                                                      \
  MutableOperandRange OpTy::getDpsInitsMutable() { return getInitMutable(); }
ELFATT_ONE_INIT(SdpaOp)
ELFATT_ONE_INIT(ElfattOp)
ELFATT_ONE_INIT(LinearOp)
ELFATT_ONE_INIT(ContextOp)
ELFATT_ONE_INIT(MergeOp)
ELFATT_ONE_INIT(ApplyOp)
ELFATT_ONE_INIT(LepeOp)
ELFATT_ONE_INIT(FinalizeOp)
#undef ELFATT_ONE_INIT

MutableOperandRange PartialContextOp::getDpsInitsMutable() {
  return MutableOperandRange(getOperation(), getAccMutable().getOperandNumber(), 3);
}

MutableOperandRange OnlineOp::getDpsInitsMutable() {
  return MutableOperandRange(getOperation(), getAccMutable().getOperandNumber(), 3);
}

//===----------------------------------------------------------------------===//
// Viewed operands
//===----------------------------------------------------------------------===//

SmallVector<OpOperand *> SdpaOp::getViewedOperands() {
  SmallVector<OpOperand *> operands = {&getQueryMutable(), &getKeyMutable(), &getValueMutable()};
  for (OpOperand &bias : getBiasMutable())
    operands.push_back(&bias);
  operands.push_back(&getInitMutable());
  return operands;
}

SmallVector<OpOperand *> ElfattOp::getViewedOperands() {
  return {&getQueryMutable(), &getKeyMutable(), &getValueMutable(), &getInitMutable()};
}

SmallVector<OpOperand *> LinearOp::getViewedOperands() {
  return {&getQueryMutable(), &getKeyMutable(), &getValueMutable(), &getInitMutable()};
}

SmallVector<OpOperand *> ContextOp::getViewedOperands() {
  return {&getKeyMutable(), &getValueMutable(), &getInitMutable()};
}

SmallVector<OpOperand *> PartialContextOp::getViewedOperands() {
  return {&getKeyMutable(), &getValueMutable(), &getAccMutable(), &getMaxMutable(),
          &getSumMutable()};
}

SmallVector<OpOperand *> MergeOp::getViewedOperands() {
  return {&getAccMutable(), &getMaxMutable(), &getSumMutable(), &getInitMutable()};
}

SmallVector<OpOperand *> ApplyOp::getViewedOperands() {
  return {&getQueryMutable(), &getContextMutable(), &getInitMutable()};
}

SmallVector<OpOperand *> LepeOp::getViewedOperands() {
  SmallVector<OpOperand *> operands = {&getValueMutable(), &getWeightMutable()};
  for (OpOperand &bias : getBiasMutable())
    operands.push_back(&bias);
  operands.push_back(&getInitMutable());
  return operands;
}

SmallVector<OpOperand *> OnlineOp::getViewedOperands() {
  return {&getQueryMutable(), &getKeyMutable(), &getValueMutable(),
          &getAccMutable(),   &getMaxMutable(), &getSumMutable()};
}

SmallVector<OpOperand *> FinalizeOp::getViewedOperands() {
  return {&getAccMutable(), &getSumMutable(), &getInitMutable()};
}

//===----------------------------------------------------------------------===//
// Shared queries
//===----------------------------------------------------------------------===//

FloatType elfatt::attention::getComputeType(ViewOpInterface op) {
  MLIRContext *ctx = op->getContext();
  for (OpOperand *operand : op.getViewedOperands())
    if (getElementTypeOrSelf(operand->get()).isF64())
      return Float64Type::get(ctx);
  return Float32Type::get(ctx);
}

Value elfatt::attention::getOrCreateScale(OpBuilder &builder, Location loc, Value scale,
                                          OpFoldResult channels, FloatType type) {
  if (!scale) {
    if (std::optional<int64_t> d = getConstantIntValue(channels))
      return arith::ConstantOp::create(builder, loc,
                                       builder.getFloatAttr(type, 1.0 / std::sqrt(double(*d))));
    Value d = getValueOrCreateConstantIndexOp(builder, loc, channels);
    d = arith::IndexCastOp::create(builder, loc, builder.getI64Type(), d);
    d = arith::SIToFPOp::create(builder, loc, type, d);
    Value one = arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, 1.0));
    return arith::DivFOp::create(builder, loc, one, math::SqrtOp::create(builder, loc, d));
  }
  unsigned have = scale.getType().getIntOrFloatBitWidth(), want = type.getWidth();
  if (have < want)
    return arith::ExtFOp::create(builder, loc, type, scale);
  if (have > want)
    return arith::TruncFOp::create(builder, loc, type, scale);
  return scale;
}

SmallVector<OpFoldResult> ElfattOp::getMixedGrid(OpBuilder &builder) {
  Location loc = getLoc();
  SmallVector<OpFoldResult> grid;
  auto dynamic = getGrid().begin();
  AffineExpr a, b;
  bindSymbols(getContext(), a, b);
  OpFoldResult known = builder.getIndexAttr(1);
  std::optional<size_t> inferred;
  for (auto [axis, extent] : llvm::enumerate(getStaticGrid())) {
    if (extent == kInferredExtent) {
      inferred = axis;
      grid.push_back({});
      continue;
    }
    grid.push_back(ShapedType::isDynamic(extent) ? getAsOpFoldResult(Value(*dynamic++))
                                                 : OpFoldResult(builder.getIndexAttr(extent)));
    known = affine::makeComposedFoldedAffineApply(builder, loc, a * b, {known, grid.back()});
  }
  if (inferred) {
    auto view = cast<ViewOpInterface>(getOperation());
    unsigned tokenDim = getIndexingMapsArray()[0].getNumDims() - 3;
    OpFoldResult tokens = getMixedLoopRanges(builder, view)[tokenDim];
    grid[*inferred] = affine::makeComposedFoldedAffineApply(
        builder, loc, (a - int64_t(getPrefix())).floorDiv(b), {tokens, known});
  }
  return grid;
}

int64_t ElfattOp::getNumTokens() {
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(getOperation()));
  return ranges[ranges.size() - 3];
}

int64_t ElfattOp::getNumHeads() {
  SmallVector<int64_t> ranges = getStaticLoopRanges(cast<ViewOpInterface>(getOperation()));
  return ranges[ranges.size() - 4];
}

SmallVector<int64_t> ElfattOp::getKnownGrid() {
  SmallVector<int64_t> grid(getStaticGrid());
  auto inferred = llvm::find(grid, kInferredExtent);
  if (inferred == grid.end())
    return grid;
  *inferred = ShapedType::kDynamic;
  int64_t others = 1;
  for (int64_t extent : getStaticGrid())
    if (extent != kInferredExtent) {
      if (ShapedType::isDynamic(extent) || extent == 0)
        return grid;
      others *= extent;
    }
  int64_t tokens = getNumTokens();
  if (!ShapedType::isDynamic(tokens))
    *inferred = (tokens - int64_t(getPrefix())) / others;
  return grid;
}
