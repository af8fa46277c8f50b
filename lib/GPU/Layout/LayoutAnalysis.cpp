// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LayoutAnalysis.h"

using namespace mlir;
using namespace elfatt::gpu;

bool elfatt::gpu::isElementwise(Operation *op) {
  return OpTrait::hasElementwiseMappableTraits(op) || isa<vector::FMAOp>(op);
}

bool elfatt::gpu::isInRegisters(Value memref) {
  auto type = dyn_cast<MemRefType>(memref.getType());
  auto space =
      type ? dyn_cast_or_null<mlir::gpu::AddressSpaceAttr>(type.getMemorySpace()) : nullptr;
  return space && space.getValue() == mlir::gpu::AddressSpace::Private;
}

bool elfatt::gpu::isOfQuadPairs(Type element, const target::Chip &chip) {
  return element.isF16() && chip.f16 == target::Mma::M8N8K4;
}

/// One product: (i, k) x (k, j) or (j, k) -> (i, j), each operand in any order
/// of its dims. Rows i are spread over groups everywhere; columns j over quads
/// in the result and over groups in the right operand; k over quads. Quad pairs: see
/// FragmentLayout.h; of a right operand's dims the last one should be neighbours in memory.
FailureOr<ContractLayouts> elfatt::gpu::getContractLayouts(vector::ContractionOp op,
                                                           const target::Chip &chip) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  auto accType = dyn_cast<VectorType>(op.getAccType());
  if (!accType || accType.getRank() != 2 || op.getLhsType().getRank() != 2 ||
      op.getRhsType().getRank() != 2 || op.getKind() != vector::CombiningKind::ADD ||
      maps[0].getNumDims() != 3)
    return failure();
  ContractLayouts result;
  result.rowDim = maps[2].getDimPosition(0);
  result.columnDim = maps[2].getDimPosition(1);
  result.sumDim = 3 - result.rowDim - result.columnDim;
  auto uses = [](AffineMap map, int64_t dim) {
    return map.isFunctionOfDim(static_cast<unsigned>(dim));
  };
  if (!uses(maps[0], result.rowDim) || !uses(maps[0], result.sumDim) ||
      !uses(maps[1], result.columnDim) || !uses(maps[1], result.sumDim))
    return failure();
  // What the dims of rows, columns and sums are spread over.
  auto layout = [&](AffineMap map, VectorType type, std::array<LaneDim, 3> spread) {
    SmallVector<LaneDim> dims;
    for (unsigned r = 0; r < 2; ++r) {
      int64_t dim = map.getDimPosition(r);
      dims.push_back(spread[dim == result.rowDim ? 0 : dim == result.columnDim ? 1 : 2]);
    }
    return FragmentLayout(type.getShape(), dims);
  };
  using enum LaneDim;
  if (isOfQuadPairs(op.getLhsType().getElementType(), chip)) {
    const bool sumsFirst = maps[1].getDimPosition(0) == static_cast<unsigned>(result.sumDim);
    result.lhs = layout(maps[0], op.getLhsType(), {PairLeft, None, None});
    result.madeLhs = layout(maps[0], op.getLhsType(), {PairRow, None, PairColumn});
    result.rhs =
        layout(maps[1], op.getRhsType(),
               sumsFirst ? std::array{None, PairFour, PairSum} : std::array{None, PairRight, None});
    result.acc = layout(maps[2], accType, {PairRow, PairColumn, None});
    return result;
  }
  result.lhs = result.madeLhs = layout(maps[0], op.getLhsType(), {Group, None, Quad});
  result.rhs = layout(maps[1], op.getRhsType(), {None, Group, Quad});
  result.acc = layout(maps[2], accType, {Group, Quad, None});
  return result;
}

bool LayoutAnalysis::set(Value value, const FragmentLayout &layout) {
  if (!isa<VectorType>(value.getType()))
    return false;
  return layouts.try_emplace(value, layout).second;
}

