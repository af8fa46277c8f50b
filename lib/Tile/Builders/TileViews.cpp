// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TileViews.h"

#include "elfatt/Dialect/Attention/IR/TileAttributes.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/ValueBoundsOpInterface.h"

#include <numeric>

using namespace mlir;
using namespace elfatt::tile;

Value TileContext::index(int64_t value) const { return arith::ConstantIndexOp::create(b, value); }

Value TileContext::index(OpFoldResult value) const {
  return getValueOrCreateConstantIndexOp(b, b.getLoc(), value);
}

Value TileContext::scratch(ArrayRef<int64_t> shape, Type elementType) const {
  Attribute space;
  if (limits.machine == Machine::GPU)
    space = gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Workgroup);
  auto buffer = MemRefType::get(shape, elementType, MemRefLayoutAttrInterface(), space);
  return memref::AllocaOp::create(b, buffer, b.getI64IntegerAttr(64));
}

/// A matrix [rows, columns] whose rows lie `pitch` elements apart.
static Value makeMatrix(const TileContext &ctx, int64_t rows, int64_t columns, int64_t pitch,
                        Type elementType) {
  Value buffer = ctx.scratch({rows, pitch}, elementType);
  if (pitch == columns)
    return buffer;
  SmallVector<OpFoldResult> zeros(2, ctx.b.getIndexAttr(0)), ones(2, ctx.b.getIndexAttr(1));
  return memref::SubViewOp::create(
      ctx.b, buffer, zeros,
      ArrayRef<OpFoldResult>{ctx.b.getIndexAttr(rows), ctx.b.getIndexAttr(columns)}, ones);
}

Value TileContext::staging(int64_t rows, int64_t columns, Type elementType, int64_t beyond) const {
  const int64_t pitch =
      params.staged ? stagedPitch(columns, elementType.getIntOrFloatBitWidth()) : columns;
  columns += beyond;
  if (columns <= pitch)
    return makeMatrix(*this, rows, columns, pitch, elementType);
  Value buffer = scratch({(rows - 1) * pitch + columns}, elementType);
  auto layout = StridedLayoutAttr::get(b.getContext(), /*offset=*/0, {pitch, 1});
  auto type =
      MemRefType::get({rows, columns}, elementType, layout, typeOf(buffer).getMemorySpace());
  return memref::ReinterpretCastOp::create(
      b, type, buffer, /*offset=*/0, ArrayRef<int64_t>{rows, columns}, ArrayRef<int64_t>{pitch, 1});
}

Value TileContext::fragments(int64_t rows, int64_t columns, Type elementType) const {
  if (!params.staged || elementType.getIntOrFloatBitWidth() != 32)
    return staging(rows, columns, elementType);
  return makeMatrix(*this, rows, columns, fragmentPitch(columns), elementType);
}

Value TileContext::registers(ArrayRef<int64_t> shape, Type elementType) const {
  auto space = gpu::AddressSpaceAttr::get(b.getContext(), gpu::AddressSpace::Private);
  return memref::AllocaOp::create(
      b, MemRefType::get(shape, elementType, MemRefLayoutAttrInterface(), space));
}

int64_t TileContext::warpsOf(int64_t rows) const {
  int64_t blocks = std::max<int64_t>(1, llvm::divideCeil(rows, params.rows));
  // No more than the fewest that need as many turns.
  int64_t turns = llvm::divideCeil(blocks, params.warps);
  const int64_t fewest = llvm::divideCeil(blocks, turns);
  // One that is idle now and then rather than a multiprocessor that is not full; of the few blocks
  // with more than two heads several.
  const bool isFull = fewest + 1 >= params.warps || heads > 2;
  return isFull && params.fillsWarps ? params.warps : fewest;
}

Type TileContext::operandType(Type stored) const {
  return params.narrowOperands && stored.getIntOrFloatBitWidth() == 16 ? stored : Type(type);
}

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

