// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Verifiers of attention.elfatt and of LePE: grids and windows.
#include "ViewVerifier.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace elfatt::attention;

//===----------------------------------------------------------------------===//
// attention.elfatt
//===----------------------------------------------------------------------===//

/// Constraint elfatt_c1: the domain is (batch..., h, n, d, e).
static LogicalResult verifyDomain(ElfattOp op) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  unsigned numDims = maps[0].getNumDims();
  if (numDims < 4)
    return op.emitOpError("expected at least 4 dims (h, n, d, e), got ") << numDims;
  unsigned channels = numDims - 2, values = numDims - 1;
  for (auto [number, map] : llvm::enumerate(maps)) {
    unsigned other = number < 2 ? values : channels;
    for (unsigned dim = 0; dim < numDims; ++dim)
      if (map.isFunctionOfDim(dim) != (dim != other))
        return op.emitOpError("expected map ")
               << number << " to hold every dim of (batch.., h, n, d, e) but d" << other << ", got "
               << AffineMapAttr::get(map);
  }
  return success();
}

/// Constraints elfatt_c2 to elfatt_c5: the axes of grid and window.
static LogicalResult verifyAxes(ElfattOp op) {
  ArrayRef<int64_t> grid = op.getStaticGrid(), window = op.getWindow();
  // elfatt_c2
  if (grid.empty() || grid.size() != window.size())
    return op.emitOpError("expected one window extent per grid axis and at least one axis, got ")
           << window.size() << " and " << grid.size();
  // elfatt_c3
  size_t dynamic = llvm::count(grid, ShapedType::kDynamic);
  if (dynamic != op.getGrid().size())
    return op.emitOpError("expected one grid operand per dynamic axis, got ")
           << op.getGrid().size() << " for " << dynamic;
  // elfatt_c4
  if (llvm::count(grid, ElfattOp::kInferredExtent) > 1)
    return op.emitOpError("expected at most one inferred grid extent, got ")
           << llvm::count(grid, ElfattOp::kInferredExtent);
  for (auto [axis, extent, tokens] : llvm::enumerate(grid, window)) {
    if (extent < 0 && extent != ElfattOp::kInferredExtent && !ShapedType::isDynamic(extent))
      return op.emitOpError("expected a grid extent that is not negative, or -1, got ")
             << extent << " for axis " << axis;
    if (tokens < 1)
      return op.emitOpError("expected a window extent of at least 1, got ")
             << tokens << " for axis " << axis;
    // elfatt_c5
    if (extent >= 0 && extent % tokens != 0)
      return op.emitOpError("expected the window to divide the grid, got ")
             << tokens << " and " << extent << " for axis " << axis;
  }
  return success();
}

/// Constraint elfatt_c6: prefix and grid make up the tokens.
static LogicalResult verifyTokens(ElfattOp op) {
  int64_t tokens = op.getNumTokens(), prefix = op.getPrefix(), known = 1;
  if (!ShapedType::isDynamic(tokens) && prefix > tokens)
    return op.emitOpError("expected at most ") << tokens << " prefix tokens, got " << prefix;
  std::optional<size_t> inferred;
  for (auto [axis, extent] : llvm::enumerate(op.getStaticGrid())) {
    if (ShapedType::isDynamic(extent))
      return success();
    if (extent == ElfattOp::kInferredExtent)
      inferred = axis;
    else if (llvm::MulOverflow(known, extent, known))
      return op.emitOpError("expected fewer grid tokens than 2^63");
  }
  if (inferred && known == 0)
    return op.emitOpError("expected no inferred grid extent beside an extent of 0");
  if (ShapedType::isDynamic(tokens))
    return success();
  int64_t onGrid = tokens - prefix;
  if (!inferred) {
    if (known == onGrid)
      return success();
    return op.emitOpError("expected as many grid tokens as tokens behind the prefix, got ")
           << known << " and " << tokens << " - " << prefix;
  }
  int64_t unit;
  if (llvm::MulOverflow(known, op.getWindow()[*inferred], unit))
    return op.emitOpError("expected fewer tokens in a row of windows than 2^63");
  if (onGrid % unit == 0)
    return success();
  return op.emitOpError("expected whole windows along the inferred grid axis, got ")
         << onGrid << " grid tokens, which " << unit << " does not divide";
}

