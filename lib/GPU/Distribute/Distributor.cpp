// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Distributor.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

#include <map>

using namespace mlir;
using namespace elfatt::gpu;
namespace mg = mlir::gpu;

Distributor::Distributor(mg::GPUFuncOp func, const LayoutAnalysis &layouts,
                         const target::Chip &chip, bool tf32)
    : func(func), layouts(layouts), chip(chip), tf32(tf32), b(func.getContext()),
      loc(func.getLoc()) {}

VectorType Distributor::localType(Type element, const FragmentLayout &layout) {
  return VectorType::get(layout.numLocal(), element);
}

Value Distributor::constant(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }

Value Distributor::constantI32(int64_t value) {
  return arith::ConstantIntOp::create(b, loc, value, 32);
}

Value Distributor::laneOffset(LaneDim dim) {
  return dim == LaneDim::None ? constant(0) : laneOffsets.at(dim);
}

/// Bits of the lane's number to where they stand in an index, those that move equally far at once.
Value Distributor::makeLaneOffset(LaneDim dim) {
  std::map<int64_t, unsigned> masks; // by how far bits move up
  for (auto [position, bit] : llvm::enumerate(attention::getLaneBits(dim)))
    if (bit != attention::kInRegisters)
      masks[static_cast<int64_t>(position) - bit] |= 1u << bit;
  Value offset;
  for (auto [up, mask] : masks) {
    Value part = lane;
    // Bits that leave at the bottom need no mask.
    if (up >= 0 || (mask >> -up) << -up != (kWarpSize - 1) >> -up << -up)
      part = arith::AndIOp::create(b, loc, part, constant(mask));
    if (up > 0)
      part = arith::ShLIOp::create(b, loc, part, constant(up));
    else if (up < 0)
      part = arith::ShRUIOp::create(b, loc, part, constant(-up));
    offset = offset ? arith::OrIOp::create(b, loc, offset, part).getResult() : part;
  }
  return offset;
}

Value Distributor::laneI32() { return arith::IndexCastOp::create(b, loc, b.getI32Type(), lane); }

Value Distributor::laneBit(int64_t bit) {
  Value moved = arith::ShRUIOp::create(b, loc, laneI32(), constantI32(bit));
  return arith::TruncIOp::create(b, loc, b.getI1Type(), moved);
}

Value Distributor::moveLaneBit(int64_t bit, int64_t value) {
  Value mine = arith::AndIOp::create(b, loc, lane, constant(int64_t(1) << bit));
  const int64_t up = static_cast<int64_t>(llvm::Log2_64(value)) - bit;
  if (up > 0)
    return arith::ShLIOp::create(b, loc, mine, constant(up));
  return up < 0 ? arith::ShRUIOp::create(b, loc, mine, constant(-up)).getResult() : mine;
}

Value Distributor::extract(Value vector, int64_t position) {
  // Look through what was just put together, so that no chain of inserts and
  // extracts is left to fold.
  if (auto from = vector.getDefiningOp<vector::FromElementsOp>())
    return from.getElements()[position];
  return vector::ExtractOp::create(b, loc, vector, position);
}

Value Distributor::fromElements(ArrayRef<Value> elements, Type element) {
  return vector::FromElementsOp::create(
      b, loc, VectorType::get(static_cast<int64_t>(elements.size()), element), elements);
}

/// `value` as it is in lane `source`. Shuffles move 32 bits.
Value Distributor::shuffle(Value value, Value source) {
  Type type = value.getType();
  unsigned width = type.getIntOrFloatBitWidth();
  Value bits = value;
  if (width < 32) {
    if (!type.isInteger())
      bits = arith::BitcastOp::create(b, loc, b.getIntegerType(width), bits);
    bits = arith::ExtUIOp::create(b, loc, b.getI32Type(), bits);
  }
  bits = mg::ShuffleOp::create(b, loc, bits, source, constantI32(kWarpSize), mg::ShuffleMode::IDX)
             .getShuffleResult();
  if (width < 32) {
    bits = arith::TruncIOp::create(b, loc, b.getIntegerType(width), bits);
    if (!type.isInteger())
      bits = arith::BitcastOp::create(b, loc, type, bits);
  }
  return bits;
}

