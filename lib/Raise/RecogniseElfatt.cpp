// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RecogniseElfatt.h"

#include "Lepe.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Element;
using view::Index;
using view::Size;
using view::Term;

namespace {

/// One input of the concatenation at (batch, token, channel): an attention op,
/// its operands there, and its LePE.
struct Branch {
  Operation *op = nullptr;
  /// Heads and values: the channels of this input.
  unsigned channelAtom;
  std::optional<unsigned> head;
  unsigned value, channel; // e and d.
  SmallVector<unsigned> keys;
  Element query, key, values;
  std::optional<DepthwiseConv> lepe;
};

class ElfattRecogniser {
public:
  ElfattRecogniser(tensor::ConcatOp concat, std::string &why)
      : concat(concat), why(why), reader(std::make_unique<ScalarReader>()),
        space(reader->getSpace()) {}

  FailureOr<RecognisedElfatt> run();

private:
  LogicalResult refuse(const Twine &text) {
    why = text.str();
    return failure();
  }
  LogicalResult readBranch(unsigned input);
  template <typename OpTy> LogicalResult readOperands(OpTy op, const Element &at, Branch &branch);
  LogicalResult splitChannels(Branch &branch);
  LogicalResult findTokens();
  std::pair<Index, Index> splitTokens(const Index &index, const Branch &branch);
  LogicalResult checkTokens(Branch &branch);
  LogicalResult checkLepe(Branch &branch);
  LogicalResult readGrid();
  LogicalResult mergeHeads(const Element &global, const Element &local, bool isValue,
                           Element &merged);
  LogicalResult planLepe(const Branch &branch, RecognisedElfatt::Lepe &lepe);
  LogicalResult plan();

  tensor::ConcatOp concat;
  std::string &why;
  std::unique_ptr<ScalarReader> reader;
  view::IndexSpace &space;
  RecognisedElfatt result;

  SmallVector<unsigned> atoms; // One per dim of the result; the concatenated one unused.
  Branch branches[2], *global = nullptr, *local = nullptr;
  /// The result's token dim.
  unsigned tokenDim = 0;
  Index tokens;
  /// Leaves of the tokens that are inside of a window; the others count windows.
  llvm::SmallDenseSet<unsigned> inWindow;
  std::optional<bool> localFirst;
  unsigned heads, token, channel, value; // Atoms of the op to be built.
};

} // namespace

//===----------------------------------------------------------------------===//
// Reading the branches
//===----------------------------------------------------------------------===//

/// The operands of `op` where its result is read at `at`.
template <typename OpTy>
LogicalResult ElfattRecogniser::readOperands(OpTy op, const Element &at, Branch &branch) {
  SmallVector<AffineMap> maps = op.getIndexingMapsArray();
  auto loops = view::invertMap(maps.back(), at.indices);
  if (!loops)
    return refuse("the result is no view");
  auto dims = attention::AttentionDims::get(op);
  SmallVector<int64_t> ranges = attention::getStaticLoopRanges(op);
  SmallVector<Index> position;
  for (auto [dim, index] : llvm::enumerate(*loops)) {
    if (index) {
      position.push_back(*index);
      continue;
    }
    // Keys and channels: the size as the operand has it.
    std::optional<Size> extent;
    for (auto [operand, map] : llvm::zip(op.getViewedOperands(), maps))
      for (auto [i, expr] : llvm::enumerate(map.getResults()))
        if (expr == getAffineDimExpr(dim, op->getContext()))
          extent = reader->getSizes().getSize(operand->get(), i);
    if (!extent)
      return refuse("a dim has no extent");
    unsigned atom = space.addAtom(*extent);
    if (dim == dims.channels)
      branch.channel = atom;
    else
      branch.keys.push_back(atom);
    position.push_back(space.get(atom));
  }
  auto read = [&](Value operand, AffineMap map, Element &element) {
    auto indices = reader->getTracer().apply(map, position);
    if (!indices)
      return false;
    element = reader->read(operand, *indices).element;
    return true;
  };
  if (!read(op.getQuery(), maps[0], branch.query) || !read(op.getKey(), maps[1], branch.key) ||
      !read(op.getValue(), maps[2], branch.values))
    return refuse("an operand is no view");
  branch.op = op;
  return success();
}

