// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which chip and which PTX version an instruction needs: pure data.
#ifndef ELFATT_TARGET_INSTRUCTIONS_H
#define ELFATT_TARGET_INSTRUCTIONS_H

#include "elfatt/Target/Chip.h"

#include <vector>

namespace elfatt::target {

/// Element types of tensor-core products.
enum class MmaType { F16, BF16, TF32, S8, U8 };
llvm::StringRef getName(MmaType type);
/// Bits of one element in a register (tf32 takes a whole one).
int getBits(MmaType type);

/// One kind of `mma.sync`: A is m x k, B is k x n.
struct MmaShape {
  int m, n, k;
  MmaType type;
  int sm;         ///< the first chip that has it
  PtxVersion ptx; ///< and the first PTX version
  /// "m16n8k16 bf16"
  std::string str() const;
};

/// All kinds, of all chips.
llvm::ArrayRef<MmaShape> getMmaShapes();
/// The kinds that a chip has, with that PTX version.
std::vector<MmaShape> getMmaShapes(const Chip &chip, PtxVersion ptx);

/// Finds the kind of `llvm.nvvm.mma.*`; null where the table has none.
const MmaShape *findMma(llvm::StringRef intrinsic);

/// An error if the chip has no such instruction, or if the PTX version is older than it;
/// the message lists what there is instead. `intrinsic` is the name of a function of LLVM IR;
/// what is no intrinsic of NVPTX, or what every chip has, passes.
llvm::Error checkIntrinsic(const Chip &chip, PtxVersion ptx, llvm::StringRef intrinsic);

/// Inline assembly for what LLVM has no intrinsic of: a copy of 16 bytes from global (1) to shared
/// memory (0), and a store of 16 bytes, whose lines the L2 gives up before all others.
constexpr llvm::StringLiteral kCopyEvictFirst =
    "{ .reg .b64 first; createpolicy.fractional.L2::evict_first.b64 first, 1.0; "
    "cp.async.cg.shared.global.L2::cache_hint [$0], [$1], 16, first; }";
constexpr llvm::StringLiteral kStoreEvictFirst = "st.global.cs.v4.b32 [$0], {$1, $2, $3, $4};";

/// Whether kernels can say that: `kCopyEvictFirst` is an instruction of the chip with that PTX.
bool hasEvictFirst(const Chip &chip, PtxVersion ptx);

/// The same as `checkIntrinsic` for the text of inline assembly; what is none of the above passes.
llvm::Error checkAssembly(const Chip &chip, PtxVersion ptx, llvm::StringRef text);

} // namespace elfatt::target

#endif // ELFATT_TARGET_INSTRUCTIONS_H