Value Distributor::shuffleXor(Value value, int64_t mask) {
  return mg::ShuffleOp::create(b, loc, value, mask, kWarpSize, mg::ShuffleMode::XOR)
      .getShuffleResult();
}

Value Distributor::coordinate(const FragmentLayout &layout, int64_t d, int64_t local) {
  Value offset = constant(layout.constantOffset(d, local));
  if (layout.getDims()[d] == LaneDim::None)
    return offset;
  return arith::AddIOp::create(b, loc, laneOffset(layout.getDims()[d]), offset);
}

Value Distributor::isFirstHolder(const FragmentLayout &layout) {
  const unsigned others = layout.getFreeLanes();
  if (others == 0)
    return {};
  Value mine = arith::AndIOp::create(b, loc, lane, constant(others));
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, mine, constant(0));
}

LogicalResult Distributor::checkLayouts(Operation *op) {
  auto refuse = [&](const FragmentLayout &made, const FragmentLayout &wanted) {
    return op->emitOpError("expected a change of layout from ")
           << made.str() << " to " << wanted.str() << ", which elfatt-gpu-assign-layouts inserts";
  };
  for (Value value : llvm::concat<Value>(op->getResults(), op->getOperands())) {
    auto type = dyn_cast<VectorType>(value.getType());
    if (!type)
      continue;
    if (type.getRank() < 1 || type.getRank() > 2 || type.isScalable())
      return op->emitOpError("expected vectors of one or two dims, got ") << type;
    const FragmentLayout &layout = layouts[value];
    if (!layout.isValid())
      return op->emitOpError("expected extents that a warp covers in steps of ")
             << layout.getStep() << ", got " << layout.str();
  }
  for (OpOperand &operand : op->getOpOperands())
    if (std::optional<FragmentLayout> wanted = layouts.getWanted(operand);
        wanted && !(*wanted == layouts[operand.get()]))
      return refuse(layouts[operand.get()], *wanted);
  for (OpResult result : op->getResults())
    if (isa<VectorType>(result.getType()))
      if (FragmentLayout made = layouts.getMade(result); !(made == layouts[result]))
        return refuse(made, layouts[result]);
  return success();
}

/// In the order of the program, so that code comes out the same each time.
SmallVector<Value> Distributor::getWrittenRegisters(Operation *op) {
  SetVector<Value> written;
  op->walk([&](vector::TransferWriteOp write) {
    if (isInRegisters(write.getBase()))
      written.insert(write.getBase());
  });
  return written.takeVector();
}

Value &Distributor::getRegisters(Value memref) {
  auto [it, isNew] = registers.try_emplace(memref);
  if (!isNew)
    return it->second;
  // Nothing was written yet.
  VectorType type = localType(getElementTypeOrSelf(memref), *layouts.getRegisters(memref));
  it->second = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  return it->second;
}

LogicalResult Distributor::visitFor(scf::ForOp op) {
  SmallVector<Value> inits;
  for (Value init : op.getInitArgs())
    inits.push_back(get(init));
  SmallVector<Value> written = getWrittenRegisters(op);
  for (Value memref : written)
    inits.push_back(getRegisters(memref));
  auto loop = scf::ForOp::create(b, loc, get(op.getLowerBound()), get(op.getUpperBound()),
                                 get(op.getStep()), inits);
  mapping.map(op.getInductionVar(), loop.getInductionVar());
  // The loop's own results come first, what it carries of registers behind them.
  auto setAll = [&](ValueRange from, ValueRange to) {
    mapping.map(from, to.take_front(from.size()));
    for (auto [memref, value] : llvm::zip(written, to.take_back(written.size())))
      registers[memref] = value;
  };
  setAll(op.getRegionIterArgs(), loop.getRegionIterArgs());
  {
    OpBuilder::InsertionGuard guard(b);
    // A loop that carries nothing already has its terminator.
    if (!loop.getBody()->empty())
      loop.getBody()->back().erase();
    b.setInsertionPointToEnd(loop.getBody());
    for (Operation &inner : op.getBody()->without_terminator())
      if (failed(visit(&inner)))
        return failure();
    loc = op.getBody()->getTerminator()->getLoc();
    SmallVector<Value> yielded;
    for (Value value : op.getYieldedValues())
      yielded.push_back(get(value));
    for (Value memref : written)
      yielded.push_back(getRegisters(memref));
    scf::YieldOp::create(b, loc, yielded);
  }
  setAll(op.getResults(), loop.getResults());
  return success();
}

