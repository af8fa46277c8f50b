// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Lepe.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::Size;
using view::Term;

/// The tap among `taps` that `index` counts, taken out of it.
static std::optional<unsigned> takeTap(view::IndexSpace &space, ArrayRef<unsigned> taps,
                                       Index &index) {
  index = space.normalize(index);
  for (Term *term = index.terms.begin(); term != index.terms.end(); ++term)
    if (llvm::is_contained(taps, term->atom) && term->stride.isOne()) {
      unsigned atom = term->atom;
      index.terms.erase(term);
      return atom;
    }
  return std::nullopt;
}

static bool mentions(view::IndexSpace &space, const Element &element, const Index &index) {
  for (const Index &position : element.indices)
    for (const Term &term : space.normalize(position).terms)
      for (const Term &other : space.normalize(index).terms)
        if (term.atom == other.atom)
          return true;
  return false;
}

/// Reads `padded`, the input of a convolution, as an image with an axis for every
/// tap: one zero at each end of the axes, and none elsewhere.
static bool matchImage(ScalarReader &reader, const Element &padded, ArrayRef<unsigned> taps,
                       DepthwiseConv &conv) {
  auto pad = padded.source.getDefiningOp<tensor::PadOp>();
  if (!pad)
    return false;
  Value padding = pad.getConstantPaddingValue();
  if (!padding || reader.getConstantDouble(reader.resolve(padding, nullptr)) != 0.0)
    return false;
  SmallVector<Index> position;
  SmallVector<OpFoldResult> low = pad.getMixedLowPad(), high = pad.getMixedHighPad();
  for (auto [dim, padded] : llvm::enumerate(padded.indices)) {
    Index index = padded;
    std::optional<unsigned> tap = takeTap(reader.getSpace(), taps, index);
    int64_t expected = tap ? 1 : 0;
    if (getConstantIntValue(low[dim]) != expected || getConstantIntValue(high[dim]) != expected)
      return false;
    if (tap)
      conv.axes.push_back({index, reader.getSizes().getSize(pad.getSource(), dim), *tap});
    position.push_back(index);
  }
  conv.center = reader.read(pad.getSource(), position).element;
  return conv.axes.size() == taps.size();
}

/// What `scalar` was before it was widened.
static Scalar skipExtensions(ScalarReader &reader, Scalar scalar) {
  for (Scalar opened = reader.open(scalar); isa_and_nonnull<arith::ExtFOp>(opened.getOp());
       opened = reader.open(scalar))
    scalar = reader.getOperand(opened, 0);
  return scalar;
}

std::optional<DepthwiseConv> raise::matchDepthwiseConv(ScalarReader &reader, const Scalar &scalar) {
  // Sums and products may be wider than the image and the result.
  SmallVector<Operation *> casts;
  std::optional<Reduction> sum = reader.matchReduction(skipCasts(reader, scalar, &casts));
  if (!sum || !isa<arith::AddFOp>(sum->combiner))
    return std::nullopt;
  Scalar product = reader.open(sum->body);
  if (!isa_and_nonnull<arith::MulFOp>(product.getOp()))
    return std::nullopt;
  view::IndexSpace &space = reader.getSpace();
  SmallVector<unsigned> taps;
  for (unsigned atom : sum->bound) {
    if (space.getExtent(atom) == Size(3))
      taps.push_back(atom);
    else if (!space.getExtent(atom).isOne())
      return std::nullopt;
  }
  if (taps.empty())
    return std::nullopt;
  DepthwiseConv conv;
  conv.rounds = llvm::any_of(casts, llvm::IsaPred<arith::TruncFOp>);
  for (unsigned side : {0, 1}) {
    Scalar input = skipExtensions(reader, reader.getOperand(product, side));
    Scalar weight = skipExtensions(reader, reader.getOperand(product, 1 - side));
    if (!input.element || !weight.element || !matchImage(reader, input.element, taps, conv))
      continue;
    conv.weight = weight.element;
    if (reader.getConstantDouble(sum->init) == 0.0)
      return conv;
    Scalar bias = skipExtensions(reader, sum->init);
    if (!bias.element)
      return std::nullopt;
    conv.bias = bias.element;
    // Neither may depend on the position.
    for (const DepthwiseConv::Axis &axis : conv.axes)
      if (mentions(space, conv.weight, axis.position) || mentions(space, *conv.bias, axis.position))
        return std::nullopt;
    return conv;
  }
  return std::nullopt;
}