LogicalResult ElfattRecogniser::readBranch(unsigned input) {
  Branch &branch = branches[input];
  Value tensor = concat.getInputs()[input];
  SmallVector<Index> indices;
  for (auto [dim, atom] : llvm::enumerate(atoms))
    indices.push_back(space.get(atom));
  branch.channelAtom = space.addAtom(reader->getSizes().getSize(tensor, concat.getDim()));
  indices[concat.getDim()] = space.get(branch.channelAtom);

  Scalar scalar = reader->open(reader->read(tensor, indices));
  SmallVector<Scalar, 2> addends{scalar};
  if (isa_and_nonnull<arith::AddFOp>(scalar.getOp()))
    addends = {reader->getOperand(scalar, 0), reader->getOperand(scalar, 1)};
  for (auto [i, addend] : llvm::enumerate(addends)) {
    Operation *op = addend.element ? addend.element.source.getDefiningOp() : nullptr;
    if (!isa_and_nonnull<attention::LinearOp, attention::SdpaOp>(op))
      continue;
    if (addends.size() == 2 && !(branch.lepe = matchDepthwiseConv(*reader, addends[1 - i])))
      return refuse("what is added to a branch is no depthwise convolution");
    if (auto linear = dyn_cast<attention::LinearOp>(op)) {
      global = &branch;
      result.linear = linear;
      return readOperands(linear, addend.element, branch);
    }
    auto sdpa = cast<attention::SdpaOp>(op);
    if (!sdpa.getBias().empty() || sdpa.getCausal() || !sdpa.getScore().empty())
      return refuse("the local branch has a bias or a mask");
    local = &branch;
    result.sdpa = sdpa;
    return readOperands(sdpa, addend.element, branch);
  }
  return refuse("an input is no attention");
}

/// The channels of a branch are (head, value), or the values of one head.
LogicalResult ElfattRecogniser::splitChannels(Branch &branch) {
  SmallVector<unsigned> leaves = space.getLeaves(branch.channelAtom);
  if (leaves.empty() || leaves.size() > 2)
    return refuse("the channels are not heads times values");
  branch.value = leaves.back();
  if (leaves.size() == 2)
    branch.head = leaves.front();
  return success();
}

//===----------------------------------------------------------------------===//
// Tokens, windows, the grid
//===----------------------------------------------------------------------===//

static bool mentions(const view::IndexSpace &space, const Index &index, unsigned root) {
  return llvm::any_of(space.normalize(index).terms,
                      [&](const Term &term) { return space.getRoot(term.atom) == root; });
}

/// The token dim of the result: the one that queries and the result share whole,
/// and that keys of the global branch run over.
LogicalResult ElfattRecogniser::findTokens() {
  for (auto [dim, atom] : llvm::enumerate(atoms)) {
    if (dim == concat.getDim() || space.getLeaves(atom).empty())
      continue;
    bool inKey = llvm::any_of(global->key.indices,
                              [&](const Index &index) { return mentions(space, index, atom); });
    bool inQuery = llvm::any_of(global->query.indices,
                                [&](const Index &index) { return mentions(space, index, atom); });
    if (inKey || !inQuery)
      continue;
    tokenDim = dim;
    tokens = space.get(atom);
    return success();
  }
  return refuse("no dim of the result holds the tokens");
}

/// The terms of `index` that count tokens, and the rest: a dim of the source may
/// hold the batch and the tokens, as the result of a projection does.
std::pair<Index, Index> ElfattRecogniser::splitTokens(const Index &index, const Branch &branch) {
  Index ofTokens, rest, normal = space.normalize(index);
  rest.offset = normal.offset;
  for (const Term &term : normal.terms) {
    unsigned root = space.getRoot(term.atom);
    bool isToken = root == atoms[tokenDim] || llvm::is_contained(branch.keys, root);
    (isToken ? ofTokens : rest).terms.push_back(term);
  }
  return {ofTokens, rest};
}

/// Queries stand at the tokens; keys and values too, with the token renamed where
/// it is inside of a window (everywhere, for the global branch).
LogicalResult ElfattRecogniser::checkTokens(Branch &branch) {
  llvm::SmallDenseSet<unsigned> bound(branch.keys.begin(), branch.keys.end());
  llvm::SmallDenseMap<unsigned, unsigned> renaming;
  for (Element *element : {&branch.query, &branch.key, &branch.values}) {
    std::optional<unsigned> found;
    for (auto [dim, index] : llvm::enumerate(element->indices)) {
      Index ofTokens = splitTokens(index, branch).first;
      if (ofTokens.terms.empty())
        continue;
      if (found || !space.matchRenamed(tokens, ofTokens, bound, renaming))
        return refuse("the tokens of an operand are not those of the result");
      found = dim;
    }
    if (!found || space.normalize(tokens).terms.size() == 0)
      return refuse("an operand has no token dim");
    tokens = space.normalize(tokens);
  }
  llvm::SmallDenseSet<unsigned> renamed;
  for (unsigned key : branch.keys)
    for (unsigned leaf : space.getLeaves(key)) {
      auto entry = renaming.find(leaf);
      if (entry == renaming.end())
        return refuse("a key is no token");
      for (unsigned image : space.getLeaves(entry->second))
        renamed.insert(image);
    }
  if (&branch == local) {
    inWindow = renamed;
    return success();
  }
  for (const Term &term : tokens.terms)
    if (!renamed.contains(term.atom))
      return refuse("the global branch does not see all tokens");
  return success();
}

