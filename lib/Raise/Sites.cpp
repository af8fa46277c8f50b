// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Sites.h"

#include "Contraction.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "mlir/IR/SymbolTable.h"
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

namespace {
/// Sizes of an attention; kDynamic where unknown. H is 1 where heads cannot be
/// told from the batch.
struct Shape {
  int64_t batch = 1, heads = 1, queries = 1, keys = 1, channels = 1, values = 1;

  static constexpr llvm::StringLiteral kNames[] = {"B", "H", "N", "M", "D", "Dv"};
  std::array<int64_t, 6> getSizes() const {
    return {batch, heads, queries, keys, channels, values};
  }
  bool isStatic() const { return llvm::none_of(getSizes(), ShapedType::isDynamic); }
};
} // namespace

static void multiply(int64_t &product, int64_t size) {
  product = ShapedType::isDynamic(product) || ShapedType::isDynamic(size) ? ShapedType::kDynamic
                                                                          : product * size;
}

void elfatt::raise::markRefused(const ContractionPair &pair, const Refusal &refusal) {
  linalg::LinalgOp second = pair.second.op, first = pair.first.op;
  Builder builder(second.getContext());
  std::string message = getText(refusal.reason).str();
  if (!refusal.detail.empty())
    message += ": " + refusal.detail;
  SmallVector<NamedAttribute> entries = {
      builder.getNamedAttr("message", builder.getStringAttr(message)),
      builder.getNamedAttr("reason", builder.getStringAttr(getName(refusal.reason)))};
  auto multiplyAll = [](linalg::LinalgOp op, ArrayRef<unsigned> loops, int64_t &product) {
    SmallVector<int64_t> ranges = op.getStaticLoopRanges();
    for (unsigned loop : loops)
      multiply(product, ranges[loop]);
  };
  Shape shape;
  multiplyAll(second, pair.second.batch, shape.batch);
  multiplyAll(second, pair.second.free[pair.side], shape.queries);
  multiplyAll(second, pair.second.reduced, shape.keys);
  multiplyAll(second, pair.second.free[1 - pair.side], shape.values);
  multiplyAll(first, pair.first.reduced, shape.channels);
  for (auto [name, size] : llvm::zip_equal(Shape::kNames, shape.getSizes()))
    if (!ShapedType::isDynamic(size))
      entries.push_back(builder.getNamedAttr(name, builder.getI64IntegerAttr(size)));
  second->setAttr(kRefusedAttr, builder.getDictionaryAttr(entries));
}

//===----------------------------------------------------------------------===//
// Records
//===----------------------------------------------------------------------===//

/// Sizes of softmax or linear attention. Among batch dims the heads are the one
/// that stands between the queries and the channels in the result, else the last
/// of several.
template <typename OpTy> static Shape getShape(OpTy op) {
  auto dims = attention::AttentionDims::get(op);
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  Shape shape;
  AffineMap result = op.getIndexingMapsArray().back();
  std::optional<unsigned> heads;
  bool seenRow = false;
  for (AffineExpr expr : result.getResults())
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      seenRow |= llvm::is_contained(dims.rows, dim.getPosition());
      if (seenRow && llvm::is_contained(dims.batch, dim.getPosition()))
        heads = dim.getPosition();
    }
  if (!heads && dims.batch.size() > 1)
    heads = dims.batch.back();
  for (unsigned dim : dims.batch)
    multiply(dim == heads ? shape.heads : shape.batch, ranges[dim]);
  for (unsigned dim : dims.rows)
    multiply(shape.queries, ranges[dim]);
  for (unsigned dim : dims.keys)
    multiply(shape.keys, ranges[dim]);
  shape.channels = ranges[dims.channels];
  shape.values = ranges[dims.values];
  return shape;
}

static Shape getShape(attention::ElfattOp op) {
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  unsigned count = ranges.size(); // batch..., h, n, d, e
  Shape shape;
  for (unsigned dim = 0; dim + 4 < count; ++dim)
    multiply(shape.batch, ranges[dim]);
  shape.heads = ranges[count - 4];
  shape.queries = shape.keys = ranges[count - 3];
  shape.channels = ranges[count - 2];
  shape.values = ranges[count - 1];
  return shape;
}

/// Bytes that the views of `op` span, each once.
static std::optional<int64_t> getBytes(attention::ViewOpInterface op) {
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  int64_t bytes = 0;
  for (auto [operand, map] : llvm::zip(op.getViewedOperands(), op.getIndexingMapsArray())) {
    Type element = getElementTypeOrSelf(operand->get().getType());
    int64_t size = std::max(1u, element.getIntOrFloatBitWidth() / 8);
    for (unsigned dim = 0; dim < map.getNumDims(); ++dim)
      if (map.isFunctionOfDim(dim))
        multiply(size, ranges[dim]);
    if (ShapedType::isDynamic(size))
      return std::nullopt;
    bytes += size;
  }
  return bytes;
}

namespace {
struct Cost {
  int64_t flops, exponentials;
};
} // namespace

