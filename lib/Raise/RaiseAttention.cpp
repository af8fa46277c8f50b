// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "Attention/Recognise.h"
#include "Attention/TalkingHeads.h"
#include "BuildAttention.h"
#include "Rewrite.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Raise/Sites.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SetVector.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_RAISEATTENTIONPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;

namespace {
enum class Search { Linear, Activations, Constants };

struct RaiseAttentionPass : raise::impl::RaiseAttentionPassBase<RaiseAttentionPass> {
  using Base::Base;

  void runOnOperation() override {
    ConstantTables tables;
    // Contractions in order: none is erased before it is looked at, since what is
    // erased comes before the op that replaces it.
    // softmax(x W) V with a weight W is attention with W for queries, but also the inner
    // half of linear attention: that goes first, and of the rest weights that are constant
    // last.
    for (Search search : {Search::Linear, Search::Activations, Search::Constants}) {
      SmallVector<linalg::LinalgOp> contractions;
      DominanceInfo dominance(getOperation());
      getOperation()->walk([&](linalg::LinalgOp op) {
        if ((matchContraction(op) || matchQuantizedContraction(op)) &&
            isInOrderedCode(op, dominance))
          contractions.push_back(op);
      });
      for (linalg::LinalgOp op : contractions)
        if (!op->hasAttr(kRefusedAttr))
          raiseAt(op, search, tables);
    }
  }

  void raiseAt(linalg::LinalgOp second, Search search, ConstantTables &tables) {
    Queries queries = search == Search::Constants ? Queries::Constants : Queries::Activations;
    std::optional<Verdict> refused;
    std::optional<ContractionPair> refusedPair;
    for (const ContractionPair &pair : findPairs(second, queries)) {
      // The second product of linear attention contracts the first as it is.
      if (search == Search::Linear && pair.hasExponential)
        continue;
      Verdict verdict = recognise(pair, {strict}, tables);
      if (search == Search::Linear && !(verdict.attention && verdict.attention->isLinear))
        continue;
      if (verdict.attention) {
        Operation *end = verdict.attention->output.value.getDefiningOp();
        ++(verdict.attention->isLinear ? numLinear : numSdpa);
        buildAttention(*verdict.attention, second.getLoc());
        eraseDead(end);
        return;
      }
      if (verdict.isSite && !refused) {
        refused = std::move(verdict);
        refusedPair = pair;
      }
    }
    if (search == Search::Linear)
      return;
    // A weight in between says more than that no softmax was found.
    bool isExplained = refused && refused->refusal.reason != Reason::NoSoftmax &&
                       refused->refusal.reason != Reason::NotAView;
    if (queries == Queries::Activations && !isExplained)
      if (std::optional<TalkingHeads> mixed = findTalkingHeads(second)) {
        refusedPair = mixed->pair;
        refused.emplace().refusal = {Reason::TalkingHeads, ""};
        // Two mixtures around the softmax look like an attention to weights.
        for (Operation *mixture : mixed->mixtures)
          if (mixture->removeAttr(kRefusedAttr))
            --numRefused;
      }
    if (refused) {
      ++numRefused;
      markRefused(*refusedPair, refused->refusal, refused->isLinear);
    }
  }
};
} // namespace