/// All of one shape: what one knows, all know.
bool LayoutAnalysis::unify(ValueRange values) {
  for (Value value : values) {
    auto it = layouts.find(value);
    if (it == layouts.end())
      continue;
    FragmentLayout layout = it->second;
    bool changed = false;
    for (Value other : values)
      changed |= set(other, layout);
    return changed;
  }
  return false;
}

/// Rx1 or 1xC from R or C, or back: the dims that are not one agree.
static FragmentLayout castShape(const FragmentLayout &layout, ArrayRef<int64_t> shape) {
  SmallVector<LaneDim> known, dims;
  for (auto [size, dim] : llvm::zip(layout.getShape(), layout.getDims()))
    if (size != 1)
      known.push_back(dim);
  unsigned next = 0;
  for (int64_t size : shape)
    dims.push_back(size != 1 && next < known.size() ? known[next++] : LaneDim::None);
  return FragmentLayout(shape, dims);
}

bool LayoutAnalysis::tieShapeCast(vector::ShapeCastOp op) {
  auto carry = [&](Value from, Value to) {
    auto it = layouts.find(from);
    if (it == layouts.end())
      return false;
    FragmentLayout layout = castShape(it->second, cast<VectorType>(to.getType()).getShape());
    return set(to, layout);
  };
  return carry(op.getSource(), op.getResult()) || carry(op.getResult(), op.getSource());
}

/// What is broadcast: its dims are the result's innermost ones; dims of one are stretched.
static FragmentLayout getBroadcastSource(const FragmentLayout &result, VectorType source) {
  SmallVector<LaneDim> dims(result.getDims().take_back(source.getRank()));
  for (auto [size, dim] : llvm::zip(source.getShape(), dims))
    if (size == 1)
      dim = LaneDim::None;
  return FragmentLayout(source.getShape(), dims);
}

bool LayoutAnalysis::tieBroadcast(vector::BroadcastOp op) {
  auto source = dyn_cast<VectorType>(op.getSourceType());
  auto it = layouts.find(op.getVector());
  if (!source || it == layouts.end())
    return false;
  return set(op.getSource(), getBroadcastSource(it->second, source));
}

bool LayoutAnalysis::tieSlice(Value whole, Value part) {
  for (auto [from, to] : {std::pair(whole, part), std::pair(part, whole)})
    if (auto it = layouts.find(from); it != layouts.end()) {
      SmallVector<LaneDim> dims(it->second.getDims());
      return set(to, FragmentLayout(cast<VectorType>(to.getType()).getShape(), dims));
    }
  return false;
}

/// What is left of the source's layout.
static FragmentLayout reduce(const FragmentLayout &source, vector::MultiDimReductionOp op) {
  SmallVector<int64_t> shape;
  SmallVector<LaneDim> dims;
  for (int64_t d = 0; d < source.rank(); ++d)
    if (!op.isReducedDim(d)) {
      shape.push_back(source.getShape()[d]);
      dims.push_back(source.getDims()[d]);
    }
  return FragmentLayout(shape, dims);
}

bool LayoutAnalysis::tieReduction(vector::MultiDimReductionOp op) {
  if (!isa<VectorType>(op.getResult().getType()))
    return false;
  bool changed = unify({op.getAcc(), op.getResult()});
  auto it = layouts.find(op.getSource());
  if (it == layouts.end())
    return changed;
  changed |= set(op.getResult(), reduce(it->second, op));
  return changed | unify({op.getAcc(), op.getResult()});
}

bool LayoutAnalysis::tieLoop(scf::ForOp op) {
  bool changed = false;
  for (auto [init, arg, yielded, result] :
       llvm::zip(op.getInitArgs(), op.getRegionIterArgs(), op.getYieldedValues(), op.getResults()))
    changed |= unify({yielded, result, arg, init});
  return changed;
}

