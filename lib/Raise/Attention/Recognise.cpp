// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Recognise.h"

#include "Analysis/Positions.h"
#include "OnlineSoftmax.h"
#include "Softmax.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::Size;

namespace {

/// Where an attention ends: after the second contraction, or after the division
/// that follows it. One element of `result`, and what it is of the contraction's.
struct Ending {
  Value result;
  SmallVector<Index> indices;
  Element product;
  /// Set where the division comes after.
  std::optional<Scalar> divisor;
};

/// One attempt at one pair.
///   second: O[b,i,e] = sum_j P[b,i,j] V[b,j,e]    first: S[b,i,j] = sum_d Q K
class Recogniser {
public:
  Recogniser(const ContractionPair &pair, const RecogniseOptions &options, ConstantTables &tables)
      : pair(pair), options(options), reader(std::make_unique<ScalarReader>(&tables)),
        space(reader->getSpace()) {}

  Verdict run();

private:
  LogicalResult refuse(Reason reason, const Twine &detail = "") {
    verdict.refusal = {reason, detail.str()};
    return failure();
  }
  Scalar readSide(const Contraction &contraction, unsigned side, ArrayRef<Index> loops) {
    return reader->resolve(contraction.sides[side], reader->addFrame(contraction.op, loops));
  }
  /// Whether one of `atoms` occurs in `index`.
  bool mentions(const Index &index, ArrayRef<unsigned> atoms) {
    llvm::SmallDenseSet<unsigned> leaves = reader->getLeaves(atoms);
    return llvm::any_of(space.normalize(index).terms,
                        [&](const view::Term &term) { return leaves.contains(term.atom); });
  }
  bool mentions(const Element &element, ArrayRef<unsigned> atoms) {
    return llvm::any_of(element.indices,
                        [&](const Index &index) { return mentions(index, atoms); });
  }
  /// Whether a side of the first contraction depends on one of `atoms`.
  bool mentions(unsigned side, ArrayRef<unsigned> atoms) {
    return llvm::any_of(pair.first.loops[side].set_bits(),
                        [&](unsigned loop) { return mentions(firstLoops[loop], atoms); });
  }

  /// Channels, and values, are one dim of sdpa: a movement that cuts it is the operand's own.
  /// Where their number is not known no kernel would serve them.
  void keepWhole(ArrayRef<unsigned> atoms) {
    for (unsigned atom : atoms)
      if (space.getExtent(atom).isStatic())
        space.keepWhole(atom);
  }
  LogicalResult checkShapes();
  Ending endPlainly();
  std::optional<Ending> findDivision();
  bool readSecond();
  std::optional<Element> findContext();
  LogicalResult readFirst(const Element &product);
  void judgeSite();
  LogicalResult matchSdpa();
  LogicalResult matchLinear(const Element &context);
  void noteCasts(ArrayRef<Operation *> casts);
  bool isFeatureMap(const Scalar &scalar);
  bool readOperand(const Scalar &scalar, ProgramElement &operand);
  bool mentions(const ProgramElement &operand, ArrayRef<unsigned> atoms);

  ContractionPair pair;
  const RecogniseOptions &options;
  std::unique_ptr<ScalarReader> reader;
  view::IndexSpace &space;
  Verdict verdict;
  RecognisedAttention result;

  Ending ending;
  AttentionParts parts;
  /// What `second` contracts: keys, or the channels of linear attention.
  SmallVector<unsigned> contracted;
  SmallVector<Index> secondLoops, firstLoops;
  SmallVector<Operation *> endingCasts;
  /// P (or Q of linear attention), and the other operand of `second`.
  Scalar near, far;
};

} // namespace

/// Element types that the ops compute with.
static bool isSupported(Type type) {
  return type.isF16() || type.isBF16() || type.isF32() || type.isF64();
}