/// The convolution reads the branch's values at the tokens.
LogicalResult ElfattRecogniser::checkLepe(Branch &branch) {
  if (!branch.lepe)
    return success();
  Element expected = branch.values;
  for (Index &index : expected.indices)
    for (unsigned key : branch.keys)
      if (mentions(space, index, key)) {
        index = splitTokens(index, branch).second;
        llvm::append_range(index.terms, tokens.terms);
        index = space.normalize(index);
        break;
      }
  const Element &center = branch.lepe->center;
  if (center.source != expected.source || !space.equal(center.indices, expected.indices))
    return refuse("the convolution is not of the values");
  return success();
}

/// Reads the grid and the window off the strides of the tokens. The width is
/// known from a convolution, where there is one; else an axis ends where a count
/// of windows follows a position inside of one.
LogicalResult ElfattRecogniser::readGrid() {
  tokens = space.normalize(tokens);
  std::optional<Size> width;
  for (Branch *branch : {global, local}) {
    if (!branch->lepe)
      continue;
    // Moving by one in y moves the token by the width of the grid.
    Index y = space.normalize(branch->lepe->y), x = space.normalize(branch->lepe->x);
    tokens = space.normalize(tokens);
    auto strideOf = [&](unsigned atom) -> std::optional<Size> {
      for (const Term &term : tokens.terms)
        if (term.atom == atom)
          return term.stride;
      return std::nullopt;
    };
    std::optional<Size> step = branch == global ? std::optional(branch->lepe->width) : width;
    if (!y.terms.empty() && !step) {
      std::optional<Size> stride = strideOf(y.terms.back().atom);
      step = stride ? stride->divide(y.terms.back().stride) : std::nullopt;
    }
    if (!step)
      return refuse("the convolution's rows are no rows of a grid");
    auto holds = [&](const Index &axis, const Size &unit) {
      return axis.offset == 0 && llvm::all_of(axis.terms, [&](const Term &term) {
               return strideOf(term.atom) == term.stride * unit;
             });
    };
    if (!holds(y, *step) || !holds(x, Size(1)))
      return refuse("the convolution is not on the grid of the tokens");
    // It covers the grid, or the window.
    auto covers = [&](const Index &axis, const Size &extent) {
      Size product(1);
      for (const Term &term : axis.terms)
        product = product * space.getExtent(term.atom);
      return product == extent;
    };
    if (!covers(y, branch->lepe->height) || !covers(x, branch->lepe->width))
      return refuse("the convolution does not cover its grid");
    unsigned leaves = branch == global ? tokens.terms.size() : inWindow.size();
    if (y.terms.size() + x.terms.size() != leaves)
      return refuse("the convolution is padded elsewhere than at the border of its branch");
    if (branch == local)
      for (const Index &axis : {y, x})
        for (const Term &term : axis.terms)
          if (!inWindow.contains(term.atom))
            return refuse("the local convolution reaches out of the window");
    width = step;
  }

  Size extent(1), window(1);
  bool seenWindow = false;
  auto endAxis = [&] {
    std::optional<int64_t> number = window.getStatic();
    if (!number)
      return false;
    result.grid.push_back(extent);
    result.window.push_back(*number);
    extent = window = Size(1);
    seenWindow = false;
    return true;
  };
  bool inRow = false; // Past the rows, where the width is known.
  for (const Term &term : tokens.terms) {
    bool inside = inWindow.contains(term.atom);
    bool endsHere = width ? !inRow && term.stride < *width : seenWindow && !inside;
    if (endsHere) {
      if (!(extent.isOne() && !width) && !endAxis())
        return refuse("the window has no constant size");
      inRow = true;
    }
    if (seenWindow && !inside)
      return refuse("windows are not blocks of the grid");
    extent = extent * space.getExtent(term.atom);
    if (inside)
      window = window * space.getExtent(term.atom);
    seenWindow |= inside;
  }
  if (!endAxis())
    return refuse("the window has no constant size");
  // A grid one token wide has no position in a row.
  if (width && !inRow)
    endAxis();
  return success();
}

