// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "BuildProjection.h"
#include "Elfatt/RecogniseElfatt.h"
#include "Rewrite.h"

#include "elfatt/Raise/Sites.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_RAISEELFATTPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;

/// A weight in the order of the op; at most a copy of a few numbers.
static Value buildWeight(OpBuilder &builder, Location loc, RecognisedElfatt &elfatt,
                         const ViewPlan &plan, const Domain &domain) {
  ViewBuilder views(builder, loc, *elfatt.reader);
  Value source = views.buildOperand(plan);
  AffineMap map = plan.getMap(domain, builder.getContext());
  if (map.isIdentity())
    return source;
  SmallVector<OpFoldResult> sizes;
  for (unsigned atom : domain.atoms)
    sizes.push_back(views.buildSize(elfatt.reader->getSpace().getExtent(atom)));
  Type element = cast<RankedTensorType>(source.getType()).getElementType();
  Value init = tensor::EmptyOp::create(builder, loc, sizes, element);
  SmallVector<utils::IteratorType> loops(sizes.size(), utils::IteratorType::parallel);
  SmallVector<AffineMap> maps = {map, builder.getMultiDimIdentityMap(sizes.size())};
  return linalg::GenericOp::create(builder, loc, init.getType(), source, init, maps, loops,
                                   [](OpBuilder &nested, Location at, ValueRange args) {
                                     linalg::YieldOp::create(nested, at, args[0]);
                                   })
      .getResult(0);
}

/// A part of the join: a slice of the op's result `joined`, with what is added to it.
static Value buildPart(OpBuilder &builder, Location loc, ViewBuilder &views,
                       const RecognisedElfatt &elfatt, RecognisedElfatt::Part &part, Value joined) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(builder, loc, joined);
  SmallVector<OpFoldResult> offsets(sizes.size(), builder.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(sizes.size(), builder.getIndexAttr(1));
  offsets[elfatt.joinDim] = builder.getIndexAttr(part.offset);
  sizes[elfatt.joinDim] = builder.getIndexAttr(part.size);
  Value slice = tensor::ExtractSliceOp::create(builder, loc, joined, offsets, sizes, strides);
  if (part.addends.empty())
    return slice;
  MLIRContext *context = builder.getContext();
  part.view.source = slice;
  SmallVector<Value> inputs = {views.buildOperand(part.view)};
  SmallVector<AffineMap> maps = {part.view.getMap(part.domain, context)};
  for (const ViewPlan &addend : part.addends) {
    inputs.push_back(views.buildOperand(addend));
    maps.push_back(addend.getMap(part.domain, context));
  }
  Value init = views.buildInit(part.sum);
  maps.push_back(part.sum.getMap(part.domain, context));
  SmallVector<utils::IteratorType> loops(part.domain.atoms.size(), utils::IteratorType::parallel);
  auto sum = linalg::GenericOp::create(builder, loc, init.getType(), inputs, init, maps, loops,
                                       [](OpBuilder &nested, Location at, ValueRange args) {
                                         Value total = args[0];
                                         for (Value addend : args.drop_front().drop_back())
                                           total = arith::AddFOp::create(nested, at, total, addend);
                                         linalg::YieldOp::create(nested, at, total);
                                       });
  return views.buildResult(part.sum, sum.getResult(0));
}

static Value buildOperand(OpBuilder &builder, Location loc, ViewBuilder &views,
                          RecognisedElfatt &elfatt, ElfattOperand &operand) {
  if (operand.projection)
    operand.view.source =
        buildProjection(*operand.projection, views, builder, loc, elfatt.reader->getSpace());
  return views.buildOperand(operand.view);
}

