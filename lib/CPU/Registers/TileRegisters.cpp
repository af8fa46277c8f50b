// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TileRegisters.h"

#include "TileMemory.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace elfatt::cpu;

static VectorType vectorType(Value vector) { return cast<VectorType>(vector.getType()); }

int64_t TileRegisters::numRows(Value vector) {
  VectorType type = vectorType(vector);
  return type.getRank() == 2 ? type.getDimSize(0) : 1;
}

//===----------------------------------------------------------------------===//
// Pieces
//===----------------------------------------------------------------------===//

SmallVector<Piece> TileRegisters::pieces(int64_t columns) const {
  SmallVector<Piece> result;
  for (int64_t offset = 0; offset < columns; offset += lanes) {
    int64_t valid = std::min(lanes, columns - offset);
    result.push_back({offset, valid, int64_t(llvm::PowerOf2Ceil(valid))});
  }
  return result;
}

SmallVector<Piece> TileRegisters::pieces(Value vector) const {
  return pieces(vectorType(vector).getShape().back());
}

Value TileRegisters::index(int64_t value) { return arith::ConstantIndexOp::create(b, value); }

Value TileRegisters::convert(Value piece, Type element) {
  VectorType type = vectorType(piece);
  if (type.getElementType() == element)
    return piece;
  auto target = VectorType::get(type.getShape(), element);
  if (type.getElementTypeBitWidth() < element.getIntOrFloatBitWidth())
    return arith::ExtFOp::create(b, target, piece);
  return arith::TruncFOp::create(b, target, piece);
}

Value TileRegisters::constantSplat(double value, VectorType type) {
  return arith::ConstantOp::create(
      b, DenseElementsAttr::get(type, Attribute(b.getFloatAttr(type.getElementType(), value))));
}

void TileRegisters::set(Value vector, int64_t row, int64_t index, Value piece) {
  SmallVector<Value> &all = made[vector];
  size_t count = pieces(vector).size();
  all.resize(numRows(vector) * count);
  all[row * count + index] = piece;
  if (Value scratch = kept.lookup(vector)) {
    MemoryTile tile{scratch, {this->index(0), this->index(0)}, 0, 1, true, true};
    store(piece, tile, row, pieces(vector)[index]);
  }
}

/// Puts the builder into the block of `vector`: what is made for it has to be seen
/// wherever `vector` is.
static void enterBlockOf(OpBuilder &b, Value vector) {
  Block *block = vector.getParentBlock();
  if (b.getInsertionBlock() == block)
    return;
  Operation *around = block->findAncestorOpInBlock(*b.getInsertionBlock()->getParentOp());
  if (around)
    b.setInsertionPoint(around);
}

Value TileRegisters::get(Value vector, int64_t row, int64_t index) {
  size_t count = pieces(vector).size();
  SmallVector<Value> &all = made[vector];
  all.resize(numRows(vector) * count);
  if (Value known = all[row * count + index])
    return known;
  OpBuilder::InsertionGuard guard(b);
  enterBlockOf(b, vector);
  Value piece = make(vector, row, index);
  set(vector, row, index, piece);
  return piece;
}

Value TileRegisters::lane(Value vector, int64_t index) {
  Value &known = madeLanes[{vector, index}];
  if (known)
    return known;
  if (auto elements = vector.getDefiningOp<vector::FromElementsOp>())
    return known = elements.getElements()[index];
  if (auto broadcast = vector.getDefiningOp<vector::BroadcastOp>())
    if (!isa<VectorType>(broadcast.getSource().getType()))
      return known = broadcast.getSource();
  Value piece = get(vector, 0, index / lanes);
  OpBuilder::InsertionGuard guard(b);
  enterBlockOf(b, vector);
  Value element = b.createOrFold<vector::ExtractOp>(piece, index % lanes);
  return madeLanes[{vector, index}] = element;
}

