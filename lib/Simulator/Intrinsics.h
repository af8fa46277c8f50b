// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The functions that kernels may call: intrinsics of NVPTX, and of the device library.
#ifndef ELFATT_LIB_SIMULATOR_INTRINSICS_H
#define ELFATT_LIB_SIMULATOR_INTRINSICS_H

#include "Block.h"

#include "llvm/ADT/StringRef.h"

#include <optional>

namespace elfatt::sim {

/// A function of one thread that the host computes. Values of 16 bits travel as i16, pairs of
/// them as i32.
struct MathFunction {
  llvm::StringLiteral name;
  void *host;
  /// The unit of special functions computes it.
  bool isSpecial;
};
llvm::ArrayRef<MathFunction> getMathFunctions();
const MathFunction *findMath(llvm::StringRef name);

std::optional<Special> findSpecial(llvm::StringRef name);

/// A collective by the name of its intrinsic, with its number of words in and out.
std::optional<Collective> findCollective(llvm::StringRef name);

/// bar.sync and its kin: operands are the barrier, then a count if `hasCount`, then a value if
/// it reduces.
struct BarrierCall {
  BarrierKind kind;
  bool hasCount = false;
};
std::optional<BarrierCall> findBarrier(llvm::StringRef name);

/// cp.async: bytes to write; the copy may read fewer if `hasSize`.
struct AsyncCall {
  uint32_t bytes = 0;
  bool hasSize = false;
};
std::optional<AsyncCall> findAsyncCopy(llvm::StringRef name);

/// What orders memory between blocks, and nothing else: no work on one host thread.
bool isFence(llvm::StringRef name);

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_INTRINSICS_H
