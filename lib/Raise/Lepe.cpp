// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Lepe.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::Size;

/// The source of a zero padding by one at both ends of dims `y` and `x` alone.
static Value matchZeroPad(ScalarReader &reader, Value value, unsigned y, unsigned x) {
  auto pad = value.getDefiningOp<tensor::PadOp>();
  if (!pad)
    return {};
  for (auto bounds : {pad.getMixedLowPad(), pad.getMixedHighPad()})
    for (auto [dim, amount] : llvm::enumerate(bounds))
      if (getConstantIntValue(amount) != int64_t(dim == y || dim == x))
        return {};
  Value padding = pad.getConstantPaddingValue();
  if (!padding || reader.getConstantDouble(reader.resolve(padding, nullptr)) != 0.0)
    return {};
  return pad.getSource();
}

static bool isUnit(std::optional<DenseIntElementsAttr> attr) {
  return !attr || (attr->isSplat() && attr->getSplatValue<APInt>().isOne());
}

std::optional<DepthwiseConv> raise::matchDepthwiseConv(ScalarReader &reader, const Scalar &scalar) {
  if (!scalar.element)
    return std::nullopt;
  Operation *op = scalar.element.source.getDefiningOp();
  // Positions of channel, y and x in the result and in the weight.
  unsigned c, y, x, weightC, weightY, weightX;
  Value input, weights, init;
  if (auto conv = dyn_cast_or_null<linalg::DepthwiseConv2DNchwChwOp>(op)) {
    if (!isUnit(conv.getStrides()) || !isUnit(conv.getDilations()))
      return std::nullopt;
    c = 1, y = 2, x = 3, weightC = 0, weightY = 1, weightX = 2;
    input = conv.getInputs()[0], weights = conv.getInputs()[1], init = conv.getOutputs()[0];
  } else if (auto conv = dyn_cast_or_null<linalg::DepthwiseConv2DNhwcHwcOp>(op)) {
    if (!isUnit(conv.getStrides()) || !isUnit(conv.getDilations()))
      return std::nullopt;
    c = 3, y = 1, x = 2, weightC = 2, weightY = 0, weightX = 1;
    input = conv.getInputs()[0], weights = conv.getInputs()[1], init = conv.getOutputs()[0];
  } else {
    return std::nullopt;
  }
  auto weightType = dyn_cast<RankedTensorType>(weights.getType());
  if (!weightType || weightType.getDimSize(weightY) != 3 || weightType.getDimSize(weightX) != 3)
    return std::nullopt;
  Value source = matchZeroPad(reader, input, y, x);
  if (!source)
    return std::nullopt;

  view::IndexSpace &space = reader.getSpace();
  const Element &at = scalar.element;
  DepthwiseConv conv;
  conv.y = at.indices[y], conv.x = at.indices[x];
  conv.height = reader.getSizes().getSize(at.source, y);
  conv.width = reader.getSizes().getSize(at.source, x);
  conv.center = reader.read(source, at.indices).element;
  conv.tapY = space.addAtom(Size(3)), conv.tapX = space.addAtom(Size(3));
  SmallVector<Index> taps(3);
  taps[weightC] = at.indices[c];
  taps[weightY] = space.get(conv.tapY);
  taps[weightX] = space.get(conv.tapX);
  conv.weight = reader.read(weights, taps).element;

  Scalar bias = reader.read(init, at.indices);
  if (reader.getConstantDouble(bias) == 0.0)
    return conv;
  if (!bias.element)
    return std::nullopt;
  // It must not depend on the position.
  for (const Index &index : bias.element.indices)
    for (const view::Term &term : space.normalize(index).terms)
      for (const Index &position : {conv.y, conv.x})
        for (const view::Term &other : space.normalize(position).terms)
          if (term.atom == other.atom)
            return std::nullopt;
  conv.bias = bias.element;
  return conv;
}
