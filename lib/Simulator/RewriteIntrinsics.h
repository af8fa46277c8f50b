// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_SIMULATOR_REWRITEINTRINSICS_H
#define ELFATT_LIB_SIMULATOR_REWRITEINTRINSICS_H

#include "Block.h"

namespace elfatt::sim {

/// Names of the host functions that kernels call.
constexpr llvm::StringLiteral kBarrierFunction = "elfatt_sim_barrier";       // (i32 site)
constexpr llvm::StringLiteral kCollectiveFunction = "elfatt_sim_collective"; // (op, site, in, out)
constexpr llvm::StringLiteral kSpecialFunction = "elfatt_sim_special";       // (which) -> i32
constexpr llvm::StringLiteral kExp2Function = "elfatt_sim_exp2";             // (float) -> float
constexpr llvm::StringLiteral kEntryPrefix = "elfatt_sim_run_";              // (void **args)

/// One array in shared memory.
struct SharedArray {
  std::string name;
  uint64_t bytes; ///< kMaxDynamicShared where the launch says how many
  bool isDynamic;
};

/// More than any chip has for one block.
constexpr uint64_t kMaxDynamicShared = 256 * 1024;

struct RewrittenKernel {
  std::string name;
  size_t numArguments;
};

struct RewrittenModule {
  std::vector<RewrittenKernel> kernels;
  std::vector<SharedArray> shared;
  SiteNames sites;
};

/// Makes a module of NVPTX code one for the host: its intrinsics become calls of
/// the functions above, each kernel gets an entry that unpacks its arguments,
/// and shared arrays become visible by name.
llvm::Expected<RewrittenModule> rewriteForHost(llvm::Module &module);

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_REWRITEINTRINSICS_H
