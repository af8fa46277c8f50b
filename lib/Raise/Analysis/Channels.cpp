// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Channels.h"

#include "Contraction.h"
#include "Scalar.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Index;
using view::Size;
using view::Term;

/// Between a projection and its queries stand a bias, a scale, a normalisation.
static constexpr unsigned kMaxSteps = 64;

bool elfatt::raise::attendsOverChannels(attention::SdpaOp op) {
  ScalarReader reader;
  view::IndexSpace &space = reader.getSpace();
  auto dims = attention::AttentionDims::get(op);
  AffineMap map = op.getIndexingMapsArray().front();
  SmallVector<Index> position(map.getNumDims());
  SmallVector<unsigned> rows;
  for (auto [i, expr] : llvm::enumerate(map.getResults()))
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      unsigned atom = space.addAtom(reader.getSizes().getSize(op.getQuery(), i));
      position[dim.getPosition()] = space.get(atom);
      if (llvm::is_contained(dims.rows, dim.getPosition()))
        rows.push_back(atom);
    }
  auto indices = reader.getTracer().apply(map, position);
  if (!indices)
    return false;
  auto isOfRow = [&](const Scalar &scalar) {
    return llvm::any_of(scalar.element.indices, [&](const Index &index) {
      return llvm::any_of(space.normalize(index).terms, [&](const Term &term) {
        return llvm::is_contained(rows, space.getRoot(term.atom));
      });
    });
  };

  SmallVector<Scalar, 0> stack{reader.read(op.getQuery(), *indices)};
  for (unsigned steps = 0; !stack.empty() && steps < kMaxSteps; ++steps) {
    Scalar scalar = reader.open(stack.pop_back_val());
    if (std::optional<Reduction> sum = reader.matchReduction(scalar)) {
      Scalar product = reader.open(sum->body);
      if (isa_and_nonnull<arith::MulFOp>(product.getOp()))
        for (unsigned side : {0, 1}) {
          Scalar weight = reader.getOperand(product, side);
          Scalar input = reader.getOperand(product, 1 - side);
          if (weight.element && input.element && isConstant(weight.element.source) &&
              !isConstant(input.element.source))
            return isOfRow(weight) && !isOfRow(input);
        }
      // A norm is over the queries again: they come first by another way.
      stack.insert(stack.begin(), sum->body);
    } else if (Operation *inner = scalar.getOp(); inner && inner->getNumRegions() == 0) {
      for (unsigned i = inner->getNumOperands(); i > 0; --i)
        stack.push_back(reader.getOperand(scalar, i - 1));
    }
  }
  return false;
}
