// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BuildProjection.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::IndexSpace;
using view::Size;
using view::Term;

namespace {
/// Where in a constant the element at given atoms lies.
class Offsets {
public:
  Offsets(const IndexSpace &space, const Element &element) {
    auto type = cast<RankedTensorType>(element.source.getType());
    int64_t stride = 1;
    for (int64_t dim = type.getRank() - 1; dim >= 0; --dim) {
      Index index = space.normalize(element.indices[dim]);
      base += index.offset * stride;
      for (const Term &term : index.terms)
        strides[term.atom] += term.stride.getNumber() * stride;
      stride *= type.getDimSize(dim);
    }
  }
  int64_t getBase() const { return base; }

  /// The offsets that the values of a mixed radix number over `terms` give, which
  /// lie in [0, count).
  SmallVector<int64_t> getOffsets(const IndexSpace &space, const Index &number,
                                  int64_t count) const {
    SmallVector<int64_t> result(count, 0);
    for (const Term &term : space.normalize(number).terms) {
      int64_t stride = strides.lookup(term.atom);
      for (int64_t value = 0; value < count; ++value)
        result[value] +=
            value / term.stride.getNumber() % space.getExtent(term.atom).getNumber() * stride;
    }
    return result;
  }

private:
  int64_t base = 0;
  llvm::SmallDenseMap<unsigned, int64_t> strides;
};
} // namespace

/// The constants of all columns as one of type `type`: rows of k, then columns.
static TypedAttr joinConstants(const JoinedProjection &joined, const IndexSpace &space,
                               RankedTensorType type, bool isBias) {
  int64_t width = type.getElementTypeBitWidth() / 8, count = joined.getNumColumns();
  int64_t rows = type.getNumElements() / count;
  std::vector<char> bytes(type.getNumElements() * width, 0);
  bool isResource = false;
  int64_t column = 0;
  for (const ProjectionColumns &part : joined.columns) {
    const Projection &projection = part.projection;
    int64_t first = column;
    column += part.heads * part.channels;
    if (isBias && !projection.bias)
      continue;
    const Element &element = isBias ? *projection.bias : projection.weight;
    ArrayRef<char> source = *getFloatBytes(element.source, &isResource);
    bool isSplat = int64_t(source.size()) == width;
    Offsets offsets(space, element);
    Index number;
    Size stride(1);
    for (unsigned atom : llvm::reverse(part.reduced)) {
      number.terms.push_back({atom, stride});
      stride = stride * space.getExtent(atom);
    }
    auto ofRow = offsets.getOffsets(space, number, rows);
    auto ofHead = offsets.getOffsets(space, part.head, part.heads);
    auto ofChannel = offsets.getOffsets(space, part.channel, part.channels);
    for (int64_t k = 0; k < rows; ++k)
      for (int64_t h = 0; h < part.heads; ++h)
        for (int64_t d = 0; d < part.channels; ++d) {
          int64_t from = isSplat ? 0 : offsets.getBase() + ofRow[k] + ofHead[h] + ofChannel[d];
          int64_t to = k * count + first + h * part.channels + d;
          std::copy_n(source.data() + from * width, width, bytes.data() + to * width);
        }
  }
  if (!isResource)
    return DenseElementsAttr::getFromRawBuffer(type, bytes);
  return DenseResourceElementsAttr::get(
      type, isBias ? "joined_bias" : "joined_weight",
      HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, /*align=*/64));
}

Value raise::buildProjection(const JoinedProjection &joined, ViewBuilder &views, OpBuilder &builder,
                             Location loc, IndexSpace &space) {
  MLIRContext *context = builder.getContext();
  Value input = views.buildOperand(joined.input);
  Type element = getElementTypeOrSelf(input.getType());
  int64_t count = joined.getNumColumns();
  auto buildConstant = [&](ArrayRef<int64_t> shape, bool isBias) -> Value {
    auto type = RankedTensorType::get(shape, element);
    return arith::ConstantOp::create(builder, loc, joinConstants(joined, space, type, isBias));
  };
  Domain domain;
  unsigned column = space.addAtom(Size(count));
  domain.atoms.append(joined.rows);
  domain.atoms.push_back(column);
  domain.atoms.append(joined.reduced);
  unsigned rank = joined.rows.size() + 1;
  SmallVector<OpFoldResult> sizes;
  SmallVector<int64_t> weightShape;
  SmallVector<AffineExpr> ofWeight, ofResult;
  for (auto [dim, atom] : llvm::enumerate(domain.atoms)) {
    AffineExpr expr = getAffineDimExpr(dim, context);
    if (dim < rank) {
      sizes.push_back(views.buildSize(space.getExtent(atom)));
      ofResult.push_back(expr);
    } else {
      weightShape.push_back(space.getExtent(atom).getNumber());
      ofWeight.push_back(expr);
    }
  }
  weightShape.push_back(count);
  ofWeight.push_back(getAffineDimExpr(rank - 1, context));
  auto getMap = [&](ArrayRef<AffineExpr> results) {
    return AffineMap::get(domain.atoms.size(), 0, results, context);
  };

  Value empty = tensor::EmptyOp::create(builder, loc, sizes, element);
  Value zero = arith::ConstantOp::create(builder, loc, builder.getFloatAttr(element, 0.0));
  Value init = linalg::FillOp::create(builder, loc, zero, empty).getResult(0);
  Value weight = buildConstant(weightShape, /*isBias=*/false);
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  loops.append(joined.reduced.size(), utils::IteratorType::reduction);
  Value result =
      linalg::GenericOp::create(builder, loc, init.getType(), ValueRange{input, weight}, init,
                                ArrayRef<AffineMap>{joined.input.getMap(domain, context),
                                                    getMap(ofWeight), getMap(ofResult)},
                                loops,
                                [](OpBuilder &nested, Location at, ValueRange args) {
                                  Value product =
                                      arith::MulFOp::create(nested, at, args[0], args[1]);
                                  Value sum = arith::AddFOp::create(nested, at, args[2], product);
                                  linalg::YieldOp::create(nested, at, sum);
                                })
          .getResult(0);
  bool hasBias = llvm::any_of(joined.columns, [](const ProjectionColumns &part) {
    return part.projection.bias.has_value();
  });
  if (!hasBias)
    return result;
  Value bias = buildConstant({count}, /*isBias=*/true);
  AffineMap identity = builder.getMultiDimIdentityMap(rank);
  AffineMap ofBias = AffineMap::get(rank, 0, getAffineDimExpr(rank - 1, context), context);
  loops.resize(rank);
  return linalg::GenericOp::create(builder, loc, empty.getType(), ValueRange{result, bias}, empty,
                                   ArrayRef<AffineMap>{identity, ofBias, identity}, loops,
                                   [](OpBuilder &nested, Location at, ValueRange args) {
                                     Value sum =
                                         arith::AddFOp::create(nested, at, args[0], args[1]);
                                     linalg::YieldOp::create(nested, at, sum);
                                   })
      .getResult(0);
}