/// The bit of row `row` in a `mask` of one bit a row, if no other row has the same; or null.
static Value ownBit(Value mask, int64_t row) {
  auto broadcast = mask ? mask.getDefiningOp<vector::BroadcastOp>() : nullptr;
  auto cast = broadcast ? broadcast.getSource().getDefiningOp<vector::ShapeCastOp>() : nullptr;
  auto bits = cast ? cast.getSource().getDefiningOp<vector::FromElementsOp>() : nullptr;
  if (!bits || bits.getElements().size() != size_t(TileRegisters::numRows(mask)))
    return {};
  Value bit = bits.getElements()[row];
  return llvm::count(bits.getElements(), bit) == 1 ? bit : Value();
}

Value TileRegisters::make(Value vector, int64_t row, int64_t index) {
  Piece piece = pieces(vector)[index];
  Operation *op = vector.getDefiningOp();
  if (!op)
    return extract(vector, row, piece);
  VectorType type = vectorType(vector);
  auto pieceType = VectorType::get({piece.width}, type.getElementType());
  DenseElementsAttr elements;
  if (matchPattern(op, m_Constant(&elements)))
    return makeConstant(elements, row, piece);
  if (auto broadcast = dyn_cast<vector::BroadcastOp>(op))
    if (Value made = makeBroadcast(broadcast, row, index))
      return made;
  if (auto cast = dyn_cast<vector::ShapeCastOp>(op)) {
    // Between [columns] and [1, columns]; and from [rows] to [rows, 1].
    Value source = cast.getSource();
    if (vectorType(source).getShape().back() == type.getShape().back() && numRows(source) == 1 &&
        numRows(vector) == 1)
      return get(source, 0, index);
    if (vectorType(source).getRank() == 1 && type.getShape().back() == 1)
      return vector::BroadcastOp::create(b, pieceType, lane(source, row));
  }
  if (auto step = dyn_cast<vector::StepOp>(op)) {
    SmallVector<APInt> values;
    for (int64_t at = 0; at < piece.width; ++at)
      values.push_back(APInt(64, piece.offset + at));
    return arith::ConstantOp::create(b, DenseElementsAttr::get(pieceType, values));
  }
  if (auto elementsOp = dyn_cast<vector::FromElementsOp>(op); elementsOp && type.getRank() == 1) {
    SmallVector<Value> lanes;
    for (int64_t at = 0; at < piece.width; ++at)
      lanes.push_back(elementsOp.getElements()[piece.offset + std::min(at, piece.valid - 1)]);
    return vector::FromElementsOp::create(b, pieceType, lanes);
  }
  if (auto read = dyn_cast<vector::TransferReadOp>(op))
    if (std::optional<MemoryTile> tile = memoryTile(read))
      return load(*tile, row, piece, read.getPadding(),
                  read.getMask() ? get(read.getMask(), row, index) : Value(),
                  ownBit(read.getMask(), row));
  if (Value made = makeElementwise(op, row, index))
    return made;
  return extract(vector, row, piece);
}

Value TileRegisters::makeConstant(DenseElementsAttr elements, int64_t row, Piece piece) {
  auto type = cast<VectorType>(elements.getType());
  auto pieceType = VectorType::get({piece.width}, type.getElementType());
  if (elements.isSplat())
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(pieceType, elements.getSplatValue<Attribute>()));
  auto values = elements.getValues<Attribute>();
  SmallVector<Attribute> slice;
  for (int64_t at = 0; at < piece.width; ++at)
    slice.push_back(
        values[row * type.getShape().back() + piece.offset + std::min(at, piece.valid - 1)]);
  return arith::ConstantOp::create(b, DenseElementsAttr::get(pieceType, slice));
}

