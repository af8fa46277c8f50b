// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the collective instructions compute, from the operands of all lanes.
// Written from the PTX ISA manual alone.
#ifndef ELFATT_LIB_SIMULATOR_WARPOPS_H
#define ELFATT_LIB_SIMULATOR_WARPOPS_H

#include <array>
#include <cstdint>

namespace elfatt::sim {

constexpr int kLanes = 32;

/// Kinds of collective instructions.
enum class WarpOp : uint32_t { ShflIdx, ShflBfly, ShflUp, ShflDown, MmaF16, MmaBF16 };

/// Registers of one lane: operands in, results out.
/// shfl: mask, value, lane, clamp -> value, predicate.
/// mma m16n8k16: a0..a3, b0, b1, c0..c3 -> d0..d3.
using Registers = std::array<uint32_t, 10>;
using WarpRegisters = std::array<Registers, kLanes>;

const char *getName(WarpOp op);
int getNumOperands(WarpOp op);
int getNumResults(WarpOp op);

/// Computes the results of the lanes of `mask`.
void execute(WarpOp op, uint32_t mask, const WarpRegisters &in, WarpRegisters &out);

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_WARPOPS_H
