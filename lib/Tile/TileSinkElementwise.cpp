// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An elementwise op that follows attention becomes one op a part, on what that part
// makes, so that it can join the part's loop. Reshapes and slices between them move to
// its other operands and its destination.
#include "elfatt/Tile/Passes.h"

#include "Elementwise/ElementwiseMerge.h"
#include "Elementwise/ElementwiseTerm.h"
#include "Elementwise/ElementwiseViews.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SetVector.h"

namespace elfatt::tile {
#define GEN_PASS_DEF_TILESINKELEMENTWISEPASS
#include "elfatt/Tile/Passes.h.inc"

using namespace mlir;
using namespace elfatt::attention;

/// The parts that make the rows `rows`, the first one first: one that writes its
/// destination without reading it, then LePE. Empty if they are made by anything else.
static SmallVector<Operation *> getChain(Value rows) {
  Operation *last = rows.getDefiningOp(), *first = last;
  if (auto lepe = dyn_cast_or_null<LepeOp>(last))
    first = lepe.getInit().hasOneUse() ? lepe.getInit().getDefiningOp() : nullptr;
  if (!isa_and_nonnull<SdpaOp, ApplyOp, FinalizeOp>(first))
    return {};
  if (first == last)
    return {first};
  return {first, last};
}

/// Whether `leaf` only rounds `rows` to its result's type.
static bool isCast(linalg::GenericOp leaf, OpOperand *rows) {
  auto cast = leaf.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::TruncFOp>();
  return cast && cast.getIn() == leaf.getMatchingBlockArgument(rows);
}

static bool isView(Operation *op) {
  return isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op);
}

namespace {
/// Rewrites the elementwise ops of one function.
class ElementwiseSink {
public:
  ElementwiseSink(MLIRContext *context, Machine machine) : rewriter(context), machine(machine) {}

  /// The operand of `op` that attention makes, behind reshapes and slices.
  OpOperand *findAttention(linalg::LinalgOp op) const;
  linalg::GenericOp merge(linalg::LinalgOp op) {
    return mergeProducers(rewriter, op, machine,
                          [&](linalg::GenericOp merged) { leaves.remove(merged); });
  }
  /// Computes `op` where attention makes `operand`; says `why` not if it fails, and has
  /// changed nothing then.
  LogicalResult sink(linalg::GenericOp op, OpOperand *operand, std::string &why);
  /// Gives each part the destination of the op that follows it.
  void finish();

private:
  bool comesFromAttention(OpOperand &operand) const;
  FailureOr<Value> sinkInto(Value rows, SmallVector<ViewedOperand> operands);
  FailureOr<Value> sinkIntoSlice(tensor::InsertSliceOp insert, SmallVector<ViewedOperand> operands);
  bool isPlaceOfInsertion(tensor::ExtractSliceOp slice);
  bool isOverwritten(OpOperand &use) const;
  FailureOr<Value> makeLeaf(Value rows, SmallVector<ViewedOperand> operands);
  LogicalResult checkUsers(Value value, Operation *user);
  LogicalResult fail(const Twine &reason) {
    why = reason.str();
    return failure();
  }
  void finishLeaf(linalg::GenericOp leaf);
  void eraseDead(Value value);

  IRRewriter rewriter;
  Machine machine;
  /// Ops that follow a part directly.
  llvm::SetVector<linalg::GenericOp> leaves;
  // Of the op that is being moved.
  linalg::GenericOp op;
  unsigned rowsNumber = 0;
  std::string why;
  SmallVector<linalg::GenericOp> made;
  SmallVector<tensor::InsertSliceOp> around; ///< the slices that the part at hand is in
  SmallVector<Operation *> destinations;     ///< whose users must not read them
  SmallVector<tensor::DimOp> extents;
};
} // namespace

//===----------------------------------------------------------------------===//
// What follows attention
//===----------------------------------------------------------------------===//

bool ElementwiseSink::comesFromAttention(OpOperand &operand) const {
  Value value = operand.get();
  if (canMerge(operand, machine))
    return findAttention(value.getDefiningOp<linalg::LinalgOp>());
  while (true) {
    Operation *def = value.getDefiningOp();
    if (auto insert = dyn_cast_or_null<tensor::InsertSliceOp>(def))
      value = insert.getSource();
    else if (isView(def))
      value = def->getOperand(0);
    else if (auto generic = dyn_cast_or_null<linalg::GenericOp>(def))
      return leaves.contains(generic);
    else
      return !getChain(value).empty();
  }
}