FailureOr<int64_t> elfatt::tile::staticBound(Operation *op, Value view, int64_t dim) {
  if (!typeOf(view).isDynamicDim(dim))
    return typeOf(view).getDimSize(dim);
  // A transposition has no bounds of its own.
  if (auto transpose = view.getDefiningOp<memref::TransposeOp>())
    return staticBound(op, transpose.getIn(), transpose.getPermutation().getDimPosition(dim));
  FailureOr<int64_t> bound = ValueBoundsConstraintSet::computeConstantBound(
      presburger::BoundType::UB, ValueBoundsConstraintSet::Variable(view, dim),
      /*stopCondition=*/nullptr, /*closedUB=*/true);
  if (failed(bound))
    return op->emitOpError("needs a static bound of a token extent that has none; expected a "
                           "static window or a tile of static size");
  return bound;
}

FailureOr<int64_t> elfatt::tile::staticRowBound(Operation *op, Value view) {
  int64_t rows = 1;
  for (int64_t dim = 0, e = typeOf(view).getRank() - 1; dim < e; ++dim) {
    FailureOr<int64_t> bound = staticBound(op, view, dim);
    if (failed(bound))
      return failure();
    rows *= *bound;
  }
  return rows;
}

LogicalResult elfatt::tile::fitRows(Operation *op, TileContext &ctx, Value view) {
  if (!ctx.params.staged)
    return success();
  FailureOr<int64_t> bound = staticRowBound(op, view);
  if (succeeded(bound))
    ctx.params = forRows(ctx.params, *bound);
  return bound;
}

Value elfatt::tile::numRows(const TileContext &ctx, Value view) {
  Value product = ctx.index(1);
  for (int64_t dim = 0, e = typeOf(view).getRank() - 1; dim < e; ++dim)
    product = ctx.b.createOrFold<arith::MulIOp>(
        product, ctx.index(memref::getMixedSize(ctx.b, ctx.b.getLoc(), view, dim)));
  return product;
}

//===----------------------------------------------------------------------===//
// Staging
//===----------------------------------------------------------------------===//

/// The part of `matrix` that holds `view`'s rows, in view's shape [dims.., columns].
static Value shapeLike(const TileContext &ctx, Value matrix, Value view) {
  ImplicitLocOpBuilder &b = ctx.b;
  int64_t rank = typeOf(view).getRank();
  SmallVector<OpFoldResult> extents = memref::getMixedSizes(b, b.getLoc(), view);
  OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
  SmallVector<OpFoldResult> sizes = {getAsOpFoldResult(numRows(ctx, view)), extents.back()};
  Value part = memref::SubViewOp::create(b, matrix, SmallVector<OpFoldResult>{zero, zero}, sizes,
                                         SmallVector<OpFoldResult>{one, one});
  if (rank == 2)
    return part;
  ReassociationIndices rowGroup(rank - 1);
  std::iota(rowGroup.begin(), rowGroup.end(), 0);
  SmallVector<ReassociationIndices> groups = {rowGroup, {rank - 1}};
  return memref::ExpandShapeOp::create(b, typeOf(view).getShape(), part, groups, extents);
}

/// Writes what `body` makes of each element of `source`.
static Operation *map(const TileContext &ctx, Value source, Value target,
                      function_ref<Value(OpBuilder &, Location, Value)> body) {
  ImplicitLocOpBuilder &b = ctx.b;
  int64_t rank = typeOf(source).getRank();
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(rank));
  SmallVector<utils::IteratorType> iterators(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(b, ValueRange{source}, ValueRange{target}, maps, iterators,
                                   [&](OpBuilder &nested, Location loc, ValueRange args) {
                                     linalg::YieldOp::create(nested, loc,
                                                             body(nested, loc, args[0]));
                                   });
}

/// Copies `source` to `target`, converted as their types say.
static Operation *copy(const TileContext &ctx, Value source, Value target) {
  Type from = typeOf(source).getElementType(), to = typeOf(target).getElementType();
  if (from == to)
    return linalg::CopyOp::create(ctx.b, source, target);
  bool widens = from.getIntOrFloatBitWidth() < to.getIntOrFloatBitWidth();
  return map(ctx, source, target, [&](OpBuilder &nested, Location loc, Value element) -> Value {
    if (widens)
      return arith::ExtFOp::create(nested, loc, to, element);
    return arith::TruncFOp::create(nested, loc, to, element);
  });
}

