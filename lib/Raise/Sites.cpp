// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Sites.h"

#include "SiteCost.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
namespace json = llvm::json;

//===----------------------------------------------------------------------===//
// Marks
//===----------------------------------------------------------------------===//

void elfatt::raise::markRaised(Operation *op, bool excessPrecision, bool excessRange) {
  Builder builder(op->getContext());
  SmallVector<Attribute> excess;
  if (excessPrecision)
    excess.push_back(builder.getStringAttr("precision"));
  if (excessRange)
    excess.push_back(builder.getStringAttr("range"));
  if (!excess.empty())
    op->setAttr(kExcessAttr, builder.getArrayAttr(excess));
}

void elfatt::raise::markRefused(const ContractionPair &pair, const Refusal &refusal,
                                bool isLinear) {
  Operation *second = pair.second.op;
  Builder builder(second->getContext());
  std::string message = getText(refusal.reason).str();
  if (!refusal.detail.empty())
    message += ": " + refusal.detail;
  SmallVector<NamedAttribute> entries = {
      builder.getNamedAttr("message", builder.getStringAttr(message)),
      builder.getNamedAttr("reason", builder.getStringAttr(getName(refusal.reason)))};
  auto note = [&](StringRef name, Count count) {
    if (std::optional<int64_t> known = count.get())
      entries.push_back(builder.getNamedAttr(name, builder.getI64IntegerAttr(*known)));
  };
  SiteShape shape = getSiteShape(pair, isLinear);
  for (auto [name, size] : llvm::zip_equal(SiteShape::kNames, shape.getSizes()))
    note(name, size);
  target::Cost cost = getSiteCost(pair);
  note("flops", cost.flops);
  note("bytes", cost.bytes);
  note("exponentials", cost.exponentials);
  second->setAttr(kRefusedAttr, builder.getDictionaryAttr(entries));
}

//===----------------------------------------------------------------------===//
// Records
//===----------------------------------------------------------------------===//

/// What is done to the scores, the strongest first: "causal", "mask", "additive".
static SmallVector<StringRef> getBiasKinds(attention::SdpaOp op) {
  bool isMasked = false, isAddedTo = false;
  const bool hasRule = op.getScore().empty();
  for (Value bias : op.getBias())
    if (getElementTypeOrSelf(bias.getType()).isInteger(1))
      isMasked = true;
    else
      isAddedTo |= hasRule;
  // A score region may use an operand otherwise, and add or select what is none.
  for (Region &region : op->getRegions())
    for (Operation &inner : region.getOps()) {
      isMasked |= isa<arith::SelectOp>(inner);
      isAddedTo |= isa<arith::AddFOp, arith::SubFOp>(inner);
    }
  SmallVector<StringRef> kinds;
  if (op.getCausal())
    kinds.push_back("causal");
  if (isMasked)
    kinds.push_back("mask");
  if (isAddedTo)
    kinds.push_back("additive");
  return kinds;
}
static SmallVector<StringRef> getBiasKinds(Operation *) { return {}; }

static bool hasScoreRegion(Operation *op) {
  auto sdpa = dyn_cast<attention::SdpaOp>(op);
  return sdpa && !sdpa.getScore().empty();
}

static std::string printLocation(Location loc) {
  std::string text;
  llvm::raw_string_ostream(text) << loc;
  // loc(...)
  StringRef inner(text);
  if (inner.consume_front("loc("))
    inner.consume_back(")");
  return json::fixUTF8(inner);
}

static json::Object startRecord(Operation *op) {
  auto symbol = op->getParentOp();
  while (symbol && !isa<SymbolOpInterface>(symbol))
    symbol = symbol->getParentOp();
  StringAttr name = symbol ? SymbolTable::getSymbolName(symbol) : StringAttr();
  return json::Object{
      {"function", name ? json::Value(json::fixUTF8(name.getValue())) : json::Value(nullptr)},
      {"location", printLocation(op->getLoc())}};
}

static json::Value getNumber(Count count) {
  std::optional<int64_t> known = count.get();
  return known ? json::Value(*known) : json::Value(nullptr);
}

