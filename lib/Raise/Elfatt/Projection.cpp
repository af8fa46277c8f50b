// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Projection.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;

std::optional<ArrayRef<char>> raise::getFloatBytes(Value value, bool *isResource) {
  ElementsAttr attr;
  if (!matchPattern(value, m_Constant(&attr)) || !isa<FloatType>(attr.getElementType()) ||
      attr.getElementType().getIntOrFloatBitWidth() % 8 != 0)
    return std::nullopt;
  if (auto dense = dyn_cast<DenseElementsAttr>(attr))
    return dense.getRawData();
  auto resource = dyn_cast<DenseResourceElementsAttr>(attr);
  AsmResourceBlob *blob = resource ? resource.getRawHandle().getBlob() : nullptr;
  int64_t size = attr.getElementType().getIntOrFloatBitWidth() / 8;
  if (!blob || int64_t(blob->getData().size()) != attr.getNumElements() * size)
    return std::nullopt;
  if (isResource)
    *isResource = true;
  return blob->getData();
}

static bool isConstantElement(const Scalar &scalar) {
  return scalar.element && getFloatBytes(scalar.element.source);
}

/// A sum of products with a constant, and what it starts from.
static std::optional<Projection> matchProduct(ScalarReader &reader, const Scalar &closed) {
  std::optional<Reduction> sum = reader.matchReduction(reader.open(closed));
  if (!sum || !isa<arith::AddFOp>(sum->combiner))
    return std::nullopt;
  Scalar product = reader.open(sum->body);
  if (!isa_and_nonnull<arith::MulFOp>(product.getOp()))
    return std::nullopt;
  for (unsigned side : {0, 1}) {
    Scalar input = reader.getOperand(product, side), weight = reader.getOperand(product, 1 - side);
    if (!input.element || !isConstantElement(weight) || isConstantElement(input))
      continue;
    Projection projection{input.element, weight.element, std::nullopt, sum->bound};
    if (reader.getConstantDouble(sum->init) == 0.0)
      return projection;
    if (!isConstantElement(sum->init))
      return std::nullopt;
    projection.bias = sum->init.element;
    return projection;
  }
  return std::nullopt;
}

std::optional<Projection> raise::matchProjection(ScalarReader &reader, const Scalar &closed) {
  Scalar scalar = reader.open(closed);
  std::optional<Projection> projection;
  if (isa_and_nonnull<arith::AddFOp>(scalar.getOp())) {
    for (unsigned side : {0, 1}) {
      Scalar bias = reader.getOperand(scalar, side);
      if (!isConstantElement(bias))
        continue;
      projection = matchProduct(reader, reader.getOperand(scalar, 1 - side));
      if (projection && projection->bias)
        return std::nullopt;
      if (projection)
        projection->bias = bias.element;
      break;
    }
  } else {
    projection = matchProduct(reader, scalar);
  }
  if (!projection)
    return std::nullopt;
  Type type = scalar.getType();
  auto hasType = [&](const Element &element) {
    return getElementTypeOrSelf(element.source.getType()) == type;
  };
  if (!hasType(projection->input) || !hasType(projection->weight) ||
      (projection->bias && !hasType(*projection->bias)))
    return std::nullopt;
  return projection;
}

int64_t JoinedProjection::getNumColumns() const {
  int64_t result = 0;
  for (const ProjectionColumns &part : columns)
    result += part.heads * part.channels;
  return result;
}