/// Zeroes the rows or the columns that `view` leaves of `matrix`.
static void zeroBeyond(const TileContext &ctx, Value view, Value matrix, bool rows) {
  ImplicitLocOpBuilder &b = ctx.b;
  MemRefType viewType = typeOf(view), matrixType = typeOf(matrix);
  SmallVector<OpFoldResult> offsets(2, b.getIndexAttr(0)), ones(2, b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), matrix);
  const int64_t dim = rows ? 0 : 1;
  Value valid = rows ? numRows(ctx, view)
                     : ctx.index(memref::getMixedSize(b, b.getLoc(), view, viewType.getRank() - 1));
  Value left = b.createOrFold<arith::SubIOp>(ctx.index(sizes[dim]), valid);
  offsets[dim] = getAsOpFoldResult(valid);
  sizes[dim] = getAsOpFoldResult(left);
  if (isZeroInteger(sizes[dim]))
    return;
  Value rest = memref::SubViewOp::create(b, matrix, offsets, sizes, ones);
  Value zero = arith::ConstantOp::create(b, b.getFloatAttr(matrixType.getElementType(), 0.0));
  linalg::FillOp::create(b, ValueRange{zero}, ValueRange{rest});
}

static void mark(Operation *copy, Reuse reuse) {
  if (reuse == Reuse::Never)
    copy->setDiscardableAttr(elfatt::attention::kEvictFirstAttr, UnitAttr::get(copy->getContext()));
}

void elfatt::tile::stageIn(const TileContext &ctx, Value view, Value matrix, Padding padding,
                           Reuse reuse) {
  if (padding == Padding::Rows || padding == Padding::All)
    zeroBeyond(ctx, view, matrix, /*rows=*/true);
  if (padding == Padding::Columns || padding == Padding::All)
    zeroBeyond(ctx, view, matrix, /*rows=*/false);
  mark(copy(ctx, view, shapeLike(ctx, matrix, view)), reuse);
}

void elfatt::tile::stageRemainder(const TileContext &ctx, Value view, Value matrix) {
  Type wide = typeOf(view).getElementType(), narrow = typeOf(matrix).getElementType();
  zeroBeyond(ctx, view, matrix, /*rows=*/true);
  map(ctx, view, shapeLike(ctx, matrix, view),
      [&](OpBuilder &nested, Location loc, Value element) -> Value {
        Value rounded = arith::TruncFOp::create(nested, loc, narrow, element);
        rounded = arith::ExtFOp::create(nested, loc, wide, rounded);
        Value rest = arith::SubFOp::create(nested, loc, element, rounded);
        // Of what is not finite, or becomes so, nothing is left.
        Value none = arith::SubFOp::create(nested, loc, rounded, rounded);
        Value isFinite = arith::CmpFOp::create(nested, loc, arith::CmpFPredicate::ORD, none, none);
        rest = arith::SelectOp::create(
            nested, loc, isFinite, rest,
            arith::ConstantOp::create(nested, loc, nested.getZeroAttr(wide)));
        return arith::TruncFOp::create(nested, loc, narrow, rest);
      });
}

Value elfatt::tile::rowsOf(const TileContext &ctx, Value matrix, Value first, Value rows) {
  ImplicitLocOpBuilder &b = ctx.b;
  OpFoldResult zero = b.getIndexAttr(0), one = b.getIndexAttr(1);
  SmallVector<OpFoldResult> offsets = {getAsOpFoldResult(first), zero}, strides = {one, one};
  SmallVector<OpFoldResult> sizes = {getAsOpFoldResult(rows),
                                     memref::getMixedSize(b, b.getLoc(), matrix, 1)};
  return memref::SubViewOp::create(b, matrix, offsets, sizes, strides);
}

