// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "Registers/TileRegisters.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace elfatt::cpu {
#define GEN_PASS_DEF_LOWERSTAGINGPASS
#include "elfatt/CPU/Passes.h.inc"

using namespace mlir;

static MemRefType typeOf(Value memref) { return cast<MemRefType>(memref.getType()); }

static bool hasUnitStride(MemRefType type) {
  SmallVector<int64_t> strides;
  int64_t offset;
  return type.getRank() > 0 && succeeded(type.getStridesAndOffset(strides, offset)) &&
         strides.back() == 1;
}

/// Whether `op` copies its one input to its one output, element by element, with or
/// without a conversion between float types.
static bool isCopy(linalg::LinalgOp op) {
  if (isa<linalg::CopyOp>(op))
    return typeOf(op.getDpsInputs()[0]).getElementType() ==
           typeOf(op.getDpsInits()[0]).getElementType();
  auto generic = dyn_cast<linalg::GenericOp>(op.getOperation());
  if (!generic || generic.getNumDpsInputs() != 1 || generic.getNumDpsInits() != 1 ||
      !llvm::all_of(generic.getIndexingMapsArray(), [](AffineMap map) { return map.isIdentity(); }))
    return false;
  Block *body = generic.getBody();
  Operation *conversion = body->getTerminator()->getOperand(0).getDefiningOp();
  return conversion && isa<arith::ExtFOp, arith::TruncFOp>(conversion) &&
         conversion->getOperand(0) == body->getArgument(0);
}

namespace {
/// Moves data between a tile's place and scratch, a register at a time.
class StagingLowering {
public:
  StagingLowering(linalg::LinalgOp op, int64_t lanes)
      : op(op), b(op.getLoc(), op), lanes(lanes), registers(b, lanes) {}

  bool run();

private:
  bool fill(Value scalar, Value target);
  bool copy(Value source, Value target);
  bool transpose(Value source, Value target);
  void transposeBlocks(Value source, Value target, ArrayRef<int64_t> shape, int64_t elements);
  bool transposePairs(Value source, Value target);
  SmallVector<Value> enterRows(Value target);
  void forEachPiece(int64_t columns, function_ref<void(Value column, Piece piece)> body);
  void transposeBlock(Value source, Value target, Value row, Value column, Piece piece,
                      int64_t elements);

  linalg::LinalgOp op;
  ImplicitLocOpBuilder b;
  int64_t lanes;
  TileRegisters registers;
};
} // namespace

/// Loops over all rows of `target`; the builder ends up inside. Returns the indices
/// of a row's first element.
SmallVector<Value> StagingLowering::enterRows(Value target) {
  Value zero = arith::ConstantIndexOp::create(b, 0), one = arith::ConstantIndexOp::create(b, 1);
  SmallVector<Value> indices;
  for (int64_t dim = 0; dim + 1 < typeOf(target).getRank(); ++dim) {
    Value extent = b.createOrFold<memref::DimOp>(target, dim);
    auto loop = scf::ForOp::create(b, zero, extent, one);
    b.setInsertionPointToStart(loop.getBody());
    indices.push_back(loop.getInductionVar());
  }
  indices.push_back(zero);
  return indices;
}

/// Calls `body` for the registers of a row; many whole ones are a loop.
void StagingLowering::forEachPiece(int64_t columns, function_ref<void(Value, Piece)> body) {
  constexpr int64_t mostUnrolled = 4;
  SmallVector<Piece> pieces = registers.pieces(columns);
  int64_t whole = columns / lanes, first = 0;
  if (whole > mostUnrolled) {
    Value zero = arith::ConstantIndexOp::create(b, 0);
    auto loop = scf::ForOp::create(b, zero, arith::ConstantIndexOp::create(b, whole * lanes),
                                   arith::ConstantIndexOp::create(b, lanes));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    body(loop.getInductionVar(), pieces.front());
    first = whole;
  }
  for (Piece piece : ArrayRef(pieces).drop_front(first)) {
    Value column = arith::ConstantIndexOp::create(b, piece.offset);
    body(column, {0, piece.valid, piece.width});
  }
}

