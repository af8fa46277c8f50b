// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Recognise.h"

#include "Softmax.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::Size;

namespace {

/// The loops of a contraction by the operands they occur in.
struct Loops {
  SmallVector<unsigned> batch, lhs, rhs, reduced;

  explicit Loops(linalg::LinalgOp op) {
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    for (unsigned loop = 0, e = op.getNumLoops(); loop < e; ++loop) {
      bool inLhs = maps[0].isFunctionOfDim(loop), inRhs = maps[1].isFunctionOfDim(loop);
      if (!maps[2].isFunctionOfDim(loop))
        reduced.push_back(loop);
      else
        (inLhs && inRhs ? batch : inLhs ? lhs : rhs).push_back(loop);
    }
  }
};

/// One attempt at one pair.
///   second: O[b,i,e] = sum_j P[b,i,j] V[b,j,e]    first: S[b,i,j] = sum_d Q K
class Recogniser {
public:
  Recogniser(const ContractionPair &pair, const RecogniseOptions &options)
      : pair(pair), options(options), reader(std::make_unique<ScalarReader>()),
        space(reader->getSpace()) {}

  Verdict run();

private:
  LogicalResult refuse(Reason reason, const Twine &detail = "") {
    verdict.refusal = {reason, detail.str()};
    return failure();
  }
  Scalar readOperand(linalg::LinalgOp op, unsigned operand, ArrayRef<Index> loops) {
    auto indices =
        reader->getTracer().apply(op.getMatchingIndexingMap(&op->getOpOperand(operand)), loops);
    return indices ? reader->read(op->getOperand(operand), *indices) : Scalar();
  }
  bool mentions(const Element &element, ArrayRef<unsigned> roots) {
    for (const Index &index : element.indices)
      for (const view::Term &term : space.normalize(index).terms)
        if (llvm::is_contained(roots, space.getRoot(term.atom)))
          return true;
    return false;
  }
  llvm::SmallDenseSet<unsigned> getLeaves(ArrayRef<unsigned> roots) {
    llvm::SmallDenseSet<unsigned> leaves;
    for (unsigned root : roots)
      for (unsigned leaf : space.getLeaves(root))
        leaves.insert(leaf);
    return leaves;
  }

  LogicalResult checkShapes();
  bool readSecond();
  LogicalResult readFirst(const Element &product);
  void judgeSite();
  LogicalResult matchSdpa();
  LogicalResult matchLinear(const Element &context);
  LogicalResult noteCasts(ArrayRef<Operation *> casts);
  LogicalResult plan();
  LogicalResult planOperand(const Element &start, ViewPlan &view);
  LogicalResult buildDomain();

  ContractionPair pair;
  const RecogniseOptions &options;
  std::unique_ptr<ScalarReader> reader;
  view::IndexSpace &space;
  Verdict verdict;
  RecognisedAttention result;

  // Roots of the atoms by class; the channels are d.
  SmallVector<unsigned> batch, rows, keys, values, channels;
  /// What `second` contracts: keys, or the channels of linear attention.
  SmallVector<unsigned> contracted;
  SmallVector<Index> secondLoops, firstLoops;
  /// P (or Q of linear attention), and the other operand of `second`.
  Scalar near, far;
  Element queryStart, keyStart, valueStart;
  SmallVector<Bias, 0> biases;
};

} // namespace

/// Element types that the ops compute with.
static bool isSupported(Type type) {
  return type.isF16() || type.isBF16() || type.isF32() || type.isF64();
}

LogicalResult Recogniser::checkShapes() {
  for (linalg::LinalgOp op : {pair.first, pair.second}) {
    if (isQuantizedContraction(op))
      return refuse(Reason::Quantized);
    for (Value operand : op->getOperands()) {
      auto type = cast<RankedTensorType>(operand.getType());
      if (!isSupported(type.getElementType()))
        return refuse(Reason::UnsupportedDtype,
                      "expected f16, bf16, f32 or f64 elements, got " +
                          std::string(type.getElementType().isInteger() ? "integers" : "others"));
      if (llvm::is_contained(type.getShape(), 0))
        return refuse(Reason::EmptyShape);
    }
  }
  return success();
}

