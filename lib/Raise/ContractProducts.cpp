// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products that are broadcast against each other and summed afterwards are contractions:
//   S[i,j] = sum_d (A[i,1,d] * B[1,j,d])
// What A and B are made of may be broadcast first and computed then, as in cosine
// similarity, whose norms come from what was broadcast: it is computed before.
#include "elfatt/Raise/Passes.h"

#include "elfatt/View/Trace.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_CONTRACTPRODUCTSPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;

/// The ops between a broadcast and its product: a norm is some ten.
static constexpr unsigned kMaxDepth = 32;

namespace {
/// value[i...] = source[map(i...)], where a result of the map is a dim or 0.
struct Broadcast {
  Value source;
  AffineMap map;
};

/// Finds tensors that are computed for every element of a broadcast, and computes them once.
class Narrower {
public:
  explicit Narrower(MLIRContext *context) : b(context, &created) {}
  /// What was computed on the way and is not used goes.
  ~Narrower() {
    for (Operation *op : llvm::reverse(created.ops))
      if (op->use_empty())
        op->erase();
  }

  Broadcast narrow(Value value, unsigned depth = 0);

private:
  struct Created : OpBuilder::Listener {
    void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
      if (op->getNumResults() > 0)
        ops.push_back(op);
    }
    SmallVector<Operation *> ops;
  };

  std::optional<Broadcast> move(Value value);
  std::optional<Broadcast> compute(linalg::GenericOp op, unsigned depth);
  Broadcast getWhole(Value value) {
    auto type = cast<RankedTensorType>(value.getType());
    return {value, b.getMultiDimIdentityMap(type.getRank())};
  }

  Created created;
  OpBuilder b;
  DenseMap<Value, Broadcast> known;
};
} // namespace

/// The dims of loops that `map`, of the result, has for each dim of it; none unless each loop is
/// a dim of its own.
static std::optional<AffineMap> invert(AffineMap map) {
  return map.isPermutation() ? std::optional(inversePermutation(map)) : std::nullopt;
}

static bool hasOnlyDimsAndZeros(AffineMap map) {
  return llvm::all_of(map.getResults(), [](AffineExpr expr) {
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    return isa<AffineDimExpr>(expr) || (constant && constant.getValue() == 0);
  });
}

/// `value` as a movement of another tensor, or of one number.
std::optional<Broadcast> Narrower::move(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  Operation *op = value.getDefiningOp();
  AffineMap none = AffineMap::get(type.getRank(), 0, b.getContext());
  auto scalar = RankedTensorType::get({}, type.getElementType());
  DenseElementsAttr splat;
  if (matchPattern(value, m_Constant(&splat)) && splat.isSplat()) {
    b.setInsertionPoint(op);
    return Broadcast{arith::ConstantOp::create(b, op->getLoc(), splat.resizeSplat(scalar)), none};
  }
  if (auto fill = dyn_cast<linalg::FillOp>(op)) {
    b.setInsertionPoint(op);
    Value empty = tensor::EmptyOp::create(b, op->getLoc(), ArrayRef<int64_t>(), type.getElementType());
    return Broadcast{linalg::FillOp::create(b, op->getLoc(), fill.getInputs()[0], empty).result(),
                     none};
  }
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(op)) {
    // Dims of size 1 beside those that were there.
    SmallVector<AffineExpr> dims;
    for (const ReassociationIndices &group : expand.getReassociationIndices()) {
      auto isOne = [&](int64_t dim) { return type.getDimSize(dim) == 1; };
      if (group.size() - llvm::count_if(group, isOne) > 1)
        return std::nullopt;
      const auto *kept = llvm::find_if_not(group, isOne);
      dims.push_back(b.getAffineDimExpr(kept == group.end() ? group.front() : *kept));
    }
    return Broadcast{expand.getSrc(), AffineMap::get(type.getRank(), 0, dims, b.getContext())};
  }
  auto copy = dyn_cast<linalg::LinalgOp>(op);
  OpOperand *copied = copy ? view::getCopiedOperand(copy) : nullptr;
  if (!copied || !isa<RankedTensorType>(copied->get().getType()))
    return std::nullopt;
  std::optional<AffineMap> loops = invert(copy.getIndexingMapsArray().back());
  AffineMap map = copy.getMatchingIndexingMap(copied);
  if (!loops || !hasOnlyDimsAndZeros(map))
    return std::nullopt;
  return Broadcast{copied->get(), map.compose(*loops)};
}

