// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tiles become registers, in the order of the program: products, reductions and
// writes where they stand, everything else where one of them asks for it.
#include "elfatt/CPU/Passes.h"

#include "Registers/LaneReductions.h"
#include "Registers/PairedProducts.h"
#include "Registers/PanelProduct.h"
#include "Registers/Prefetches.h"
#include "Registers/RowProduct.h"
#include "Registers/TileMemory.h"
#include "Registers/TileRegisters.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/X86Vector/X86VectorDialect.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SaveAndRestore.h"

namespace elfatt::cpu {
#define GEN_PASS_DEF_LOWERTILESPASS
#include "elfatt/CPU/Passes.h.inc"

using namespace mlir;

//===----------------------------------------------------------------------===//
// Lowering
//===----------------------------------------------------------------------===//

namespace {
class TileLowering {
public:
  TileLowering(MLIRContext *context, int64_t lanes, int64_t vectorRegisters)
      : b(UnknownLoc::get(context), context), lanes(lanes), vectorRegisters(vectorRegisters),
        registers(b, lanes, vectorRegisters) {}

  void run(Block &block);
  void eraseDead();

private:
  bool lower(Operation *op);
  bool lowerProduct(vector::ContractionOp op);
  bool lowerWrite(vector::TransferWriteOp op);
  bool lowerLoop(scf::ForOp op);
  void readBefore(Operation *writer);
  void makeAll(Value vector);
  void makePieces(Value vector, size_t first, size_t count);

  // Products.
  std::optional<MemoryTile> operandInMemory(Value operand, Operation *op, bool converted);
  std::optional<MemoryTile> scalarsInMemory(vector::ContractionOp op);
  Value allocate(Value operand, Operation *op);
  void endPanel(vector::ContractionOp product, size_t first, size_t count);
  MemoryTile throughScratch(Value operand, Operation *op);

