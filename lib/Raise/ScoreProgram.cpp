// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ScoreProgram.h"

#include "Positions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using Node = ScoreProgram::Node;

/// A function of a score is some ten ops; shared parts are read once for each use.
static constexpr unsigned kMaxSteps = 1024;

namespace {
class ProgramReader {
public:
  ProgramReader(ScalarReader &reader, Value product, Refusal &why)
      : reader(reader), product(product), why(why) {}

  ScoreProgram program;
  FailureOr<unsigned> read(const Scalar &closed);

private:
  LogicalResult refuse(const Twine &detail) {
    why = {Reason::ScoreFunction, detail.str()};
    return failure();
  }
  FailureOr<unsigned> readScore(const Element &element);
  FailureOr<unsigned> readElement(const Scalar &closed);
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
  if (!isa<FloatType>(type) && !type.isInteger(1))
    return FailureOr<unsigned>(refuse("a score depends on a tensor of integers"));
  const Element &start = closed.start;
  auto isKnown = [&](const Element &known) {
    return known.source == start.source && reader.getSpace().equal(known.indices, start.indices);
  };
  Node node(Node::Element);
  auto known = llvm::find_if(program.elements, isKnown);
  node.element = known - program.elements.begin();
  if (known == program.elements.end())
    program.elements.push_back(start);
  return add(std::move(node));
}

FailureOr<unsigned> ProgramReader::read(const Scalar &closed) {
  if (steps-- == 0)
    return FailureOr<unsigned>(refuse("the function of a score is too large"));
  Scalar scalar = closed;
  if (closed.element) {
    if (closed.element.source == product)
      return readScore(closed.element);
    // A tensor of its own is an operand, unless positions alone make it.
    if (!reader.reaches(closed, product) && !isPositional(reader, closed))
      return readElement(closed);
    scalar = reader.open(closed);
    if (scalar.element && scalar.element.source == product)
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

FailureOr<ScoreProgram> elfatt::raise::readScoreProgram(ScalarReader &reader, const Scalar &scalar,
                                                        Value product, Refusal &why) {
  ProgramReader read(reader, product, why);
  if (failed(read.read(scalar)))
    return failure();
  if (!read.program.product) {
    why = {Reason::ScoreFunction, "the scores do not depend on the product"};
    return failure();
  }
  return std::move(read.program);
}

//===----------------------------------------------------------------------===//
// Building
//===----------------------------------------------------------------------===//

/// Floats narrower than what is computed in become that.
static Type promote(Type type, FloatType computed) {
  auto number = dyn_cast<FloatType>(type);
  return number && number.getWidth() < computed.getWidth() ? computed : type;
}

static Value castFloat(OpBuilder &builder, Location loc, Value value, Type type) {
  unsigned have = value.getType().getIntOrFloatBitWidth(), want = type.getIntOrFloatBitWidth();
  if (value.getType() == type)
    return value;
  return have < want ? arith::ExtFOp::create(builder, loc, type, value).getResult()
                     : arith::TruncFOp::create(builder, loc, type, value).getResult();
}

static Value buildConstant(OpBuilder &builder, Location loc, TypedAttr constant,
                           FloatType computed) {
  if (auto number = dyn_cast<FloatAttr>(constant)) {
    APFloat value = number.getValue();
    auto type = cast<FloatType>(promote(number.getType(), computed));
    bool losesInfo;
    value.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven, &losesInfo);
    constant = FloatAttr::get(type, value);
  }
  return arith::ConstantOp::create(builder, loc, constant);
}

Value elfatt::raise::buildScoreProgram(
    OpBuilder &builder, Location loc, const ScoreProgram &program, FloatType type, Value score,
    ValueRange elements, llvm::function_ref<Value(const view::Index &)> buildPosition) {
  SmallVector<Value> values;
  for (const Node &node : program.nodes) {
    switch (node.kind) {
    case Node::Score:
      values.push_back(score);
      continue;
    case Node::Element: {
      Value element = elements[node.element];
      values.push_back(isa<FloatType>(element.getType())
                           ? castFloat(builder, loc, element, promote(element.getType(), type))
                           : element);
      continue;
    }
    case Node::Position:
      values.push_back(buildPosition(node.position));
      continue;
    case Node::Constant:
      values.push_back(buildConstant(builder, loc, node.constant, type));
      continue;
    case Node::Op:
      break;
    }
    Type result = promote(node.op->getResult(0).getType(), type);
    if (isa<arith::ExtFOp, arith::TruncFOp>(node.op)) {
      values.push_back(castFloat(builder, loc, values[node.operands[0]], result));
      continue;
    }
    SmallVector<Value> operands =
        llvm::map_to_vector(node.operands, [&](unsigned operand) { return values[operand]; });
    Operation *clone = builder.create(OperationState(node.op->getLoc(), node.op->getName(),
                                                     operands, result, node.op->getAttrs()));
    values.push_back(clone->getResult(0));
  }
  Value result = castFloat(builder, loc, values.back(), type);
  if (program.factor == 1.0)
    return result;
  Value factor =
      arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, program.factor));
  return arith::MulFOp::create(builder, loc, result, factor);
}
