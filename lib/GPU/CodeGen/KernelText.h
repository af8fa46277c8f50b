// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// PTX of kernels, what ptxas makes of it, and the registers that kernels have by that: one text
// for PTX, cubin and figures.
#ifndef ELFATT_LIB_GPU_CODEGEN_KERNELTEXT_H
#define ELFATT_LIB_GPU_CODEGEN_KERNELTEXT_H

#include "elfatt/Target/Ptxas.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/OwningOpRef.h"

namespace elfatt::gpu {

/// On a kernel, an integer: blocks that a multiprocessor should have registers for; shared memory
/// has room for as many.
inline constexpr char kBlocksAttr[] = "elfatt.blocks";

/// What ptxas made of one object.
struct Assembly {
  std::string cubin;
  std::vector<target::KernelUsage> usage;
  std::string error; ///< why there is none, or empty
};

/// The kernels of a gpu.module.
struct KernelText {
  mlir::OwningOpRef<mlir::gpu::BinaryOp> binary; ///< an object of PTX for each target
  llvm::SmallVector<Assembly, 1> assemblies;     ///< of each object, where ptxas was asked
};

struct TextOptions {
  llvm::StringRef cudaPath; ///< a CUDA Toolkit; empty: search
  bool assemble = false;
  /// Kernels that spill get more registers, others fewer that do; nothing where no ptxas says so.
  /// Without it they are foreign: `makePtx`.
  bool fitRegisters = false;
  /// Without places in the source, which would be debug information: ptxas spills more with it.
  bool dropLocations = false;
};

/// Kernels that have other limits than they came with.
struct FitCounts {
  unsigned relaxed = 0, tightened = 0;
};

/// The text of `kernels` and its assembly. With `fitRegisters` a kernel that spills gets the
/// registers of one block less (`.maxnreg`), or all that a block has (`.minnctapersm`), as long as
/// it spills fewer bytes with them; and a kernel that has no limit those of one block more, as long
/// as `elfatt.blocks` asks for it and it spills none. Errors of LLVM are at `kernels`.
llvm::FailureOr<KernelText> makeText(mlir::gpu::GPUModuleOp kernels, const TextOptions &options,
                                     FitCounts &counts);

} // namespace elfatt::gpu

#endif // ELFATT_LIB_GPU_CODEGEN_KERNELTEXT_H
