// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What instructions cost, as LLVM IR shows it.
#ifndef ELFATT_LIB_SIMULATOR_COST_H
#define ELFATT_LIB_SIMULATOR_COST_H

#include <cstdint>
#include <string>

namespace llvm {
class BasicBlock;
class CallInst;
} // namespace llvm

namespace elfatt::sim {

/// Of one warp: instructions issued, and those of them that the f32 units execute.
struct BlockCost {
  uint32_t slots = 0, floats = 0;
};
BlockCost getCost(const llvm::BasicBlock &block);

/// As PTX spells it: "ldmatrix.x4.trans", "mma.sync.m16n8k16.bf16", "bar.sync".
std::string getInstructionName(const llvm::CallInst &call);

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_COST_H