OpOperand *ElementwiseSink::findAttention(linalg::LinalgOp op) const {
  for (OpOperand *operand : op.getDpsInputOperands())
    if (comesFromAttention(*operand))
      return operand;
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Moving an op to the parts
//===----------------------------------------------------------------------===//

/// Nothing but `user` reads `value`, what it holds apart from its extents.
LogicalResult ElementwiseSink::checkUsers(Value value, Operation *user) {
  if (value.getDefiningOp<tensor::EmptyOp>())
    return success();
  for (Operation *other : value.getUsers()) {
    auto leaf = dyn_cast<linalg::GenericOp>(other);
    if (other == user || (leaf && llvm::is_contained(made, leaf)))
      continue;
    auto dim = dyn_cast<tensor::DimOp>(other);
    if (dim && dim.getConstantIndex())
      extents.push_back(dim);
    else if (isa<tensor::ExtractSliceOp>(other))
      destinations.push_back(other);
    else
      return fail("what attention makes has another use");
  }
  return success();
}

/// `op` computed of `rows`, seen through `operands`: those of `op`, its destination last.
/// Of the operand that attention makes only the map counts.
FailureOr<Value> ElementwiseSink::sinkInto(Value rows, SmallVector<ViewedOperand> operands) {
  Location loc = op.getLoc();
  Operation *def = rows.getDefiningOp();
  ViewedOperand &out = operands.back();
  if (isa_and_nonnull<tensor::EmptyOp>(def))
    return out.value;
  if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(def);
      slice && isPlaceOfInsertion(slice))
    return out.value;
  if (auto insert = dyn_cast_or_null<tensor::InsertSliceOp>(def))
    return sinkIntoSlice(insert, std::move(operands));
  if (!isView(def))
    return makeLeaf(rows, std::move(operands));
  Value source = def->getOperand(0);
  if (failed(checkUsers(source, def)))
    return failure();
  ViewedOperand whole = out;
  auto viewed = [&](ViewedOperand &operand) {
    if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(def))
      return splitDims(rewriter, loc, operand, collapse.getReassociationIndices(),
                       getExtents(rewriter, loc, source));
    auto expand = cast<tensor::ExpandShapeOp>(def);
    return mergeDims(rewriter, loc, operand, expand.getReassociationIndices(),
                     expand.getResultType().getShape());
  };
  for (auto [number, operand] : llvm::enumerate(operands)) {
    if (number == rowsNumber)
      operand.map = rewriter.getMultiDimIdentityMap(cast<ShapedType>(source.getType()).getRank());
    else if (failed(viewed(operand)))
      return fail("an operand cannot be reshaped as what attention makes was");
  }
  Operation *reshape = out.value == whole.value ? nullptr : out.value.getDefiningOp();
  FailureOr<Value> result = sinkInto(source, operands);
  if (failed(result) || !reshape)
    return result;
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(reshape))
    return Value(tensor::CollapseShapeOp::create(rewriter, loc, whole.value.getType(), *result,
                                                 expand.getReassociationIndices()));
  auto collapse = cast<tensor::CollapseShapeOp>(reshape);
  return Value(tensor::ExpandShapeOp::create(rewriter, loc, whole.value.getType(), *result,
                                             collapse.getReassociationIndices(),
                                             getExtents(rewriter, loc, whole.value)));
}

/// Whether `slice` is what an insertion around the place at hand replaces: its part of the
/// new destination stands for it.
bool ElementwiseSink::isPlaceOfInsertion(tensor::ExtractSliceOp slice) {
  bool isPlace = llvm::any_of(around, [&](tensor::InsertSliceOp insert) {
    return insert.getDest() == slice.getSource() &&
           insert.getMixedOffsets() == slice.getMixedOffsets() &&
           insert.getMixedSizes() == slice.getMixedSizes() &&
           insert.getMixedStrides() == slice.getMixedStrides();
  });
  if (isPlace)
    llvm::erase(destinations, slice);
  return isPlace;
}

