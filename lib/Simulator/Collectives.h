// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the instructions of a whole warp compute, from the operands of all lanes. Written from
// the PTX ISA manual alone.
#ifndef ELFATT_LIB_SIMULATOR_COLLECTIVES_H
#define ELFATT_LIB_SIMULATOR_COLLECTIVES_H

#include "elfatt/Target/Instructions.h"

#include <array>
#include <cstdint>

namespace elfatt::sim {

constexpr int kLanes = 32;

enum class CollectiveKind : uint8_t {
  ShflIdx,
  ShflBfly,
  ShflUp,
  ShflDown,
  VoteAll,
  VoteAny,
  VoteUni,
  VoteBallot,
  MatchAny,
  MatchAll,
  Redux,
  WarpSync,
  LdMatrix,
  StMatrix,
  Mma,
};

enum class ReduxKind : uint8_t { Add, Min, Max, UMin, UMax, And, Or, Xor };

/// One collective instruction. Operands and results are words of 32 bits a lane; pointers and
/// 64-bit values are two of them.
struct Collective {
  CollectiveKind kind = CollectiveKind::WarpSync;
  int numOperands = 0, numResults = 0;
  /// The operand that says which lanes take part; -1: all of the warp.
  int maskOperand = -1;
  ReduxKind redux = ReduxKind::Add;
  bool is64Bit = false; ///< match of 64 bits
  int matrices = 0;     ///< ldmatrix and stmatrix: 1, 2 or 4
  bool isTransposed = false;
  // mma
  const target::MmaShape *shape = nullptr;
  bool isAColumnMajor = false, isBRowMajor = false; ///< m8n8k4 only
  bool sumsF16 = false, resultF16 = false;          ///< C and D of f16 products
  bool isBUnsigned = false, saturates = false;      ///< integer products
};

/// Words of one lane: operands in, results out. mma: A, B, C -> D, each as the manual orders
/// its registers.
using Registers = std::array<uint32_t, 14>;
using WarpRegisters = std::array<Registers, kLanes>;

/// Computes the results of the lanes of `mask`. Not for instructions that touch memory.
void execute(const Collective &collective, uint32_t mask, const WarpRegisters &in,
             WarpRegisters &out);

/// mma.sync by all lanes.
void executeMma(const Collective &collective, const WarpRegisters &in, WarpRegisters &out);

/// ldmatrix: rows[8 i + r] is where row r of matrix i lies.
void executeLdMatrix(const Collective &collective, const std::array<char *, kLanes> &rows,
                     WarpRegisters &out);
/// stmatrix: the inverse; operands start at word 2.
void executeStMatrix(const Collective &collective, const std::array<char *, kLanes> &rows,
                     const WarpRegisters &in);

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_COLLECTIVES_H