/// What is written to registers and what is read from them is one fragment.
bool LayoutAnalysis::tieRegisters(Value memref) {
  SmallVector<Value> values;
  for (Operation *user : memref.getUsers()) {
    if (auto read = dyn_cast<vector::TransferReadOp>(user))
      values.push_back(read.getResult());
    else if (auto write = dyn_cast<vector::TransferWriteOp>(user))
      values.push_back(write.getVector());
  }
  return unify(values);
}

bool LayoutAnalysis::tie(Operation *op) {
  if (auto cast = dyn_cast<vector::ShapeCastOp>(op))
    return tieShapeCast(cast);
  if (auto broadcast = dyn_cast<vector::BroadcastOp>(op))
    return tieBroadcast(broadcast);
  if (auto reduction = dyn_cast<vector::MultiDimReductionOp>(op))
    return tieReduction(reduction);
  if (auto slice = dyn_cast<vector::ExtractStridedSliceOp>(op))
    return tieSlice(slice.getSource(), slice.getResult());
  if (auto slice = dyn_cast<vector::InsertStridedSliceOp>(op)) {
    bool changed = unify({slice.getResult(), slice.getDest()});
    return tieSlice(slice.getDest(), slice.getValueToStore()) | changed;
  }
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return tieLoop(loop);
  if (auto alloca = dyn_cast<memref::AllocaOp>(op))
    return isInRegisters(alloca) && tieRegisters(alloca);
  if (auto read = dyn_cast<vector::TransferReadOp>(op))
    return read.getMask() && unify({read.getResult(), read.getMask()});
  if (auto write = dyn_cast<vector::TransferWriteOp>(op))
    return write.getMask() && unify({write.getVector(), write.getMask()});
  if (auto branch = dyn_cast<scf::IfOp>(op)) {
    bool changed = false;
    for (auto [i, result] : llvm::enumerate(branch.getResults()))
      changed |=
          unify({result, branch.thenYield().getOperand(i), branch.elseYield().getOperand(i)});
    return changed;
  }
  if (isElementwise(op)) {
    SmallVector<Value> vectors;
    for (Value value : llvm::concat<Value>(op->getResults(), op->getOperands()))
      if (isa<VectorType>(value.getType()))
        vectors.push_back(value);
    return unify(vectors);
  }
  return false;
}

void LayoutAnalysis::spread() {
  bool changed = true;
  while (changed) {
    changed = false;
    for (Operation *op : llvm::reverse(ops))
      changed |= tie(op);
    for (Operation *op : ops)
      changed |= tie(op);
  }
}

LayoutAnalysis::LayoutAnalysis(mlir::gpu::GPUFuncOp func, const target::Chip &chip) : chip(chip) {
  SmallVector<Value> vectors;
  auto collect = [&](ValueRange values) {
    for (Value value : values)
      if (isa<VectorType>(value.getType()))
        vectors.push_back(value);
  };
  func.walk<WalkOrder::PreOrder>([&](Operation *op) {
    ops.push_back(op);
    collect(op->getResults());
    for (Region &region : op->getRegions())
      for (Block &block : region)
        collect(block.getArguments());
  });
  for (Operation *op : ops)
    if (auto change = dyn_cast<attention::ConvertLayoutOp>(op)) {
      ArrayRef<int64_t> shape = change.getType().getShape();
      set(change.getSource(), FragmentLayout(shape, change.getFrom().getDims()));
      set(change.getResult(), FragmentLayout(shape, change.getTo().getDims()));
    }
  // Results first: an accumulator that is an operand elsewhere stays what it is.
  for (int pass = 0; pass < 2; ++pass)
    for (Operation *op : ops)
      if (auto contract = dyn_cast<vector::ContractionOp>(op))
        if (FailureOr<ContractLayouts> known = getContractLayouts(contract, chip);
            succeeded(known)) {
          if (pass == 0) {
            set(contract.getResult(), known->acc);
            set(contract.getAcc(), known->acc);
          } else {
            auto read = contract.getLhs().getDefiningOp<vector::TransferReadOp>();
            set(contract.getLhs(),
                read && !isInRegisters(read.getBase()) ? known->lhs : known->madeLhs);
            set(contract.getRhs(), known->rhs);
          }
        }
  spread();
  // Tiles first, then rows: a row vector learns from the tile it meets.
  for (int64_t rank : {2, 1, 0})
    for (Value value : vectors) {
      auto type = cast<VectorType>(value.getType());
      if (type.getRank() == rank || (rank == 0 && type.getRank() > 2))
        if (set(value, FragmentLayout::accumulator(type.getShape())))
          spread();
    }
}

