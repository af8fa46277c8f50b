// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers. Each constraint has a label, listed in docs/Semantics.md and named
// in the test of its error.
#include "ViewVerifier.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace elfatt::attention;

//===----------------------------------------------------------------------===//
// Softmax and linear attention
//===----------------------------------------------------------------------===//

/// The dims have classes, and there is a key dim.
static FailureOr<AttentionDims> verifyClasses(ViewOpInterface op, AffineMap output) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  std::string why;
  FailureOr<AttentionDims> dims = AttentionDims::infer(maps[0], maps[1], maps[2], output, &why);
  if (failed(dims))
    return op->emitOpError("expected maps of attention, got ones where ") << why;
  if (dims->keys.empty())
    return op->emitOpError("expected a key dim, in the maps of key and value alone");
  return dims;
}

LogicalResult SdpaOp::verify() {
  auto view = cast<ViewOpInterface>(getOperation());
  if (failed(verifyViews(view)))
    return failure();
  SmallVector<AffineMap> maps = getIndexingMapsArray();
  // sdpa_c1
  FailureOr<AttentionDims> dims = verifyClasses(view, maps.back());
  if (failed(dims))
    return failure();
  // sdpa_c2
  for (AffineMap map : ArrayRef(maps).drop_front(3).drop_back())
    if (map.isFunctionOfDim(dims->channels) || map.isFunctionOfDim(dims->values))
      return emitOpError("expected a bias over batch, row and key dims, got map ")
             << AffineMapAttr::get(map);
  // view_c11
  if (failed(verifyDefaultScale(view, getScale(), dims->channels)))
    return failure();
  // sdpa_c3
  if (getCausal() && (dims->keys.size() != 1 || dims->rows.empty()))
    return emitOpError("expected a row dim and exactly one key dim with causal, got ")
           << dims->rows.size() << " and " << dims->keys.size();
  // sdpa_c4
  size_t positions = getPositionDims().size();
  if (!getOffsets().empty() && getOffsets().size() != positions)
    return emitOpError("expected no offsets or ")
           << positions << ", one per batch, row and key dim where a position matters, got "
           << getOffsets().size();
  return success();
}

LogicalResult SdpaOp::verifyRegions() {
  if (getScore().empty())
    return success();
  Block &block = getScore().front();
  Type scoreType = getComputeType(cast<ViewOpInterface>(getOperation()));
  SmallVector<Type> expected = {scoreType};
  for (Value bias : getBias())
    expected.push_back(getElementTypeOrSelf(bias));
  expected.append(AttentionDims::get(*this).getPositionDims().size(), IndexType::get(getContext()));
  // sdpa_c5
  if (!llvm::equal(block.getArgumentTypes(), expected)) {
    InFlightDiagnostic diagnostic = emitOpError("expected a score region of (");
    llvm::interleaveComma(expected, diagnostic);
    diagnostic << "), got (";
    llvm::interleaveComma(block.getArgumentTypes(), diagnostic);
    return diagnostic << ")";
  }
  // sdpa_c6
  auto yield = block.empty() ? YieldOp() : dyn_cast<YieldOp>(block.back());
  if (!yield || yield.getScore().getType() != scoreType)
    return emitOpError("expected the score region to end by attention.yield of ") << scoreType;
  // sdpa_c7
  for (Operation &op : block.without_terminator())
    if (!isPure(&op))
      return emitOpError("expected a score region without side effects").attachNote(op.getLoc())
             << "got " << op.getName() << " here";
  return success();
}

LogicalResult LinearOp::verify() {
  auto view = cast<ViewOpInterface>(getOperation());
  // linear_c1
  return success(succeeded(verifyViews(view)) &&
                 succeeded(verifyClasses(view, getIndexingMapsArray()[3])));
}

/// Whether `map` holds exactly the dims of `dims`.
static bool holdsExactly(AffineMap map, ArrayRef<unsigned> dims) {
  unsigned count = 0;
  for (unsigned dim = 0; dim < map.getNumDims(); ++dim)
    if (map.isFunctionOfDim(dim)) {
      ++count;
      if (!llvm::is_contained(dims, dim))
        return false;
    }
  return count == dims.size();
}

/// acc, max and sum have the type that `op` computes in.
static LogicalResult verifyState(ViewOpInterface op, ValueRange state) {
  FloatType type = getComputeType(op);
  for (Value value : state)
    if (getElementTypeOrSelf(value) != type)
      return op->emitOpError("expected acc, max and sum in the type of the computation, ")
             << type << ", got " << value.getType();
  return success();
}