FailureOr<Value> ElementwiseSink::sinkIntoSlice(tensor::InsertSliceOp insert,
                                                SmallVector<ViewedOperand> operands) {
  Location loc = op.getLoc();
  if (insert.getSourceType().getRank() != insert.getDestType().getRank())
    return fail("attention's result is put into a tensor of another rank");
  if (failed(checkUsers(insert.getSource(), insert)) ||
      failed(checkUsers(insert.getDest(), insert)))
    return failure();
  FailureOr<Value> base = sinkInto(insert.getDest(), operands);
  if (failed(base))
    return failure();
  operands.back().value = *base;
  Box box{insert.getMixedOffsets(), insert.getMixedSizes(), insert.getMixedStrides()};
  Box place = box.of(rewriter, loc, operands.back());
  for (auto [number, operand] : llvm::enumerate(operands))
    if (number != rowsNumber)
      operand.value = extract(rewriter, loc, operand, box);
  around.push_back(insert);
  FailureOr<Value> part = sinkInto(insert.getSource(), operands);
  around.pop_back();
  if (failed(part))
    return failure();
  return Value(tensor::InsertSliceOp::create(rewriter, loc, *part, *base, place.offsets,
                                             place.sizes, place.strides));
}

/// Whether what `use` sees is never read: it is where a part, or an op that follows one,
/// writes.
bool ElementwiseSink::isOverwritten(OpOperand &use) const {
  Operation *user = use.getOwner();
  if (isView(user) || isa<tensor::ExtractSliceOp>(user))
    return llvm::all_of(user->getUses(), [&](OpOperand &of) { return isOverwritten(of); });
  auto dps = dyn_cast<DestinationStyleOpInterface>(user);
  if (!dps || !dps.isDpsInit(&use))
    return false;
  auto leaf = dyn_cast<linalg::GenericOp>(user);
  return leaf ? leaves.contains(leaf) && !leaf.payloadUsesValueFromOperand(&use)
              : isa<SdpaOp, ApplyOp, FinalizeOp>(user);
}

FailureOr<Value> ElementwiseSink::makeLeaf(Value rows, SmallVector<ViewedOperand> operands) {
  SmallVector<Operation *> chain = getChain(rows);
  auto before = rows.getDefiningOp<linalg::GenericOp>();
  bool followsLeaf = before && leaves.contains(before);
  if (!followsLeaf && chain.empty())
    return fail("attention writes into a tensor that is not empty");
  if (rows.getParentBlock() != op->getBlock())
    return fail("it is not in attention's block");
  // The domain is that of the result.
  AffineMap fromResult = inversePermutation(operands.back().map);
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (auto [number, operand] : llvm::enumerate(operands)) {
    maps.push_back(operand.map.compose(fromResult));
    inputs.push_back(number == rowsNumber ? rows : operand.value);
  }
  Value out = inputs.pop_back_val();
  Location loc = rewriter.getFusedLoc({rows.getLoc(), op.getLoc()});
  auto leaf = linalg::GenericOp::create(
      rewriter, loc, TypeRange(out.getType()), inputs, ValueRange(out), maps,
      SmallVector<utils::IteratorType>(maps.back().getNumDims(), utils::IteratorType::parallel));
  rewriter.cloneRegionBefore(op.getRegion(), leaf.getRegion(), leaf.getRegion().begin());
  made.push_back(leaf);
  if (machine == Machine::GPU && getElementTypeOrSelf(rows) != getElementTypeOrSelf(out) &&
      (chain.size() != 1 || !isCast(leaf, leaf.getDpsInputOperand(rowsNumber))))
    return fail("rows of another type would need scratch in the kernel");
  return leaf->getResult(0);
}