/// Constraint elfatt_c8: taps first, then the heads of the group and e.
static LogicalResult verifyLepe(ElfattOp op, StringRef name, Value weight, Value bias,
                                int64_t heads) {
  if (!weight)
    return bias ? op.emitOpError("expected ") << name << " weights beside the bias, got none"
                : success();
  SmallVector<int64_t> expected(op.getWindow().size(), 3);
  expected.append({heads, getStaticLoopRanges(cast<ViewOpInterface>(op.getOperation())).back()});
  auto check = [&](Value value, StringRef what, ArrayRef<int64_t> shape) -> LogicalResult {
    auto type = cast<ShapedType>(value.getType());
    if (succeeded(verifyCompatibleShape(type.getShape(), shape)))
      return success();
    InFlightDiagnostic diagnostic = op.emitOpError("expected ") << name << " " << what << " of ";
    for (auto [position, extent] : llvm::enumerate(shape))
      diagnostic << (position ? "x" : "")
                 << (ShapedType::isDynamic(extent) ? "?" : std::to_string(extent));
    return diagnostic << ", got " << type;
  };
  if (failed(check(weight, "weights", expected)))
    return failure();
  return bias ? check(bias, "bias", ArrayRef(expected).take_back(2)) : success();
}

LogicalResult ElfattOp::verify() {
  auto view = cast<ViewOpInterface>(getOperation());
  if (failed(verifyViews(view)) || failed(verifyDomain(*this)) || failed(verifyAxes(*this)) ||
      failed(verifyTokens(*this)))
    return failure();
  // elfatt_c7
  int64_t heads = getNumHeads(), global = getGlobalHeads(), local = ShapedType::kDynamic;
  if (!ShapedType::isDynamic(heads)) {
    if (global > heads)
      return emitOpError("expected at most ") << heads << " global heads, got " << global;
    local = heads - global;
  }
  if (failed(
          verifyLepe(*this, "global_lepe", getGlobalLepeWeight(), getGlobalLepeBias(), global)) ||
      failed(verifyLepe(*this, "local_lepe", getLocalLepeWeight(), getLocalLepeBias(), local)))
    return failure();
  return verifyDefaultScale(view, getScale(), getIndexingMapsArray()[0].getNumDims() - 2);
}

//===----------------------------------------------------------------------===//
// attention.lepe
//===----------------------------------------------------------------------===//

/// Constraint lepe_c1: the grid dims are dims of the domain, each once.
static LogicalResult verifyGridDims(LepeOp op, unsigned numDims) {
  llvm::SmallDenseSet<int64_t> seen;
  for (int64_t dim : op.getGridDims())
    if (dim < 0 || dim >= int64_t(numDims) || !seen.insert(dim).second)
      return op.emitOpError("expected different grid dims below ") << numDims << ", got " << dim;
  if (op.getGridDims().empty())
    return op.emitOpError("expected at least one grid dim");
  return success();
}

LogicalResult LepeOp::verify() {
  auto view = cast<ViewOpInterface>(getOperation());
  SmallVector<AffineMap> maps = getIndexingMapsArray();
  if (!maps.empty() && failed(verifyGridDims(*this, maps[0].getNumDims())))
    return failure();
  if (failed(verifyViews(view)))
    return failure();
  unsigned numDims = maps[0].getNumDims();
  // lepe_c2
  for (unsigned dim = 0; dim < numDims; ++dim)
    if (!maps.back().isFunctionOfDim(dim))
      return emitOpError("expected every dim in the map of its destination, got ")
             << AffineMapAttr::get(maps.back());
  auto value = cast<ShapedType>(getValue().getType()), init = cast<ShapedType>(getInit().getType());
  for (int64_t dim : getGridDims()) {
    // lepe_c3
    AffineExpr expr = getAffineDimExpr(dim, getContext());
    std::optional<unsigned> inValue = maps[0].getResultPosition(expr);
    if (!inValue)
      return emitOpError("expected every grid dim in the map of its value, got ")
             << AffineMapAttr::get(maps[0]);
    for (AffineMap map : ArrayRef(maps).drop_front().drop_back())
      if (map.isFunctionOfDim(dim))
        return emitOpError("expected no grid dim in the maps of weight and bias, got ")
               << AffineMapAttr::get(map);
    // lepe_c4
    int64_t whole = value.getDimSize(*inValue);
    int64_t part = init.getDimSize(*maps.back().getResultPosition(expr));
    if (ShapedType::isDynamic(whole) || ShapedType::isDynamic(part))
      continue;
    if (getOffsets().empty() ? whole != part : whole < part)
      return emitOpError("expected its destination to be ")
             << (getOffsets().empty() ? "as large as the grid" : "no larger than the grid")
             << " along d" << dim << ", got " << part << " and " << whole;
  }
  // lepe_c5
  auto weight = cast<ShapedType>(getWeight().getType());
  for (unsigned axis = 0; axis < getGridDims().size(); ++axis)
    if (weight.getDimSize(axis) != 3)
      return emitOpError("expected 3 taps per grid dim first in its weight, got ") << weight;
  // lepe_c6
  if (!getOffsets().empty() && getOffsets().size() != getGridDims().size())
    return emitOpError("expected no offsets or one per grid dim, got ")
           << getOffsets().size() << " for " << getGridDims().size();
  return success();
}
