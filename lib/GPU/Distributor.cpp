// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Distributor.h"

#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

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

Value Distributor::get(Value value) {
  return isa<VectorType>(value.getType()) ? get(value, layouts[value])
                                          : mapping.lookupOrDefault(value);
}

Value Distributor::get(Value value, const FragmentLayout &layout) {
  if (!isa<VectorType>(value.getType()))
    return mapping.lookupOrDefault(value);
  const Fragment &fragment = fragments.at(value);
  if (fragment.layout == layout)
    return fragment.value;
  return convert(fragment, layout).value;
}

void Distributor::define(Value value, Value local, const FragmentLayout &layout) {
  fragments[value] = {local, layout};
}

Value Distributor::constant(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }

Value Distributor::constantI32(int64_t value) {
  return arith::ConstantIntOp::create(b, loc, value, 32);
}

Value Distributor::laneOffset(LaneDim dim) {
  switch (dim) {
  case LaneDim::None:
    return constant(0);
  case LaneDim::Group:
    return group;
  case LaneDim::Quad:
    return quad;
  }
  llvm_unreachable("all lane dims are handled");
}

Value Distributor::laneI32() { return arith::IndexCastOp::create(b, loc, b.getI32Type(), lane); }

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
  Value first;
  for (LaneDim dim : {LaneDim::Group, LaneDim::Quad}) {
    if (llvm::is_contained(layout.getDims(), dim))
      continue;
    Value here =
        arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, laneOffset(dim), constant(0));
    first = first ? arith::AndIOp::create(b, loc, first, here).getResult() : here;
  }
  return first;
}

/// The same tile in another layout: each lane asks the lane that holds the
/// element. Where the element's place in that lane's registers depends on who
/// asks (a quad holds two neighbours), both are fetched and one is kept.
Fragment Distributor::convert(Fragment from, const FragmentLayout &to) {
  ++numConverted;
  const FragmentLayout &source = from.layout;
  Type element = cast<VectorType>(from.value.getType()).getElementType();
  // Who holds element e of dim d: groups by e % 8, quads by (e % 8) / 2.
  Value odd;
  SmallVector<Value> results;
  for (int64_t flat = 0; flat < to.numLocal(); ++flat) {
    SmallVector<int64_t> target = to.unflatten(flat), even, uneven;
    Value lanePart = laneI32();
    for (LaneDim spread : {LaneDim::Group, LaneDim::Quad}) {
      auto it = llvm::find(source.getDims(), spread);
      if (it == source.getDims().end())
        continue; // held by all: mine will do
      int64_t d = it - source.getDims().begin();
      int64_t constantPart = to.constantOffset(d, target[d]) % kLaneDimExtent;
      Value e = arith::AddIOp::create(b, loc, laneOffset(to.getDims()[d]), constant(constantPart));
      e = arith::IndexCastOp::create(b, loc, b.getI32Type(), e);
      bool isGroup = spread == LaneDim::Group;
      Value bits = isGroup ? arith::ShLIOp::create(b, loc, e, constantI32(2)).getResult()
                           : arith::ShRUIOp::create(b, loc, e, constantI32(1)).getResult();
      Value kept = arith::AndIOp::create(b, loc, lanePart, constantI32(isGroup ? 3 : 28));
      lanePart = arith::OrIOp::create(b, loc, kept, bits);
      if (!isGroup && to.getDims()[d] == LaneDim::Group)
        odd = arith::TruncIOp::create(b, loc, b.getI1Type(), e);
    }
    bool dynamicPlace = false;
    for (int64_t d = 0; d < source.rank(); ++d) {
      int64_t e = to.constantOffset(d, target[d]);
      bool dynamic = source.getDims()[d] == LaneDim::Quad && to.getDims()[d] == LaneDim::Group;
      dynamicPlace |= dynamic;
      even.push_back(source.localOf(d, e));
      uneven.push_back(source.localOf(d, e) + (dynamic ? 1 : 0));
    }
    Value value = shuffle(extract(from.value, source.flatten(even)), lanePart);
    if (dynamicPlace) {
      Value other = shuffle(extract(from.value, source.flatten(uneven)), lanePart);
      value = arith::SelectOp::create(b, loc, odd, other, value);
    }
    results.push_back(value);
  }
  return {fromElements(results, element), to};
}