/// Reads the second contraction: classes of its loops, P and V.
bool Recogniser::readSecond() {
  linalg::LinalgOp op = pair.second;
  SmallVector<Size> extents = view::getLoopSizes(op, reader->getSizes());
  SmallVector<unsigned> atoms;
  for (const Size &extent : extents) {
    atoms.push_back(space.addAtom(extent));
    secondLoops.push_back(space.get(atoms.back()));
  }
  Loops loops(op);
  auto collect = [&](ArrayRef<unsigned> from, SmallVectorImpl<unsigned> &into) {
    for (unsigned loop : from)
      into.push_back(atoms[loop]);
  };
  collect(loops.batch, batch);
  collect(pair.operand == 0 ? loops.lhs : loops.rhs, rows);
  collect(pair.operand == 0 ? loops.rhs : loops.lhs, values);
  collect(loops.reduced, keys);
  contracted = keys;
  near = readOperand(op, pair.operand, secondLoops);
  far = readOperand(op, 1 - pair.operand, secondLoops);
  return near && far;
}

/// Loops of the first contraction where its result is read at `product`.
LogicalResult Recogniser::readFirst(const Element &product) {
  linalg::LinalgOp op = pair.first;
  auto loops = view::invertMap(op.getIndexingMapsArray().back(), product.indices);
  if (!loops)
    return refuse(Reason::NotAView);
  SmallVector<Size> extents = view::getLoopSizes(op, reader->getSizes());
  firstLoops.clear();
  for (auto [loop, index] : llvm::enumerate(*loops)) {
    if (index) {
      firstLoops.push_back(*index);
      continue;
    }
    channels.push_back(space.addAtom(extents[loop]));
    firstLoops.push_back(space.get(channels.back()));
  }
  for (linalg::LinalgOp each : {pair.first, pair.second}) {
    SmallVector<Index> zeros(each.getNumLoops());
    Scalar init = readOperand(each, 2, zeros);
    if (!init || reader->getConstantDouble(init) != 0.0)
      return refuse(Reason::AccumulatesIntoTensor);
  }
  return success();
}

/// A pair is a site where the second product contracts what is free in the first,
/// and there is an exponential and a sum between them or they share batch dims.
void Recogniser::judgeSite() {
  // Where the element of the first product is found by a plain walk.
  Scalar scalar = near;
  SmallVector<Scalar, 0> stack{near};
  std::optional<Element> product;
  for (unsigned steps = 0; !stack.empty() && steps < 256 && !product; ++steps) {
    scalar = reader->open(stack.pop_back_val());
    if (scalar.element && scalar.element.source == pair.first->getResult(0)) {
      product = scalar.element;
    } else if (std::optional<Reduction> reduction = reader->matchReduction(scalar)) {
      stack.insert(stack.begin(), reduction->body);
    } else if (Operation *op = scalar.getOp(); op && op->getNumRegions() == 0) {
      for (unsigned i = op->getNumOperands(); i > 0; --i)
        stack.push_back(reader->getOperand(scalar, i - 1));
    }
  }
  if (!product) {
    verdict.isSite = pair.hasExponential;
    return;
  }
  auto loops = view::invertMap(pair.first.getIndexingMapsArray().back(), product->indices);
  if (!loops)
    return;
  Loops classes(pair.first);
  auto mentionsAny = [&](ArrayRef<unsigned> dims, ArrayRef<unsigned> roots) {
    return llvm::any_of(dims, [&](unsigned dim) {
      return (*loops)[dim] && mentions(Element{{}, {*(*loops)[dim]}}, roots);
    });
  };
  bool contractsFree = mentionsAny(classes.lhs, contracted) || mentionsAny(classes.rhs, contracted);
  verdict.isSite = contractsFree && (pair.hasExponential || mentionsAny(classes.batch, batch));
}

