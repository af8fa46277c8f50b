// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ScalarProgram.h"

#include "Analysis/Positions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using Node = ScalarProgram::Node;

/// A function of a score is some ten ops; shared parts are read once for each use.
static constexpr unsigned kMaxSteps = 1024;

namespace {
class ProgramReader {
public:
  ProgramReader(ScalarReader &reader, Value product, Refusal &why)
      : reader(reader), product(product), why(why) {}

  ScalarProgram program;
  FailureOr<unsigned> read(const Scalar &closed);

private:
  LogicalResult refuse(const Twine &detail) {
    why = {Reason::ScoreFunction, detail.str()};
    return failure();
  }
  FailureOr<unsigned> readScore(const Element &element);
  FailureOr<unsigned> readElement(const Scalar &closed);
  FailureOr<unsigned> readComputed(const Scalar &scalar);
  bool hasForeignElement(const Scalar &closed);
  /// The number of `node`, or of the same one before it.
  unsigned add(Node node);

  ScalarReader &reader;
  Value product;
  Refusal &why;
  unsigned steps = kMaxSteps;
};
} // namespace

unsigned ProgramReader::add(Node node) {
  for (auto [number, known] : llvm::enumerate(program.nodes))
    if (known.kind == node.kind && known.operands == node.operands &&
        known.element == node.element && known.constant == node.constant &&
        reader.getSpace().equal(known.position, node.position) &&
        (node.kind != Node::Op || (known.op->getName() == node.op->getName() &&
                                   known.op->getAttrDictionary() == node.op->getAttrDictionary() &&
                                   known.op->getResultTypes() == node.op->getResultTypes())))
      return number;
  program.nodes.push_back(std::move(node));
  return program.nodes.size() - 1;
}

FailureOr<unsigned> ProgramReader::readScore(const Element &element) {
  if (program.product && !reader.getSpace().equal(program.product.indices, element.indices))
    return FailureOr<unsigned>(refuse("a score depends on other scores"));
  program.product = element;
  return add(Node(Node::Score));
}

FailureOr<unsigned> ProgramReader::readElement(const Scalar &closed) {
  Type type = closed.getType();
  if (product && !isa<FloatType>(type) && !type.isInteger(1))
    return FailureOr<unsigned>(refuse("a score depends on a tensor of integers"));
  const Element &start = closed.start;
  auto isKnown = [&](const ProgramElement &known) {
    return known.start.source == start.source &&
           reader.getSpace().equal(known.start.indices, start.indices);
  };
  Node node(Node::Element);
  auto known = llvm::find_if(program.elements, isKnown);
  node.element = known - program.elements.begin();
  if (known == program.elements.end())
    program.elements.push_back({start, nullptr});
  return add(std::move(node));
}

/// Whether elements make `closed` that the op does not take: integers that are no
/// positions, or f64 where the scores are not.
bool ProgramReader::hasForeignElement(const Scalar &closed) {
  if (steps == 0)
    return false;
  --steps;
  Type type = closed.getType();
  if (closed.element)
    return ((type.isIntOrIndex() && !type.isInteger(1)) ||
            (type.isF64() && !getElementTypeOrSelf(product.getType()).isF64())) &&
           !isPositional(reader, closed);
  Operation *op = closed.getOp();
  if (!op || op->getNumRegions() != 0)
    return false;
  for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i)
    if (hasForeignElement(reader.getOperand(closed, i)))
      return true;
  return false;
}

/// A tensor that is computed beside the op.
FailureOr<unsigned> ProgramReader::readComputed(const Scalar &scalar) {
  FailureOr<ScalarProgram> computed = readScalarProgram(reader, scalar, {}, why);
  if (failed(computed))
    return failure();
  Node node(Node::Element);
  node.element = program.elements.size();
  program.elements.push_back({{}, std::make_shared<ScalarProgram>(std::move(*computed))});
  return add(std::move(node));
}

