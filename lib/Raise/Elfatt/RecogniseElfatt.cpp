// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RecogniseElfatt.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Index;
using view::Size;
using view::Term;

namespace {

class ElfattRecogniser {
public:
  ElfattRecogniser(const Join &join, ElfattRefusal &refusal)
      : join(join), refusal(refusal), reader(std::make_unique<ScalarReader>()),
        space(reader->getSpace()), tokens(*reader), branchReader(*reader, join) {}

  FailureOr<RecognisedElfatt> run();

private:
  LogicalResult refuse(JoinReason reason, const Twine &text = "") {
    refusal.why = {reason, text.str()};
    return failure();
  }
  LogicalResult readBranches();
  LogicalResult checkScales();
  LogicalResult checkTokens();
  LogicalResult readGrid();
  LogicalResult planOperands();
  LogicalResult planOperands(ArrayRef<Branch *> order, bool mayProject);
  bool planLepe(const Branch &branch, RecognisedElfatt::Lepe &lepe);
  bool isTokenRun(const OutputPlan &plan) const;
  LogicalResult planOutput();
  LogicalResult planParts();
  LogicalResult buildDomain();

  const Join &join;
  ElfattRefusal &refusal;
  std::unique_ptr<ScalarReader> reader;
  view::IndexSpace &space;
  ElfattTokens tokens;
  BranchReader branchReader;
  RecognisedElfatt result;

  SmallVector<Branch, 0> branches; // In the order of the join.
  /// Queries, keys and values of each, at the tokens; null where only what they are
  /// projected from is at the tokens.
  SmallVector<CollapsedElement, 0> roles[3];
  /// The order of the op's heads.
  SmallVector<Branch *> order;
  ElfattAtoms atoms;
};

} // namespace

//===----------------------------------------------------------------------===//
// Branches
//===----------------------------------------------------------------------===//

LogicalResult ElfattRecogniser::readBranches() {
  // All parts are looked at before one is refused, so that a likely ELFATT is known.
  std::optional<JoinRefusal> refused;
  bool hasGlobal = false, hasLocal = false;
  for (unsigned part = 0; part < join.parts.size(); ++part) {
    JoinRefusal why;
    Operation *attention = nullptr;
    FailureOr<Branch> branch = branchReader.read(part, why, attention);
    if (attention) {
      refusal.ops.push_back(attention);
      hasLocal |= isa<attention::SdpaOp>(attention);
      hasGlobal |= isa<attention::LinearOp>(attention);
    }
    if (succeeded(branch))
      branches.push_back(std::move(*branch));
    else if (!refused)
      refused = why;
  }
  refusal.isLikely = hasGlobal && hasLocal;
  if (!refusal.isLikely)
    return refuse(JoinReason::OtherPart);
  if (refused) {
    refusal.why = *refused;
    return failure();
  }
  return success();
}

/// Local heads share a scale.
LogicalResult ElfattRecogniser::checkScales() {
  std::optional<Value> scale;
  for (const Branch &branch : branches) {
    if (!branch.isLocal)
      continue;
    Value own = cast<attention::SdpaOp>(branch.op).getScale();
    if (!scale)
      scale = own;
    Attribute a, b;
    bool isSame = *scale == own || (*scale && own && matchPattern(*scale, m_Constant(&a)) &&
                                    matchPattern(own, m_Constant(&b)) && a == b);
    if (!isSame)
      return refuse(JoinReason::OtherScales);
  }
  result.scale = *scale;
  return success();
}

LogicalResult ElfattRecogniser::checkTokens() {
  auto global = llvm::find_if(branches, [](const Branch &branch) { return !branch.isLocal; });
  if (failed(tokens.find(join, branchReader.getAtoms(), *global, refusal.why)))
    return failure();
  for (Branch &branch : branches) {
    const view::Element *elements[] = {&branch.query, &branch.key, &branch.values};
    for (auto [role, element] : llvm::enumerate(elements)) {
      std::optional<CollapsedElement> collapsed = tokens.collapse(*element, branch);
      if (!collapsed) {
        // Tokens that were moved before they were projected: a projection in the
        // order of the result serves as well.
        auto projection = matchProjection(*reader, Scalar{{}, nullptr, *element, *element});
        if (!projection || !tokens.collapse(projection->input, branch))
          return refuse(JoinReason::OtherTokens);
        collapsed.emplace();
      }
      roles[role].push_back(std::move(*collapsed));
    }
    if (failed(tokens.checkKeys(branch, refusal.why)))
      return failure();
  }
  return success();
}

