// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace elfatt::cpu {
#define GEN_PASS_DEF_LOWERPRODUCTSPASS
#include "elfatt/CPU/Passes.h.inc"

using namespace mlir;

namespace {
/// A tile of a product's operand in memory.
struct MemoryTile {
  Value memref;
  SmallVector<Value> indices; ///< of the tile's first element
  bool rowsInBounds, columnsInBounds;
};

/// C[i,j] += sum_k A[i,k] B[k,j] as a loop over k: a broadcast of each A[i,k] times
/// a row of B, accumulators in registers. Operands are read where they are in
/// memory; what is not in memory passes through scratch.
class ProductLowering {
public:
  ProductLowering(vector::ContractionOp op, int64_t lanes, int64_t accumulators)
      : op(op), b(op.getLoc(), op), lanes(lanes), accumulators(accumulators) {}

  LogicalResult run();

private:
  std::optional<MemoryTile> findInMemory(Value operand);
  MemoryTile spill(Value operand);
  Value panel(int64_t column, int64_t width, Value result);
  Value loadScalar(int64_t row, Value k);
  Value widen(Value value);

  vector::ContractionOp op;
  ImplicitLocOpBuilder b;
  int64_t lanes, accumulators;
  bool lhsTransposed = false;
  int64_t rows = 0, columns = 0, depth = 0;
  MemoryTile lhs, rhs;
  Value bound; ///< of the loop over k
};
} // namespace

static Operation *definingRead(Value operand) {
  Operation *def = operand.getDefiningOp();
  if (auto extension = dyn_cast_or_null<arith::ExtFOp>(def))
    def = extension.getIn().getDefiningOp();
  return def;
}

/// Whether something between `read` and `op`, in one block, may write memory.
static bool writesBetween(Operation *read, Operation *op) {
  if (read->getBlock() != op->getBlock())
    return true;
  for (Operation *other = read->getNextNode(); other && other != op; other = other->getNextNode())
    if (!isMemoryEffectFree(other) && !isa<vector::TransferReadOp, memref::LoadOp>(other))
      return true;
  return false;
}

std::optional<MemoryTile> ProductLowering::findInMemory(Value operand) {
  auto read = dyn_cast_or_null<vector::TransferReadOp>(definingRead(operand));
  if (!read || read.getMask() || !isa<MemRefType>(read.getBase().getType()) ||
      !read.getPermutationMap().isMinorIdentity() || writesBetween(read, op))
    return std::nullopt;
  return MemoryTile{read.getBase(), llvm::to_vector(read.getIndices()), read.isDimInBounds(0),
                    read.isDimInBounds(1)};
}

MemoryTile ProductLowering::spill(Value operand) {
  auto type = cast<VectorType>(operand.getType());
  Value scratch;
  {
    // Kernels hoist scratch to their entry; here it goes before all loops.
    OpBuilder::InsertionGuard guard(b);
    Operation *outermost = op;
    while (Operation *parent = outermost->getParentOp()) {
      if (parent->hasTrait<OpTrait::AutomaticAllocationScope>())
        break;
      outermost = parent;
    }
    b.setInsertionPointToStart(outermost->getBlock());
    scratch = memref::AllocaOp::create(b, MemRefType::get(type.getShape(), type.getElementType()),
                                       b.getI64IntegerAttr(64));
  }
  Value zero = arith::ConstantIndexOp::create(b, 0);
  vector::TransferWriteOp::create(b, operand, scratch, ValueRange{zero, zero},
                                  ArrayRef<bool>{true, true});
  return {scratch, {zero, zero}, true, true};
}

/// In the accumulators' element type.
Value ProductLowering::widen(Value value) {
  Type element = cast<VectorType>(op.getAccType()).getElementType();
  if (getElementTypeOrSelf(value) == element)
    return value;
  Type type = element;
  if (auto vector = dyn_cast<VectorType>(value.getType()))
    type = VectorType::get(vector.getShape(), element);
  return arith::ExtFOp::create(b, type, value);
}

/// A[row, k], or A[k, row] when it is stored transposed.
Value ProductLowering::loadScalar(int64_t row, Value k) {
  SmallVector<Value> indices(lhs.indices);
  Value rowIndex = arith::ConstantIndexOp::create(b, row);
  size_t rank = indices.size();
  Value &rowPosition = indices[rank - (lhsTransposed ? 1 : 2)];
  Value &depthPosition = indices[rank - (lhsTransposed ? 2 : 1)];
  rowPosition = b.createOrFold<arith::AddIOp>(rowPosition, rowIndex);
  depthPosition = b.createOrFold<arith::AddIOp>(depthPosition, k);
  return widen(memref::LoadOp::create(b, lhs.memref, indices));
}