LogicalResult Recogniser::checkShapes() {
  if (pair.isQuantized)
    return refuse(Reason::Quantized);
  for (const Contraction *each : {&pair.first, &pair.second}) {
    for (Value value : {each->sides[0], each->sides[1], each->getResult()})
      if (!isSupported(getElementTypeOrSelf(value.getType())))
        return refuse(Reason::UnsupportedDtype,
                      "expected f16, bf16, f32 or f64 elements, got others");
    for (Value operand : each->op->getOperands())
      if (auto type = dyn_cast<RankedTensorType>(operand.getType());
          type && llvm::is_contained(type.getShape(), 0))
        return refuse(Reason::EmptyShape);
  }
  return success();
}

/// The end after the second contraction.
Ending Recogniser::endPlainly() {
  Ending plain{pair.second.getResult(), {}, {}, std::nullopt};
  for (const Size &size : reader->getSizes().getSizes(plain.result))
    plain.indices.push_back(space.get(space.addAtom(size)));
  plain.product = {plain.result, llvm::to_vector<0>(plain.indices)};
  return plain;
}

/// The end after O / Z, with O the second contraction's result and nothing but data
/// movement between.
std::optional<Ending> Recogniser::findDivision() {
  Value value = pair.second.getResult();
  while (value.hasOneUse()) {
    Operation *user = *value.user_begin();
    if (user->getNumResults() != 1 || !isa<RankedTensorType>(user->getResult(0).getType()))
      return std::nullopt;
    value = user->getResult(0);
    auto linalg = dyn_cast<linalg::LinalgOp>(user);
    if (!linalg || view::getCopiedOperand(linalg))
      continue;
    Ending divided{value, {}, {}, std::nullopt};
    for (const Size &size : reader->getSizes().getSizes(value))
      divided.indices.push_back(space.get(space.addAtom(size)));
    SmallVector<Operation *> casts;
    Scalar scalar = skipCasts(*reader, reader->read(value, divided.indices), &casts);
    if (scalar.element && scalar.element.source == pair.second.getResult())
      continue;
    std::optional<Quotient> quotient = matchQuotient(*reader, scalar);
    if (!quotient)
      return std::nullopt;
    divided.product = skipCasts(*reader, quotient->numerator, &casts).element;
    divided.divisor = quotient->divisor;
    endingCasts = casts;
    return divided.product.source == pair.second.getResult() ? std::optional(divided)
                                                             : std::nullopt;
  }
  return std::nullopt;
}

/// Reads the second contraction at the ending: classes of its loops, P and V.
bool Recogniser::readSecond() {
  const Contraction &second = pair.second;
  auto loops = view::invertMap(second.getResultMap(), ending.product.indices);
  if (!loops)
    return false;
  SmallVector<Size> extents = view::getLoopSizes(second.op, reader->getSizes());
  secondLoops.clear();
  for (auto [loop, index] : llvm::enumerate(*loops))
    secondLoops.push_back(index ? *index : space.get(space.addAtom(extents[loop])));
  auto collect = [&](ArrayRef<unsigned> from, SmallVector<unsigned> &into) {
    into.clear();
    for (unsigned loop : from)
      for (const view::Term &term : space.normalize(secondLoops[loop]).terms)
        into.push_back(term.atom);
  };
  parts.result = {ending.result, llvm::to_vector<0>(ending.indices)};
  collect(second.batch, parts.batch);
  collect(second.free[pair.side], parts.rows);
  collect(second.free[1 - pair.side], parts.values);
  collect(second.reduced, parts.keys);
  parts.isOneRow = second.free[pair.side].size() == 1;
  contracted = parts.keys;
  near = readSide(second, pair.side, secondLoops);
  if (!findContext())
    keepWhole(parts.values);
  far = readSide(second, 1 - pair.side, secondLoops);
  return near && far;
}

/// The element of the first product where the second contracts that itself: linear attention.
std::optional<Element> Recogniser::findContext() {
  SmallVector<Operation *> casts;
  Scalar direct = skipCasts(*reader, near, &casts);
  if (direct.element && direct.element.source == pair.first.getResult())
    return direct.element;
  return std::nullopt;
}

