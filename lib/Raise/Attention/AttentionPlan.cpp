// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionPlan.h"

#include "Analysis/Positions.h"

#include <cmath>

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Size;
using Node = ScalarProgram::Node;

//===----------------------------------------------------------------------===//
// OperandPlan
//===----------------------------------------------------------------------===//

Type OperandPlan::getElementType() const {
  if (!program)
    return getElementTypeOrSelf(views.front().source.getType());
  const Node &last = program->nodes.back();
  return last.kind == Node::Op ? last.op->getResult(0).getType()
                               : getElementTypeOrSelf(views.back().source.getType());
}

bool OperandPlan::hasFreeUnit() const {
  return !program && llvm::any_of(views.front().dims, [](ArrayRef<Factor> factors) {
    return llvm::any_of(factors, [](const Factor &f) { return !f.atom && f.size.isOne(); });
  });
}

void OperandPlan::addUnit(unsigned atom) {
  if (program)
    atoms.push_back(atom);
  else
    views.front().addUnit(atom);
}

bool OperandPlan::isOver(const Domain &domain) const {
  return llvm::all_of(atoms, [&](unsigned atom) { return domain.find(atom).has_value(); }) &&
         llvm::all_of(views, [&](const ViewPlan &view) { return view.isOver(domain); });
}

AffineMap OperandPlan::getMap(const Domain &domain, MLIRContext *context) const {
  if (!program)
    return views.front().getMap(domain, context);
  SmallVector<unsigned> dims =
      llvm::map_to_vector(atoms, [&](unsigned atom) { return *domain.find(atom); });
  return AffineMap::getMultiDimMapWithTargets(domain.atoms.size(), dims, context);
}

//===----------------------------------------------------------------------===//
// Planning
//===----------------------------------------------------------------------===//

namespace {
class Planner {
public:
  Planner(const AttentionParts &parts, ScalarReader &reader, RecognisedAttention &result,
          Refusal &why)
      : parts(parts), reader(reader), space(reader.getSpace()), result(result), why(why) {}

  LogicalResult run();

private:
  LogicalResult refuse(Reason reason, const Twine &detail = "") {
    why = {reason, detail.str()};
    return failure();
  }
  SmallVector<unsigned> getWhole();
  LogicalResult planOperand(const ProgramElement &element, OperandPlan &plan);
  LogicalResult checkPositions(const ScalarProgram &program);
  LogicalResult buildDomain();
  std::optional<int64_t> countGroups();

  const AttentionParts &parts;
  ScalarReader &reader;
  view::IndexSpace &space;
  RecognisedAttention &result;
  Refusal &why;
};
} // namespace

/// Atoms that no movement may split: the op has one dim for each.
SmallVector<unsigned> Planner::getWhole() {
  SmallVector<unsigned> whole(parts.channels);
  llvm::append_range(whole, parts.values);
  if (result.isCausal) {
    llvm::append_range(whole, parts.rows);
    llvm::append_range(whole, parts.keys);
  }
  return whole;
}

static SmallVector<Element, 1> getElements(const ProgramElement &element) {
  if (!element.computed)
    return {element.start};
  SmallVector<Element, 1> starts;
  for (const ProgramElement &each : element.computed->elements)
    starts.push_back(each.start);
  return starts;
}

LogicalResult Planner::planOperand(const ProgramElement &element, OperandPlan &plan) {
  plan.program = element.computed;
  for (const Element &start : getElements(element)) {
    std::optional<ViewPlan> view = planSource(reader, start, getWhole());
    if (!view)
      return refuse(Reason::NotAView);
    plan.views.push_back(std::move(*view));
  }
  if (!plan.program)
    return success();
  auto add = [&](unsigned atom) {
    if (!llvm::is_contained(plan.atoms, atom))
      plan.atoms.push_back(atom);
  };
  for (const ViewPlan &view : plan.views)
    for (ArrayRef<Factor> factors : view.dims)
      for (const Factor &factor : factors)
        if (factor.atom)
          add(*factor.atom);
  for (const Node &node : plan.program->nodes)
    if (node.kind == Node::Position) {
      std::optional<Linear> position = toLinear(space, node.position);
      if (!position)
        return refuse(Reason::ScoreFunction, "a position has an unknown stride");
      for (auto [atom, coefficient] : position->terms)
        add(atom);
    }
  return success();
}

LogicalResult Planner::run() {
  SmallVector<unsigned> whole = getWhole();
  // Movements cut atoms as they are traced: first trace all, then plan with the
  // cuts that are there in the end.
  SmallVector<const ProgramElement *> elements = {&parts.query, &parts.key, &parts.value};
  for (const Bias &bias : parts.biases)
    elements.push_back(&bias.element);
  for (const ProgramElement *element : elements)
    for (const Element &start : getElements(*element))
      reader.getTracer().traceAll(start, whole);
  SmallVector<view::Index> indices = llvm::map_to_vector(
      parts.result.indices, [&](const view::Index &index) { return space.normalize(index); });
  std::optional<OutputPlan> output = planOutput(reader, parts.result.source, indices, whole);
  if (!output)
    return refuse(Reason::NotAView, "the result is no view");
  result.output = std::move(*output);
  if (failed(planOperand(parts.query, result.query)) ||
      failed(planOperand(parts.key, result.key)) || failed(planOperand(parts.value, result.value)))
    return failure();
  for (const OperandPlan *operand : {&result.query, &result.key, &result.value})
    if (!operand->program && operand->views.front().dims.empty())
      return refuse(Reason::NotAView, "an operand has no dims");
  for (const Bias &bias : parts.biases) {
    RecognisedAttention::BiasPlan &plan = result.biases.emplace_back();
    plan.isInverted = bias.isInverted;
    if (failed(planOperand(bias.element, plan.operand)))
      return failure();
  }
  return buildDomain();
}