/// `op` without the loops that nothing it reads depends on.
std::optional<Broadcast> Narrower::compute(linalg::GenericOp op, unsigned depth) {
  if (!op.hasPureTensorSemantics() || op.getNumResults() != 1 || op.hasIndexSemantics())
    return std::nullopt;
  AffineMap result = op.getIndexingMapsArray().back();
  auto fill = op.getDpsInits()[0].getDefiningOp<linalg::FillOp>();
  if (!result.isProjectedPermutation(/*allowZeroInResults=*/true) ||
      (!fill && !op.getRegionOutputArgs()[0].use_empty()))
    return std::nullopt;
  SmallVector<Broadcast> inputs;
  llvm::SmallBitVector isUsed(op.getNumLoops());
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    if (!isa<RankedTensorType>(input->get().getType()) || !hasOnlyDimsAndZeros(map))
      return std::nullopt;
    Broadcast narrowed = narrow(input->get(), depth);
    inputs.push_back({narrowed.source, narrowed.map.compose(map)});
    for (AffineExpr expr : inputs.back().map.getResults())
      if (auto dim = dyn_cast<AffineDimExpr>(expr))
        isUsed.set(dim.getPosition());
  }
  SmallVector<AffineExpr> kept(op.getNumLoops());
  SmallVector<utils::IteratorType> iterators;
  for (auto [loop, type] : llvm::enumerate(op.getIteratorTypesArray())) {
    if (!isUsed.test(loop) && type == utils::IteratorType::reduction)
      return std::nullopt;
    kept[loop] = isUsed.test(loop) ? b.getAffineDimExpr(iterators.size()) : AffineExpr();
    if (isUsed.test(loop))
      iterators.push_back(type);
  }
  if (isUsed.all())
    return std::nullopt;
  for (AffineExpr &expr : kept)
    expr = expr ? expr : b.getAffineConstantExpr(0);
  auto narrowMap = [&](AffineMap map) {
    return map.replaceDimsAndSymbols(kept, {}, iterators.size(), 0);
  };

  b.setInsertionPoint(op);
  Location loc = op.getLoc();
  SmallVector<Value> sources;
  SmallVector<AffineMap> maps;
  SmallVector<OpFoldResult> extents(iterators.size());
  for (const Broadcast &input : inputs) {
    sources.push_back(input.source);
    maps.push_back(narrowMap(input.map));
    for (auto [i, expr] : llvm::enumerate(maps.back().getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(expr); dim && !extents[dim.getPosition()])
        extents[dim.getPosition()] = tensor::getMixedSize(b, loc, input.source, i);
  }
  // Dims of the result that stay, and where they are read.
  SmallVector<OpFoldResult> sizes;
  SmallVector<AffineExpr> written, read;
  for (auto [i, expr] : llvm::enumerate(narrowMap(result).getResults()))
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      sizes.push_back(extents[dim.getPosition()]);
      written.push_back(expr);
      read.push_back(b.getAffineDimExpr(i));
    }
  maps.push_back(AffineMap::get(iterators.size(), 0, written, b.getContext()));
  Type element = getElementTypeOrSelf(op.getResult(0));
  Value init = tensor::EmptyOp::create(b, loc, sizes, element);
  if (fill)
    init = linalg::FillOp::create(b, loc, fill.getInputs()[0], init).result();
  auto narrowed = linalg::GenericOp::create(b, loc, init.getType(), sources, init, maps, iterators);
  IRMapping mapping;
  op.getRegion().cloneInto(&narrowed.getRegion(), mapping);
  return Broadcast{narrowed.getResult(0),
                   AffineMap::get(result.getNumResults(), 0, read, b.getContext())};
}

Broadcast Narrower::narrow(Value value, unsigned depth) {
  if (auto it = known.find(value); it != known.end())
    return it->second;
  Broadcast narrowed = getWhole(value);
  Operation *op = value.getDefiningOp();
  if (!op || depth == kMaxDepth)
    return narrowed;
  if (std::optional<Broadcast> moved = move(value)) {
    Broadcast inner = narrow(moved->source, depth + 1);
    narrowed = {inner.source, inner.map.compose(moved->map)};
  } else if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    if (std::optional<Broadcast> computed = compute(generic, depth + 1))
      narrowed = *computed;
  }
  return known[value] = narrowed;
}