LogicalResult OnlineOp::verify() {
  auto view = cast<ViewOpInterface>(getOperation());
  if (failed(verifyViews(view)))
    return failure();
  SmallVector<AffineMap> maps = getIndexingMapsArray();
  // online_c1
  FailureOr<AttentionDims> dims = verifyClasses(view, maps[3]);
  if (failed(dims))
    return failure();
  SmallVector<unsigned> rows = dims->batch;
  llvm::append_range(rows, dims->rows);
  // online_c2
  for (unsigned number : {4, 5})
    if (!holdsExactly(maps[number], rows))
      return emitOpError("expected max and sum over the batch and row dims, got map ")
             << AffineMapAttr::get(maps[number]);
  // online_c3
  if (failed(verifyState(view, {getAcc(), getMax(), getSum()})))
    return failure();
  // view_c11
  return verifyDefaultScale(view, getScale(), dims->channels);
}

//===----------------------------------------------------------------------===//
// Parts of linear attention
//===----------------------------------------------------------------------===//

/// Whether dims of a contraction C = A B have a class: those of C are in A or B,
/// those that C lacks are in both; A and B each have a dim of their own.
static bool isContraction(AffineMap a, AffineMap b, AffineMap c, bool ownDimOfA,
                          unsigned &numReduced) {
  bool hasA = false, hasB = false;
  numReduced = 0;
  for (unsigned dim = 0; dim < c.getNumDims(); ++dim) {
    bool inA = a.isFunctionOfDim(dim), inB = b.isFunctionOfDim(dim);
    if (!c.isFunctionOfDim(dim)) {
      if (!inA || !inB)
        return false;
      ++numReduced;
      continue;
    }
    if (!inA && !inB)
      return false;
    hasA |= !inB, hasB |= !inA;
  }
  return hasB && (hasA || !ownDimOfA);
}

/// context_c1 and partial_context_c1: K's and V's maps, and that of the sums.
static LogicalResult verifyContextMaps(ViewOpInterface op) {
  if (failed(verifyViews(op)))
    return failure();
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  unsigned keys;
  if (!isContraction(maps[0], maps[1], maps[2], /*ownDimOfA=*/true, keys) || keys == 0)
    return op->emitOpError("expected maps (b, j, d), (b, j, e) and (b, d, e), got ")
           << AffineMapAttr::get(maps[0]) << ", " << AffineMapAttr::get(maps[1]) << " and "
           << AffineMapAttr::get(maps[2]);
  return success();
}

LogicalResult ContextOp::verify() {
  return verifyContextMaps(cast<ViewOpInterface>(getOperation()));
}

LogicalResult PartialContextOp::verify() {
  auto view = cast<ViewOpInterface>(getOperation());
  if (failed(verifyContextMaps(view)))
    return failure();
  SmallVector<AffineMap> maps = getIndexingMapsArray();
  AttentionDims dims = AttentionDims::get(*this);
  SmallVector<unsigned> perChannel = dims.batch;
  perChannel.push_back(dims.channels);
  // partial_context_c2
  for (unsigned number : {3, 4})
    if (!holdsExactly(maps[number], perChannel))
      return emitOpError("expected max and sum over the batch and channel dims, got map ")
             << AffineMapAttr::get(maps[number]);
  // partial_context_c3
  return verifyState(view, {getAcc(), getMax(), getSum()});
}

LogicalResult MergeOp::verify() {
  auto view = cast<ViewOpInterface>(getOperation());
  if (failed(verifyViews(view)))
    return failure();
  SmallVector<AffineMap> maps = getIndexingMapsArray();
  SmallVector<unsigned> all = llvm::to_vector(llvm::seq(0u, maps[0].getNumDims()));
  auto lacks = [](AffineMap map) {
    return [=](unsigned dim) { return !map.isFunctionOfDim(dim); };
  };
  // merge_c1
  bool isMerge = holdsExactly(maps[0], all) && llvm::count_if(all, lacks(maps[3])) == 1 &&
                 llvm::count_if(all, lacks(maps[1])) == 1 && maps[1].getNumResults() > 0 &&
                 isa<AffineDimExpr>(maps[1].getResults().back());
  unsigned segments = 0, values = 0;
  if (isMerge) {
    segments = *llvm::find_if(all, lacks(maps[3])), values = *llvm::find_if(all, lacks(maps[1]));
    isMerge = segments != values &&
              maps[1].getResults().back() != getAffineDimExpr(segments, getContext());
    llvm::erase(all, values);
    isMerge &= holdsExactly(maps[1], all) && holdsExactly(maps[2], all);
  }
  if (!isMerge)
    return emitOpError("expected maps (s, b, d, e), (s, b, d), (s, b, d) and (b, d, e), got ")
           << AffineMapAttr::get(maps[0]) << ", " << AffineMapAttr::get(maps[1]) << ", "
           << AffineMapAttr::get(maps[2]) << " and " << AffineMapAttr::get(maps[3]);
  // merge_c2
  return verifyState(view, {getAcc(), getMax(), getSum()});
}