/// Loops of the first contraction where its result is read at `product`.
LogicalResult Recogniser::readFirst(const Element &product) {
  const Contraction &first = pair.first;
  auto loops = view::invertMap(first.getResultMap(), product.indices);
  if (!loops)
    return refuse(Reason::NotAView);
  SmallVector<Size> extents = view::getLoopSizes(first.op, reader->getSizes());
  firstLoops.clear();
  for (auto [loop, index] : llvm::enumerate(*loops)) {
    if (index) {
      firstLoops.push_back(*index);
      continue;
    }
    parts.channels.push_back(space.addAtom(extents[loop]));
    firstLoops.push_back(space.get(parts.channels.back()));
  }
  for (const Contraction *each : {&pair.first, &pair.second}) {
    Value init = each->getInit();
    SmallVector<Index> zeros(cast<RankedTensorType>(init.getType()).getRank());
    if (reader->getConstantDouble(reader->read(init, zeros)) != 0.0)
      return refuse(Reason::AccumulatesIntoTensor);
  }
  return success();
}

bool Recogniser::readOperand(const Scalar &scalar, ProgramElement &operand) {
  std::optional<ProgramElement> element = readProgramElement(*reader, scalar);
  if (element)
    operand = std::move(*element);
  return element.has_value();
}

/// Whether `operand` depends on `atoms`. A repeated head is none at its source.
bool Recogniser::mentions(const ProgramElement &operand, ArrayRef<unsigned> atoms) {
  if (!operand.computed)
    return mentions(reader->getTracer().trace(operand.start), atoms);
  return llvm::any_of(operand.computed->elements,
                      [&](const ProgramElement &each) { return mentions(each, atoms); }) ||
         llvm::any_of(operand.computed->nodes, [&](const ScalarProgram::Node &node) {
           return node.kind == ScalarProgram::Node::Position && mentions(node.position, atoms);
         });
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
    if (scalar.element && scalar.element.source == pair.first.getResult()) {
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
  auto loops = view::invertMap(pair.first.getResultMap(), product->indices);
  if (!loops)
    return;
  auto mentionsAny = [&](ArrayRef<unsigned> dims, ArrayRef<unsigned> atoms) {
    return llvm::any_of(
        dims, [&](unsigned dim) { return (*loops)[dim] && mentions(*(*loops)[dim], atoms); });
  };
  bool contractsFree = llvm::any_of(ArrayRef<unsigned>{0, 1}, [&](unsigned side) {
    return mentionsAny(pair.first.free[side], contracted) && !pair.first.isConstantSide(side);
  });
  verdict.isSite =
      contractsFree && (pair.hasExponential || mentionsAny(pair.first.batch, parts.batch));
}

/// What casts on the way mean for the op, which computes in f32, or in f64 where
/// an operand is f64: where the source widens to f64 between smaller operands, one of
/// them has to be.
void Recogniser::noteCasts(ArrayRef<Operation *> casts) {
  for (Operation *cast : casts) {
    result.hasExcessPrecision |= isa<arith::TruncFOp>(cast);
    result.computesInF64 |= cast->getResult(0).getType().isF64() && isa<arith::ExtFOp>(cast);
  }
  result.hasExcessPrecision |= result.computesInF64;
}

LogicalResult Recogniser::matchSdpa() {
  FailureOr<Softmax> softmax = ending.divisor
                                   ? matchSoftmax(*reader, near, *ending.divisor, verdict.refusal)
                                   : matchSoftmax(*reader, near, verdict.refusal);
  if (failed(softmax))
    return failure();
  ScoresQuery query{softmax->logits, softmax->factor,  pair.first.getResult(), parts.rows,
                    parts.keys,      softmax->lowMask, options.strict};
  FailureOr<Scores> scores = matchScores(*reader, query, verdict.refusal);
  if (failed(scores))
    return failure();
  if (reader->getLeaves(softmax->axis) != reader->getLeaves(parts.keys))
    return refuse(Reason::WrongSoftmaxAxis);
  if (failed(readFirst(scores->product)))
    return failure();
  keepWhole(parts.channels);
  result.scale = scores->scale;
  result.isCausal = scores->isCausal;
  result.causalRow = scores->causalRow;
  result.program = std::move(scores->program);
  parts.biases = std::move(scores->biases);
  SmallVector<Operation *> casts(softmax->casts);
  llvm::append_range(casts, scores->casts);
  llvm::append_range(casts, endingCasts);

  ProgramElement operands[2];
  for (unsigned side : {0, 1}) {
    Scalar scalar = readSide(pair.first, side, firstLoops);
    if (!scalar || !readOperand(peelScale(*reader, scalar, result.scale, casts), operands[side]))
      return refuse(Reason::NotAView);
  }
  Scale one;
  Scalar value = peelScale(*reader, far, one, casts);
  if (!readOperand(one.isOne() ? value : far, parts.value))
    return refuse(Reason::NotAView);
  unsigned querySide = reader->getLeaves(parts.keys).empty() ? !mentions(operands[0], parts.rows)
                                                             : mentions(operands[0], parts.keys);
  parts.query = operands[querySide], parts.key = operands[1 - querySide];
  if (mentions(parts.query, parts.keys) || mentions(parts.key, parts.rows) ||
      !mentions(parts.key, parts.keys)) {
    // A single key or a single query has no atoms to tell it by.
    bool single = reader->getLeaves(parts.keys).empty() || reader->getLeaves(parts.rows).empty();
    if (!single || mentions(parts.query, parts.keys) || mentions(parts.key, parts.rows))
      return refuse(Reason::NotAView, "the first product is not one of queries and keys");
  }
  if (pair.first.isConstantSide(1 - querySide))
    return refuse(Reason::NoSoftmax, "the keys are constant");
  result.zeroMaskedRows = softmax->zeroMaskedRows;
  result.hasExcessRange = !softmax->hasMax || softmax->hasExcessRange || scores->hasExcessRange;
  noteCasts(casts);
  return success();
}

/// Whether `scalar` is no linear function of elements: what linear attention makes of
/// queries and keys.
bool Recogniser::isFeatureMap(const Scalar &scalar) {
  SmallVector<Scalar, 0> stack{scalar};
  for (unsigned steps = 0; !stack.empty() && steps < 32; ++steps) {
    Scalar opened = reader->open(stack.pop_back_val());
    Operation *op = opened.getOp();
    if (!op || op->getNumRegions() != 0)
      continue;
    if (isa<arith::MaximumFOp, arith::MaxNumFOp, arith::SelectOp>(op) ||
        isa<math::MathDialect>(op->getDialect()))
      return true;
    for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i)
      stack.push_back(reader->getOperand(opened, i));
  }
  return false;
}