/// Orders the domain: batch and rows as in the result, then keys, channels and
/// values. Dims of size 1 that an op must have, or that the result shows, are put
/// back: the layouts do not know them.
LogicalResult Planner::buildDomain() {
  Domain &domain = result.domain;
  auto addUnit = [&](std::initializer_list<OperandPlan *> operands, bool inOutput) {
    unsigned atom = space.addAtom(Size(1));
    for (OperandPlan *operand : operands)
      operand->addUnit(atom);
    if (inOutput)
      result.output.addUnit(atom);
    return atom;
  };
  OperandPlan *q = &result.query, *k = &result.key, *v = &result.value;
  // A batch of one stays visible where all operands have it.
  for (auto &group : result.output.factors)
    if (group.empty() && q->hasFreeUnit() && k->hasFreeUnit() && v->hasFreeUnit())
      addUnit({q, k, v}, /*inOutput=*/true);
  std::optional<unsigned> unitRow;
  if (reader.getLeaves(parts.rows).empty())
    unitRow = addUnit({q}, true);
  llvm::SmallDenseSet<unsigned> valueLeaves = reader.getLeaves(parts.values);
  if (valueLeaves.empty())
    valueLeaves.insert(addUnit({v}, true));
  llvm::SmallDenseSet<unsigned> rowLeaves = reader.getLeaves(parts.rows);
  SmallVector<unsigned> queries;
  for (ArrayRef<unsigned> group : result.output.factors)
    for (unsigned atom : group)
      if (rowLeaves.contains(atom) || atom == unitRow)
        queries.push_back(atom);
      else if (!valueLeaves.contains(atom))
        domain.atoms.push_back(atom);
  // Rows whose position matters come behind those that only share keys: a triangle is
  // over the last.
  llvm::SmallDenseSet<unsigned> positional;
  if (result.isCausal)
    positional.insert(result.causalRow);
  else if (result.program)
    for (const Node &node : result.program->nodes)
      if (node.kind == Node::Position)
        for (const view::Term &term : space.normalize(node.position).terms)
          positional.insert(term.atom);
  for (bool isPositional : {false, true})
    llvm::copy_if(queries, std::back_inserter(domain.atoms),
                  [&](unsigned atom) { return positional.contains(atom) == isPositional; });
  auto addLeaves = [&](ArrayRef<unsigned> roots, std::initializer_list<OperandPlan *> operands) {
    size_t before = domain.atoms.size();
    for (unsigned root : roots)
      llvm::append_range(domain.atoms, space.getLeaves(root));
    if (domain.atoms.size() == before)
      domain.atoms.push_back(addUnit(operands, false));
  };
  addLeaves(parts.keys, {k, v});
  addLeaves(parts.channels, {q, k});
  for (unsigned atom : valueLeaves)
    domain.atoms.push_back(atom);

  // Every atom of a view is a dim of the domain, and every dim has a class.
  bool known = q->isOver(domain) && k->isOver(domain) && v->isOver(domain);
  for (const RecognisedAttention::BiasPlan &bias : result.biases)
    known &= bias.operand.isOver(domain);
  if (!known)
    return refuse(Reason::NotAView, "the views do not agree on how dims are split");
  MLIRContext *context = parts.result.source.getContext();
  std::string why;
  auto dims = attention::AttentionDims::infer(
      q->getMap(domain, context), k->getMap(domain, context), v->getMap(domain, context),
      result.output.getMap(domain, context), &why);
  if (failed(dims))
    return refuse(Reason::NotAView, why);
  result.dims = *dims;
  if (parts.isOneRow)
    result.groups = countGroups();
  if (result.isCausal && (dims->keys.size() != 1 || dims->rows.empty() ||
                          domain.atoms[dims->rows.back()] != result.causalRow))
    return refuse(Reason::NotAView, "the triangle is over keys of several dims");
  if (result.program && failed(checkPositions(*result.program)))
    return failure();
  std::optional<int64_t> extent = space.getExtent(domain.atoms[dims->channels]).getStatic();
  result.hasDefaultScale =
      extent && result.scale.factors.empty() &&
      std::abs(result.scale.constant * std::sqrt(double(*extent)) - 1.0) < 1e-6;
  return success();
}

/// The rows that count what is batch in the source.
std::optional<int64_t> Planner::countGroups() {
  llvm::SmallDenseSet<unsigned> batch = reader.getLeaves(parts.batch);
  int64_t groups = 1;
  for (unsigned dim : result.dims.rows)
    if (unsigned atom = result.domain.atoms[dim]; batch.contains(atom)) {
      std::optional<int64_t> extent = space.getExtent(atom).getStatic();
      if (!extent)
        return std::nullopt;
      groups *= *extent;
    }
  return groups;
}

/// Positions are sums of the op's dims, with strides that are known.
LogicalResult Planner::checkPositions(const ScalarProgram &program) {
  SmallVector<unsigned> dims = result.dims.getPositionDims();
  for (const ScalarProgram::Node &node : program.nodes) {
    if (node.kind != ScalarProgram::Node::Position)
      continue;
    std::optional<Linear> position = toLinear(space, node.position);
    if (!position || !llvm::all_of(position->terms, [&](auto term) {
          std::optional<unsigned> dim = result.domain.find(term.first);
          return dim && llvm::is_contained(dims, *dim);
        }))
      return refuse(Reason::ScoreFunction, "a position has an unknown stride");
  }
  return success();
}

LogicalResult elfatt::raise::planAttention(const AttentionParts &parts, ScalarReader &reader,
                                           RecognisedAttention &attention, Refusal &why) {
  return Planner(parts, reader, attention, why).run();
}
