// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "RecogniseElfatt.h"
#include "Rewrite.h"

#include "elfatt/Raise/Sites.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/Support/Debug.h"

#define DEBUG_TYPE "elfatt-raise-elfatt"

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

static void rewrite(RecognisedElfatt &elfatt) {
  Operation *end = elfatt.output.value.getDefiningOp();
  OpBuilder builder(end);
  Location loc = builder.getFusedLoc({elfatt.linear.getLoc(), elfatt.sdpa.getLoc()});
  MLIRContext *context = builder.getContext();
  ViewBuilder views(builder, loc, *elfatt.reader);
  const Domain &domain = elfatt.domain;

  Value query = views.buildOperand(elfatt.query);
  Value key = views.buildOperand(elfatt.key);
  Value value = views.buildOperand(elfatt.value);
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
      {elfatt.query.getMap(domain, context), elfatt.key.getMap(domain, context),
       elfatt.value.getMap(domain, context), elfatt.output.getMap(domain, context)});
  auto op = attention::ElfattOp::create(
      builder, loc, TypeRange{init.getType()}, query, key, value, globalWeight, globalBias,
      localWeight, localBias, elfatt.sdpa.getScale(), dynamicGrid, init, maps, elfatt.globalHeads,
      elfatt.localFirst, staticGrid, elfatt.window, /*prefix=*/0);

  auto hasExcess = [&](StringRef kind) {
    return llvm::any_of(ArrayRef<Operation *>{elfatt.linear, elfatt.sdpa}, [&](Operation *part) {
      auto excess = part->getAttrOfType<ArrayAttr>(kExcessAttr);
      return excess && llvm::is_contained(excess.getAsValueRange<StringAttr>(), kind);
    });
  };
  markRaised(op, hasExcess("precision"), hasExcess("range"));
  elfatt.output.value.replaceAllUsesWith(views.buildResult(elfatt.output, op->getResult(0)));
  eraseDead(end);
}

namespace {
struct RaiseElfattPass : raise::impl::RaiseElfattPassBase<RaiseElfattPass> {
  using Base::Base;

  void runOnOperation() override {
    SmallVector<tensor::ConcatOp> concats;
    getOperation()->walk([&](tensor::ConcatOp concat) { concats.push_back(concat); });
    for (tensor::ConcatOp concat : concats) {
      std::string why;
      FailureOr<RecognisedElfatt> elfatt = recogniseElfatt(concat, why);
      if (failed(elfatt)) {
        LLVM_DEBUG(llvm::dbgs() << concat.getLoc() << ": no ELFATT: " << why << "\n");
        continue;
      }
      rewrite(*elfatt);
      ++numRaised;
    }
  }
};
} // namespace