static MemoryTile rowAt(Value memref, SmallVector<Value> indices, Value column) {
  indices.back() = column;
  return {memref, indices, -1, int64_t(indices.size()) - 1, true, true};
}

bool StagingLowering::fill(Value scalar, Value target) {
  int64_t columns = typeOf(target).getShape().back();
  if (!hasUnitStride(typeOf(target)) || ShapedType::isDynamic(columns))
    return false;
  SmallVector<Value> indices = enterRows(target);
  forEachPiece(columns, [&](Value column, Piece piece) {
    Value splat =
        vector::BroadcastOp::create(b, VectorType::get({piece.width}, scalar.getType()), scalar);
    registers.store(splat, rowAt(target, indices, column), 0, piece);
  });
  return true;
}

bool StagingLowering::copy(Value source, Value target) {
  int64_t columns = typeOf(target).getShape().back();
  if (!hasUnitStride(typeOf(source)) || !hasUnitStride(typeOf(target)) ||
      ShapedType::isDynamic(columns))
    return false;
  SmallVector<Value> indices = enterRows(target);
  Value padding = arith::ConstantOp::create(b, b.getZeroAttr(typeOf(source).getElementType()));
  forEachPiece(columns, [&](Value column, Piece piece) {
    Value value = registers.load(rowAt(source, indices, column), 0, piece, padding);
    registers.store(registers.convert(value, typeOf(target).getElementType()),
                    rowAt(target, indices, column), 0, piece);
  });
  return true;
}

/// Transposes `lanes` rows of a register each: neighbours at distance 1, 2, 4.. trade
/// halves. Narrow rows share a register first.
void StagingLowering::transposeBlock(Value source, Value target, Value row, Value column,
                                     Piece piece, int64_t elements) {
  Type element = typeOf(source).getElementType();
  auto scaled = [&](Value index) -> Value {
    return b.createOrFold<arith::MulIOp>(index, arith::ConstantIndexOp::create(b, elements));
  };
  auto seenAs = [&](Value piece, Type type, int64_t lanes) -> Value {
    return elements == 1 ? piece
                         : vector::BitCastOp::create(b, VectorType::get({lanes}, type), piece);
  };
  MemoryTile from{source, {row, scaled(column)}, 0, 1, true, true};
  Value padding = arith::ConstantOp::create(b, b.getZeroAttr(element));
  SmallVector<Value> rows;
  for (int64_t at = 0; at < lanes; ++at) {
    Value read =
        registers.load(from, at, {0, piece.valid * elements, piece.width * elements}, padding);
    rows.push_back(seenAs(read, b.getI32Type(), piece.width));
  }
  for (int64_t width = piece.width; width < lanes; width *= 2) {
    SmallVector<Value> joined;
    SmallVector<int64_t> both;
    for (int64_t lane = 0; lane < 2 * width; ++lane)
      both.push_back(lane);
    for (size_t block = 0; block < rows.size(); block += 2 * piece.width)
      for (int64_t at = 0; at < piece.width; ++at)
        joined.push_back(
            vector::ShuffleOp::create(b, rows[block + at], rows[block + piece.width + at], both));
    rows = std::move(joined);
  }
  // Register i holds rows i, i + width, ..: blocks of width x width.
  for (int64_t distance = 1; distance < piece.width; distance *= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t lane = 0; lane < lanes; ++lane) {
      int64_t base = lane & ~distance;
      low.push_back(lane & distance ? lanes + base : base);
      high.push_back(lane & distance ? lanes + base + distance : base + distance);
    }
    for (int64_t at = 0; at < piece.width; ++at)
      if (!(at & distance)) {
        Value first = rows[at], second = rows[at + distance];
        rows[at] = vector::ShuffleOp::create(b, first, second, low);
        rows[at + distance] = vector::ShuffleOp::create(b, first, second, high);
      }
  }
  MemoryTile to{target, {column, scaled(row)}, 0, 1, true, true};
  for (int64_t at = 0; at < piece.valid; ++at)
    registers.store(seenAs(rows[at], element, lanes * elements), to, at,
                    {0, lanes * elements, lanes * elements});
}