LogicalResult ElementwiseSink::sink(linalg::GenericOp generic, OpOperand *operand,
                                    std::string &reason) {
  op = generic;
  rowsNumber = operand->getOperandNumber();
  why.clear();
  made.clear(), around.clear(), destinations.clear(), extents.clear();
  llvm::scope_exit say([&] { reason = why; });
  AffineMap rowsMap = op.getMatchingIndexingMap(operand);
  if (!rowsMap.isPermutation())
    return fail("it reads an element of attention's result more or less than once");
  OpOperand *init = op.getDpsInitOperand(0);
  if (rowsMap.getResults().back() != op.getMatchingIndexingMap(init).getResults().back())
    return fail("it does not keep channels innermost");
  if (!canTile(op, machine, &why))
    return failure();
  if (machine == Machine::GPU && op.payloadUsesValueFromOperand(init))
    return fail("it reads its destination");
  if (llvm::count(op->getOperands(), operand->get()) != 1)
    return fail("it reads attention's result in two ways, or writes over it");
  if (failed(checkUsers(operand->get(), op)))
    return failure();

  // New ops are dropped again if one of them cannot be.
  struct Listener : RewriterBase::Listener {
    SmallVector<Operation *> inserted;
    void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
      inserted.push_back(op);
    }
  } listener;
  rewriter.setListener(&listener);
  llvm::scope_exit stop([&] { rewriter.setListener(nullptr); });
  rewriter.setInsertionPoint(op);
  SmallVector<ViewedOperand> operands;
  for (OpOperand &from : op->getOpOperands())
    operands.push_back(
        {from.get(), op.getMatchingIndexingMap(&from).compose(inversePermutation(rowsMap))});
  FailureOr<Value> result = sinkInto(operand->get(), operands);
  if (succeeded(result))
    for (Operation *slice : destinations)
      if (!llvm::is_contained(listener.inserted, slice) &&
          !llvm::all_of(slice->getUses(), [&](OpOperand &use) { return isOverwritten(use); }))
        result = fail("what attention makes has another use");
  if (failed(result)) {
    rewriter.setListener(nullptr);
    for (Operation *inserted : llvm::reverse(listener.inserted))
      if (isOpTriviallyDead(inserted))
        rewriter.eraseOp(inserted);
    return failure();
  }
  for (tensor::DimOp dim : extents) {
    rewriter.setInsertionPoint(dim);
    OpFoldResult extent =
        getExtents(rewriter, dim.getLoc(), dim.getSource())[*dim.getConstantIndex()];
    rewriter.replaceOp(dim, getValueOrCreateConstantIndexOp(rewriter, dim.getLoc(), extent));
  }
  Value before = operand->get();
  rewriter.replaceOp(op, *result);
  eraseDead(before);
  for (linalg::GenericOp leaf : made)
    leaves.insert(merge(leaf));
  return success();
}

//===----------------------------------------------------------------------===//
// Destinations
//===----------------------------------------------------------------------===//

/// Makes `part` write `init`, of dims permuted by `positions`.
static void setDestination(Operation *part, Value init, ArrayRef<unsigned> positions) {
  cast<DestinationStyleOpInterface>(part).getDpsInitsMutable()[0].set(init);
  part->getResult(0).setType(cast<RankedTensorType>(init.getType()));
  auto maps = llvm::to_vector(cast<ViewOpInterface>(part).getIndexingMapsArray());
  SmallVector<AffineExpr> results;
  for (unsigned position : positions)
    results.push_back(maps.back().getResult(position));
  maps.back() = AffineMap::get(maps.back().getNumDims(), 0, results, part->getContext());
  part->setAttr("indexing_maps", Builder(part->getContext()).getAffineMapArrayAttr(maps));
}

/// The operand of `leaf` that a part makes.
static OpOperand *findRows(linalg::GenericOp leaf) {
  for (OpOperand *operand : leaf.getDpsInputOperands())
    if (!getChain(operand->get()).empty())
      return operand;
  return nullptr;
}