/// What casts on the way mean for the op, which computes in f32, or in f64 where
/// an operand is f64.
LogicalResult Recogniser::noteCasts(ArrayRef<Operation *> casts) {
  for (Operation *cast : casts) {
    if (isa<arith::TruncFOp>(cast))
      result.hasExcessPrecision = true;
    if (cast->getResult(0).getType().isF64() && isa<arith::ExtFOp>(cast))
      return refuse(Reason::UnsupportedDtype,
                    "part of it is computed in f64, its operands are not");
  }
  return success();
}

LogicalResult Recogniser::matchSdpa() {
  FailureOr<Softmax> softmax = matchSoftmax(*reader, near, verdict.refusal);
  if (failed(softmax))
    return failure();
  FailureOr<Scores> scores =
      matchScores(*reader, softmax->logits, pair.first->getResult(0), verdict.refusal);
  if (failed(scores))
    return failure();
  if (reader->getLeaves(softmax->axis) != getLeaves(keys))
    return refuse(Reason::WrongSoftmaxAxis);
  if (failed(readFirst(scores->product)))
    return failure();
  result.scale = scores->scale;
  biases = std::move(scores->biases);
  SmallVector<Operation *> casts(softmax->casts);
  llvm::append_range(casts, scores->casts);

  SmallVector<Element, 0> starts;
  for (unsigned operand : {0, 1}) {
    Scalar scalar = readOperand(pair.first, operand, firstLoops);
    auto start = scalar ? peelScale(*reader, scalar, result.scale, casts) : std::nullopt;
    if (!start)
      return refuse(Reason::NotAView);
    starts.push_back(*start);
  }
  Scale one;
  auto start = peelScale(*reader, far, one, casts);
  if (!start || !one.isOne())
    start = far.start;
  if (!start->source)
    return refuse(Reason::NotAView);
  valueStart = *start;
  bool swapped = mentions(starts[0], keys);
  queryStart = starts[swapped], keyStart = starts[!swapped];
  if (mentions(queryStart, keys) || mentions(keyStart, rows) || !mentions(keyStart, keys)) {
    // A single key or a single query has no atoms to tell it by.
    bool single = getLeaves(keys).empty() || getLeaves(rows).empty();
    if (!single || mentions(queryStart, keys) || mentions(keyStart, rows))
      return refuse(Reason::NotAView, "the first product is not one of queries and keys");
  }
  result.zeroMaskedRows = softmax->zeroMaskedRows;
  result.hasExcessRange = !softmax->hasMax;
  return noteCasts(casts);
}

/// O[b,i,e] = sum_d softmax_d(Q) C[b,d,e],  C[b,d,e] = sum_j softmax_j(K) V[b,j,e]:
/// `second` contracts d, `first` contracts j.
LogicalResult Recogniser::matchLinear(const Element &context) {
  result.isLinear = true;
  // The other operand is the query, and what `second` contracts are channels.
  std::swap(rows, values);
  keys.clear();
  if (failed(readFirst(context)))
    return failure();
  keys = std::move(channels);
  channels = contracted;

  FailureOr<Softmax> ofQuery = matchSoftmax(*reader, far, verdict.refusal);
  if (failed(ofQuery))
    return failure();
  if (reader->getLeaves(ofQuery->axis) != getLeaves(channels))
    return refuse(Reason::WrongSoftmaxAxis, "the queries' softmax is not over the channels");
  Scalar sides[] = {readOperand(pair.first, 0, firstLoops), readOperand(pair.first, 1, firstLoops)};
  if (!sides[0] || !sides[1])
    return refuse(Reason::NotAView);
  unsigned keySide = mentions(sides[0].start, channels) ? 0 : 1;
  FailureOr<Softmax> ofKey = matchSoftmax(*reader, sides[keySide], verdict.refusal);
  if (failed(ofKey))
    return failure();
  if (reader->getLeaves(ofKey->axis) != getLeaves(keys))
    return refuse(Reason::WrongSoftmaxAxis, "the keys' softmax is not over the tokens");
  SmallVector<Operation *> casts(ofQuery->casts);
  llvm::append_range(casts, ofKey->casts);
  auto peel = [&](const Scalar &scalar, Element &start) {
    Scale scale;
    auto peeled = peelScale(*reader, scalar, scale, casts);
    start = peeled && scale.isOne() ? *peeled : scalar.start;
    return bool(start.source);
  };
  if (!peel(ofQuery->logits, queryStart) || !peel(ofKey->logits, keyStart) ||
      !peel(sides[1 - keySide], valueStart))
    return refuse(Reason::NotAView);
  result.hasExcessRange = !ofQuery->hasMax || !ofKey->hasMax;
  return noteCasts(casts);
}