FailureOr<unsigned> ProgramReader::read(const Scalar &closed) {
  if (steps-- == 0)
    return FailureOr<unsigned>(refuse("the function of a score is too large"));
  Scalar scalar = closed;
  if (closed.element) {
    if (product && closed.element.source == product)
      return readScore(closed.element);
    // A tensor of its own is an operand, unless positions alone make it.
    bool isOfScores = product && reader.reaches(closed, product);
    if (!isOfScores && !isPositional(reader, closed))
      return readElement(closed);
    scalar = reader.open(closed);
    if (product && scalar.element && scalar.element.source == product)
      return readScore(scalar.element);
    if (DenseElementsAttr splat;
        scalar.element && matchPattern(scalar.element.source, m_Constant(&splat))) {
      Node node(Node::Constant);
      node.constant = cast<TypedAttr>(splat.getSplatValue<Attribute>());
      return add(std::move(node));
    }
    if (scalar.element)
      return FailureOr<unsigned>(refuse("a score depends on other scores"));
  }
  Operation *op = scalar.getOp();
  if (!op)
    return FailureOr<unsigned>(refuse("a score depends on a scalar that is in no tensor"));
  if (auto index = dyn_cast<linalg::IndexOp>(op)) {
    Node node(Node::Position);
    node.position = scalar.frame->loops[index.getDim()];
    return add(std::move(node));
  }
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    Node node(Node::Constant);
    node.constant = constant.getValue();
    return add(std::move(node));
  }
  if (product && (isa<FloatType>(scalar.getType()) || scalar.getType().isInteger(1)) &&
      hasForeignElement(scalar) && !reader.reaches(scalar, product))
    return readComputed(scalar);
  bool isElementwise = OpTrait::hasElementwiseMappableTraits(op) && isPure(op) &&
                       op->getNumResults() == 1 && op->getNumRegions() == 0 &&
                       !isa<arith::BitcastOp>(op);
  if (!isElementwise)
    return FailureOr<unsigned>(refuse(op->getName().getStringRef()));
  if (isa<arith::ExtFOp, arith::TruncFOp>(op))
    program.casts.push_back(op);
  Node node(Node::Op, op);
  for (unsigned i = 0, e = op->getNumOperands(); i < e; ++i) {
    FailureOr<unsigned> operand = read(reader.getOperand(scalar, i));
    if (failed(operand))
      return failure();
    node.operands.push_back(*operand);
  }
  return add(std::move(node));
}

FailureOr<ScalarProgram> elfatt::raise::readScalarProgram(ScalarReader &reader,
                                                          const Scalar &scalar, Value product,
                                                          Refusal &why) {
  ProgramReader read(reader, product, why);
  if (failed(read.read(scalar)))
    return failure();
  if (product && !read.program.product) {
    why = {Reason::ScoreFunction, "the scores do not depend on the product"};
    return failure();
  }
  return std::move(read.program);
}

std::optional<ProgramElement> elfatt::raise::readProgramElement(ScalarReader &reader,
                                                                const Scalar &scalar) {
  if (scalar.start.source)
    return ProgramElement{scalar.start, nullptr};
  Refusal ignored{Reason::ScoreFunction, ""};
  FailureOr<ScalarProgram> program = readScalarProgram(reader, scalar, {}, ignored);
  if (failed(program))
    return std::nullopt;
  return ProgramElement{{}, std::make_shared<ScalarProgram>(std::move(*program))};
}

void ScalarProgram::dropUnused() {
  llvm::SmallBitVector used(nodes.size());
  used.set(nodes.size() - 1);
  for (size_t i = nodes.size(); i-- > 0;)
    if (used.test(i))
      for (unsigned operand : nodes[i].operands)
        used.set(operand);
  ScalarProgram kept;
  SmallVector<unsigned> numbers(nodes.size()), elementNumbers(elements.size(), ~0u);
  for (unsigned i : used.set_bits()) {
    Node node = nodes[i];
    for (unsigned &operand : node.operands)
      operand = numbers[operand];
    if (node.kind == Node::Element) {
      unsigned &number = elementNumbers[node.element];
      if (number == ~0u) {
        number = kept.elements.size();
        kept.elements.push_back(elements[node.element]);
      }
      node.element = number;
    }
    numbers[i] = kept.nodes.size();
    kept.nodes.push_back(std::move(node));
  }
  nodes = std::move(kept.nodes);
  elements = std::move(kept.elements);
}