  ImplicitLocOpBuilder b;
  int64_t lanes, vectorRegisters;
  TileRegisters registers;
  Prefetches prefetches;                                  ///< for the next product of the block
  SmallVector<vector::TransferReadOp> reads;              ///< that may still be asked for pieces
  SmallVector<Operation *> done;                          ///< replaced, in the order of the program
  DenseMap<Operation *, vector::TransferWriteOp> written; ///< whose panels are stored once made
  /// A register of each row of the panels that were stored, where a reduction over the columns
  /// wants them.
  DenseMap<Operation *, SmallVector<Value>> partial;
};
} // namespace

void TileLowering::makeAll(Value vector) { makePieces(vector, 0, registers.pieces(vector).size()); }

void TileLowering::makePieces(Value vector, size_t first, size_t count) {
  for (int64_t row = 0; row < TileRegisters::numRows(vector); ++row)
    for (size_t index = first; index < first + count; ++index)
      registers.get(vector, row, index);
}

/// Reads what `writer` may overwrite. A write of the place that a tile was read
/// from writes each piece after its read.
void TileLowering::readBefore(Operation *writer) {
  auto write = dyn_cast<vector::TransferWriteOp>(writer);
  SmallVector<Value> written;
  forEachWritten(writer, [&](Value memref) { written.push_back(memref); });
  for (vector::TransferReadOp &read : reads) {
    if (!read || llvm::none_of(written, [&](Value memref) {
          return !memref || mayAlias(memref, read.getBase());
        }))
      continue;
    bool inPlace = write && write.getBase() == read.getBase() &&
                   llvm::equal(write.getIndices(), read.getIndices()) &&
                   write.getVectorType() == read.getVectorType() &&
                   write.getPermutationMap() == read.getPermutationMap() &&
                   write->getBlock() == read->getBlock();
    if (!inPlace)
      makeAll(read.getResult());
    read = {};
  }
}

void TileLowering::run(Block &block) {
  // Those that no product of the block takes along stay where they are.
  llvm::SaveAndRestore ofBlock(prefetches, Prefetches());
  // What a product will read as scalars goes to scratch as soon as it is made.
  for (auto product : block.getOps<vector::ContractionOp>())
    if (isTile(product.getLhs().getType()) && isTile(product.getAccType()) &&
        !scalarsInMemory(product) && !registers.memoryOf(product.getLhs()))
      registers.keepInMemory(product.getLhs(), allocate(product.getLhs(), product));
  // Panels that are written to scratch are, as soon as they are done: all of them would not fit the
  // registers.
  for (auto product : llvm::to_vector(block.getOps<vector::ContractionOp>()))
    if (vector::TransferWriteOp write = findScratchWrite(product)) {
      registers.keepInMemory(write.getVector(), write.getBase());
      written[product] = write;
    }
  for (Operation &op : llvm::make_early_inc_range(block)) {
    b.setInsertionPoint(&op);
    b.setLoc(op.getLoc());
    if (isPrefetchLoop(&op)) {
      prefetches.add(cast<scf::ForOp>(op));
      continue;
    }
    if (isLazy(&op)) {
      done.push_back(&op);
      if (auto read = dyn_cast<vector::TransferReadOp>(op);
          read && isTile(read.getType()) && isa<MemRefType>(read.getBase().getType()))
        reads.push_back(read);
      continue;
    }
    readBefore(&op);
    const size_t before = done.size();
    if (lower(&op)) {
      // What was in its regions uses what it defines.
      done.insert(done.begin() + before, &op);
      continue;
    }
    // What is not lowered here takes whole vectors.
    for (OpOperand &operand : op.getOpOperands())
      if (isTile(operand.get().getType()) && operand.get().getDefiningOp())
        operand.set(registers.assemble(operand.get()));
    for (Region &region : op.getRegions())
      for (Block &nested : region)
        run(nested);
  }
  llvm::erase_if(reads,
                 [&](vector::TransferReadOp read) { return !read || read->getBlock() == &block; });
}

bool TileLowering::lower(Operation *op) {
  if (auto product = dyn_cast<vector::ContractionOp>(op))
    return lowerProduct(product);
  if (auto reduction = dyn_cast<vector::MultiDimReductionOp>(op))
    return lowerReduction(b, registers, reduction, partial.lookup(reduction));
  if (auto write = dyn_cast<vector::TransferWriteOp>(op))
    return lowerWrite(write);
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return lowerLoop(loop);
  return false;
}

/// A loop carries the pieces of tiles: wider vectors are what LLVM takes longest for.
bool TileLowering::lowerLoop(scf::ForOp op) {
  if (llvm::none_of(op.getInitArgs(), [](Value init) { return isTile(init.getType()); }))
    return false;
  auto loop = scf::ForOp::create(b, op.getLowerBound(), op.getUpperBound(), op.getStep(),
                                 registers.piecesOf(op.getInitArgs()));
  // The old loop stays until nothing asks for its tiles.
  auto yield = cast<scf::YieldOp>(op.getBody()->getTerminator());
  SmallVector<Value> yielded(yield.getOperands());
  yield.getResultsMutable().assign(op.getRegionIterArgs());
  Block *body = loop.getBody();
  body->getOperations().splice(body->end(), op.getBody()->getOperations(), op.getBody()->begin(),
                               std::prev(op.getBody()->end()));
  op.getInductionVar().replaceAllUsesWith(loop.getInductionVar());
  registers.setPieces(op.getRegionIterArgs(), loop.getRegionIterArgs());
  registers.setPieces(op.getResults(), loop.getResults());
  run(*body);
  b.setInsertionPointToEnd(body);
  scf::YieldOp::create(b, registers.piecesOf(yielded));
  return true;
}

/// Ops that were lowered, and those that only they asked for.
void TileLowering::eraseDead() {
  for (Operation *op : llvm::reverse(done))
    if (isa<vector::TransferWriteOp>(op) || isOpTriviallyDead(op))
      op->erase();
}

/// The sums that `vector` is the last of, or a conversion of it, in the order of the program.
static SmallVector<Value> findSums(Value vector) {
  if (auto narrowed = vector.getDefiningOp<arith::TruncFOp>())
    vector = narrowed.getIn();
  SmallVector<Value> sums;
  for (auto sum = vector.getDefiningOp<arith::AddFOp>(); sum;
       sum = sum.getLhs().getDefiningOp<arith::AddFOp>())
    sums.push_back(sum);
  std::reverse(sums.begin(), sums.end());
  return sums;
}

/// Of few rows a column of registers is made before it is stored, and one term after the other is
/// added to all of them: what the rows share, as taps of LePE do, and its weight are read once.
bool TileLowering::lowerWrite(vector::TransferWriteOp op) {
  std::optional<MemoryTile> tile = TileRegisters::memoryTile(op);
  if (!tile || !isTile(op.getVectorType()))
    return false;
  Value vector = op.getVector();
  if (registers.memoryOf(vector) == op.getBase()) {
    makeAll(vector);
    return true;
  }
  const int64_t rows = TileRegisters::numRows(vector);
  const SmallVector<Piece> pieces = registers.pieces(vector);
  auto store = [&](Value value, int64_t row, int64_t index) {
    Value mask = op.getMask() ? registers.get(op.getMask(), row, index) : Value();
    registers.store(value, *tile, row, pieces[index], mask);
  };
  const int64_t columns = pieces.size();
  if (rows > vectorRegisters / 4) {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t index = 0; index < columns; ++index)
        store(registers.get(vector, row, index), row, index);
    return true;
  }
  const SmallVector<Value> sums = findSums(vector);
  for (int64_t index = 0; index < columns; ++index) {
    for (Value sum : sums)
      for (int64_t row = 0; row < rows; ++row)
        registers.get(sum, row, index);
    SmallVector<Value> column;
    for (int64_t row = 0; row < rows; ++row)
      column.push_back(registers.get(vector, row, index));
    for (auto [row, value] : llvm::enumerate(column))
      store(value, row, index);
  }
  return true;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// The tile in memory that `operand` was read from, if it is still there; seen
/// through a conversion with `converted`.
std::optional<MemoryTile> TileLowering::operandInMemory(Value operand, Operation *op,
                                                        bool converted) {
  Operation *def = operand.getDefiningOp();
  if (auto extension = dyn_cast_or_null<arith::ExtFOp>(def); extension && converted)
    def = extension.getIn().getDefiningOp();
  auto read = dyn_cast_or_null<vector::TransferReadOp>(def);
  if (!read || read.getMask() || writtenBetween(read, op))
    return std::nullopt;
  std::optional<MemoryTile> tile = TileRegisters::memoryTile(read);
  if (!tile || tile->rowDim < 0 || !tile->columnsInBounds)
    return std::nullopt;
  return tile;
}

/// Scratch for `operand`, before all loops around `op`: kernels hoist it further, to
/// their entry.
Value TileLowering::allocate(Value operand, Operation *op) {
  auto type = cast<VectorType>(operand.getType());
  OpBuilder::InsertionGuard guard(b);
  Operation *outermost = op;
  while (Operation *parent = outermost->getParentOp()) {
    if (parent->hasTrait<OpTrait::AutomaticAllocationScope>())
      break;
    outermost = parent;
  }
  b.setInsertionPointToStart(outermost->getBlock());
  // Registers of no row lie in two lines of the cache.
  SmallVector<int64_t> shape(type.getShape());
  shape.back() = llvm::alignTo(shape.back(), lanes);
  return memref::AllocaOp::create(b, MemRefType::get(shape, type.getElementType()),
                                  b.getI64IntegerAttr(64));
}

/// Stores the pieces from `first` on that were summed last, where nothing else waits for them but
/// their rows' maximum: of all panels that would begin when the last one ends, with no products
/// beside it.
void TileLowering::endPanel(vector::ContractionOp product, size_t first, size_t count) {
  vector::TransferWriteOp write = written.lookup(product);
  if (!write)
    return;
  Value vector = write.getVector();
  makePieces(vector, first, count);
  for (Operation *user : vector.getUsers()) {
    auto maximum = dyn_cast<vector::MultiDimReductionOp>(user);
    if (!maximum || maximum.getKind() != vector::CombiningKind::MAXNUMF ||
        maximum.getReductionDims() != ArrayRef<int64_t>{1})
      continue;
    SmallVector<Value> &rows = partial[maximum];
    rows.resize(TileRegisters::numRows(vector));
    for (auto [row, ofRow] : llvm::enumerate(rows))
      ofRow = reduceRow(b, registers, maximum, row, first, count, ofRow);
  }
}

MemoryTile TileLowering::throughScratch(Value operand, Operation *op) {
  Value scratch = registers.memoryOf(operand);
  Value zero = arith::ConstantIndexOp::create(b, 0);
  MemoryTile tile{scratch, {zero, zero}, 0, 1, true, true};
  if (scratch) {
    makeAll(operand);
    return tile;
  }
  tile.memref = allocate(operand, op);
  for (int64_t row = 0; row < TileRegisters::numRows(operand); ++row)
    for (auto [index, piece] : llvm::enumerate(registers.pieces(operand)))
      registers.store(registers.get(operand, row, index), tile, row, piece);
  return tile;
}

/// Scalars of the left operand are read as they are, so in the product's type.
std::optional<MemoryTile> TileLowering::scalarsInMemory(vector::ContractionOp op) {
  if (op.getLhsType().getElementType() != getElementTypeOrSelf(op.getAccType()))
    return std::nullopt;
  std::optional<MemoryTile> lhs = operandInMemory(op.getLhs(), op, /*converted=*/false);
  return lhs && lhs->rowsInBounds ? lhs : std::nullopt;
}

bool TileLowering::lowerProduct(vector::ContractionOp op) {
  if (vector::TransferWriteOp write = written.lookup(op))
    readBefore(write);
  if (auto pairs = matchPairedProduct(op, lanes);
      pairs && !writtenBetween(pairs->lhs, op) && !writtenBetween(pairs->rhs, op)) {
    lowerPairedProduct(op, *pairs, registers, vectorRegisters, b, prefetches,
                       [&](size_t first, size_t count) { endPanel(op, first, count); });
    prefetches.erase();
    return true;
  }
  if (isRowProduct(op) && cast<VectorType>(op.getAccType()).getDimSize(1) % lanes == 0)
    if (std::optional<MemoryTile> rows = operandInMemory(op.getRhs(), op, /*converted=*/true)) {
      lowerRowProduct(op, *rows, allocate(op.getResult(), op), registers, b);
      return true;
    }
  std::optional<bool> isLhsTransposed = matchPanelProduct(op);
  if (!isLhsTransposed)
    return false;
  std::optional<MemoryTile> lhs = scalarsInMemory(op);
  // Rows of B may be widened on the way.
  std::optional<MemoryTile> rhs = operandInMemory(op.getRhs(), op, /*converted=*/true);
  PanelProduct product{op, *isLhsTransposed, lhs ? *lhs : throughScratch(op.getLhs(), op),
                       rhs ? *rhs : throughScratch(op.getRhs(), op)};
  lowerPanelProduct(product, registers, vectorRegisters, b, prefetches,
                    [&](size_t first, size_t count) { endPanel(op, first, count); });
  prefetches.erase();
  return true;
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct LowerTilesPass : impl::LowerTilesPassBase<LowerTilesPass> {
  using LowerTilesPassBase::LowerTilesPassBase;

  void runOnOperation() override {
    SmallVector<FunctionOpInterface> functions;
    getOperation()->walk([&](FunctionOpInterface function) { functions.push_back(function); });
    for (FunctionOpInterface function : functions)
      lowerFunction(function);
  }

  void lowerFunction(FunctionOpInterface function) {
    // Lanes are those of the widest number, so that pieces of one tile match
    // whatever their types.
    int64_t bits = 32;
    function.walk([&](vector::ContractionOp op) {
      bits = std::max<int64_t>(bits, getElementTypeOrSelf(op.getAccType()).getIntOrFloatBitWidth());
    });
    TileLowering lowering(&getContext(), std::max<int64_t>(1, vectorBits / bits), vectorRegisters);
    for (Block &block : function.getFunctionBody())
      lowering.run(block);
    lowering.eraseDead();
  }
};
} // namespace
} // namespace elfatt::cpu