/// O[b,i,e] = sum_d softmax_d(Q) C[b,d,e],  C[b,d,e] = sum_j softmax_j(K) V[b,j,e]:
/// `second` contracts d, `first` contracts j.
LogicalResult Recogniser::matchLinear(const Element &context) {
  result.isLinear = true;
  // The other operand is the query, and what `second` contracts are channels.
  std::swap(parts.rows, parts.values);
  parts.keys.clear();
  if (failed(readFirst(context)))
    return failure();
  parts.keys = std::move(parts.channels);
  parts.channels = contracted;

  Scalar sides[] = {readSide(pair.first, 0, firstLoops), readSide(pair.first, 1, firstLoops)};
  if (!sides[0] || !sides[1])
    return refuse(Reason::NotAView);
  unsigned keySide = mentions(0u, parts.channels) ? 0 : 1;
  verdict.isLinear = isFeatureMap(far) && isFeatureMap(sides[keySide]);
  if (isRelu(*reader, far) && isRelu(*reader, sides[keySide]))
    return refuse(Reason::ReluLinearAttention);
  // What scales the queries' softmax scales the result.
  SmallVector<Operation *> widened;
  if (Scalar softmax = peelScale(*reader, far, result.scale, widened); result.scale.factors.empty())
    far = softmax;
  else
    result.scale = {};
  FailureOr<Softmax> ofQuery = matchSoftmax(*reader, far, verdict.refusal);
  if (failed(ofQuery))
    return failure();
  if (reader->getLeaves(ofQuery->axis) != reader->getLeaves(parts.channels))
    return refuse(Reason::WrongSoftmaxAxis, "the queries' softmax is not over the channels");
  FailureOr<Softmax> ofKey = matchSoftmax(*reader, sides[keySide], verdict.refusal);
  if (failed(ofKey))
    return failure();
  if (reader->getLeaves(ofKey->axis) != reader->getLeaves(parts.keys))
    return refuse(Reason::WrongSoftmaxAxis, "the keys' softmax is not over the tokens");
  SmallVector<Operation *> casts(ofQuery->casts);
  llvm::append_range(casts, ofKey->casts);
  auto peel = [&](const Scalar &scalar, ProgramElement &operand) {
    Scale scale;
    Scalar peeled = peelScale(*reader, scalar, scale, casts);
    return readOperand(scale.isOne() ? peeled : scalar, operand);
  };
  if (!peel(ofQuery->logits, parts.query) || !peel(ofKey->logits, parts.key) ||
      !peel(sides[1 - keySide], parts.value))
    return refuse(Reason::NotAView);
  for (const Softmax *softmax : {&*ofQuery, &*ofKey}) {
    if (softmax->factor != 1.0)
      return refuse(Reason::ScoreFunction, "linear attention with a temperature");
    result.hasExcessRange |= !softmax->hasMax || softmax->hasExcessRange;
  }
  noteCasts(casts);
  return success();
}

