// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TalkingHeads.h"

#include "Analysis/Scalar.h"
#include "Softmax.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Index;
using view::Term;

/// The scalars that are looked at: those of an attention are some thirty.
static constexpr unsigned kMaxSteps = 256;

namespace {
class Walk {
public:
  explicit Walk(const Contraction &second) : second(second), space(reader.getSpace()) {}

  std::optional<TalkingHeads> run();

private:
  bool mentions(const Scalar &scalar, ArrayRef<unsigned> roots) {
    return llvm::any_of(scalar.element.indices, [&](const Index &index) {
      return llvm::any_of(space.normalize(index).terms, [&](const Term &term) {
        return llvm::is_contained(roots, space.getRoot(term.atom));
      });
    });
  }
  /// Whether `scalar` is an element by its head, for every query, key and channel.
  bool knowsHeadsAlone(const Scalar &scalar) {
    return scalar.element && !mentions(scalar, rows) && !mentions(scalar, keys) &&
           !mentions(scalar, values) && mentions(scalar, batch);
  }
  std::optional<Scalar> stepOverMixture(const Scalar &scalar);

  const Contraction &second;
  ScalarReader reader;
  view::IndexSpace &space;
  SmallVector<unsigned> batch, rows, keys, values;
};
} // namespace

/// A scalar of the body of `op`, a sum of products, where its result is `scalar`.
static std::optional<std::pair<Scalar, Scalar>>
readFactors(ScalarReader &reader, const Scalar &scalar, SmallVectorImpl<unsigned> &bound) {
  std::optional<Reduction> sum = reader.matchReduction(scalar);
  if (!sum || !isa<arith::AddFOp>(sum->combiner))
    return std::nullopt;
  Scalar product = reader.open(sum->body);
  if (!isa_and_nonnull<arith::MulFOp>(product.getOp()))
    return std::nullopt;
  bound.append(sum->bound.begin(), sum->bound.end());
  return std::pair(reader.getOperand(product, 0), reader.getOperand(product, 1));
}

/// The activations of a product whose weight knows heads alone; its sum is over
/// heads from then on.
std::optional<Scalar> Walk::stepOverMixture(const Scalar &scalar) {
  SmallVector<unsigned> bound;
  auto factors = readFactors(reader, scalar, bound);
  auto isOne = [&](unsigned atom) { return space.getExtent(atom).isOne(); };
  // A convolution of one tap is such a product too.
  if (!factors || llvm::count_if(bound, isOne) + 1 != int64_t(bound.size()))
    return std::nullopt;
  auto [scores, weight] = *factors;
  if (!knowsHeadsAlone(weight))
    std::swap(scores, weight);
  if (!knowsHeadsAlone(weight))
    return std::nullopt;
  // What is no constant may be queries or keys: scores know both.
  if (!isConstant(weight.element.source) &&
      !(scores.element && mentions(scores, rows) && mentions(scores, keys)))
    return std::nullopt;
  batch.append(bound);
  return scores;
}

std::optional<TalkingHeads> Walk::run() {
  SmallVector<Index> indices;
  SmallVector<unsigned> atoms;
  for (const view::Size &size : reader.getSizes().getSizes(second.getResult())) {
    atoms.push_back(space.addAtom(size));
    indices.push_back(space.get(atoms.back()));
  }
  auto factors = readFactors(
      reader, Scalar{{}, nullptr, {second.getResult(), {indices.begin(), indices.end()}}, {}},
      keys);
  auto loops = view::invertMap(second.getResultMap(), indices);
  if (!factors || !loops)
    return std::nullopt;
  auto collect = [&](ArrayRef<unsigned> from, SmallVector<unsigned> &into) {
    into.clear();
    for (unsigned loop : from)
      if ((*loops)[loop])
        for (const Term &term : (*loops)[loop]->terms)
          into.push_back(space.getRoot(term.atom));
  };
  for (unsigned side : {0, 1}) {
    // Before any cut a root is a loop of the product; a walk only adds to the heads.
    collect(second.batch, batch);
    collect(second.free[side], rows);
    collect(second.free[1 - side], values);
    bool hasExp = false, hasSum = false;
    SmallVector<Operation *> mixtures;
    SmallVector<Scalar, 0> stack{side == 0 ? factors->first : factors->second};
    for (unsigned steps = 0; !stack.empty() && steps < kMaxSteps; ++steps) {
      Scalar scalar = reader.open(stack.pop_back_val());
      Operation *source = scalar.element ? scalar.element.source.getDefiningOp() : nullptr;
      if (std::optional<Scalar> scores = source ? stepOverMixture(scalar) : std::nullopt) {
        mixtures.push_back(source);
        stack.push_back(*scores);
        continue;
      }
      if (std::optional<Contraction> product = source ? matchContraction(source) : std::nullopt;
          product && !product->isConstantSide(0) && !product->isConstantSide(1)) {
        if (!mixtures.empty() && hasExp && hasSum)
          return TalkingHeads{{*product, second, side, /*hasExponential=*/true}, mixtures};
        continue;
      }
      if (auto softmax = dyn_cast_or_null<linalg::SoftmaxOp>(source)) {
        hasExp = hasSum = true;
        stack.push_back(reader.read(softmax.getInput(), scalar.element.indices));
      } else if (std::optional<Reduction> reduction = reader.matchReduction(scalar)) {
        hasSum |= isa<arith::AddFOp>(reduction->combiner);
        stack.insert(stack.begin(), reduction->body);
      } else if (Operation *op = scalar.getOp(); op && op->getNumRegions() == 0) {
        hasExp |= isExponential(reader, scalar);
        // The divisor first: it is where the sum is.
        for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i)
          stack.push_back(reader.getOperand(scalar, i));
      }
    }
  }
  return std::nullopt;
}

std::optional<TalkingHeads> raise::findTalkingHeads(linalg::LinalgOp second) {
  std::optional<Contraction> contraction = matchContraction(second);
  if (!contraction || contraction->batch.empty() || contraction->isConstantSide(0) ||
      contraction->isConstantSide(1))
    return std::nullopt;
  return Walk(*contraction).run();
}
