// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Elementwise ops on register tiles: a vector op for each op of the body.
#include "ElementwiseTerm.h"
#include "Builders/Prefetch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace elfatt::tile;

//===----------------------------------------------------------------------===//
// What can be computed on tiles
//===----------------------------------------------------------------------===//

/// Functions that become instructions or polynomials in a kernel of the GPU.
static bool isKernelFunction(Operation *op) {
  return isa<math::ExpOp, math::Exp2Op, math::ExpM1Op, math::LogOp, math::Log1pOp, math::ErfOp,
             math::TanhOp, math::FmaOp, math::AbsFOp, math::SqrtOp, math::FloorOp, math::CeilOp>(
      op);
}

bool elfatt::tile::hasTileForm(Operation &inner, Machine machine) {
  if (inner.hasTrait<OpTrait::ConstantLike>())
    return true;
  if (inner.getNumRegions() != 0 || inner.getNumResults() != 1 || !isMemoryEffectFree(&inner) ||
      !OpTrait::hasElementwiseMappableTraits(&inner))
    return false;
  return machine == Machine::CPU || !isa<math::MathDialect>(inner.getDialect()) ||
         isKernelFunction(&inner);
}

bool elfatt::tile::canTile(linalg::LinalgOp op, Machine machine, std::string *why) {
  auto no = [&](const Twine &reason) {
    if (why)
      *why = reason.str();
    return false;
  };
  if (op.getNumDpsInits() != 1 || op.getNumParallelLoops() != op.getNumLoops() ||
      op.getNumLoops() == 0)
    return no("it is not elementwise with one result");
  AffineMap outputMap = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  if (!outputMap.isPermutation())
    return no("its result does not have each element once");
  AffineExpr columns = outputMap.getResults().back();
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    if (!isa<FloatType>(getElementTypeOrSelf(operand.get())))
      return no("an operand is not of a float type");
    if (!map.isProjectedPermutation(/*allowZeroInResults=*/true))
      return no("an operand is not read through a projected permutation");
    for (auto [position, expr] : llvm::enumerate(map.getResults()))
      if (expr == columns && position + 1 != map.getNumResults())
        return no("channels are not innermost in an operand");
  }
  for (Operation &inner : op.getBlock()->without_terminator())
    if (!hasTileForm(inner, machine))
      return no("'" + inner.getName().getStringRef() + "' has no form on vectors");
  return true;
}

OpOperand *elfatt::tile::findRowsOperand(linalg::GenericOp op, Value rows, Machine machine) {
  if (!canTile(op, machine))
    return nullptr;
  AffineMap outputMap = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  OpOperand *found = nullptr;
  for (OpOperand &operand : op->getOpOperands()) {
    if (operand.get() != rows || !op.payloadUsesValueFromOperand(&operand))
      continue;
    if (found || op.getMatchingIndexingMap(&operand) != outputMap)
      return nullptr;
    found = &operand;
  }
  return found;
}

//===----------------------------------------------------------------------===//
// Lowering
//===----------------------------------------------------------------------===//

LogicalResult ElementwiseTerm::prepare(ArrayRef<unsigned> order, OpOperand *rows) {
  rowsOperand = rows;
  if (rows)
    rowsType = getElementTypeOrSelf(rows->get());
  numRowDims = order.size() - 1;
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  columns = ranges[order.back()];
  if (ShapedType::isDynamic(columns))
    return op.emitOpError("expected a static channel extent beside attention");
  if (ctx.params.staged)
    columns = roundUp(columns, ctx.params.padTo);
  output = projectView(b, op.getDpsInits()[0], op.getMatchingIndexingMap(op.getDpsInitOperand(0)),
                       order);
  for (OpOperand &operand : op->getOpOperands()) {
    if (&operand == rows || !op.payloadUsesValueFromOperand(&operand))
      continue;
    AffineMap map = op.getMatchingIndexingMap(&operand);
    Input input{&operand, operand.get(), {}};
    SmallVector<unsigned> dims;
    for (auto [position, dim] : llvm::enumerate(order))
      if (map.isFunctionOfDim(dim)) {
        dims.push_back(dim);
        input.positions.push_back(position);
      }
    if (isa<MemRefType>(operand.get().getType()))
      input.view = projectView(b, operand.get(), map, dims);
    inputs.push_back(input);
  }
  return success();
}

ElementwiseTerm ElementwiseTerm::ofColumns(Value first, int64_t width) const {
  ElementwiseTerm part = *this;
  part.columns = width;
  part.output = columnsOf(ctx, output, first, width);
  for (Input &input : part.inputs)
    if (llvm::is_contained(input.positions, unsigned(numRowDims)))
      input.view = columnsOf(ctx, input.view, first, width);
  return part;
}

/// `scalar` in every element of a tile.
Value ElementwiseTerm::onTile(Value scalar) {
  return formulas.splat(scalar, VectorType::get({ctx.params.rows, columns}, scalar.getType()));
}