static Cost getCost(attention::SdpaOp, const Shape &s) {
  int64_t scores = s.batch * s.heads * s.queries * s.keys;
  return {2 * scores * (s.channels + s.values), scores};
}
static Cost getCost(attention::LinearOp, const Shape &s) {
  int64_t tokens = s.batch * s.heads * (s.queries + s.keys);
  return {2 * tokens * s.channels * s.values, tokens * s.channels};
}
static Cost getCost(attention::ElfattOp op, const Shape &s) {
  int64_t prefix = op.getPrefix(), grid = s.queries - prefix;
  int64_t window = 1;
  for (int64_t extent : op.getWindow())
    window *= extent;
  int64_t globalHeads = op.getGlobalHeads(), localHeads = s.heads - globalHeads;
  int64_t exact = s.heads * prefix * s.queries + localHeads * grid * (window + prefix);
  int64_t linear = globalHeads * (grid + s.queries);
  return {s.batch * 2 * (exact * (s.channels + s.values) + linear * s.channels * s.values),
          s.batch * (exact + linear * s.channels)};
}

static StringRef getBiasKind(attention::SdpaOp op) {
  if (op.getCausal())
    return "causal";
  StringRef kind = "none";
  for (Value bias : op.getBias()) {
    if (getElementTypeOrSelf(bias.getType()).isInteger(1))
      return "mask";
    kind = "additive";
  }
  return kind;
}
static StringRef getBiasKind(Operation *) { return "none"; }

static std::string printLocation(Location loc) {
  std::string text;
  llvm::raw_string_ostream(text) << loc;
  // loc(...)
  StringRef inner(text);
  if (inner.consume_front("loc("))
    inner.consume_back(")");
  return inner.str();
}

static json::Object startRecord(Operation *op) {
  auto symbol = op->getParentOp();
  while (symbol && !isa<SymbolOpInterface>(symbol))
    symbol = symbol->getParentOp();
  StringAttr name = symbol ? SymbolTable::getSymbolName(symbol) : StringAttr();
  return json::Object{{"function", name ? json::Value(name.getValue()) : json::Value(nullptr)},
                      {"location", printLocation(op->getLoc())}};
}

template <typename OpTy> static Site getRaised(OpTy op) {
  Shape shape = getShape(op);
  Site site{op, true, "", startRecord(op)};
  json::Object sizes;
  std::string text;
  for (auto [name, size] : llvm::zip_equal(Shape::kNames, shape.getSizes())) {
    bool known = !ShapedType::isDynamic(size);
    sizes[name] = known ? json::Value(size) : json::Value(nullptr);
    text += llvm::formatv(" {0}={1}", name, known ? std::to_string(size) : "?").str();
  }
  StringRef bias = getBiasKind(op);
  site.message = llvm::formatv("raised to {0}:{1}, bias {2}", op->getName(), text, bias).str();
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
  site.record["bias"] = bias;
  std::optional<int64_t> bytes = getBytes(op);
  bool known = shape.isStatic();
  Cost cost = known ? getCost(op, shape) : Cost{0, 0};
  site.record["flops"] = known ? json::Value(cost.flops) : json::Value(nullptr);
  site.record["bytes"] = bytes ? json::Value(*bytes) : json::Value(nullptr);
  site.record["exponentials"] = known ? json::Value(cost.exponentials) : json::Value(nullptr);
  return site;
}

static Site getRefused(Operation *op, DictionaryAttr attr) {
  auto getString = [&](StringRef name) {
    auto value = attr.getAs<StringAttr>(name);
    return value ? value.getValue() : StringRef();
  };
  Site site{op, false, "", startRecord(op)};
  site.message =
      llvm::formatv("attention not raised ({0}): {1}", getString("reason"), getString("message"))
          .str();
  json::Object sizes;
  for (StringRef name : Shape::kNames) {
    auto size = attr.getAs<IntegerAttr>(name);
    sizes[name] = size ? json::Value(size.getInt()) : json::Value(nullptr);
  }
  site.record["status"] = "refused";
  site.record["op"] = nullptr;
  site.record["reason"] = getString("reason");
  site.record["message"] = getString("message");
  site.record["shape"] = std::move(sizes);
  for (StringRef key : {"bias", "flops", "bytes", "exponentials"})
    site.record[key] = nullptr;
  return site;
}

SmallVector<Site, 0> elfatt::raise::collectSites(Operation *module) {
  SmallVector<Site, 0> sites;
  module->walk([&](Operation *op) {
    if (auto sdpa = dyn_cast<attention::SdpaOp>(op))
      sites.push_back(getRaised(sdpa));
    else if (auto linear = dyn_cast<attention::LinearOp>(op))
      sites.push_back(getRaised(linear));
    else if (auto elfatt = dyn_cast<attention::ElfattOp>(op))
      sites.push_back(getRaised(elfatt));
    else if (auto refused = op->getAttrOfType<DictionaryAttr>(kRefusedAttr))
      sites.push_back(getRefused(op, refused));
  });
  return sites;
}

void elfatt::raise::emitRemarks(Operation *module) {
  for (const Site &site : collectSites(module))
    emitRemark(site.op->getLoc()) << site.message;
}