/// Adds columns [column, column + width) of the product to `result`.
Value ProductLowering::panel(int64_t column, int64_t width, Value result) {
  auto rowType = VectorType::get({width}, cast<MemRefType>(rhs.memref.getType()).getElementType());
  bool whole = width == columns;
  SmallVector<Value> init;
  for (int64_t row = 0; row < rows; ++row) {
    Value acc = vector::ExtractOp::create(b, op.getAcc(), row);
    if (!whole)
      acc = vector::ExtractStridedSliceOp::create(b, acc, ArrayRef<int64_t>{column},
                                                  ArrayRef<int64_t>{width}, ArrayRef<int64_t>{1});
    init.push_back(acc);
  }
  Value zero = arith::ConstantIndexOp::create(b, 0), one = arith::ConstantIndexOp::create(b, 1);
  auto loop = scf::ForOp::create(b, zero, bound, one, init);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value k = loop.getInductionVar();
    SmallVector<Value> indices(rhs.indices);
    size_t rank = indices.size();
    indices[rank - 2] = b.createOrFold<arith::AddIOp>(indices[rank - 2], k);
    Value offset = arith::ConstantIndexOp::create(b, column);
    indices[rank - 1] = b.createOrFold<arith::AddIOp>(indices[rank - 1], offset);
    Value padding = arith::ConstantOp::create(b, b.getZeroAttr(rowType.getElementType()));
    Value rhsRow = widen(vector::TransferReadOp::create(b, rowType, rhs.memref, indices, padding,
                                                        ArrayRef<bool>{true}));
    SmallVector<Value> next;
    for (int64_t row = 0; row < rows; ++row) {
      Value scalar = vector::BroadcastOp::create(b, rhsRow.getType(), loadScalar(row, k));
      next.push_back(vector::FMAOp::create(b, scalar, rhsRow, loop.getRegionIterArgs()[row]));
    }
    scf::YieldOp::create(b, next);
  }
  for (int64_t row = 0; row < rows; ++row)
    result = whole ? Value(vector::InsertOp::create(b, loop.getResult(row), result, row))
                   : Value(vector::InsertStridedSliceOp::create(b, loop.getResult(row), result,
                                                                ArrayRef<int64_t>{row, column},
                                                                ArrayRef<int64_t>{1}));
  return result;
}

LogicalResult ProductLowering::run() {
  AffineExpr i, j, k;
  bindDims(op.getContext(), i, j, k);
  auto map = [&](AffineExpr x, AffineExpr y) {
    return AffineMap::get(3, 0, {x, y}, op.getContext());
  };
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  lhsTransposed = maps[0] == map(k, i);
  if ((!lhsTransposed && maps[0] != map(i, k)) || maps[1] != map(k, j) || maps[2] != map(i, j) ||
      op.getKind() != vector::CombiningKind::ADD)
    return failure();
  auto acc = cast<VectorType>(op.getAccType());
  rows = acc.getDimSize(0);
  columns = acc.getDimSize(1);
  depth = cast<VectorType>(op.getRhsType()).getDimSize(0);

  std::optional<MemoryTile> left = findInMemory(op.getLhs()), right = findInMemory(op.getRhs());
  if (!left || !left->rowsInBounds || !left->columnsInBounds)
    left = spill(op.getLhs());
  if (!right || !right->columnsInBounds)
    right = spill(op.getRhs());
  lhs = *left;
  rhs = *right;
  bound = arith::ConstantIndexOp::create(b, depth);
  if (!rhs.rowsInBounds) {
    // Rows of B beyond its end are zero: nothing to add.
    size_t rank = rhs.indices.size();
    Value extent = memref::DimOp::create(b, rhs.memref, int64_t(rank - 2));
    Value left = arith::SubIOp::create(b, extent, rhs.indices[rank - 2]);
    bound = arith::MinSIOp::create(b, bound, left);
  }

  int64_t vectors = std::max<int64_t>(1, accumulators / rows);
  int64_t width = std::min(columns, vectors * lanes);
  Value result = op.getAcc();
  for (int64_t column = 0; column < columns; column += width)
    result = panel(column, std::min(width, columns - column), result);
  op.getResult().replaceAllUsesWith(result);
  Operation *lhsDef = op.getLhs().getDefiningOp(), *rhsDef = op.getRhs().getDefiningOp();
  op->erase();
  for (Operation *def : {lhsDef, rhsDef})
    if (def && isOpTriviallyDead(def))
      def->erase();
  return success();
}

namespace {
struct LowerProductsPass : impl::LowerProductsPassBase<LowerProductsPass> {
  using LowerProductsPassBase::LowerProductsPassBase;

  void runOnOperation() override {
    SmallVector<vector::ContractionOp> products;
    getOperation()->walk([&](vector::ContractionOp op) {
      auto acc = dyn_cast<VectorType>(op.getAccType());
      if (acc && acc.getRank() == 2)
        products.push_back(op);
    });
    for (vector::ContractionOp op : products) {
      int64_t bits = cast<VectorType>(op.getAccType()).getElementTypeBitWidth();
      int64_t lanes = std::max<int64_t>(1, vectorBits / bits);
      if (succeeded(ProductLowering(op, lanes, std::max<int64_t>(4, vectorRegisters - 4)).run()))
        ++numLowered;
    }
  }
};
} // namespace
} // namespace elfatt::cpu