Value TileRegisters::makeBroadcast(vector::BroadcastOp op, int64_t row, int64_t index) {
  Value source = op.getSource();
  auto pieceType = VectorType::get({pieces(op.getVector())[index].width},
                                   vectorType(op.getVector()).getElementType());
  auto from = dyn_cast<VectorType>(source.getType());
  if (!from)
    return vector::BroadcastOp::create(b, pieceType, source);
  bool sameColumns = from.getShape().back() == vectorType(op.getVector()).getShape().back();
  if (from.getRank() == 1 && sameColumns)
    return get(source, 0, index);
  if (from.getRank() == 1 && from.getDimSize(0) == 1)
    return vector::BroadcastOp::create(b, pieceType, lane(source, 0));
  if (from.getRank() != 2)
    return {};
  if (sameColumns)
    return get(source, from.getDimSize(0) == 1 ? 0 : row, index);
  // [rows, 1]: one value for the whole row.
  int64_t sourceRow = from.getDimSize(0) == 1 ? 0 : row;
  auto cast = source.getDefiningOp<vector::ShapeCastOp>();
  if (cast && vectorType(cast.getSource()).getRank() == 1)
    return vector::BroadcastOp::create(b, pieceType, lane(cast.getSource(), sourceRow));
  Value scalar = b.createOrFold<vector::ExtractOp>(get(source, sourceRow, 0), int64_t(0));
  return vector::BroadcastOp::create(b, pieceType, scalar);
}

Value TileRegisters::makeElementwise(Operation *op, int64_t row, int64_t index) {
  if (op->getNumResults() != 1 || op->getNumRegions() != 0 || !isMemoryEffectFree(op) ||
      (!OpTrait::hasElementwiseMappableTraits(op) && !isa<vector::FMAOp>(op)))
    return {};
  Value result = op->getResult(0);
  auto type = cast<VectorType>(result.getType());
  auto isOfElements = [](Value operand) { return isa<VectorType>(operand.getType()); };
  for (Value operand : op->getOperands())
    if (isOfElements(operand) && vectorType(operand).getShape() != type.getShape())
      return {};
  const SmallVector<Piece> ofRow = pieces(result);
  const int64_t count = ofRow.size(), first = row * count + index;
  // Exponentials stand beside those of the next pieces, and what comes before all of them first:
  // `elfatt-cpu-lower-exp2` interleaves neighbours.
  SmallVector<int64_t> group = {first};
  if (isa<math::Exp2Op>(op))
    for (int64_t next = first + 1; next < std::min(numRows(result) * count, first + neighbours);
         ++next)
      if (!made.lookup(result)[next])
        group.push_back(next);
  SmallVector<SmallVector<Value>> operands;
  for (int64_t at : group)
    operands.push_back(llvm::map_to_vector(op->getOperands(), [&](Value operand) {
      return isOfElements(operand) ? get(operand, at / count, at % count) : operand;
    }));
  SmallVector<Value> values;
  for (auto [at, ofPiece] : llvm::zip_equal(group, operands)) {
    auto pieceType = VectorType::get({ofRow[at % count].width}, type.getElementType());
    OperationState state(op->getLoc(), op->getName(), ofPiece, {pieceType}, op->getAttrs());
    values.push_back(b.create(state)->getResult(0));
  }
  for (auto [at, value] : llvm::drop_begin(llvm::zip_equal(group, values)))
    set(result, at / count, at % count, value);
  return values.front();
}

/// Of a vector that is made elsewhere.
Value TileRegisters::extract(Value vector, int64_t row, Piece piece) {
  if (Operation *def = vector.getDefiningOp())
    b.setInsertionPointAfter(def);
  else
    b.setInsertionPointToStart(vector.getParentBlock());
  Value whole = vector;
  if (vectorType(vector).getRank() == 2)
    whole = vector::ExtractOp::create(b, vector, row);
  if (piece.valid < vectorType(vector).getShape().back())
    whole =
        vector::ExtractStridedSliceOp::create(b, whole, ArrayRef<int64_t>{piece.offset},
                                              ArrayRef<int64_t>{piece.valid}, ArrayRef<int64_t>{1});
  if (piece.valid == piece.width)
    return whole;
  SmallVector<int64_t> lanesOf;
  for (int64_t at = 0; at < piece.width; ++at)
    lanesOf.push_back(std::min(at, piece.valid - 1));
  return vector::ShuffleOp::create(b, whole, whole, lanesOf);
}