/// A warp runs the iteration of its number; those beyond have nothing to do.
LogicalResult Distributor::visitWarps(scf::ForallOp op) {
  std::optional<int64_t> count = getConstantIntValue(op.getMixedUpperBound().front());
  int64_t numWarps =
      func.getKnownBlockSize().value_or(SmallVector<int32_t>{kWarpSize})[0] / kWarpSize;
  if (op.getRank() != 1 || !count || *count > numWarps)
    return op.emitOpError("expected a loop over at most the block's ") << numWarps << " warps";
  mapping.map(op.getInductionVar(0), warp);
  auto visitBody = [&] {
    for (Operation &inner : op.getBody()->without_terminator())
      if (failed(visit(&inner)))
        return failure();
    return success();
  };
  if (*count == numWarps)
    return visitBody();
  SmallVector<Value> written = getWrittenRegisters(op), before;
  SmallVector<Type> types;
  for (Value memref : written) {
    before.push_back(getRegisters(memref));
    types.push_back(before.back().getType());
  }
  Value isOne = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, warp, constant(*count));
  auto branch = scf::IfOp::create(b, loc, types, isOne, /*withElseRegion=*/!types.empty());
  {
    OpBuilder::InsertionGuard guard(b);
    Block &body = branch.getThenRegion().front();
    if (!body.empty())
      body.back().erase();
    b.setInsertionPointToEnd(&body);
    if (failed(visitBody()))
      return failure();
    SmallVector<Value> after;
    for (Value memref : written)
      after.push_back(getRegisters(memref));
    scf::YieldOp::create(b, loc, after);
    if (!types.empty()) {
      b.setInsertionPointToEnd(&branch.getElseRegion().front());
      scf::YieldOp::create(b, loc, before);
    }
  }
  for (auto [memref, value] : llvm::zip(written, branch.getResults()))
    registers[memref] = value;
  return success();
}

LogicalResult Distributor::visitIf(scf::IfOp op) {
  if (!getWrittenRegisters(op).empty())
    return op.emitOpError("cannot be spread over lanes: registers are written on one path");
  SmallVector<Type> types;
  for (Value result : op.getResults()) {
    auto vector = dyn_cast<VectorType>(result.getType());
    types.push_back(vector ? localType(vector.getElementType(), layouts[result])
                           : result.getType());
  }
  bool hasElse = !op.getElseRegion().empty();
  auto branch = scf::IfOp::create(b, loc, types, get(op.getCondition()), hasElse);
  for (auto [from, to] : llvm::zip(op->getRegions(), branch->getRegions())) {
    if (from.empty())
      continue;
    OpBuilder::InsertionGuard guard(b);
    Block &body = to.front();
    if (!body.empty())
      body.back().erase();
    b.setInsertionPointToEnd(&body);
    for (Operation &inner : from.front().without_terminator())
      if (failed(visit(&inner)))
        return failure();
    SmallVector<Value> yielded;
    for (Value value : from.front().getTerminator()->getOperands())
      yielded.push_back(get(value));
    scf::YieldOp::create(b, loc, yielded);
  }
  mapping.map(op.getResults(), branch.getResults());
  return success();
}

/// Parts of a launch: all lanes of a block take one case.
LogicalResult Distributor::visitSwitch(scf::IndexSwitchOp op) {
  if (op.getNumResults() != 0)
    return op.emitOpError("cannot be spread over lanes, expected no results");
  auto parts = scf::IndexSwitchOp::create(b, loc, TypeRange(), get(op.getArg()), op.getCases(),
                                          op.getNumCases());
  for (auto [from, to] : llvm::zip(op->getRegions(), parts->getRegions())) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&to.emplaceBlock());
    for (Operation &inner : from.front().without_terminator())
      if (failed(visit(&inner)))
        return failure();
    scf::YieldOp::create(b, loc);
  }
  return success();
}

