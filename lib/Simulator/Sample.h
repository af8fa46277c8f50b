// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which blocks of a large launch stand for all of them.
#ifndef ELFATT_LIB_SIMULATOR_SAMPLE_H
#define ELFATT_LIB_SIMULATOR_SAMPLE_H

#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"

#include <vector>

namespace elfatt::sim {

/// Blocks one after the other in launch order; the counts of each stand for `times`
/// as many.
struct Part {
  uint64_t begin, end, times;
  bool operator==(const Part &) const = default;
};

/// Which of the kernel's instructions a block of the launch executes.
using FindPath = llvm::function_ref<llvm::Expected<llvm::BitVector>(uint64_t block)>;

/// One full wave and the blocks of the last, incomplete one; where several parts
/// of a computation were merged into one launch, that of each part. They are told apart
/// by the code that their blocks execute: half of it or more is shared by blocks of
/// one part, which differ at borders.
llvm::Expected<std::vector<Part>> sampleBlocks(uint64_t blocks, uint64_t wave, FindPath findPath);

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_SAMPLE_H