Value elfatt::tile::flattenScratch(const TileContext &ctx, Value view, int64_t columns) {
  MemRefType type = typeOf(view);
  SmallVector<ReassociationIndices> groups(1);
  for (int64_t dim = 0; dim < type.getRank() - columns; ++dim)
    groups[0].push_back(dim);
  if (columns != 0)
    groups.push_back({type.getRank() - 1});
  if (!gpu::GPUDialect::hasWorkgroupMemoryAddressSpace(type) || !type.hasStaticShape() ||
      !memref::CollapseShapeOp::isGuaranteedCollapsible(type, groups))
    return Value();
  return memref::CollapseShapeOp::create(ctx.b, view, groups);
}

Value elfatt::tile::leadingRows(const TileContext &ctx, Value matrix, Value view) {
  return rowsOf(ctx, matrix, ctx.index(0), numRows(ctx, view));
}

void elfatt::tile::stageOut(const TileContext &ctx, Value matrix, Value view, Reuse reuse) {
  mark(copy(ctx, shapeLike(ctx, matrix, view), view), reuse);
}

//===----------------------------------------------------------------------===//
// Row blocks
//===----------------------------------------------------------------------===//

/// Calls `body` with the number of the warp that runs it, and how many there are.
static void forEachWarp(const TileContext &ctx, int64_t warps,
                        function_ref<void(Value warp)> body) {
  ImplicitLocOpBuilder &b = ctx.b;
  auto mapping = gpu::GPUWarpMappingAttr::get(b.getContext(), gpu::MappingId::LinearDim0);
  auto loop = scf::ForallOp::create(b, ArrayRef<OpFoldResult>{b.getIndexAttr(warps)},
                                    /*outputs=*/ValueRange(), b.getArrayAttr({mapping}));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar(0));
}

void elfatt::tile::forEachRowBlock(const TileContext &ctx, Value view,
                                   function_ref<void(const RowBlock &)> body) {
  ImplicitLocOpBuilder &b = ctx.b;
  MemRefType type = typeOf(view);
  const int64_t innermost = type.getRank() - 2;
  const bool hasHeads = ctx.heads > 1;
  assert((!hasHeads || (type.getRank() == 2 && type.getDimSize(0) % ctx.params.rows == 0)) &&
         "expected the staged rows of heads");
  const int64_t inner =
      hasHeads ? ctx.heads * type.getDimSize(innermost) : type.getDimSize(innermost);
  int64_t warps = 1;
  auto loops = [&](Value warp) {
    OpBuilder::InsertionGuard guard(b);
    RowBlock block;
    block.linear = ctx.index(0);
    for (int64_t dim = 0; dim <= innermost; ++dim) {
      Value upper =
          hasHeads ? ctx.index(inner) : ctx.index(memref::getMixedSize(b, b.getLoc(), view, dim));
      Value lower = ctx.index(0), step = ctx.index(1);
      if (dim == innermost) {
        step = ctx.index(ctx.params.rows * warps);
        if (warp)
          lower = arith::MulIOp::create(b, warp, ctx.index(ctx.params.rows));
      }
      Value iv = lower;
      // One turn of each warp needs no loop.
      if (!warp || dim != innermost || inner != warps * ctx.params.rows) {
        auto loop = scf::ForOp::create(b, lower, upper, step);
        b.setInsertionPointToStart(loop.getBody());
        iv = loop.getInductionVar();
      }
      block.linear =
          b.createOrFold<arith::AddIOp>(b.createOrFold<arith::MulIOp>(block.linear, upper), iv);
      if (dim == innermost)
        block.inner = iv;
      else
        block.outer.push_back(iv);
    }
    if (hasHeads) {
      Value rows = ctx.index(type.getDimSize(innermost));
      block.ofHeads = block.inner;
      block.head = b.createOrFold<arith::DivUIOp>(block.ofHeads, rows);
      block.inner = block.linear = b.createOrFold<arith::RemUIOp>(block.ofHeads, rows);
    }
    body(block);
  };
  if (ctx.limits.machine != Machine::GPU)
    return loops(Value());
  warps = ShapedType::isDynamic(inner) ? ctx.params.warps : ctx.warpsOf(inner);
  forEachWarp(ctx, warps, loops);
}