/// What is no LePE of the op is added beside it: as few convolutions as need be.
LogicalResult ElfattRecogniser::readGrid() {
  Branch *global = nullptr, *local = nullptr;
  for (Branch &branch : branches) {
    if (!branch.lepe)
      continue;
    bool isAlone = llvm::count_if(branches, [&](const Branch &other) {
                     return other.isLocal == branch.isLocal;
                   }) == 1;
    if (!isAlone || !tokens.isOnTokens(*branch.lepe, branch))
      branch.dropLepe();
    else
      (branch.isLocal ? local : global) = &branch;
  }
  for (auto [g, l] :
       {std::pair(global, local), std::pair(global, (Branch *)nullptr),
        std::pair((Branch *)nullptr, local), std::pair((Branch *)nullptr, (Branch *)nullptr)}) {
    if (!tokens.readGrid(g ? &*g->lepe : nullptr, l ? &*l->lepe : nullptr))
      continue;
    if ((g && !planLepe(*g, result.globalLepe)) || (l && !planLepe(*l, result.localLepe)))
      continue;
    if (!g)
      result.globalLepe = {};
    if (!l)
      result.localLepe = {};
    for (Branch *branch : {global, local})
      if (branch && branch != g && branch != l)
        branch->dropLepe();
    result.grid = tokens.grid, result.window = tokens.window;
    return success();
  }
  return refuse(JoinReason::NoWindows);
}