//===----------------------------------------------------------------------===//
// The op
//===----------------------------------------------------------------------===//

/// Joins an operand of both branches: the same but for the head, which goes on in
/// the second where it ends in the first.
LogicalResult ElfattRecogniser::mergeHeads(const Element &ofGlobal, const Element &ofLocal,
                                           bool isValue, Element &merged) {
  if (ofGlobal.source != ofLocal.source)
    return refuse("the branches have different sources");
  merged.source = ofGlobal.source;
  int64_t globalHeads = result.globalHeads;
  int64_t localHeads = *space.getExtent(heads).getStatic() - globalHeads;
  bool joined = false;
  for (auto [a, b] : llvm::zip_equal(ofGlobal.indices, ofLocal.indices)) {
    // Reads one side in the atoms of the new op; the head's stride apart.
    auto translate = [&](const Index &from, const Branch &branch, std::optional<Size> &stride) {
      Index index, normal = space.normalize(from);
      index.offset = normal.offset;
      bool isToken = false;
      for (const Term &term : normal.terms) {
        unsigned root = space.getRoot(term.atom);
        if (branch.head && term.atom == *branch.head)
          stride = term.stride;
        else if (term.atom == (isValue ? branch.value : branch.channel))
          index.terms.push_back({isValue ? value : channel, term.stride});
        else if (root == atoms[tokenDim] || llvm::is_contained(branch.keys, root))
          isToken = true;
        else
          index.terms.push_back(term);
      }
      if (isToken)
        index.terms.push_back({token, Size(1)});
      return space.normalize(index);
    };
    std::optional<Size> globalStride, localStride;
    Index x = translate(a, *global, globalStride), y = translate(b, *local, localStride);
    if (x.terms != y.terms)
      return refuse("the branches differ in more than their heads");
    int64_t distance = y.offset - x.offset;
    if (distance == 0) {
      if (globalStride || localStride)
        return refuse("the branches share heads");
      merged.indices.push_back(x);
      continue;
    }
    bool isLocalFirst = distance < 0;
    int64_t before = isLocalFirst ? localHeads : globalHeads;
    std::optional<Size> stride = globalStride ? globalStride : localStride;
    if (!stride && std::abs(distance) % before == 0)
      stride = Size(std::abs(distance) / before);
    if (!stride || (globalStride && localStride && *globalStride != *localStride) ||
        *stride * Size(before) != Size(std::abs(distance)) || joined)
      return refuse("the heads of the branches do not stand side by side");
    if (localFirst && *localFirst != isLocalFirst)
      return refuse("the branches are not in the same order everywhere");
    localFirst = isLocalFirst;
    joined = true;
    x.offset = std::min(x.offset, y.offset);
    x.terms.push_back({heads, *stride});
    merged.indices.push_back(space.normalize(x));
  }
  return joined ? success() : refuse("the branches share heads");
}

LogicalResult ElfattRecogniser::planLepe(const Branch &branch, RecognisedElfatt::Lepe &lepe) {
  if (!branch.lepe)
    return success();
  lepe.weight = planView(*reader, branch.lepe->weight);
  if (!lepe.weight)
    return refuse("the convolution's weight is no view");
  unsigned head = branch.head ? *branch.head : space.addAtom(Size(1));
  lepe.weightDomain.atoms = {branch.lepe->tapY, branch.lepe->tapX, head, branch.value};
  lepe.biasDomain.atoms = {head, branch.value};
  if (branch.lepe->bias && !(lepe.bias = planView(*reader, *branch.lepe->bias)))
    return refuse("the convolution's bias is no view");
  auto isKnown = [](const ViewPlan &view, const Domain &domain) {
    return llvm::all_of(view.dims, [&](ArrayRef<Factor> factors) {
      return llvm::all_of(factors,
                          [&](const Factor &f) { return !f.atom || domain.find(*f.atom); });
    });
  };
  if (!isKnown(*lepe.weight, lepe.weightDomain) ||
      (lepe.bias && !isKnown(*lepe.bias, lepe.biasDomain)))
    return refuse("the convolution's weight depends on the position");
  return success();
}

