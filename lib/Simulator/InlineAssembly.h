// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Which instructions a chip has, and the inline assembly that our kernels have.
#ifndef ELFATT_LIB_SIMULATOR_INLINEASSEMBLY_H
#define ELFATT_LIB_SIMULATOR_INLINEASSEMBLY_H

#include "elfatt/Target/Chip.h"

#include "llvm/IR/InstrTypes.h"

namespace elfatt::sim {

/// An error where the chip lacks what is called, an intrinsic or inline
/// assembly.
llvm::Error checkCall(llvm::CallBase &call, const target::Chip &chip);

/// The text of inline assembly.
llvm::StringRef getAssembly(const llvm::CallBase &call);

/// The instruction that inline assembly is, put before it: its accesses go
/// first from the cache. Null where it is unknown.
llvm::Instruction *expandAssembly(llvm::CallBase &call);

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_INLINEASSEMBLY_H