Verdict Recogniser::run() {
  if (failed(checkShapes())) {
    verdict.isSite = pair.hasExponential;
    return std::move(verdict);
  }
  // What the products tie is one size under several names.
  for (const Contraction *each : {&pair.first, &pair.second})
    reader->getSizes().unifyLoops(each->op);
  ending = endPlainly();
  if (!readSecond())
    return std::move(verdict);
  if (isExponential(*reader, near))
    if (std::optional<Ending> division = findDivision()) {
      ending = std::move(*division);
      if (!readSecond())
        return std::move(verdict);
    }
  std::optional<Element> context = findContext();
  LogicalResult matched = context ? matchLinear(*context) : matchSdpa();
  if (failed(matched) && verdict.refusal.reason == Reason::NoSoftmax && !context &&
      isOnlineSoftmax(*reader, near, pair))
    matched = refuse(Reason::OnlineSoftmax);
  for (const Contraction *each : {&pair.first, &pair.second}) {
    Type type = getElementTypeOrSelf(each->getResult().getType());
    result.hasExcessPrecision |= type.isF16() || type.isBF16();
  }
  // What was matched is a site, whatever it is refused for.
  bool isMatched = succeeded(matched);
  if (succeeded(matched) && options.strict && result.hasExcessPrecision)
    matched = refuse(Reason::ExcessPrecision);
  if (succeeded(matched) && options.strict && result.hasExcessRange)
    matched = refuse(Reason::ExcessRange);
  if (succeeded(matched))
    matched = planAttention(parts, *reader, result, verdict.refusal);
  if (succeeded(matched) && result.isLinear && !result.scale.isOne() &&
      !result.output.casts.empty())
    matched = refuse(Reason::MaskAfterSoftmax, "it is scaled in another type than the result's");
  verdict.isSite = isMatched;
  if (failed(matched)) {
    if (!isMatched)
      judgeSite();
    return std::move(verdict);
  }
  result.reader = std::move(reader);
  verdict.attention = std::move(result);
  return std::move(verdict);
}

Verdict elfatt::raise::recognise(const ContractionPair &pair, const RecogniseOptions &options,
                                 ConstantTables &tables) {
  return Recogniser(pair, options, tables).run();
}
