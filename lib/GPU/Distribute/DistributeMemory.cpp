// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Reads and writes of tiles: each lane moves the elements it holds, the two
// neighbours that a quad layout gives it at once where they are aligned.
#include "Distributor.h"
#include "Layout/Alignment.h"

#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt::gpu;

FailureOr<Access> Distributor::getAccess(VectorTransferOpInterface op,
                                         const FragmentLayout &layout) {
  Access access;
  access.op = op;
  access.layout = layout;
  auto type = dyn_cast<MemRefType>(op.getShapedType());
  if (!type || isa<VectorType>(type.getElementType()))
    return op->emitOpError("expected a memref of scalars, got ") << op.getShapedType();
  access.base = get(op.getBase());
  for (Value index : op.getIndices())
    access.indices.push_back(get(index));
  for (AffineExpr expr : op.getPermutationMap().getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    access.memrefDim.push_back(dim ? dim.getPosition() : -1);
  }
  if (op.getMask()) {
    if (!op.getPermutationMap().isMinorIdentity())
      return op->emitOpError("expected a mask only where dims keep their order");
    access.mask = get(op.getMask());
  }

  access.index.resize(layout.rank());
  access.inside.resize(layout.rank());
  for (int64_t d = 0; d < layout.rank(); ++d) {
    int64_t m = access.memrefDim[d];
    if (m < 0)
      continue;
    Value start = access.indices[m];
    if (layout.getDims()[d] != LaneDim::None)
      start = arith::AddIOp::create(b, loc, start, laneOffset(layout.getDims()[d]));
    Value size;
    if (!op.isDimInBounds(d))
      size = getValueOrCreateConstantIndexOp(b, loc, memref::getMixedSize(b, loc, access.base, m));
    for (int64_t i = 0; i < layout.localSize(d); ++i) {
      int64_t offset = layout.constantOffset(d, i);
      Value index =
          offset ? arith::AddIOp::create(b, loc, start, constant(offset)).getResult() : start;
      access.index[d].push_back(index);
      if (size)
        access.inside[d].push_back(
            arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, index, size));
    }
  }

  int64_t last = layout.rank() - 1;
  SmallVector<OpFoldResult> starts = getAsOpFoldResult(op.getIndices());
  if (op.isDimInBounds(last) && !access.mask && access.memrefDim[last] == type.getRank() - 1)
    access.width = std::min<int64_t>(layout.getNeighbours(), 128 / type.getElementTypeBitWidth());
  while (access.width > 1 && !isChunkAligned(op.getBase(), starts, access.width))
    access.width /= 2;
  return access;
}

SmallVector<Value> Distributor::getIndices(const Access &access, int64_t flat) {
  SmallVector<Value> indices = access.indices;
  for (auto [d, i] : llvm::enumerate(access.layout.unflatten(flat)))
    if (access.memrefDim[d] >= 0)
      indices[access.memrefDim[d]] = access.index[d][i];
  return indices;
}

/// Whether the element may be touched; null if it always may.
Value Distributor::getCondition(const Access &access, int64_t flat) {
  Value condition;
  auto require = [&](Value inside) {
    condition = condition ? arith::AndIOp::create(b, loc, condition, inside).getResult() : inside;
  };
  for (auto [d, i] : llvm::enumerate(access.layout.unflatten(flat)))
    if (!access.inside[d].empty())
      require(access.inside[d][i]);
  if (access.mask)
    require(extract(access.mask, flat));
  return condition;
}

/// Registers hold the rows of one warp: as many as there are, divided by the warps, from
/// that warp's number on.
LogicalResult Distributor::checkRegisterAccess(VectorTransferOpInterface op) {
  auto loop = op->getParentOfType<scf::ForallOp>();
  auto type = cast<MemRefType>(op.getShapedType());
  int64_t rows = op.getVectorType().getDimSize(0);
  std::optional<int64_t> count =
      loop ? getConstantIntValue(loop.getMixedUpperBound().front()) : std::nullopt;
  Value row = op.getIndices().front();
  auto product = row.getDefiningOp<arith::MulIOp>();
  bool isOwn = isConstantIntValue(row, 0) ||
               (product && loop && product.getLhs() == loop.getInductionVar(0) &&
                isConstantIntValue(product.getRhs(), rows)) ||
               (rows == 1 && loop && row == loop.getInductionVar(0));
  if (!count || *count * rows != type.getDimSize(0) || !isOwn ||
      (isConstantIntValue(row, 0) && *count != 1))
    return op->emitOpError("expected each warp to access the same rows of registers, and all of "
                           "its own");
  return success();
}