LogicalResult Distributor::checkLayouts(Operation *op) {
  for (Value value : llvm::concat<Value>(op->getResults(), op->getOperands())) {
    auto type = dyn_cast<VectorType>(value.getType());
    if (!type)
      continue;
    if (type.getRank() < 1 || type.getRank() > 2 || type.isScalable())
      return op->emitOpError("expected vectors of one or two dims, got ") << type;
    const FragmentLayout &layout = layouts[value];
    if (!layout.isValid())
      return op->emitOpError("expected extents that a warp covers in steps of ")
             << kLaneDimExtent << ", got " << layout.str();
  }
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

Fragment &Distributor::getRegisters(Value memref) {
  auto [it, isNew] = registers.try_emplace(memref);
  if (!isNew)
    return it->second;
  // Nothing was written yet.
  for (Operation *user : memref.getUsers())
    if (auto write = dyn_cast<vector::TransferWriteOp>(user)) {
      const FragmentLayout &layout = layouts[write.getVector()];
      VectorType type = localType(write.getVectorType().getElementType(), layout);
      it->second = {arith::ConstantOp::create(b, loc, b.getZeroAttr(type)), layout};
    }
  return it->second;
}

LogicalResult Distributor::visitFor(scf::ForOp op) {
  SmallVector<Value> inits;
  for (auto [init, arg] : llvm::zip(op.getInitArgs(), op.getRegionIterArgs()))
    inits.push_back(isa<VectorType>(arg.getType()) ? get(init, layouts[arg]) : get(init));
  SmallVector<Value> written = getWrittenRegisters(op);
  for (Value memref : written)
    inits.push_back(getRegisters(memref).value);
  auto loop = scf::ForOp::create(b, loc, get(op.getLowerBound()), get(op.getUpperBound()),
                                 get(op.getStep()), inits);
  mapping.map(op.getInductionVar(), loop.getInductionVar());
  for (auto [from, to] : llvm::zip(op.getRegionIterArgs(), loop.getRegionIterArgs())) {
    if (isa<VectorType>(from.getType()))
      define(from, to, layouts[from]);
    else
      mapping.map(from, to);
  }
  auto setRegisters = [&](ValueRange values) {
    for (auto [memref, value] : llvm::zip(written, values.take_back(written.size())))
      registers[memref].value = value;
  };
  setRegisters(loop.getRegionIterArgs());
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
    for (auto [value, arg] : llvm::zip(op.getYieldedValues(), op.getRegionIterArgs()))
      yielded.push_back(isa<VectorType>(arg.getType()) ? get(value, layouts[arg]) : get(value));
    for (Value memref : written)
      yielded.push_back(getRegisters(memref).value);
    scf::YieldOp::create(b, loc, yielded);
  }
  for (auto [from, arg, to] :
       llvm::zip(op.getResults(), op.getRegionIterArgs(), loop.getResults())) {
    if (isa<VectorType>(from.getType()))
      define(from, to, layouts[arg]);
    else
      mapping.map(from, to);
  }
  setRegisters(loop.getResults());
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
    before.push_back(getRegisters(memref).value);
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
      after.push_back(getRegisters(memref).value);
    scf::YieldOp::create(b, loc, after);
    if (!types.empty()) {
      b.setInsertionPointToEnd(&branch.getElseRegion().front());
      scf::YieldOp::create(b, loc, before);
    }
  }
  for (auto [memref, value] : llvm::zip(written, branch.getResults()))
    registers[memref].value = value;
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
    for (auto [value, result] :
         llvm::zip(from.front().getTerminator()->getOperands(), op.getResults()))
      yielded.push_back(isa<VectorType>(result.getType()) ? get(value, layouts[result])
                                                          : get(value));
    scf::YieldOp::create(b, loc, yielded);
  }
  for (auto [from, to] : llvm::zip(op.getResults(), branch.getResults())) {
    if (isa<VectorType>(from.getType()))
      define(from, to, layouts[from]);
    else
      mapping.map(from, to);
  }
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
      .Case([&](vector::ContractionOp o) { return visitContract(o); })
      .Case([&](vector::TransferReadOp o) { return visitRead(o); })
      .Case([&](vector::TransferWriteOp o) { return visitWrite(o); })
      .Case([&](vector::MultiDimReductionOp o) { return visitReduction(o); })
      .Case([&](vector::ExtractStridedSliceOp o) { return visitExtractSlice(o); })
      .Case([&](vector::InsertStridedSliceOp o) { return visitInsertSlice(o); })
      .Case([&](vector::BroadcastOp o) { return visitBroadcast(o); })
      .Case([&](vector::ShapeCastOp o) { return visitShapeCast(o); })
      .Case([&](vector::StepOp o) { return visitStep(o); })
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
  group = arith::ShRUIOp::create(b, loc, lane, constant(2));
  quad =
      arith::ShLIOp::create(b, loc, arith::AndIOp::create(b, loc, lane, constant(3)), constant(1));
  for (Operation *op : old)
    if (failed(visit(op)))
      return failure();
  for (Operation *op : llvm::reverse(old))
    op->erase();
  return success();
}