LogicalResult ElfattRecogniser::plan() {
  auto extentOf = [&](std::optional<unsigned> atom) {
    return atom ? space.getExtent(*atom) : Size(1);
  };
  std::optional<int64_t> globalHeads = extentOf(global->head).getStatic();
  std::optional<int64_t> localHeads = extentOf(local->head).getStatic();
  if (!globalHeads || !localHeads)
    return refuse("the number of heads is not known");
  if (space.getExtent(global->channel) != space.getExtent(local->channel) ||
      space.getExtent(global->value) != space.getExtent(local->value))
    return refuse("the branches have different head sizes");
  result.globalHeads = *globalHeads;
  heads = space.addAtom(Size(*globalHeads + *localHeads));
  token = space.addAtom(space.getExtent(atoms[tokenDim]));
  channel = space.addAtom(space.getExtent(global->channel));
  value = space.addAtom(space.getExtent(global->value));

  localFirst = local == &branches[0];
  Element query, key, values;
  if (failed(mergeHeads(global->query, local->query, false, query)) ||
      failed(mergeHeads(global->key, local->key, false, key)) ||
      failed(mergeHeads(global->values, local->values, true, values)))
    return failure();
  result.localFirst = *localFirst;

  SmallVector<Index> indices;
  for (unsigned atom : atoms)
    indices.push_back(space.get(atom));
  indices[tokenDim] = space.get(token);
  Index merged;
  merged.terms = {{heads, space.getExtent(value)}, {value, Size(1)}};
  indices[concat.getDim()] = space.normalize(merged);
  SmallVector<unsigned> whole = {heads, token, channel, value};
  std::optional<OutputPlan> output = planOutput(*reader, concat.getResult(), indices, whole);
  std::optional<ViewPlan> q = planView(*reader, query), k = planView(*reader, key),
                          v = planView(*reader, values);
  if (!output || !q || !k || !v)
    return refuse("an operand or the result is no view");
  result.query = *q, result.key = *k, result.value = *v, result.output = *output;

  // A batch of one stays visible where all operands have it.
  auto hasUnit = [](const ViewPlan &view) {
    return llvm::any_of(view.dims, [](ArrayRef<Factor> factors) {
      return llvm::any_of(factors, [](const Factor &f) { return !f.atom && f.size.isOne(); });
    });
  };
  for (auto &group : result.output.factors)
    if (group.empty() && hasUnit(result.query) && hasUnit(result.key) && hasUnit(result.value)) {
      unsigned atom = space.addAtom(Size(1));
      for (ViewPlan *view : {&result.query, &result.key, &result.value})
        view->addUnit(atom);
      group.push_back(atom);
    }
  Domain &domain = result.domain;
  for (ArrayRef<unsigned> group : result.output.factors)
    for (unsigned atom : group)
      if (!llvm::is_contained(whole, atom))
        domain.atoms.push_back(atom);
  domain.atoms.append(whole);
  for (const ViewPlan *view : {&result.query, &result.key, &result.value})
    for (ArrayRef<Factor> factors : view->dims)
      for (const Factor &factor : factors)
        if (factor.atom && !domain.find(*factor.atom))
          return refuse("the views do not agree on how dims are split");
  if (failed(planLepe(*global, result.globalLepe)) || failed(planLepe(*local, result.localLepe)))
    return failure();
  return success();
}

FailureOr<RecognisedElfatt> ElfattRecogniser::run() {
  if (concat.getInputs().size() != 2)
    return FailureOr<RecognisedElfatt>(refuse("not two branches"));
  SmallVector<Size> sizes = reader->getSizes().getSizes(concat.getResult());
  for (const Size &size : sizes) {
    if (size.isZero())
      return FailureOr<RecognisedElfatt>(refuse("a dim has size 0"));
    atoms.push_back(space.addAtom(size));
  }
  if (failed(readBranch(0)) || failed(readBranch(1)))
    return failure();
  if (!global || !local)
    return FailureOr<RecognisedElfatt>(refuse("not one global and one local branch"));
  if (failed(splitChannels(branches[0])) || failed(splitChannels(branches[1])) ||
      failed(findTokens()) || failed(checkTokens(*global)) || failed(checkTokens(*local)) ||
      failed(checkLepe(*global)) || failed(checkLepe(*local)) || failed(readGrid()) ||
      failed(plan()))
    return failure();
  result.reader = std::move(reader);
  return std::move(result);
}

FailureOr<RecognisedElfatt> elfatt::raise::recogniseElfatt(tensor::ConcatOp concat,
                                                           std::string &why) {
  return ElfattRecogniser(concat, why).run();
}