/// The dim of the tile along which elements are neighbours in memory; -1 if there is none.
static int64_t getContiguousDim(const Access &access) {
  VectorTransferOpInterface op = access.op;
  int64_t last = op.getShapedType().getRank() - 1;
  auto found = llvm::find(access.memrefDim, last);
  return found == access.memrefDim.end() ? -1 : found - access.memrefDim.begin();
}

/// 8x8 matrices of 16-bit elements lie in eight rows of 16 bytes, which eight lanes point to. A
/// lane gets two neighbours of a row, or, transposed, of a column: what a fragment holds.
bool Distributor::isLoadedByMatrices(const Access &access) {
  VectorTransferOpInterface op = access.op;
  ArrayRef<LaneDim> dims = access.layout.getDims();
  auto type = cast<MemRefType>(op.getShapedType());
  if (chip.version() < 75 || type.getElementTypeBitWidth() != 16 || access.layout.rank() != 2 ||
      access.mask || !op.isDimInBounds(0) || !op.isDimInBounds(1) ||
      !mlir::gpu::GPUDialect::hasWorkgroupMemoryAddressSpace(type))
    return false;
  int64_t column = getContiguousDim(access);
  return column >= 0 && access.memrefDim[1 - column] >= 0 &&
         llvm::is_contained(dims, LaneDim::Group) && llvm::is_contained(dims, LaneDim::Quad) &&
         isChunkAligned(op.getBase(), getAsOpFoldResult(op.getIndices()), kLaneDimExtent);
}

void Distributor::loadMatrices(const Access &access, std::array<int64_t, 2> first,
                               std::array<int64_t, 2> count, MutableArrayRef<Value> elements,
                               bool asLeftOperand) {
  const FragmentLayout &layout = access.layout;
  int64_t column = getContiguousDim(access), row = 1 - column;
  bool transposed = layout.getDims()[column] == LaneDim::Group;
  Type element = cast<MemRefType>(access.base.getType()).getElementType();
  // An instruction loads `down` x `across` matrices, which lanes 0 to 7, 8 to 15, ... point to,
  // rows first.
  auto loadAt = [&](int64_t r, int64_t c, int64_t down, int64_t across) {
    SmallVector<Value> indices = access.indices;
    Value &rowIndex = indices[access.memrefDim[row]];
    auto add = [&](Value to, Value offset) {
      return b.createOrFold<arith::AddIOp>(loc, to, offset);
    };
    // Of the thread: a lane is known to be so small that LLVM would drop its mask where a constant
    // that is added has the bits beyond it, and each such row's address take a register.
    rowIndex = add(rowIndex, arith::AndIOp::create(b, loc, thread, constant(8 * down - 1)));
    rowIndex = add(rowIndex, constant(8 * r));
    if (across > 1) {
      Value next = arith::DivUIOp::create(b, loc, lane, constant(8 * down));
      next = arith::AndIOp::create(b, loc, next, constant(across - 1));
      indices.back() = add(indices.back(), arith::MulIOp::create(b, loc, next, constant(8)));
    }
    indices.back() = add(indices.back(), constant(8 * c));
    Value matrices = nvgpu::LdMatrixOp::create(b, loc, VectorType::get({down * across, 2}, element),
                                               access.base, indices, transposed, down * across);
    ++numMatrices;
    for (int64_t m = 0; m < down * across; ++m)
      for (int64_t pair = 0; pair < 2; ++pair) {
        int64_t matrixRow = r + m % down, matrixColumn = c + m / down;
        SmallVector<int64_t, 2> local(2);
        local[row] = transposed ? 2 * matrixRow + pair : matrixRow;
        local[column] = transposed ? matrixColumn : 2 * matrixColumn + pair;
        elements[layout.flatten(local)] =
            vector::ExtractOp::create(b, loc, matrices, ArrayRef<int64_t>{m, pair});
      }
  };
  auto largest = [](int64_t left, int64_t most) {
    return std::min<int64_t>(llvm::bit_floor(static_cast<uint64_t>(left)), most);
  };
  // Four matrices an instruction as often as their number allows: two by two are the registers
  // of one left operand of a product.
  int64_t most = count[column] % 4 == 0 || count[row] == 1 ? 4 : count[row] % 4 == 0 ? 1 : 2;
  if (asLeftOperand && !transposed && count[row] % 2 == 0)
    most = 2;
  for (int64_t c = 0; c < count[column];) {
    int64_t across = largest(count[column] - c, most);
    for (int64_t r = 0; r < count[row];) {
      int64_t down = largest(count[row] - r, 4 / across);
      loadAt(first[row] + r, first[column] + c, down, across);
      r += down;
    }
    c += across;
  }
}