LogicalResult Distributor::visit(Operation *op) {
  loc = op->getLoc();
  auto isVector = [](Type type) { return isa<VectorType>(type); };
  bool hasVectors =
      llvm::any_of(op->getOperandTypes(), isVector) || llvm::any_of(op->getResultTypes(), isVector);
  if (hasVectors && failed(checkLayouts(op)))
    return failure();
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return visitFor(loop);
  if (auto warps = dyn_cast<scf::ForallOp>(op))
    return visitWarps(warps);
  if (auto branch = dyn_cast<scf::IfOp>(op))
    return visitIf(branch);
  if (auto parts = dyn_cast<scf::IndexSwitchOp>(op))
    return visitSwitch(parts);
  if (auto alloca = dyn_cast<memref::AllocaOp>(op); alloca && isInRegisters(alloca))
    return success();
  if (!hasVectors) {
    // Staging is spread by a pass of its own.
    if (op->getNumRegions() != 0 && !isa<linalg::LinalgOp>(op))
      return op->emitOpError("cannot be spread over lanes");
    b.clone(*op, mapping);
    return success();
  }
  return llvm::TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](attention::ConvertLayoutOp o) { return visitConvertLayout(o); })
      .Case([&](vector::ContractionOp o) { return visitContract(o); })
      .Case([&](vector::TransferReadOp o) { return visitRead(o); })
      .Case([&](vector::TransferWriteOp o) { return visitWrite(o); })
      .Case([&](vector::MultiDimReductionOp o) { return visitReduction(o); })
      .Case([&](vector::ExtractStridedSliceOp o) { return visitExtractSlice(o); })
      .Case([&](vector::InsertStridedSliceOp o) { return visitInsertSlice(o); })
      .Case([&](vector::BroadcastOp o) { return visitBroadcast(o); })
      .Case([&](vector::ShapeCastOp o) { return visitShapeCast(o); })
      .Case([&](vector::StepOp o) { return visitStep(o); })
      .Case([&](arith::CmpIOp o) { return visitCompare(o); })
      .Case([&](vector::CreateMaskOp o) {
        SmallVector<OpFoldResult> bounds;
        for (Value bound : o.getOperands())
          bounds.push_back(bound);
        return visitMask(o, bounds);
      })
      .Case([&](vector::ConstantMaskOp o) {
        return visitMask(o, getAsIndexOpFoldResult(o.getContext(), o.getMaskDimSizes()));
      })
      .Case([&](arith::ConstantOp o) { return visitConstant(o); })
      .Default([&](Operation *o) -> LogicalResult {
        if (isElementwise(o))
          return visitElementwise(o);
        return o->emitOpError("cannot be spread over lanes");
      });
}

LogicalResult Distributor::run() {
  if (!func.getBody().hasOneBlock())
    return func.emitOpError("expected structured control flow, got more than one block");
  Block &block = func.getBody().front();
  for (Value argument : block.getArguments())
    if (isa<VectorType>(argument.getType()))
      return func.emitOpError("expected no vector among the arguments, got ") << argument.getType();
  Operation *end = &block.back();
  SmallVector<Operation *> old;
  for (Operation &op : block.without_terminator())
    old.push_back(&op);
  b.setInsertionPoint(end);
  lane = mg::LaneIdOp::create(b, loc, b.getIndexAttr(kWarpSize));
  thread = mg::ThreadIdOp::create(b, loc, mg::Dimension::x);
  warp = arith::ShRUIOp::create(b, loc, thread, constant(5));
  const bool hasWarps = llvm::any_of(old, [](Operation *op) {
    return op->walk([](scf::ForallOp) { return WalkResult::interrupt(); }).wasInterrupted();
  });
  // From one lane: ptxas then knows that no warp parts where its number decides, and makes no
  // second path for each shuffle and product there.
  if (hasWarps) {
    Value number = arith::IndexCastUIOp::create(b, loc, b.getI32Type(), warp);
    warp = arith::IndexCastUIOp::create(b, loc, b.getIndexType(), shuffle(number, constantI32(0)));
  }
  using enum LaneDim;
  for (LaneDim dim : {Group, Quad})
    laneOffsets[dim] = makeLaneOffset(dim);
  if (isOfQuadPairs(b.getF16Type(), chip))
    for (LaneDim dim : {PairRow, PairColumn, PairLeft, PairRight, PairSum, PairFour})
      laneOffsets[dim] = makeLaneOffset(dim);
  for (Operation *op : old)
    if (failed(visit(op)))
      return failure();
  for (Operation *op : llvm::reverse(old))
    op->erase();
  return success();
}
