// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_RAISE_CHANNELS_H
#define ELFATT_RAISE_CHANNELS_H

#include "elfatt/Dialect/Attention/IR/Attention.h"

namespace elfatt::raise {

/// Whether the sequence that `op` attends over is known to be channels: its queries
/// come from a product with a weight, and a row counts the weight's columns, not
/// positions of the other operand. Looks at a bounded number of scalars.
bool attendsOverChannels(attention::SdpaOp op);

} // namespace elfatt::raise

#endif // ELFATT_RAISE_CHANNELS_H