//===----------------------------------------------------------------------===//
// From elements to the op
//===----------------------------------------------------------------------===//

LogicalResult Recogniser::planOperand(const Element &start, ViewPlan &view) {
  SmallVector<unsigned> whole(channels);
  llvm::append_range(whole, values);
  std::optional<ViewPlan> plan = planSource(*reader, start, whole);
  if (!plan)
    return refuse(Reason::NotAView);
  view = std::move(*plan);
  return success();
}

LogicalResult Recogniser::plan() {
  SmallVector<unsigned> whole(channels);
  llvm::append_range(whole, values);
  // Movements cut atoms as they are traced: first trace all, then plan with the
  // cuts that are there in the end.
  for (const Element &start : {queryStart, keyStart, valueStart})
    reader->getTracer().traceAll(start, whole);
  for (const Bias &bias : biases)
    reader->getTracer().traceAll(bias.start, whole);
  auto indices = reader->getTracer().apply(pair.second.getIndexingMapsArray().back(), secondLoops);
  if (!indices)
    return refuse(Reason::NotAView);
  for (Index &index : *indices)
    index = space.normalize(index);
  std::optional<OutputPlan> output =
      planOutput(*reader, pair.second->getResult(0), *indices, whole);
  if (!output)
    return refuse(Reason::NotAView, "the result is no view");
  result.output = std::move(*output);
  if (failed(planOperand(queryStart, result.query)) || failed(planOperand(keyStart, result.key)) ||
      failed(planOperand(valueStart, result.value)))
    return failure();
  for (const Bias &bias : biases) {
    result.biases.push_back({{}, bias.isInverted});
    if (failed(planOperand(bias.start, result.biases.back().view)))
      return failure();
  }
  return buildDomain();
}