Value TileRegisters::assemble(Value vector) {
  VectorType type = vectorType(vector);
  Value whole = arith::ConstantOp::create(b, b.getZeroAttr(type));
  for (int64_t row = 0; row < numRows(vector); ++row)
    for (auto [index, piece] : llvm::enumerate(pieces(vector))) {
      Value value = get(vector, row, index);
      if (piece.valid < piece.width)
        value = vector::ExtractStridedSliceOp::create(
            b, value, ArrayRef<int64_t>{0}, ArrayRef<int64_t>{piece.valid}, ArrayRef<int64_t>{1});
      SmallVector<int64_t> at = {piece.offset};
      if (type.getRank() == 2)
        at.insert(at.begin(), row);
      whole = vector::InsertStridedSliceOp::create(b, value, whole, at, ArrayRef<int64_t>{1});
    }
  return whole;
}

SmallVector<Value> TileRegisters::piecesOf(ValueRange values) {
  SmallVector<Value> all;
  for (Value value : values) {
    if (!isTile(value.getType())) {
      all.push_back(value);
      continue;
    }
    const int64_t count = this->pieces(value).size();
    for (int64_t at = 0; at < numRows(value) * count; ++at)
      all.push_back(get(value, at / count, at % count));
  }
  return all;
}

void TileRegisters::setPieces(ValueRange values, ValueRange pieces) {
  size_t next = 0;
  for (Value value : values) {
    if (!isTile(value.getType())) {
      value.replaceAllUsesWith(pieces[next++]);
      continue;
    }
    const int64_t count = this->pieces(value).size();
    for (int64_t at = 0; at < numRows(value) * count; ++at)
      set(value, at / count, at % count, pieces[next++]);
  }
}

Value TileRegisters::withNeutralPadding(Value value, Piece piece, double neutral) {
  VectorType type = vectorType(value);
  Value padding = constantSplat(neutral, type);
  if (piece.valid < piece.width) {
    SmallVector<bool> valid(piece.width, false);
    std::fill_n(valid.begin(), piece.valid, true);
    Value mask = arith::ConstantOp::create(
        b, DenseElementsAttr::get(VectorType::get({piece.width}, b.getI1Type()), valid));
    value = arith::SelectOp::create(b, mask, value, padding);
  }
  return value;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

std::optional<MemoryTile> TileRegisters::memoryTile(VectorTransferOpInterface transfer) {
  auto memref = dyn_cast<MemRefType>(transfer.getBase().getType());
  int64_t rank = transfer.getVectorType().getRank();
  if (!memref || rank < 1 || rank > 2 || memref.getRank() == 0)
    return std::nullopt;
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(memref.getStridesAndOffset(strides, offset)) || strides.back() != 1)
    return std::nullopt;
  auto dimOf = [&](AffineExpr expr) -> std::optional<int64_t> {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      return int64_t(dim.getPosition());
    return std::nullopt;
  };
  AffineMap map = transfer.getPermutationMap();
  std::optional<int64_t> column = dimOf(map.getResult(rank - 1)), row;
  if (column != memref.getRank() - 1)
    return std::nullopt;
  MemoryTile tile{transfer.getBase(),
                  llvm::to_vector(transfer.getIndices()),
                  -1,
                  *column,
                  true,
                  transfer.isDimInBounds(rank - 1)};
  if (rank == 2) {
    row = dimOf(map.getResult(0));
    tile.rowDim = row.value_or(-1);
    tile.rowsInBounds = !row || transfer.isDimInBounds(0);
  }
  return tile;
}

SmallVector<Value> TileRegisters::indicesOf(const MemoryTile &tile, int64_t row, int64_t column) {
  SmallVector<Value> indices(tile.indices);
  auto add = [&](int64_t dim, int64_t step) {
    if (dim >= 0 && step != 0)
      indices[dim] = b.createOrFold<arith::AddIOp>(indices[dim], index(step));
  };
  add(tile.rowDim, row);
  add(tile.columnDim, column);
  return indices;
}

/// A processor takes hundreds of cycles to find that no lane needs memory that is not there: rows
/// that do not exist are accessed, with no lanes, where the first one is.
SmallVector<Value> TileRegisters::maskedIndicesOf(const MemoryTile &tile, int64_t row,
                                                  int64_t column, Value exists) {
  SmallVector<Value> indices = indicesOf(tile, row, column);
  for (Value condition : {exists, rowExists(tile, row)})
    if (condition && tile.rowDim >= 0)
      indices[tile.rowDim] =
          b.createOrFold<arith::SelectOp>(condition, indices[tile.rowDim], index(0));
  return indices;
}

