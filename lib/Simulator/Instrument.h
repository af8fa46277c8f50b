// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_SIMULATOR_INSTRUMENT_H
#define ELFATT_LIB_SIMULATOR_INSTRUMENT_H

#include "Block.h"

namespace llvm {
class Function;
class Module;
} // namespace llvm

namespace elfatt::sim {

/// Names of the host functions that kernels call.
constexpr llvm::StringLiteral kAccess = "elfatt_sim_access";   // (site, pointer)
constexpr llvm::StringLiteral kStore = "elfatt_sim_store";     // (site, pointer, i64 value)
constexpr llvm::StringLiteral kDivide = "elfatt_sim_divide";   // (site, i64 divisor, i32 overflows)
constexpr llvm::StringLiteral kRange = "elfatt_sim_range";     // (site, pointer, i64 bytes)
constexpr llvm::StringLiteral kBranch = "elfatt_sim_branch";   // (site, i32 where)
constexpr llvm::StringLiteral kCollective = "elfatt_sim_warp"; // (site, in, out)
constexpr llvm::StringLiteral kBarrier = "elfatt_sim_barrier"; // (site, id, count, value) -> i32
constexpr llvm::StringLiteral kCopyAsync = "elfatt_sim_copy";  // (site, to, from, i32 bytes)
constexpr llvm::StringLiteral kCommit = "elfatt_sim_commit";   // ()
constexpr llvm::StringLiteral kWait = "elfatt_sim_wait";       // (i32 groups left, or -1)
constexpr llvm::StringLiteral kSpecial = "elfatt_sim_special"; // (which) -> i32
constexpr llvm::StringLiteral kIsShared = "elfatt_sim_is_shared"; // (pointer) -> i32
constexpr llvm::StringLiteral kFail = "elfatt_sim_fail";          // (site)
constexpr llvm::StringLiteral kExit = "elfatt_sim_exit";          // ()
constexpr llvm::StringLiteral kEntryPrefix = "elfatt_sim_run_";   // (void **args)

struct InstrumentedKernel {
  std::string name;
  std::vector<bool> isPointer;  ///< each parameter
  uint32_t maxThreads = 0;      ///< nvvm.maxntid; 0: not given
  std::vector<bool> usesShared; ///< each array in shared memory
};

struct InstrumentedModule {
  std::vector<InstrumentedKernel> kernels;
  std::vector<SharedArray> shared;
  uint64_t arenaBytes = 0;
  /// The smallest unit of shared memory that an instruction touches.
  uint32_t granule = 4;
  /// Bytes of local arrays of one thread.
  uint64_t stackBytes = 0;
  /// Arrays in constant and global memory: names, sizes, whether kernels may write.
  struct Global {
    std::string name;
    uint64_t bytes;
    bool isWritable;
  };
  std::vector<Global> globals;
  Sites sites;
};

/// More than any chip has for one block.
constexpr uint64_t kMaxDynamicShared = 256 * 1024;

/// Finds the shared arrays of a module, and their places in an arena.
llvm::Error placeShared(llvm::Module &module, InstrumentedModule &result);

/// Notes which arrays each of result.kernels uses, by itself or in what it calls. `kernels` are
/// their functions.
void collectSharedUses(llvm::Module &module, llvm::ArrayRef<llvm::Function *> kernels,
                       InstrumentedModule &result);

/// Replaces shared arrays by their addresses in the arena.
void moveShared(llvm::Module &module, char *arena, const InstrumentedModule &result);

/// Makes the arrays in constant and global memory symbols that the host finds by name.
llvm::Error exportGlobals(llvm::Module &module, InstrumentedModule &result);

/// Makes a module of NVPTX code one for the host: every access, branch and collective first
/// calls one of the functions above, each kernel gets an entry that unpacks its arguments, and
/// shared arrays lie in the arena. An error names an instruction that is not known, or with a
/// chip, not there.
llvm::Error instrument(llvm::Module &module, char *arena, const target::Chip *chip,
                       InstrumentedModule &result);

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_INSTRUMENT_H