LogicalResult ApplyOp::verify() {
  if (failed(verifyViews(cast<ViewOpInterface>(getOperation()))))
    return failure();
  SmallVector<AffineMap> maps = getIndexingMapsArray();
  unsigned channels;
  // apply_c1
  if (!isContraction(maps[0], maps[1], maps[2], /*ownDimOfA=*/false, channels) || channels != 1)
    return emitOpError("expected maps (b, i, d), (b, d, e) and (b, i, e), got ")
           << AffineMapAttr::get(maps[0]) << ", " << AffineMapAttr::get(maps[1]) << " and "
           << AffineMapAttr::get(maps[2]);
  return success();
}

ArrayRef<int8_t> elfatt::attention::getLaneBits(LaneDim dim) {
  constexpr int8_t r = kInRegisters;
  static constexpr int8_t group[] = {2, 3, 4}, quad[] = {r, 0, 1}, pairRow[] = {4, 0, 2},
                          pairColumn[] = {r, 1, 3}, pairLeft[] = {4, 0, 2, 1},
                          pairRight[] = {0, 1, 3}, pairSum[] = {0, 1}, pairFour[] = {r, r, 3};
  switch (dim) {
  case LaneDim::None:
    return {};
  case LaneDim::Group:
    return group;
  case LaneDim::Quad:
    return quad;
  case LaneDim::PairRow:
    return pairRow;
  case LaneDim::PairColumn:
    return pairColumn;
  case LaneDim::PairLeft:
    return pairLeft;
  case LaneDim::PairRight:
    return pairRight;
  case LaneDim::PairSum:
    return pairSum;
  case LaneDim::PairFour:
    return pairFour;
  }
  llvm_unreachable("all lane dims are handled");
}

LogicalResult ConvertLayoutOp::verify() {
  ArrayRef<int64_t> shape = getSource().getType().getShape();
  for (LanesAttr layout : {getFrom(), getTo()}) {
    ArrayRef<LaneDim> dims = layout.getDims();
    // convert_layout_c1
    if (dims.size() != shape.size())
      return emitOpError("expected layouts of ") << shape.size() << " dims, got " << layout;
    unsigned used = 0;
    for (auto [d, dim] : llvm::enumerate(dims)) {
      ArrayRef<int8_t> bits = getLaneBits(dim);
      for (int8_t bit : bits) {
        // convert_layout_c2
        if (bit != kInRegisters && (used >> bit & 1))
          return emitOpError("expected dims that are spread over different lanes, got ") << layout;
        used |= bit != kInRegisters ? 1u << bit : 0;
      }
      // convert_layout_c3
      if (int64_t covered = int64_t(1) << bits.size(); shape[d] % covered != 0)
        return emitOpError("expected a multiple of ")
               << covered << " for " << stringifyLaneDim(dim) << ", got " << shape[d];
    }
  }
  return success();
}

LogicalResult FinalizeOp::verify() {
  if (failed(verifyViews(cast<ViewOpInterface>(getOperation()))))
    return failure();
  SmallVector<AffineMap> maps = getIndexingMapsArray();
  SmallVector<unsigned> all = llvm::to_vector(llvm::seq(0u, maps[0].getNumDims()));
  unsigned missing =
      llvm::count_if(all, [&](unsigned dim) { return !maps[1].isFunctionOfDim(dim); });
  // finalize_c1
  if (!holdsExactly(maps[0], all) || !holdsExactly(maps[2], all) || missing != 1)
    return emitOpError("expected maps (b, i, e), (b, i) and (b, i, e), got ")
           << AffineMapAttr::get(maps[0]) << ", " << AffineMapAttr::get(maps[1]) << " and "
           << AffineMapAttr::get(maps[2]);
  return success();
}