static void rewrite(RecognisedElfatt &elfatt) {
  Operation *end = elfatt.output.value.getDefiningOp();
  OpBuilder builder(end);
  SmallVector<Location> locations;
  for (Operation *op : elfatt.ops)
    locations.push_back(op->getLoc());
  Location loc = builder.getFusedLoc(locations);
  MLIRContext *context = builder.getContext();
  ViewBuilder views(builder, loc, *elfatt.reader);
  const Domain &domain = elfatt.domain;

  Value query = buildOperand(builder, loc, views, elfatt, elfatt.query);
  Value key = buildOperand(builder, loc, views, elfatt, elfatt.key);
  Value value = buildOperand(builder, loc, views, elfatt, elfatt.value);
  auto build = [&](const std::optional<ViewPlan> &plan, const Domain &over) {
    return plan ? buildWeight(builder, loc, elfatt, *plan, over) : Value();
  };
  const RecognisedElfatt::Lepe &global = elfatt.globalLepe, &local = elfatt.localLepe;
  Value globalWeight = build(global.weight, global.weightDomain);
  Value globalBias = build(global.bias, global.biasDomain);
  Value localWeight = build(local.weight, local.weightDomain);
  Value localBias = build(local.bias, local.biasDomain);
  SmallVector<Value> dynamicGrid;
  SmallVector<int64_t> staticGrid;
  for (const view::Size &extent : elfatt.grid)
    dispatchIndexOpFoldResult(views.buildSize(extent), dynamicGrid, staticGrid);
  Value init = views.buildInit(elfatt.output);
  ArrayAttr maps = builder.getAffineMapArrayAttr(
      {elfatt.query.view.getMap(domain, context), elfatt.key.view.getMap(domain, context),
       elfatt.value.view.getMap(domain, context), elfatt.output.getMap(domain, context)});
  auto op = attention::ElfattOp::create(builder, loc, TypeRange{init.getType()}, query, key, value,
                                        globalWeight, globalBias, localWeight, localBias,
                                        elfatt.scale, dynamicGrid, init, maps, elfatt.globalHeads,
                                        elfatt.localFirst, staticGrid, elfatt.window, /*prefix=*/0);

  auto hasExcess = [&](StringRef kind) {
    return llvm::any_of(elfatt.ops, [&](Operation *part) {
      auto excess = part->getAttrOfType<ArrayAttr>(kExcessAttr);
      return excess && llvm::is_contained(excess.getAsValueRange<StringAttr>(), kind);
    });
  };
  // LePE is added before the op rounds.
  Type element = getElementTypeOrSelf(init.getType());
  bool roundsOnce = global.rounds || local.rounds ||
                    ((globalWeight || localWeight) && (element.isF16() || element.isBF16()));
  markRaised(op, hasExcess("precision") || roundsOnce, hasExcess("range"));
  Value joined = views.buildResult(elfatt.output, op->getResult(0));
  if (!elfatt.parts.empty()) {
    SmallVector<Value> parts;
    for (RecognisedElfatt::Part &part : elfatt.parts)
      parts.push_back(buildPart(builder, loc, views, elfatt, part, joined));
    joined = tensor::ConcatOp::create(builder, loc, joined.getType(), elfatt.joinDim, parts);
  }
  elfatt.output.value.replaceAllUsesWith(joined);
  eraseDead(end);
}

/// Says at the attention ops why they stay apart.
static void markApart(const ElfattRefusal &refusal) {
  for (Operation *op : refusal.ops) {
    Builder builder(op->getContext());
    std::string message = getText(refusal.why.reason).str();
    if (!refusal.why.detail.empty())
      message += ": " + refusal.why.detail;
    op->setAttr(
        kApartAttr,
        builder.getDictionaryAttr(
            {builder.getNamedAttr("message", builder.getStringAttr(message)),
             builder.getNamedAttr("reason", builder.getStringAttr(getName(refusal.why.reason)))}));
  }
}

namespace {
struct RaiseElfattPass : raise::impl::RaiseElfattPassBase<RaiseElfattPass> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<Operation *> ends;
    DominanceInfo dominance(getOperation());
    getOperation()->walk([&](Operation *op) {
      if (isa<tensor::ConcatOp, tensor::InsertSliceOp>(op) && isInOrderedCode(op, dominance))
        ends.push_back(op);
    });
    for (Operation *end : ends) {
      std::optional<Join> join = matchJoin(end);
      if (!join)
        continue;
      ElfattRefusal refusal;
      FailureOr<RecognisedElfatt> elfatt = recogniseElfatt(*join, refusal);
      if (succeeded(elfatt)) {
        rewrite(*elfatt);
        ++numRaised;
      } else if (refusal.isLikely) {
        markApart(refusal);
      }
    }
  }
};
} // namespace