/// Blocks of `lanes` rows of [rows, columns, ..], `elements` of memory each.
void StagingLowering::transposeBlocks(Value source, Value target, ArrayRef<int64_t> shape,
                                      int64_t elements) {
  auto loop = scf::ForOp::create(b, arith::ConstantIndexOp::create(b, 0),
                                 arith::ConstantIndexOp::create(b, shape[0]),
                                 arith::ConstantIndexOp::create(b, lanes));
  b.setInsertionPointToStart(loop.getBody());
  Value row = loop.getInductionVar();
  forEachPiece(shape[1], [&](Value column, Piece piece) {
    transposeBlock(source, target, row, column, piece, elements);
  });
}

bool StagingLowering::transpose(Value source, Value target) {
  MemRefType type = typeOf(source);
  if (type.getRank() != 2 || !type.hasStaticShape() || type.getDimSize(0) % lanes != 0 ||
      !hasUnitStride(type) || !hasUnitStride(typeOf(target)))
    return false;
  transposeBlocks(source, target, type.getShape(), /*elements=*/1);
  return true;
}

/// [rows, columns, 2] to [columns, rows, 2]: pairs of 16 bits are moved as 32.
bool StagingLowering::transposePairs(Value source, Value target) {
  MemRefType type = typeOf(source);
  if (type.getRank() != 3 || !type.hasStaticShape() || type.getDimSize(2) != 2 ||
      type.getElementTypeBitWidth() != 16 || type.getDimSize(0) % lanes != 0)
    return false;
  SmallVector<ReassociationIndices> groups = {{0}, {1, 2}};
  if (!memref::CollapseShapeOp::isGuaranteedCollapsible(type, groups) ||
      !memref::CollapseShapeOp::isGuaranteedCollapsible(typeOf(target), groups))
    return false;
  source = memref::CollapseShapeOp::create(b, source, groups);
  target = memref::CollapseShapeOp::create(b, target, groups);
  if (!hasUnitStride(typeOf(source)) || !hasUnitStride(typeOf(target)))
    return false;
  transposeBlocks(source, target, type.getShape(), /*elements=*/2);
  return true;
}

bool StagingLowering::run() {
  Value target = op.getDpsInits()[0];
  if (!isa<MemRefType>(target.getType()) || llvm::is_contained(typeOf(target).getShape(), 0))
    return false;
  if (auto fillOp = dyn_cast<linalg::FillOp>(op.getOperation()))
    return fill(fillOp.getInputs()[0], target);
  if (auto transposeOp = dyn_cast<linalg::TransposeOp>(op.getOperation()))
    return transpose(transposeOp.getInput(), target) ||
           (transposeOp.getPermutation() == ArrayRef<int64_t>{1, 0, 2} &&
            transposePairs(transposeOp.getInput(), target));
  return isCopy(op) && copy(op.getDpsInputs()[0], target);
}

namespace {
struct LowerStagingPass : impl::LowerStagingPassBase<LowerStagingPass> {
  using LowerStagingPassBase::LowerStagingPassBase;

  void runOnOperation() override {
    SmallVector<linalg::LinalgOp> ops;
    getOperation()->walk([&](linalg::LinalgOp op) {
      if (op.hasPureBufferSemantics() && op->getParentOfType<scf::ForallOp>())
        ops.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (linalg::LinalgOp op : ops) {
      ++numLowered;
      int64_t bits = 32;
      if (auto type = dyn_cast<MemRefType>(op.getDpsInits()[0].getType()))
        bits = std::max<int64_t>(bits, type.getElementTypeBitWidth());
      bool lowered = StagingLowering(op, std::max<int64_t>(1, vectorBits / bits)).run();
      rewriter.setInsertionPoint(op);
      if (!lowered && failed(linalg::linalgOpToLoops(rewriter, op))) {
        op->emitOpError("cannot be lowered to loops");
        return signalPassFailure();
      }
      rewriter.eraseOp(op);
    }
  }
};
} // namespace
} // namespace elfatt::cpu
