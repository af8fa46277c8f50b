// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What each GPU can do: pure data.
#ifndef ELFATT_TARGET_CHIP_H
#define ELFATT_TARGET_CHIP_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <optional>
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

/// What a chip does in a second, on the board that stands for it. Rates are of
/// one SM in one clock; a multiply-add is two floating-point operations.
struct Board {
  llvm::StringLiteral name; ///< "Jetson AGX Orin 64GB"
  int64_t SMs;
  double clockGHz;     ///< boost
  double bandwidthGBs; ///< of the memory, as its data sheet has it
  int64_t l2Bytes;
  int64_t fma;          ///< multiply-adds of f32
  int64_t exp2;         ///< ex2, lg2, rcp, rsqrt, sin, cos, tanh
  int64_t tensorF16;    ///< operations on f16 and bf16, sums in f32
  int64_t tensorF16F16; ///< the same, sums in f16
  int64_t tensorTF32;
  int64_t tensorS8;
};

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
  Board reference;
  /// 87
  int version() const;
};

/// The part of a memory's bandwidth that a plain copy reaches: HBM and GDDR as
/// measured on an H100 (3.0 of 3.35 TB/s), the LPDDR of boards as measured on an Orin.
double getCopyFraction(const Chip &chip);

/// Limits that all chips share.
constexpr int64_t kThreadsPerBlock = 1024;
/// Of a grid's first dim, on every chip.
constexpr int64_t kBlocksPerGrid = (int64_t(1) << 31) - 1;
constexpr int64_t kRegistersPerThread = 255;
constexpr int64_t kStaticSharedPerBlock = 48 * 1024;
constexpr int64_t kReservedSharedPerBlock = 1024; ///< taken by the driver, sm_80 and newer
constexpr int64_t kRegisterGranule = 256;         ///< registers are handed out to warps in these
constexpr int64_t kSectorBytes = 32;              ///< that memory and the L2 move at once
/// Each issues one instruction of a warp a clock, and has registers of its own for its warps.
constexpr int64_t kSchedulersPerSM = 4;

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

/// An error if the chip has no products of tf32.
llvm::Error checkTF32(const Chip &chip);

/// A chip, and the oldest driver that code for it must load on.
struct ChipTarget {
  const Chip *chip = nullptr;
  std::string cuda; ///< "11.4"; empty: the chip's default
  PtxVersion ptx;
  bool tf32 = false; ///< products of f32 may be rounded to tf32
};
/// Reads "sm_87", "sm_87:cuda=11.4" or "sm_87:cuda=11.4:tf32", as users name a target.
llvm::Expected<ChipTarget> parseChipTarget(llvm::StringRef text);

/// Reads "+ptx74,..." as LLVM has it; nothing where it names no PTX version.
std::optional<PtxVersion> parsePtxFeature(llvm::StringRef features);

/// Checks a pair of a chip and a PTX version, which LLVM would abort on.
llvm::Error checkPtxVersion(const Chip &chip, PtxVersion ptx);

/// What one block takes, and how many of them an SM holds at once.
struct BlockUsage {
  int64_t threads = 0;
  int64_t registersPerThread = 0; ///< 0 where it is not known
  int64_t sharedBytes = 0;        ///< static and dynamic
};
/// 0 where a block does not fit at all. A scheduler's warps share its registers, and a block is
/// refused as if each scheduler had as many of its warps ("CUDA Occupancy Calculator").
int64_t getBlocksPerSM(const Chip &chip, const BlockUsage &usage);

/// The most registers that a thread may have where an SM holds `blocks` blocks of `warps` warps.
int64_t getMostRegisters(const Chip &chip, int64_t warps, int64_t blocks);

} // namespace elfatt::target

#endif // ELFATT_TARGET_CHIP_H