std::optional<FragmentLayout> LayoutAnalysis::getRegisters(Value memref) const {
  for (Operation *user : memref.getUsers())
    if (auto write = dyn_cast<vector::TransferWriteOp>(user))
      return layouts.at(write.getVector());
  return std::nullopt;
}

FragmentLayout LayoutAnalysis::getMade(OpResult result) const {
  Operation *op = result.getOwner();
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return layouts.at(loop.getTiedLoopRegionIterArg(result));
  if (auto reduction = dyn_cast<vector::MultiDimReductionOp>(op))
    return reduce(layouts.at(reduction.getSource()), reduction);
  if (auto read = dyn_cast<vector::TransferReadOp>(op); read && isInRegisters(read.getBase()))
    if (std::optional<FragmentLayout> registers = getRegisters(read.getBase()))
      return *registers;
  return layouts.at(result);
}

std::optional<FragmentLayout> LayoutAnalysis::getWanted(OpOperand &operand) const {
  auto type = dyn_cast<VectorType>(operand.get().getType());
  if (!type)
    return std::nullopt;
  Operation *op = operand.getOwner();
  if (auto change = dyn_cast<attention::ConvertLayoutOp>(op))
    return FragmentLayout(type.getShape(), change.getFrom().getDims());
  if (auto contract = dyn_cast<vector::ContractionOp>(op)) {
    FailureOr<ContractLayouts> known = getContractLayouts(contract, chip);
    if (failed(known))
      return std::nullopt;
    return &operand == &contract.getLhsMutable()   ? known->lhs
           : &operand == &contract.getRhsMutable() ? known->rhs
                                                   : known->acc;
  }
  if (auto cast = dyn_cast<vector::ShapeCastOp>(op))
    return castShape(layouts.at(cast.getResult()), type.getShape());
  if (auto broadcast = dyn_cast<vector::BroadcastOp>(op))
    return getBroadcastSource(layouts.at(broadcast.getVector()), type);
  if (isa<vector::ExtractStridedSliceOp, vector::InsertStridedSliceOp>(op))
    return FragmentLayout(type.getShape(), layouts.at(op->getResult(0)).getDims());
  if (auto reduction = dyn_cast<vector::MultiDimReductionOp>(op)) {
    if (&operand == &reduction.getSourceMutable())
      return std::nullopt;
    return reduce(layouts.at(reduction.getSource()), reduction);
  }
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return layouts.at(loop.getTiedLoopRegionIterArg(&operand));
  if (isa<scf::YieldOp>(op)) {
    unsigned number = operand.getOperandNumber();
    if (auto loop = dyn_cast<scf::ForOp>(op->getParentOp()))
      return layouts.at(loop.getRegionIterArg(number));
    return layouts.at(op->getParentOp()->getResult(number));
  }
  if (auto read = dyn_cast<vector::TransferReadOp>(op))
    return layouts.at(read.getResult());
  if (auto write = dyn_cast<vector::TransferWriteOp>(op)) {
    if (&operand != &write.getValueToStoreMutable())
      return layouts.at(write.getVector());
    return isInRegisters(write.getBase()) ? getRegisters(write.getBase()) : std::nullopt;
  }
  if (isElementwise(op) && op->getNumResults() == 1)
    return layouts.at(op->getResult(0));
  return std::nullopt;
}