/// Parts write where `leaf` does, and `leaf` works in place, if types allow; or into a
/// tensor of their own.
void ElementwiseSink::finishLeaf(linalg::GenericOp leaf) {
  OpOperand *rows = findRows(leaf), *init = leaf.getDpsInitOperand(0);
  if (!rows)
    return;
  SmallVector<Operation *> chain = getChain(rows->get());
  Value made = rows->get(), out = init->get();
  Type type = getElementTypeOrSelf(made);
  bool isSame = type == getElementTypeOrSelf(out);
  bool inPlace = isSame && !leaf.payloadUsesValueFromOperand(init);
  // The part rounds its result itself.
  bool isPartsCast = !isSame && chain.size() == 1 && isCast(leaf, rows) &&
                     getComputeType(cast<ViewOpInterface>(chain[0])) == type;
  AffineMap map = leaf.getMatchingIndexingMap(rows);
  SmallVector<unsigned> positions;
  for (unsigned dim = 0; dim < map.getNumDims(); ++dim)
    positions.push_back(*map.getResultPosition(rewriter.getAffineDimExpr(dim)));
  rewriter.setInsertionPoint(leaf);
  Value destination = out;
  if (!inPlace && !isPartsCast)
    destination = tensor::EmptyOp::create(rewriter, leaf.getLoc(),
                                          getExtents(rewriter, leaf.getLoc(), out), type);
  Value before = cast<DestinationStyleOpInterface>(chain[0]).getDpsInits()[0];
  for (Operation *part : chain) {
    rewriter.moveOpBefore(part, leaf);
    setDestination(part, destination, positions);
    destination = part->getResult(0);
  }
  eraseDead(before);
  if (isPartsCast)
    return rewriter.replaceOp(leaf, made);
  SmallVector<AffineMap> maps = leaf.getIndexingMapsArray();
  unsigned number = rows->getOperandNumber();
  maps[number] = rewriter.getMultiDimIdentityMap(map.getNumDims());
  if (!inPlace)
    return leaf.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
  SmallVector<Value> inputs(leaf.getInputs());
  inputs.erase(inputs.begin() + number);
  maps.erase(maps.begin() + number);
  auto updated =
      linalg::GenericOp::create(rewriter, leaf.getLoc(), TypeRange(out.getType()), inputs,
                                ValueRange(made), maps, leaf.getIteratorTypesArray());
  updated.getRegion().takeBody(leaf.getRegion());
  Block *body = updated.getBody();
  body->getArgument(number).replaceAllUsesWith(body->getArguments().back());
  body->eraseArgument(number);
  rewriter.replaceOp(leaf, updated->getResults());
}

void ElementwiseSink::finish() {
  for (linalg::GenericOp leaf : leaves.takeVector())
    finishLeaf(leaf);
}

/// Erases the reshapes and slices that made `value`, as far as nothing else needs them.
void ElementwiseSink::eraseDead(Value value) {
  llvm::SetVector<Operation *> ops;
  auto add = [&](Value operand) {
    if (Operation *def = operand.getDefiningOp();
        def && isa_and_nonnull<tensor::TensorDialect>(def->getDialect()))
      ops.insert(def);
  };
  add(value);
  for (size_t at = 0; at < ops.size(); ++at)
    for (Value operand : ops[at]->getOperands())
      add(operand);
  SmallVector<Operation *> left = ops.takeVector();
  for (bool changed = true; changed;) {
    changed = false;
    llvm::erase_if(left, [&](Operation *op) {
      if (!isOpTriviallyDead(op))
        return false;
      rewriter.eraseOp(op);
      return changed = true;
    });
  }
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct TileSinkElementwisePass : impl::TileSinkElementwisePassBase<TileSinkElementwisePass> {
  using TileSinkElementwisePassBase::TileSinkElementwisePassBase;

  void runOnOperation() override {
    // Ops that this pass erases come before the one at hand.
    SmallVector<linalg::LinalgOp> ops;
    getOperation()->walk([&](linalg::LinalgOp op) {
      if (isElementwiseOp(op))
        ops.push_back(op);
    });
    ElementwiseSink sink(&getContext(), machine);
    for (linalg::LinalgOp op : ops) {
      OpOperand *operand = sink.findAttention(op);
      if (!operand || isMergedLater(op))
        continue;
      linalg::GenericOp generic = sink.merge(op);
      std::string why = "it has no form as a generic op";
      operand = generic ? sink.findAttention(generic) : nullptr;
      if (operand && succeeded(sink.sink(generic, operand, why))) {
        ++numSunk;
        continue;
      }
      ++numLeft;
      if (explain && generic)
        generic.emitRemark("stays outside of the attention's loop: ") << why;
    }
    sink.finish();
  }

  /// Whether the one op that reads the result of `op` will compute it itself.
  bool isMergedLater(linalg::LinalgOp op) {
    if (!op->hasOneUse())
      return false;
    OpOperand &use = *op->getResult(0).use_begin();
    auto user = dyn_cast<linalg::LinalgOp>(use.getOwner());
    return isElementwiseOp(user) && !user.isDpsInit(&use) && canTile(user, machine) &&
           canMerge(use, machine);
  }
};
} // namespace
} // namespace elfatt::tile