/// What is left of dim `dim` of `memref` from `index` on.
static OpFoldResult left(ImplicitLocOpBuilder &b, Value memref, int64_t dim, Value index) {
  Value extent = b.createOrFold<memref::DimOp>(memref, dim);
  return getAsOpFoldResult(b.createOrFold<arith::SubIOp>(extent, index));
}

Value TileRegisters::rowExists(const MemoryTile &tile, int64_t row) {
  if (tile.rowsInBounds)
    return {};
  OpFoldResult rows = left(b, tile.memref, tile.rowDim, indicesOf(tile, row, 0)[tile.rowDim]);
  if (auto known = getConstantIntValue(rows))
    return *known > 0 ? Value() : arith::ConstantIntOp::create(b, 0, 1).getResult();
  return arith::CmpIOp::create(b, arith::CmpIPredicate::sgt, cast<Value>(rows), index(0));
}

Value TileRegisters::boundsMask(const MemoryTile &tile, int64_t row, Piece piece) {
  auto type = VectorType::get({piece.width}, b.getI1Type());
  OpFoldResult count = b.getIndexAttr(piece.valid);
  if (!tile.columnsInBounds) {
    Value first = indicesOf(tile, row, piece.offset)[tile.columnDim];
    OpFoldResult columns = left(b, tile.memref, tile.columnDim, first);
    if (auto known = getConstantIntValue(columns))
      count = b.getIndexAttr(std::clamp<int64_t>(*known, 0, piece.valid));
    else
      count = OpFoldResult(
          arith::MinSIOp::create(b, cast<Value>(columns), index(piece.valid)).getResult());
  }
  if (Value exists = rowExists(tile, row)) {
    Value some = getValueOrCreateConstantIndexOp(b, b.getLoc(), count);
    count = getAsOpFoldResult(b.createOrFold<arith::SelectOp>(exists, some, index(0)));
  }
  if (auto known = getConstantIntValue(count)) {
    if (*known == piece.width)
      return {};
    SmallVector<bool> valid(piece.width, false);
    std::fill_n(valid.begin(), *known, true);
    return arith::ConstantOp::create(b, DenseElementsAttr::get(type, valid));
  }
  return vector::CreateMaskOp::create(b, type, ValueRange{cast<Value>(count)});
}

static bool isAllTrue(Value mask) {
  if (auto broadcast = mask.getDefiningOp<vector::BroadcastOp>())
    return matchPattern(broadcast.getSource(), m_One());
  return matchPattern(mask, m_One());
}

/// Lanes of both masks; null stands for all lanes.
Value TileRegisters::both(Value lhs, Value rhs) {
  if (lhs && isAllTrue(lhs))
    lhs = {};
  if (!lhs || !rhs)
    return lhs ? lhs : rhs;
  return arith::AndIOp::create(b, lhs, rhs);
}

Value TileRegisters::load(const MemoryTile &tile, int64_t row, Piece piece, Value padding,
                          Value mask, Value exists) {
  auto type =
      VectorType::get({piece.width}, cast<MemRefType>(tile.memref.getType()).getElementType());
  mask = both(mask, boundsMask(tile, row, piece));
  SmallVector<Value> indices = maskedIndicesOf(tile, row, piece.offset, exists);
  if (!mask)
    return vector::LoadOp::create(b, type, tile.memref, indices);
  Value rest = vector::BroadcastOp::create(b, type, padding);
  return vector::MaskedLoadOp::create(b, type, tile.memref, indices, mask, rest);
}

void TileRegisters::store(Value value, const MemoryTile &tile, int64_t row, Piece piece,
                          Value mask) {
  mask = both(mask, boundsMask(tile, row, piece));
  SmallVector<Value> indices = maskedIndicesOf(tile, row, piece.offset, /*exists=*/{});
  if (mask)
    vector::MaskedStoreOp::create(b, tile.memref, indices, mask, value);
  else
    vector::StoreOp::create(b, value, tile.memref, indices);
}
