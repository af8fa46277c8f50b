// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A softmax that is spread over chunks of keys, as memory-efficient and flash attention
// write it out: said of a site, not raised.
#ifndef ELFATT_LIB_RAISE_ATTENTION_ONLINESOFTMAX_H
#define ELFATT_LIB_RAISE_ATTENTION_ONLINESOFTMAX_H

#include "Analysis/Contraction.h"
#include "Analysis/Scalar.h"

namespace elfatt::raise {

/// Whether `weight`, which the second product of `pair` takes, is one chunk's part of a
/// softmax over all of them.
bool isOnlineSoftmax(ScalarReader &reader, const Scalar &weight, const ContractionPair &pair);

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ATTENTION_ONLINESOFTMAX_H