LogicalResult Distributor::visitRead(vector::TransferReadOp op) {
  const FragmentLayout &layout = layouts[op.getResult()];
  if (isInRegisters(op.getBase())) {
    if (llvm::none_of(op.getBase().getUsers(), llvm::IsaPred<vector::TransferWriteOp>))
      return op.emitOpError("reads registers that nothing writes");
    define(op.getResult(), getRegisters(op.getBase()));
    return checkRegisterAccess(op);
  }
  FailureOr<Access> access = getAccess(op, layout);
  if (failed(access))
    return failure();
  Type element = op.getVectorType().getElementType();
  if (isReadByFma(op) || isReadByQuadPairs(op, *access)) {
    deferred.try_emplace(op.getResult(), *access);
    return success();
  }
  if (isLoadedByMatrices(*access)) {
    if (isReadInContract(op)) {
      deferred.try_emplace(op.getResult(), *access);
      return success();
    }
    SmallVector<Value> loaded(layout.numLocal());
    loadMatrices(*access, {0, 0},
                 {layout.getShape()[0] / kLaneDimExtent, layout.getShape()[1] / kLaneDimExtent},
                 loaded, /*asLeftOperand=*/true);
    define(op.getResult(), fromElements(loaded, element));
    return success();
  }
  Value padding = get(op.getPadding());
  const int64_t width = access->width;
  llvm::MaybeAlign align(width * element.getIntOrFloatBitWidth() / 8);
  const Type loaded = width == 1 ? element : Type(VectorType::get(width, element));
  auto load = [&](int64_t flat) -> Value {
    SmallVector<Value> indices = getIndices(*access, flat);
    if (width == 1)
      return memref::LoadOp::create(b, loc, access->base, indices);
    return vector::LoadOp::create(b, loc, cast<VectorType>(loaded), access->base, indices,
                                  /*nontemporal=*/false, align);
  };
  SmallVector<Value> elements;
  for (int64_t flat = 0; flat < layout.numLocal(); flat += width) {
    Value value, condition = getCondition(*access, flat);
    if (!condition) {
      value = load(flat);
    } else {
      // A pair leaves the branch as one: elements that do so on their own may be loaded so too.
      auto branch = scf::IfOp::create(b, loc, loaded, condition, /*withElseRegion=*/true);
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPointToEnd(branch.thenBlock());
      scf::YieldOp::create(b, loc, load(flat));
      b.setInsertionPointToEnd(branch.elseBlock());
      Value beyond =
          width == 1 ? padding : vector::BroadcastOp::create(b, loc, loaded, padding).getResult();
      scf::YieldOp::create(b, loc, beyond);
      value = branch.getResult(0);
    }
    for (int64_t i = 0; i < width; ++i)
      elements.push_back(width == 1 ? value : extract(value, i));
  }
  define(op.getResult(), fromElements(elements, element));
  return success();
}

LogicalResult Distributor::visitWrite(vector::TransferWriteOp op) {
  const FragmentLayout &layout = layouts[op.getVector()];
  if (isInRegisters(op.getBase())) {
    registers[op.getBase()] = get(op.getVector());
    return checkRegisterAccess(op);
  }
  FailureOr<Access> access = getAccess(op, layout);
  if (failed(access))
    return failure();
  Value value = get(op.getVector());
  Type element = op.getVectorType().getElementType();
  const int64_t width = access->width;
  llvm::MaybeAlign align(width * element.getIntOrFloatBitWidth() / 8);
  Value holder = isFirstHolder(layout);
  for (int64_t flat = 0; flat < layout.numLocal(); flat += width) {
    Value condition = getCondition(*access, flat);
    if (holder)
      condition = condition ? arith::AndIOp::create(b, loc, condition, holder).getResult() : holder;
    OpBuilder::InsertionGuard guard(b);
    if (condition) {
      auto branch = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
      b.setInsertionPointToStart(branch.thenBlock());
    }
    SmallVector<Value> indices = getIndices(*access, flat);
    if (width == 1) {
      memref::StoreOp::create(b, loc, extract(value, flat), access->base, indices);
      continue;
    }
    SmallVector<Value> neighbours;
    for (int64_t i = 0; i < width; ++i)
      neighbours.push_back(extract(value, flat + i));
    vector::StoreOp::create(b, loc, fromElements(neighbours, element), access->base, indices,
                            /*nontemporal=*/false, align);
  }
  return success();
}
