// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the verifiers of all ops share: operands are views.
#include "ViewVerifier.h"

#include "llvm/ADT/SmallBitVector.h"

using namespace mlir;
using namespace elfatt::attention;

/// Leading dims of `operand` that its map does not give: LePE's taps.
static unsigned numLeadingDims(ViewOpInterface op, OpOperand &operand) {
  auto lepe = dyn_cast<LepeOp>(op.getOperation());
  return lepe && &operand == &lepe.getWeightMutable() ? lepe.getGridDims().size() : 0;
}

static LogicalResult verifyMap(ViewOpInterface op, OpOperand &operand, AffineMap map,
                               unsigned number, unsigned numDims) {
  auto type = cast<ShapedType>(operand.get().getType());
  unsigned leading = numLeadingDims(op, operand);
  // view_c2
  if (map.getNumDims() != numDims || map.getNumSymbols() != 0)
    return op->emitOpError("expected every map to have ")
           << numDims << " dims and no symbols, got " << map.getNumDims() << " and "
           << map.getNumSymbols() << " in map " << number;
  // view_c3
  if (map.getNumResults() + leading != type.getRank())
    return op->emitOpError("expected map ")
           << number << " to give " << type.getRank() - int64_t(leading) << " dims of its operand "
           << type << ", got " << map.getNumResults();
  llvm::SmallDenseSet<unsigned> seen;
  for (auto [position, expr] : llvm::enumerate(map.getResults())) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      // view_c4
      if (!seen.insert(dim.getPosition()).second)
        return op->emitOpError("expected each dim once in map ")
               << number << ", got d" << dim.getPosition() << " twice";
      continue;
    }
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    if (!constant)
      return op->emitOpError("expected dims and constants in map ")
             << number << ", got " << AffineMapAttr::get(map);
    // view_c5
    int64_t extent = type.getDimSize(leading + position), value = constant.getValue();
    if (value < 0 || (!ShapedType::isDynamic(extent) && value >= extent))
      return op->emitOpError("expected constants of map ")
             << number << " inside of " << type << ", got " << value << " for dim "
             << leading + position;
    // view_c6
    auto dps = cast<DestinationStyleOpInterface>(op.getOperation());
    if (dps.isDpsInit(&operand) && extent != 1)
      return op->emitOpError("expected a destination to be written whole, got a constant in map ")
             << number << " for dim " << position << " of " << type;
  }
  return success();
}

bool elfatt::attention::isElementType(Type type) {
  return isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(type);
}

static LogicalResult verifyElementTypes(ViewOpInterface op) {
  bool onTensors = isa<TensorType>(op.getViewedOperands().front()->get().getType());
  for (OpOperand &operand : op->getOpOperands()) {
    auto type = dyn_cast<ShapedType>(operand.get().getType());
    if (!type)
      continue;
    // view_c7
    auto sdpa = dyn_cast<SdpaOp>(op.getOperation());
    unsigned firstBias = 3, endBias = sdpa ? firstBias + sdpa.getBias().size() : 0;
    bool isBias = operand.getOperandNumber() >= firstBias && operand.getOperandNumber() < endBias;
    if (!isElementType(type.getElementType()) && !(isBias && type.getElementType().isInteger(1)))
      return op->emitOpError("expected elements of f16, bf16, f32 or f64")
             << (isBias ? ", or i1 for a mask" : "") << ", got " << type;
    // view_c8
    if (isa<TensorType>(type) != onTensors)
      return op->emitOpError("expected all operands to be tensors or all to be buffers, got ")
             << type << " beside " << op.getViewedOperands().front()->get().getType();
  }
  return success();
}

static LogicalResult verifyExtents(ViewOpInterface op) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  SmallVector<std::pair<int64_t, Type>> extents(maps[0].getNumDims(),
                                                {ShapedType::kDynamic, Type()});
  llvm::SmallBitVector used(maps[0].getNumDims());
  for (auto [operand, map] : llvm::zip_equal(op.getViewedOperands(), maps)) {
    auto type = cast<ShapedType>(operand->get().getType());
    unsigned leading = numLeadingDims(op, *operand);
    for (auto [position, expr] : llvm::enumerate(map.getResults())) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (!dim || !op.isOperandTiled(*operand, dim.getPosition()))
        continue;
      used.set(dim.getPosition());
      int64_t extent = type.getDimSize(leading + position);
      auto &[known, source] = extents[dim.getPosition()];
      if (ShapedType::isDynamic(extent))
        continue;
      // view_c9
      if (!ShapedType::isDynamic(known) && known != extent)
        return op->emitOpError("expected one extent for d")
               << dim.getPosition() << ", got " << known << " in " << source << " and " << extent
               << " in " << type;
      known = extent, source = type;
    }
  }
  // view_c10
  if (int unused = used.find_first_unset(); unused >= 0)
    return op->emitOpError("expected every dim of the domain in a map, got none with d") << unused;
  return success();
}

LogicalResult elfatt::attention::verifyViews(ViewOpInterface op) {
  SmallVector<OpOperand *> operands = op.getViewedOperands();
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  // view_c1
  if (maps.size() != operands.size())
    return op->emitOpError("expected one map for each of its ")
           << operands.size() << " viewed operands, got " << maps.size() << " maps";
  if (failed(verifyElementTypes(op)))
    return failure();
  for (auto [number, operand, map] : llvm::enumerate(operands, maps))
    if (failed(verifyMap(op, *operand, map, number, maps[0].getNumDims())))
      return failure();
  return verifyExtents(op);
}

LogicalResult elfatt::attention::verifyDefaultScale(ViewOpInterface op, Value scale,
                                                    unsigned channels) {
  if (scale || getStaticLoopRanges(op)[channels] != 0)
    return success();
  return op->emitOpError("expected at least 1 channel for the default scale, got 0");
}
