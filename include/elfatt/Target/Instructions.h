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

} // namespace elfatt::target

#endif // ELFATT_TARGET_INSTRUCTIONS_H