template <typename OpTy> static Site getRaised(OpTy op) {
  SiteShape shape = getSiteShape(op);
  target::Cost cost = getSiteCost(op);
  Site site{op, true, "", startRecord(op)};
  json::Object sizes;
  std::string text;
  for (auto [name, size] : llvm::zip_equal(SiteShape::kNames, shape.getSizes())) {
    sizes[name] = getNumber(size);
    std::optional<int64_t> known = size.get();
    text += llvm::formatv(" {0}={1}", name, known ? std::to_string(*known) : "?").str();
  }
  SmallVector<StringRef> kinds = getBiasKinds(op);
  site.message = llvm::formatv("raised to {0}:{1}, bias {2}", op->getName(), text,
                               kinds.empty() ? "none" : llvm::join(kinds, " and "))
                     .str();
  if (hasScoreRegion(op))
    site.message += ", score function";
  if (auto excess = op->template getAttrOfType<ArrayAttr>(kExcessAttr))
    for (auto kind : excess.template getAsRange<StringAttr>())
      site.message +=
          kind == "precision" ? ", rounds less than the source" : ", differs where rows overflow";
  site.record["status"] = "raised";
  site.record["op"] = op->getName().getStringRef();
  site.record["reason"] = nullptr;
  // Branches that look like one ELFATT.
  if (auto apart = op->template getAttrOfType<DictionaryAttr>(kApartAttr)) {
    auto reason = apart.template getAs<StringAttr>("reason");
    auto why = apart.template getAs<StringAttr>("message");
    if (reason && why) {
      site.record["reason"] = reason.getValue();
      site.message += llvm::formatv("; not joined to attention.elfatt ({0}): {1}",
                                    reason.getValue(), why.getValue());
    }
  }
  // A later stage that could not serve the op says why.
  if (auto left = op->template getAttrOfType<DictionaryAttr>(kRefusedAttr)) {
    auto reason = left.template getAs<StringAttr>("reason");
    auto why = left.template getAs<StringAttr>("message");
    if (reason && why) {
      site.record["reason"] = reason.getValue();
      site.message += llvm::formatv("; left exact ({0}): {1}", reason.getValue(), why.getValue());
    }
  }
  site.record["message"] = site.message;
  site.record["shape"] = std::move(sizes);
  site.record["bias"] = kinds.empty() ? "none" : kinds.front();
  site.record["biases"] = json::Array(kinds);
  site.record["score"] = hasScoreRegion(op);
  site.record["flops"] = getNumber(cost.flops);
  site.record["bytes"] = getNumber(cost.bytes);
  site.record["exponentials"] = getNumber(cost.exponentials);
  return site;
}

static Site getRefused(Operation *op, DictionaryAttr attr) {
  auto getString = [&](StringRef name) {
    auto value = attr.getAs<StringAttr>(name);
    return value ? json::fixUTF8(value.getValue()) : std::string();
  };
  Site site{op, false, "", startRecord(op)};
  site.message =
      llvm::formatv("attention not raised ({0}): {1}", getString("reason"), getString("message"))
          .str();
  auto getCount = [&](StringRef name) {
    auto number = attr.getAs<IntegerAttr>(name);
    bool isKnown = number && number.getValue().getSignificantBits() <= 64;
    return isKnown ? json::Value(number.getValue().getSExtValue()) : json::Value(nullptr);
  };
  json::Object sizes;
  for (StringRef name : SiteShape::kNames)
    sizes[name] = getCount(name);
  site.record["status"] = "refused";
  site.record["op"] = nullptr;
  site.record["reason"] = getString("reason");
  site.record["message"] = getString("message");
  site.record["shape"] = std::move(sizes);
  for (StringRef key : {"flops", "bytes", "exponentials"})
    site.record[key] = getCount(key);
  for (StringRef key : {"bias", "biases", "score"})
    site.record[key] = nullptr;
  return site;
}

/// The site that `op` is, if it is one.
static std::optional<Site> getSite(Operation *op) {
  return llvm::TypeSwitch<Operation *, std::optional<Site>>(op)
      .Case<attention::SdpaOp, attention::LinearOp, attention::ElfattOp>(
          [](auto raised) { return getRaised(raised); })
      .Default([](Operation *other) -> std::optional<Site> {
        if (auto refused = other->getAttrOfType<DictionaryAttr>(kRefusedAttr))
          return getRefused(other, refused);
        return std::nullopt;
      });
}

SmallVector<Site, 0> elfatt::raise::collectSites(Operation *module) {
  SmallVector<Site, 0> sites;
  module->walk([&](Operation *op) {
    if (std::optional<Site> site = getSite(op))
      sites.push_back(std::move(*site));
  });
  return sites;
}

bool elfatt::raise::hasSites(Operation *op) {
  return op
      ->walk([](Operation *inner) {
        bool isSite = isa<attention::SdpaOp, attention::LinearOp, attention::ElfattOp>(inner) ||
                      inner->hasAttr(kRefusedAttr);
        return isSite ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

void elfatt::raise::emitRemarks(Operation *module) {
  for (const Site &site : collectSites(module))
    emitRemark(site.op->getLoc()) << site.message;
}