Value ElementwiseTerm::read(const Input &input, const RowBlock &block) {
  if (!isa<MemRefType>(input.view.getType()))
    return onTile(input.view);
  MemRefType type = typeOf(input.view);
  SmallVector<Value> indices;
  for (unsigned position : input.positions)
    indices.push_back(position < block.outer.size() ? block.outer[position]
                      : position < numRowDims       ? block.inner
                                                    : ctx.index(0));
  bool alongColumns = llvm::is_contained(input.positions, numRowDims);
  bool alongRows = llvm::is_contained(input.positions, numRowDims - 1);
  if (!alongColumns && !alongRows)
    return onTile(memref::LoadOp::create(b, input.view, indices));
  if (alongColumns && alongRows) {
    RowBlock own = block;
    own.outer.assign(indices.begin(), indices.end() - 2);
    return readRows(ctx, input.view, own, columns);
  }
  int64_t extent = alongColumns ? columns : ctx.params.rows;
  int64_t known = type.getShape().back();
  bool inBounds = alongColumns ? known == columns
                               : !ShapedType::isDynamic(known) && known % ctx.params.rows == 0;
  Value padding = arith::ConstantOp::create(b, b.getZeroAttr(type.getElementType()));
  Value vector =
      vector::TransferReadOp::create(b, VectorType::get({extent}, type.getElementType()),
                                     input.view, indices, padding, ArrayRef<bool>{inBounds});
  return alongColumns ? formulas.alongColumns(vector, ctx.params.rows)
                      : formulas.alongRows(vector, columns);
}

Value ElementwiseTerm::apply(const RowBlock &block, Value rows) {
  IRMapping mapping;
  Block *body = op.getBody();
  if (rowsOperand)
    mapping.map(op.getMatchingBlockArgument(rowsOperand), rows);
  for (const Input &input : inputs)
    mapping.map(op.getMatchingBlockArgument(input.operand), read(input, block));
  auto vectorOf = [&](Value scalar) {
    if (Value known = mapping.lookupOrNull(scalar))
      return known;
    // A constant, or a scalar from outside.
    Value local = scalar;
    if (Operation *def = scalar.getDefiningOp(); def && def->getBlock() == body)
      local = b.clone(*def)->getResult(0);
    Value vector = onTile(local);
    mapping.map(scalar, vector);
    return vector;
  };
  for (Operation &inner : body->without_terminator()) {
    if (inner.hasTrait<OpTrait::ConstantLike>())
      continue;
    SmallVector<Value> operands;
    for (Value operand : inner.getOperands())
      operands.push_back(vectorOf(operand));
    auto type = VectorType::get({ctx.params.rows, columns}, inner.getResult(0).getType());
    OperationState state(b.getLoc(), inner.getName(), operands, {type}, inner.getAttrs());
    mapping.map(inner.getResult(0), b.create(state)->getResult(0));
  }
  return vectorOf(body->getTerminator()->getOperand(0));
}

void ElementwiseTerm::prefetch(const RowBlock &block, Value distance) {
  for (const Input &input : inputs)
    if (hasOwnRows(input))
      prefetchAfter(ctx, input.view, block, distance);
}

void ElementwiseTerm::findNext(NextTile &next) {
  for (Input &input : inputs)
    if (hasOwnRows(input))
      input.next = next.get(input.view);
}

void ElementwiseTerm::prefetchNext(const RowBlock &block) {
  for (const Input &input : inputs)
    if (input.next)
      prefetchAfter(ctx, input.next, block, ctx.index(0));
}

LogicalResult elfatt::tile::lowerElementwise(linalg::GenericOp op, const MachineLimits &limits) {
  OpBuilder builder(op);
  ImplicitLocOpBuilder b(op.getLoc(), builder);
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  AffineMap outputMap = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  SmallVector<unsigned> order;
  for (unsigned position = 0, last = outputMap.getNumResults() - 1; position <= last; ++position) {
    unsigned dim = outputMap.getDimPosition(position);
    bool needed = position == last || (position + 1 == last && order.empty());
    if (needed || ranges[dim] != 1)
      order.push_back(dim);
  }
  if (order.size() < 2)
    return op.emitOpError("expected rows and channels beside attention, got one dim");
  // The heads of a block lie between its rows and the channels: rows of one after another.
  if (limits.machine == Machine::GPU && order.size() > 2) {
    const int64_t heads = ranges[order[order.size() - 2]], rows = ranges[order[order.size() - 3]];
    if (!ShapedType::isDynamic(heads) && (ShapedType::isDynamic(rows) || heads < rows))
      std::rotate(order.begin(), order.end() - 2, order.end() - 1);
  }
  // Values are computed in their own types; this one stands for what formulas need.
  int64_t bits = 32;
  for (Value operand : op->getOperands())
    bits = std::max<int64_t>(bits, getElementTypeOrSelf(operand).getIntOrFloatBitWidth());
  TileExtents extents{ranges[order[order.size() - 2]], ShapedType::kDynamic, ranges[order.back()],
                      ranges[order.back()], bits};
  TileContext ctx{b, limits, getTileParams(limits, extents), b.getF32Type()};
  ElementwiseTerm term(op, ctx);
  if (failed(term.prepare(order, /*rows=*/nullptr)))
    return failure();
  forEachRowBlock(ctx, term.getOutput(), [&](const RowBlock &block) {
    writeRows(ctx, term.apply(block, Value()), term.getOutput(), block);
  });
  return success();
}