SmallVector<Value> elfatt::tile::indicesOf(const RowBlock &block) {
  SmallVector<Value> indices(block.outer);
  indices.push_back(block.inner);
  return indices;
}

static bool rowsInBounds(const TileContext &ctx, Value view, int64_t rowDim) {
  MemRefType type = typeOf(view);
  return !type.isDynamicDim(rowDim) && type.getDimSize(rowDim) % ctx.params.rows == 0;
}

static bool columnsInBounds(const TileContext &ctx, Value view, const RowBlock &block,
                            int64_t columns) {
  return typeOf(view).getShape().back() == (block.head ? ctx.heads : 1) * columns;
}

static Value paddingOf(ImplicitLocOpBuilder &b, Type elementType) {
  return arith::ConstantOp::create(b, b.getZeroAttr(elementType));
}

Value elfatt::tile::readRows(const TileContext &ctx, Value view, const RowBlock &block,
                             int64_t columns) {
  MemRefType type = typeOf(view);
  int64_t rank = type.getRank();
  SmallVector<Value> indices = indicesOf(block);
  indices.push_back(block.firstColumn(ctx, columns));
  SmallVector<bool> inBounds = {rowsInBounds(ctx, view, rank - 2),
                                columnsInBounds(ctx, view, block, columns)};
  auto tile = VectorType::get({ctx.params.rows, columns}, type.getElementType());
  return vector::TransferReadOp::create(ctx.b, tile, view, indices,
                                        paddingOf(ctx.b, type.getElementType()),
                                        ArrayRef<bool>(inBounds));
}

void elfatt::tile::writeRows(const TileContext &ctx, Value tile, Value view,
                             const RowBlock &block) {
  MemRefType type = typeOf(view);
  int64_t rank = type.getRank();
  const int64_t columns = cast<VectorType>(tile.getType()).getDimSize(1);
  SmallVector<Value> indices = indicesOf(block);
  indices.push_back(block.firstColumn(ctx, columns));
  SmallVector<bool> inBounds = {rowsInBounds(ctx, view, rank - 2),
                                columnsInBounds(ctx, view, block, columns)};
  vector::TransferWriteOp::create(ctx.b, tile, view, indices, ArrayRef<bool>(inBounds));
}

Value elfatt::tile::readPerRow(const TileContext &ctx, Value view, const RowBlock &block) {
  MemRefType type = typeOf(view);
  auto vector = VectorType::get({ctx.params.rows}, type.getElementType());
  SmallVector<bool> inBounds = {rowsInBounds(ctx, view, type.getRank() - 1)};
  return vector::TransferReadOp::create(ctx.b, vector, view, indicesOf(block),
                                        paddingOf(ctx.b, type.getElementType()),
                                        ArrayRef<bool>(inBounds));
}

void elfatt::tile::writePerRow(const TileContext &ctx, Value vector, Value view,
                               const RowBlock &block) {
  SmallVector<bool> inBounds = {rowsInBounds(ctx, view, typeOf(view).getRank() - 1)};
  vector::TransferWriteOp::create(ctx.b, vector, view, indicesOf(block), ArrayRef<bool>(inBounds));
}

Value elfatt::tile::readTile(const TileContext &ctx, Value matrix, Value row, Value column,
                             int64_t rows, int64_t columns) {
  MemRefType type = typeOf(matrix);
  auto fits = [&](int64_t dim, int64_t extent) {
    return !type.isDynamicDim(dim) && type.getDimSize(dim) % extent == 0;
  };
  SmallVector<bool> inBounds = {fits(0, rows), fits(1, columns)};
  auto tile = VectorType::get({rows, columns}, type.getElementType());
  return vector::TransferReadOp::create(ctx.b, tile, matrix, ValueRange{row, column},
                                        paddingOf(ctx.b, type.getElementType()),
                                        ArrayRef<bool>(inBounds));
}