/// sum over some loops of the one input, which is a * b of two others.
static linalg::GenericOp matchSumOfProduct(linalg::GenericOp sum) {
  if (!sum.hasPureTensorSemantics() || sum.getNumDpsInputs() != 1 || sum.getNumDpsInits() != 1 ||
      sum.getNumReductionLoops() == 0 || sum.hasIndexSemantics())
    return {};
  auto add = sum.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  Value accumulator = sum.getRegionOutputArgs()[0];
  if (!add || (add.getLhs() == accumulator) == (add.getRhs() == accumulator))
    return {};
  auto product = sum.getInputs()[0].getDefiningOp<linalg::GenericOp>();
  if (!product || !product->hasOneUse() || !product.hasPureTensorSemantics() ||
      product.getNumDpsInputs() != 2 || product.getNumReductionLoops() != 0 ||
      product.hasIndexSemantics())
    return {};
  auto mul = product.getBody()->getTerminator()->getOperand(0).getDefiningOp<arith::MulFOp>();
  auto isInput = [&](Value side) {
    auto argument = dyn_cast<BlockArgument>(side);
    return argument && argument.getOwner() == product.getBody() && argument.getArgNumber() < 2;
  };
  bool isProduct = mul && mul.getLhs() != mul.getRhs() && isInput(mul.getLhs()) &&
                   isInput(mul.getRhs()) && product.getBody()->getOperations().size() == 2;
  return isProduct ? product : linalg::GenericOp();
}

/// Replaces `sum` by a contraction where each factor has a loop of its own.
static bool contract(linalg::GenericOp sum, linalg::GenericOp product, Narrower &narrower) {
  std::optional<AffineMap> loops = invert(product.getIndexingMapsArray().back());
  AffineMap summed = sum.getIndexingMapsArray().front();
  if (!loops || !summed.isProjectedPermutation(/*allowZeroInResults=*/true))
    return false;
  SmallVector<Value> sources;
  SmallVector<AffineMap> maps;
  for (OpOperand *factor : product.getDpsInputOperands()) {
    AffineMap map = product.getMatchingIndexingMap(factor);
    if (!isa<RankedTensorType>(factor->get().getType()) || !hasOnlyDimsAndZeros(map))
      return false;
    Broadcast narrowed = narrower.narrow(factor->get());
    sources.push_back(narrowed.source);
    maps.push_back(narrowed.map.compose(map).compose(*loops).compose(summed));
  }
  AffineMap result = sum.getIndexingMapsArray().back();
  auto hasOwnLoop = [&](unsigned side) {
    return llvm::any_of(llvm::seq(sum.getNumLoops()), [&](unsigned loop) {
      return result.isFunctionOfDim(loop) && maps[side].isFunctionOfDim(loop) &&
             !maps[1 - side].isFunctionOfDim(loop);
    });
  };
  auto isUsed = [&](unsigned loop) {
    return maps[0].isFunctionOfDim(loop) || maps[1].isFunctionOfDim(loop);
  };
  if (!hasOwnLoop(0) || !hasOwnLoop(1) || !llvm::all_of(llvm::seq(sum.getNumLoops()), isUsed))
    return false;
  maps.push_back(result);
  OpBuilder b(sum);
  auto contraction = linalg::GenericOp::create(
      b, sum.getLoc(), sum.getResultTypes(), sources, sum.getDpsInits(), maps,
      sum.getIteratorTypesArray(), [&](OpBuilder &b, Location loc, ValueRange arguments) {
        IRMapping mapping;
        mapping.map(product.getBody()->getArguments().take_front(2), arguments.take_front(2));
        Operation &mul = product.getBody()->front();
        mapping.map(sum.getBody()->getArgument(0), b.clone(mul, mapping)->getResult(0));
        mapping.map(sum.getBody()->getArgument(1), arguments.back());
        for (Operation &op : *sum.getBody())
          b.clone(op, mapping);
      });
  sum.replaceAllUsesWith(contraction);
  sum.erase();
  product.erase();
  return true;
}

namespace {
struct ContractProductsPass : raise::impl::ContractProductsPassBase<ContractProductsPass> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<std::pair<linalg::GenericOp, linalg::GenericOp>> sums;
    getOperation()->walk([&](linalg::GenericOp op) {
      if (linalg::GenericOp product = matchSumOfProduct(op))
        sums.emplace_back(op, product);
    });
    Narrower narrower(&getContext());
    for (auto [sum, product] : sums)
      numContracted += contract(sum, product, narrower);
  }
};
} // namespace
