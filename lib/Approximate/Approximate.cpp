// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Approximate/Passes.h"

#include "elfatt/Approximate/Plan.h"

#include "mlir/IR/PatternMatch.h"
#include "llvm/Support/FormatVariadic.h"

namespace elfatt::approximate {
#define GEN_PASS_DEF_APPROXIMATEPASS
#include "elfatt/Approximate/Passes.h.inc"
} // namespace elfatt::approximate

using namespace mlir;
using namespace elfatt;
using namespace elfatt::approximate;

/// The options of the pass, or an error that says which one is wrong.
static FailureOr<Request> checkOptions(const ApproximatePassOptions &options,
                                       function_ref<InFlightDiagnostic()> emitError) {
  Request request;
  std::string why;
  auto parse = [&](StringRef name, StringRef text, SmallVector<int64_t> &into) -> LogicalResult {
    FailureOr<SmallVector<int64_t>> extents = parseExtents(text, why);
    if (failed(extents))
      return emitError() << name << ": " << why;
    into = *extents;
    return success();
  };
  if (options.window.empty())
    return emitError() << "expected a window, such as window=7x7, got none";
  if (failed(parse("window", options.window, request.window)))
    return failure();
  if (!options.grid.empty()) {
    if (failed(parse("grid", options.grid, request.grid)))
      return failure();
    if (request.grid.size() != request.window.size())
      return emitError() << "grid: expected as many axes as the window has, got '" << options.grid
                         << "' and '" << options.window << "'";
    for (auto [extent, window] : llvm::zip_equal(request.grid, request.window))
      if (extent % window != 0)
        return emitError() << "grid: expected multiples of the window, got " << extent << " and "
                           << window;
  }
  for (auto [name, value, least] :
       {std::tuple("global-heads", options.globalHeads, -1),
        std::tuple("prefix", options.prefix, -1), std::tuple("min-tokens", options.minTokens, 0)})
    if (value < least)
      return emitError() << name << ": expected at least " << least << ", got " << value;
  if (options.globalHeads >= 0)
    request.globalHeads = options.globalHeads;
  if (options.prefix >= 0)
    request.prefix = options.prefix;
  request.minTokens = options.minTokens;
  return request;
}

/// Marks `op` for elfatt-report and says why at its place.
static void refuse(attention::SdpaOp op, const Refusal &refusal) {
  std::string message = getText(refusal.reason).str();
  if (!refusal.detail.empty())
    message += ": " + refusal.detail;
  Builder builder(op.getContext());
  op->setAttr(
      attention::kRefusedAttrName,
      builder.getDictionaryAttr(
          {builder.getNamedAttr("message", builder.getStringAttr(message)),
           builder.getNamedAttr("reason", builder.getStringAttr(getName(refusal.reason)))}));
  emitRemark(op.getLoc()) << "attention not approximated (" << getName(refusal.reason)
                          << "): " << message;
}

static std::string printExtents(ArrayRef<int64_t> extents) {
  return llvm::join(llvm::map_range(extents, [](int64_t n) { return std::to_string(n); }), "x");
}

static void replace(IRRewriter &rewriter, attention::SdpaOp op, const Plan &plan,
                    ArrayRef<int64_t> window) {
  // Rows and keys are one dim of tokens.
  MLIRContext *ctx = op.getContext();
  SmallVector<AffineExpr> dims(op.getIndexingMapsArray()[0].getNumDims());
  for (auto [position, dim] : llvm::enumerate(plan.order))
    dims[dim] = getAffineDimExpr(position, ctx);
  dims[plan.keys] = getAffineDimExpr(plan.order.size() - 3, ctx);
  SmallVector<AffineMap> maps;
  for (AffineMap map : op.getIndexingMapsArray())
    maps.push_back(map.replaceDimsAndSymbols(dims, {}, plan.order.size(), 0));

  rewriter.setInsertionPoint(op);
  NamedAttrList kept(op->getDiscardableAttrDictionary());
  kept.erase(attention::kRefusedAttrName);
  auto elfatt = attention::ElfattOp::create(
      rewriter, op.getLoc(), op->getResultTypes(), op.getQuery(), op.getKey(), op.getValue(),
      /*global_lepe_weight=*/Value(), /*global_lepe_bias=*/Value(), /*local_lepe_weight=*/Value(),
      /*local_lepe_bias=*/Value(), op.getScale(), /*grid=*/ValueRange(), op.getInit(),
      rewriter.getAffineMapArrayAttr(maps), plan.globalHeads, /*local_first=*/false,
      plan.grid.extents, window, plan.grid.prefix);
  elfatt->setDiscardableAttrs(kept.getDictionary(ctx));
  emitRemark(op.getLoc()) << "attention approximated: window " << printExtents(window)
                          << " of grid " << printExtents(plan.grid.extents) << " behind "
                          << plan.grid.prefix << " prefix tokens, " << plan.globalHeads << " of "
                          << plan.heads << " heads global";
  rewriter.replaceOp(op, elfatt);
}

namespace {
struct ApproximatePass : approximate::impl::ApproximatePassBase<ApproximatePass> {
  using Base::Base;

  LogicalResult initialize(MLIRContext *ctx) override {
    ApproximatePassOptions options{window, grid, globalHeads, minTokens, prefix};
    FailureOr<Request> checked = checkOptions(
        options, [&] { return emitError(UnknownLoc::get(ctx)) << "elfatt-approximate: "; });
    if (failed(checked))
      return failure();
    request = *checked;
    return success();
  }

  void runOnOperation() override {
    SmallVector<attention::SdpaOp> ops;
    getOperation()->walk([&](attention::SdpaOp op) {
      if (cast<DestinationStyleOpInterface>(op.getOperation()).hasPureTensorSemantics())
        ops.push_back(op);
    });
    IRRewriter rewriter(&getContext());
    for (attention::SdpaOp op : ops) {
      std::variant<Plan, Refusal> plan = makePlan(op, request);
      if (auto *refusal = std::get_if<Refusal>(&plan)) {
        refuse(op, *refusal);
        ++numRefused;
        continue;
      }
      replace(rewriter, op, std::get<Plan>(plan), request.window);
      ++numApproximated;
    }
  }

private:
  Request request;
};
} // namespace
