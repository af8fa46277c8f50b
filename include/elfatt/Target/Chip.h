// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What each GPU can do: pure data.
#ifndef ELFATT_TARGET_CHIP_H
#define ELFATT_TARGET_CHIP_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>

namespace elfatt::target {

/// A PTX ISA version, as in `.version 8.5`.
struct PtxVersion {
  int major = 0, minor = 0;
  auto operator<=>(const PtxVersion &) const = default;
  /// "8.5"
  std::string str() const;
  /// "+ptx85", as LLVM's NVPTX backend takes it.
  std::string feature() const;
};

/// Tensor-core products with f32 accumulators that a chip has, each set
/// including what its instruction does not need a newer chip for.
enum class Mma { None, M8N8K4, M16N8K8, M16N8K16 };

struct Chip {
  llvm::StringLiteral name;        ///< "sm_87"
  llvm::StringLiteral board;       ///< where one meets it
  PtxVersion minPtx;               ///< the first PTX version that knows the chip
  llvm::StringLiteral defaultCuda; ///< the oldest driver its boards run
  int64_t sharedPerSM;             ///< bytes
  int64_t sharedPerBlock;          ///< bytes, opted in; static arrays take at most 48 KiB
  int64_t registersPerSM;          ///< of 32 bits
  int64_t registersPerBlock;
  int64_t warpsPerSM;
  int64_t blocksPerSM;
  Mma f16;        ///< the largest product of f16
  bool bf16;      ///< products of bf16 (m16n8k16)
  bool asyncCopy; ///< cp.async
};

/// Limits that all chips share.
constexpr int64_t kThreadsPerBlock = 1024;
constexpr int64_t kRegistersPerThread = 255;
constexpr int64_t kStaticSharedPerBlock = 48 * 1024;

llvm::ArrayRef<Chip> getChips();

/// The chip of that name; the error lists the known ones.
llvm::Expected<const Chip *> findChip(llvm::StringRef name);

/// A driver release, and the newest PTX version that it loads.
struct CudaRelease {
  llvm::StringLiteral name; ///< "11.4"
  PtxVersion ptx;
};
llvm::ArrayRef<CudaRelease> getCudaReleases();

/// The PTX version for a chip on a driver no older than `cuda` (empty: the
/// chip's default). An error if there is no such release, or if it is too old to
/// know the chip: LLVM would abort on that pair.
llvm::Expected<PtxVersion> getPtxVersion(const Chip &chip, llvm::StringRef cuda);

} // namespace elfatt::target

#endif // ELFATT_TARGET_CHIP_H