Value elfatt::tile::readTransposed(const TileContext &ctx, Value matrix, Value row, Value column,
                                   int64_t columns, int64_t rows) {
  ImplicitLocOpBuilder &b = ctx.b;
  MemRefType type = typeOf(matrix);
  auto tile = VectorType::get({columns, rows}, type.getElementType());
  SmallVector<bool> inBounds = {true, true};
  auto map = AffineMap::getPermutationMap(ArrayRef<unsigned>{1, 0}, b.getContext());
  return vector::TransferReadOp::create(
      b, tile, matrix, ValueRange{row, column}, AffineMapAttr::get(map),
      paddingOf(b, type.getElementType()), /*mask=*/Value(), b.getBoolArrayAttr(inBounds));
}

void elfatt::tile::writeTile(const TileContext &ctx, Value tile, Value matrix, Value row,
                             Value column) {
  MemRefType type = typeOf(matrix);
  auto vector = cast<VectorType>(tile.getType());
  SmallVector<bool> inBounds;
  for (int64_t dim : {0, 1})
    inBounds.push_back(!type.isDynamicDim(dim) &&
                       type.getDimSize(dim) % vector.getDimSize(dim) == 0);
  vector::TransferWriteOp::create(ctx.b, tile, matrix, ValueRange{row, column},
                                  ArrayRef<bool>(inBounds));
}

/// `view` with its last dim as two, the inner of which has the extent `inner`.
static Value splitLastDim(const TileContext &ctx, Value view, int64_t inner) {
  ImplicitLocOpBuilder &b = ctx.b;
  SmallVector<int64_t> shape(typeOf(view).getShape());
  SmallVector<OpFoldResult> sizes = memref::getMixedSizes(b, b.getLoc(), view);
  SmallVector<ReassociationIndices> groups;
  for (int64_t dim = 0, rank = shape.size(); dim < rank; ++dim)
    groups.push_back({dim});
  groups.back().push_back(shape.size());
  if (inner != 1) {
    shape.back() /= inner;
    sizes.back() = b.getIndexAttr(shape.back());
  }
  shape.push_back(inner);
  sizes.push_back(b.getIndexAttr(inner));
  return memref::ExpandShapeOp::create(b, shape, view, groups, sizes);
}

Value elfatt::tile::withColumn(const TileContext &ctx, Value view) {
  return splitLastDim(ctx, view, 1);
}

bool elfatt::tile::multipliesPairs(const TileContext &ctx, Value query, Value key) {
  auto isBF16 = [](Value view) { return typeOf(view).getElementType().isBF16(); };
  return ctx.limits.dotsBF16 && ctx.type.isF32() && isBF16(query) && isBF16(key) &&
         typeOf(query).getShape().back() % 2 == 0;
}

Value elfatt::tile::inPairs(const TileContext &ctx, Value view) {
  return splitLastDim(ctx, view, 2);
}

static Value readPairs(const TileContext &ctx, Value pairs, ValueRange indices, int64_t rows,
                       int64_t columns, bool rowsFit) {
  Type element = typeOf(pairs).getElementType();
  return vector::TransferReadOp::create(ctx.b, VectorType::get({rows, columns, 2}, element), pairs,
                                        indices, paddingOf(ctx.b, element),
                                        ArrayRef<bool>{rowsFit, true, true});
}

Value elfatt::tile::readRowPairs(const TileContext &ctx, Value pairs, const RowBlock &block) {
  MemRefType type = typeOf(pairs);
  SmallVector<Value> indices = indicesOf(block);
  indices.append(2, ctx.index(0));
  return readPairs(ctx, pairs, indices, ctx.params.rows, type.getDimSize(type.getRank() - 2),
                   rowsInBounds(ctx, pairs, type.getRank() - 3));
}

Value elfatt::tile::readTilePairs(const TileContext &ctx, Value pairs, Value column,
                                  int64_t columns) {
  Value zero = ctx.index(0);
  return readPairs(ctx, pairs, {zero, column, zero}, typeOf(pairs).getDimSize(0), columns,
                   /*rowsFit=*/true);
}