bool ElfattRecogniser::planLepe(const Branch &branch, RecognisedElfatt::Lepe &lepe) {
  lepe = {};
  lepe.rounds = branch.lepe->rounds;
  unsigned head = space.addAtom(Size(branch.heads));
  for (const DepthwiseConv::Axis &axis : branch.lepe->axes)
    lepe.weightDomain.atoms.push_back(axis.tap);
  lepe.biasDomain.atoms = {head, atoms.value};
  lepe.weightDomain.atoms.append(lepe.biasDomain.atoms);
  auto plan = [&](const view::Element &element, const Domain &domain) -> std::optional<ViewPlan> {
    view::Element own = element;
    for (Index &index : own.indices) {
      auto ofHead = takeMultiple(space, index, branch.head);
      auto ofValue = takeMultiple(space, index, branch.value);
      if (failed(ofHead) || failed(ofValue))
        return std::nullopt;
      if (*ofHead)
        index.terms.push_back({head, **ofHead});
      if (*ofValue)
        index.terms.push_back({atoms.value, **ofValue});
      index = space.normalize(index);
    }
    std::optional<ViewPlan> view = planView(*reader, own);
    // It must not depend on the position.
    if (!view || !view->isOver(domain))
      return std::nullopt;
    return view;
  };
  lepe.weight = plan(branch.lepe->weight, lepe.weightDomain);
  if (branch.lepe->bias)
    lepe.bias = plan(*branch.lepe->bias, lepe.biasDomain);
  return lepe.weight && lepe.bias.has_value() == branch.lepe->bias.has_value();
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

LogicalResult ElfattRecogniser::planOperands(ArrayRef<Branch *> heads, bool mayProject) {
  ElfattOperand *operands[] = {&result.query, &result.key, &result.value};
  for (unsigned kind : {ElfattRole::Query, ElfattRole::Key, ElfattRole::Value}) {
    ElfattRole role{ElfattRole::Kind(kind), {}, {}};
    for (Branch *branch : heads) {
      role.branches.push_back(branch);
      role.elements.push_back(roles[kind][branch - branches.data()]);
    }
    FailureOr<ElfattOperand> operand = mergeHeads(*reader, role, atoms, refusal.why);
    if (failed(operand) && mayProject) {
      JoinRefusal why = refusal.why;
      operand = joinProjections(*reader, tokens, role, atoms, refusal.why);
      // Of one tensor, the heads are what is wrong.
      if (failed(operand) && why.reason != JoinReason::OtherSources &&
          refusal.why.reason == JoinReason::OtherSources)
        refusal.why = why;
    }
    if (failed(operand))
      return failure();
    *operands[kind] = std::move(*operand);
  }
  return success();
}

/// Finds an order of the heads in which the global ones stand together: that of
/// the join, if it is one, with operands as they are before projections are made.
LogicalResult ElfattRecogniser::planOperands() {
  SmallVector<Branch *> asJoined, globalFirst, localFirst;
  for (bool isLocal : {false, true})
    for (Branch &branch : branches)
      if (branch.isLocal == isLocal)
        globalFirst.push_back(&branch);
  for (bool isLocal : {true, false})
    for (Branch &branch : branches)
      if (branch.isLocal == isLocal)
        localFirst.push_back(&branch);
  for (Branch &branch : branches)
    asJoined.push_back(&branch);
  SmallVector<SmallVector<Branch *>> orders = {globalFirst, localFirst};
  if (asJoined == localFirst)
    std::swap(orders[0], orders[1]);
  std::optional<JoinRefusal> first;
  for (bool mayProject : {false, true})
    for (ArrayRef<Branch *> heads : orders) {
      if (failed(planOperands(heads, mayProject))) {
        if (mayProject && !first)
          first = refusal.why;
        continue;
      }
      order.assign(heads.begin(), heads.end());
      result.localFirst = order.front()->isLocal;
      for (const Branch *branch : order) {
        result.ops.push_back(branch->op);
        result.globalHeads += branch->isLocal ? 0 : branch->heads;
      }
      return success();
    }
  refusal.why = *first;
  return failure();
}

//===----------------------------------------------------------------------===//
// The result
//===----------------------------------------------------------------------===//

/// Whether the tokens are written as one row-major run.
bool ElfattRecogniser::isTokenRun(const OutputPlan &plan) const {
  SmallVector<unsigned> found;
  bool isInside = false, isOver = false;
  for (ArrayRef<unsigned> group : plan.factors)
    for (unsigned atom : group) {
      bool isToken = tokens.isToken(atom);
      if (isToken && isOver)
        return false;
      isOver |= isInside && !isToken;
      isInside |= isToken;
      if (isToken)
        found.push_back(atom);
    }
  SmallVector<unsigned> expected;
  for (const Term &term : space.normalize(tokens.getTokens()).terms)
    expected.push_back(term.atom);
  return found == expected;
}

LogicalResult ElfattRecogniser::planOutput() {
  // The joined dim as heads and values; dims as the join has them.
  SmallVector<Index> indices;
  SmallVector<unsigned> whole = {atoms.head, atoms.value};
  const Branch &first = branches.front();
  bool holdsValues = false;
  for (auto [dim, root] : llvm::enumerate(branchReader.getAtoms())) {
    Index index = dim == join.dim ? space.get(first.joinAtom) : space.get(root);
    FailureOr<std::optional<Size>> stride = takeMultiple(space, index, first.value);
    if (failed(stride))
      return refuse(JoinReason::NotAView, "the result is no view");
    if (*stride) {
      index.terms.push_back({atoms.value, **stride});
      holdsValues |= dim == join.dim;
    }
    indices.push_back(space.normalize(index));
    if (dim != join.dim)
      whole.append(space.getLeaves(root));
  }
  Index joined;
  joined.terms = {{atoms.head, holdsValues ? space.getExtent(atoms.value) : Size(1)}};
  if (holdsValues)
    joined.terms.push_back({atoms.value, Size(1)});
  indices[join.dim] = space.normalize(joined);

  SmallVector<Branch *> asJoined;
  for (Branch &branch : branches)
    asJoined.push_back(&branch);
  bool isWhole = order == asJoined && llvm::all_of(branches, [](const Branch &branch) {
                   return branch.addends.empty();
                 });
  std::optional<OutputPlan> output =
      raise::planOutput(*reader, join.value, indices, whole, [&](const OutputPlan &plan) {
        return isTokenRun(plan) && (isWhole || plan.value == join.value);
      });
  if (!output)
    return refuse(JoinReason::NotAView, "the result is no view");

  // The tokens become one atom, in one dim.
  OutputPlan &plan = result.output = *output;
  auto factors = std::move(plan.factors);
  plan.factors.clear();
  bool isOpen = false;
  for (auto [dim, group] : llvm::enumerate(factors)) {
    bool hasTokens = llvm::any_of(group, [&](unsigned atom) { return tokens.isToken(atom); });
    // A dim of size 1 between those of tokens goes with them.
    bool goesOn = isOpen && (hasTokens || group.empty());
    if (goesOn && llvm::none_of(ArrayRef(factors).drop_front(dim), [&](ArrayRef<unsigned> later) {
          return llvm::any_of(later, [&](unsigned atom) { return tokens.isToken(atom); });
        }))
      goesOn = false;
    if (goesOn) {
      plan.groups.back().push_back(dim);
      if (llvm::any_of(group, [&](unsigned atom) { return !tokens.isToken(atom); }))
        return refuse(JoinReason::NotAView, "the tokens of the result share a dim");
      continue;
    }
    plan.groups.push_back({int64_t(dim)});
    plan.factors.emplace_back();
    for (unsigned atom : group) {
      if (!tokens.isToken(atom))
        plan.factors.back().push_back(atom);
      else if (!llvm::is_contained(plan.factors.back(), tokens.getAtom()))
        plan.factors.back().push_back(tokens.getAtom());
    }
    isOpen |= hasTokens;
  }
  if (plan.groups.size() == factors.size())
    plan.groups.clear();
  return isWhole ? success() : planParts();
}

/// The join as slices of the op's result, with what is added to each.
LogicalResult ElfattRecogniser::planParts() {
  result.joinDim = join.dim;
  result.parts.resize(branches.size());
  int64_t offset = 0;
  for (const Branch *branch : order) {
    const Join::Part &source = join.parts[branch->part];
    RecognisedElfatt::Part &part = result.parts[branch->part];
    part.offset = offset, part.size = source.size;
    offset += source.size;
    if (branch->addends.empty())
      continue;
    if (source.isDropped)
      return refuse(JoinReason::NotAView, "what is added to a branch is no view");
    SmallVector<Index> indices;
    for (auto [dim, root] : llvm::enumerate(branchReader.getAtoms()))
      indices.push_back(space.get(dim == join.dim ? branch->joinAtom : root));
    auto view = planView(*reader, view::Element{source.tensor, {indices.begin(), indices.end()}});
    auto sum = raise::planOutput(*reader, source.tensor, indices, {}, [&](const OutputPlan &plan) {
      return plan.value == source.tensor;
    });
    if (!view || !sum)
      return refuse(JoinReason::NotAView, "a part is no view");
    part.view = *view, part.sum = *sum;
    for (ArrayRef<unsigned> group : sum->factors)
      part.domain.atoms.append(group.begin(), group.end());
    for (const Scalar &addend : branch->addends) {
      auto plan = addend.element ? planView(*reader, addend.element) : std::nullopt;
      if (!plan || !plan->isOver(part.domain))
        return refuse(JoinReason::OtherPart,
                      "what is added to a branch is neither LePE nor a view");
      part.addends.push_back(*plan);
    }
  }
  return success();
}

LogicalResult ElfattRecogniser::buildDomain() {
  ViewPlan *views[] = {&result.query.view, &result.key.view, &result.value.view};
  // A batch of one stays visible where all operands have it.
  auto hasUnit = [](const ViewPlan *view) {
    return llvm::any_of(view->dims, [](ArrayRef<Factor> factors) {
      return llvm::any_of(factors, [](const Factor &f) { return !f.atom && f.size.isOne(); });
    });
  };
  for (auto &group : result.output.factors)
    if (group.empty() && llvm::all_of(views, hasUnit)) {
      unsigned atom = space.addAtom(Size(1));
      for (ViewPlan *view : views)
        view->addUnit(atom);
      group.push_back(atom);
    }
  SmallVector<unsigned> own = {atoms.head, tokens.getAtom(), atoms.channel, atoms.value};
  Domain &domain = result.domain;
  for (ArrayRef<unsigned> group : result.output.factors)
    for (unsigned atom : group)
      if (!llvm::is_contained(own, atom))
        domain.atoms.push_back(atom);
  domain.atoms.append(own);
  for (const ViewPlan *view : views)
    if (!view->isOver(domain))
      return refuse(JoinReason::NotAView, "the views do not agree on how dims are split");
  return success();
}

FailureOr<RecognisedElfatt> ElfattRecogniser::run() {
  if (failed(readBranches()) || failed(checkScales()) || failed(checkTokens()))
    return failure();
  Size channels = space.getExtent(branches.front().channel), values(1);
  int64_t heads = 0;
  for (const Branch &branch : branches) {
    Size own(1);
    for (const Term &term : space.normalize(branch.value).terms)
      own = own * space.getExtent(term.atom);
    if (&branch == &branches.front())
      values = own;
    if (own != values || space.getExtent(branch.channel) != channels || !values.isStatic() ||
        !channels.isStatic())
      return FailureOr<RecognisedElfatt>(
          refuse(JoinReason::OtherHeads, "the branches have different head sizes"));
    heads += branch.heads;
  }
  atoms.head = space.addAtom(Size(heads));
  atoms.token = tokens.getAtom();
  atoms.channel = space.addAtom(channels);
  atoms.value = space.addAtom(values);
  if (failed(readGrid()) || failed(planOperands()) || failed(planOutput()) || failed(buildDomain()))
    return failure();
  result.reader = std::move(reader);
  return std::move(result);
}

FailureOr<RecognisedElfatt> raise::recogniseElfatt(const Join &join, ElfattRefusal &refusal) {
  if (llvm::is_contained(cast<RankedTensorType>(join.value.getType()).getShape(), 0))
    return failure();
  return ElfattRecogniser(join, refusal).run();
}
