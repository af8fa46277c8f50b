// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Why a site was left alone: the closed list. docs/Reasons.md says for each its
// cause, an example and what the user can do.
#ifndef ELFATT_RAISE_REASONS_H
#define ELFATT_RAISE_REASONS_H

#include "elfatt/Raise/ReasonList.h"

#include <string>

namespace elfatt::raise {

// name, text that stands behind "attention not raised: " in a remark.
#define ELFATT_REASONS(X)                                                                          \
  X(WrongSoftmaxAxis, "wrong-softmax-axis",                                                        \
    "the softmax is not over the dims that the second product contracts")                          \
  X(SumOfOtherValues, "sum-of-other-values", "the divisor is not the sum of the exponentials")     \
  X(MaxOfOtherTensor, "max-of-other-tensor",                                                       \
    "the maximum that is subtracted is not that of the scores")                                    \
  X(WrongInit, "wrong-init", "a reduction of the softmax does not start from its neutral value")   \
  X(MaskAfterSoftmax, "mask-after-softmax",                                                        \
    "the probabilities are masked or scaled after the softmax")                                    \
  X(SigmoidInsteadOfSoftmax, "sigmoid-instead-of-softmax",                                         \
    "the scores go through a sigmoid, not a softmax")                                              \
  X(NoSoftmax, "no-softmax", "there is no softmax between the two products")                       \
  X(OnlineSoftmax, "online-softmax",                                                               \
    "the softmax is spread over several products, each with some of the keys")                     \
  X(ReluLinearAttention, "relu-linear-attention",                                                  \
    "queries and keys go through a ReLU, not a softmax")                                           \
  X(TalkingHeads, "talking-heads", "a weight mixes the heads between the two products")            \
  X(ScoreFunction, "score-function",                                                               \
    "a score is no function of one product, of elements beside it and of positions")               \
  X(AccumulatesIntoTensor, "accumulates-into-tensor",                                              \
    "a product adds to a tensor that is not zero")                                                 \
  X(UnsupportedDtype, "unsupported-dtype", "an element type is not supported")                     \
  X(Quantized, "quantized", "the products are on quantized integers")                              \
  X(NotAView, "not-a-view", "an operand or the result is no view")                                 \
  X(EmptyShape, "empty-shape", "a dim has size 0")                                                 \
  X(ExcessPrecision, "excess-precision",                                                           \
    "strict: the source rounds inside of the attention, the op would not")                         \
  X(ExcessRange, "excess-range",                                                                   \
    "strict: rows that overflow or hold NaN would come out differently")

ELFATT_DEFINE_REASONS(Reason, ELFATT_REASONS)

// Why the branches of what looks like ELFATT were raised, but not joined to one op:
// name, text that stands behind "not joined to attention.elfatt: ".
#define ELFATT_JOIN_REASONS(X)                                                                     \
  X(OtherPart, "elfatt-other-part", "a part that is joined is no attention")                       \
  X(LocalBias, "elfatt-local-bias", "the local branch has a bias or a mask")                       \
  X(OtherTokens, "elfatt-other-tokens", "the branches do not attend to the tokens of the result")  \
  X(NoWindows, "elfatt-no-windows", "the local branch has no windows that tile a grid")            \
  X(OtherHeads, "elfatt-other-heads", "the heads of the branches do not stand side by side")       \
  X(OtherSources, "elfatt-other-sources", "the branches look at different tensors")                \
  X(OtherScales, "elfatt-other-scales", "the local heads have different scales")                   \
  X(NotAView, "elfatt-not-a-view", "an operand or the result is no view")

ELFATT_DEFINE_REASONS(JoinReason, ELFATT_JOIN_REASONS)

struct JoinRefusal {
  JoinReason reason = JoinReason::OtherPart;
  std::string detail;
};

struct Refusal {
  Reason reason;
  /// What was found, where that says more than the reason.
  std::string detail;
};

} // namespace elfatt::raise

#endif // ELFATT_RAISE_REASONS_H