/// Orders the domain: batch and rows as in the result, then keys, channels and
/// values. Dims of size 1 that an op must have, or that the result shows, are put
/// back: the layouts do not know them.
LogicalResult Recogniser::buildDomain() {
  Domain &domain = result.domain;
  auto addUnit = [&](std::initializer_list<ViewPlan *> views, bool inOutput) {
    unsigned atom = space.addAtom(Size(1));
    for (ViewPlan *view : views)
      view->addUnit(atom);
    if (inOutput)
      result.output.addUnit(atom);
    return atom;
  };
  ViewPlan *q = &result.query, *k = &result.key, *v = &result.value;
  auto hasUnit = [](const ViewPlan &view) {
    return llvm::any_of(view.dims, [](ArrayRef<Factor> factors) {
      return llvm::any_of(factors, [](const Factor &f) { return !f.atom && f.size.isOne(); });
    });
  };
  // A batch of one stays visible where all operands have it.
  for (auto &group : result.output.factors)
    if (group.empty() && hasUnit(*q) && hasUnit(*k) && hasUnit(*v))
      addUnit({q, k, v}, /*inOutput=*/true);
  std::optional<unsigned> unitRow;
  if (getLeaves(rows).empty())
    unitRow = addUnit({q}, true);
  llvm::SmallDenseSet<unsigned> valueLeaves = getLeaves(values);
  if (valueLeaves.empty())
    valueLeaves.insert(addUnit({v}, true));
  llvm::SmallDenseSet<unsigned> rowLeaves = getLeaves(rows);
  SmallVector<unsigned> queries;
  for (ArrayRef<unsigned> group : result.output.factors)
    for (unsigned atom : group)
      if (rowLeaves.contains(atom) || atom == unitRow)
        queries.push_back(atom);
      else if (!valueLeaves.contains(atom))
        domain.atoms.push_back(atom);
  domain.atoms.append(queries);
  auto addLeaves = [&](ArrayRef<unsigned> roots, std::initializer_list<ViewPlan *> views) {
    size_t before = domain.atoms.size();
    for (unsigned root : roots)
      llvm::append_range(domain.atoms, space.getLeaves(root));
    if (domain.atoms.size() == before)
      domain.atoms.push_back(addUnit(views, false));
  };
  addLeaves(keys, {k, v});
  addLeaves(channels, {q, k});
  for (unsigned atom : valueLeaves)
    domain.atoms.push_back(atom);

  // Every atom of a view is a dim of the domain, and every dim has a class.
  auto isKnown = [&](const ViewPlan &view) {
    return llvm::all_of(view.dims, [&](ArrayRef<Factor> factors) {
      return llvm::all_of(factors,
                          [&](const Factor &f) { return !f.atom || domain.find(*f.atom); });
    });
  };
  bool known = isKnown(*q) && isKnown(*k) && isKnown(*v);
  for (const auto &bias : result.biases)
    known &= isKnown(bias.view);
  if (!known)
    return refuse(Reason::NotAView, "the views do not agree on how dims are split");
  MLIRContext *context = pair.second->getContext();
  std::string why;
  auto dims = attention::AttentionDims::infer(
      q->getMap(domain, context), k->getMap(domain, context), v->getMap(domain, context),
      result.output.getMap(domain, context), &why);
  if (failed(dims))
    return refuse(Reason::NotAView, why);
  std::optional<int64_t> extent = space.getExtent(domain.atoms[dims->channels]).getStatic();
  result.hasDefaultScale =
      extent && result.scale.factors.empty() &&
      std::abs(result.scale.constant * std::sqrt(double(*extent)) - 1.0) < 1e-6;
  return success();
}

Verdict Recogniser::run() {
  if (failed(checkShapes())) {
    verdict.isSite = pair.hasExponential;
    return std::move(verdict);
  }
  if (!readSecond())
    return std::move(verdict);
  Value product = pair.first->getResult(0);
  SmallVector<Operation *> casts;
  Scalar direct = skipCasts(*reader, near, &casts);
  LogicalResult matched = failure();
  if (direct.element && direct.element.source == product)
    matched = matchLinear(direct.element);
  else
    matched = matchSdpa();
  for (linalg::LinalgOp op : {pair.first, pair.second}) {
    Type type = getElementTypeOrSelf(op->getResult(0).getType());
    result.hasExcessPrecision |= type.isF16() || type.isBF16();
  }
  if (succeeded(matched) && options.strict && result.hasExcessPrecision)
    matched = refuse(Reason::ExcessPrecision);
  if (succeeded(matched) && options.strict && result.hasExcessRange)
    matched = refuse(Reason::ExcessRange);
  if (succeeded(matched))
    matched = plan();
  if (failed(matched)) {
    judgeSite();
    return std::move(verdict);
  }
  verdict.isSite = true;
  result.reader = std::move(reader);
  verdict.attention = std::move(result);
  return std::move(verdict);
}

Verdict elfatt::raise::recognise(const ContractionPair &pair, const RecogniseOptions &options) {
  return Recogniser(pair, options).run();
}
