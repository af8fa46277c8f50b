// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NVIDIA's assembler: where it is, and what it says about a kernel.
#ifndef ELFATT_TARGET_PTXAS_H
#define ELFATT_TARGET_PTXAS_H

#include "elfatt/Target/Chip.h"

#include <vector>

namespace elfatt::target {

/// A CUDA Toolkit, as far as it is needed here.
struct Toolkit {
  std::string root; ///< the folder that has bin/ptxas
  int major = 0, minor = 0;
  std::string fatbinary; ///< of this or another toolkit; empty where there is none
  std::string ptxas() const { return root + "/bin/ptxas"; }
};

/// Finds a toolkit whose ptxas knows the chip: in `cudaPath` if given, else in
/// CUDA_HOME, on PATH, where CMake found one, in /usr/local/cuda and in the active Python
/// environment (packages nvidia-cuda-nvcc-*). With `ptx`, it reads that version too, and
/// among several one is taken whose cubins the drivers of that version load, or else
/// the one with the oldest major release. The error says what was found and what to do.
llvm::Expected<Toolkit> findToolkit(const Chip &chip, llvm::StringRef cudaPath,
                                    std::optional<PtxVersion> ptx = std::nullopt);

/// True if the ptxas of that release assembles for the chip.
bool knowsChip(int major, int minor, const Chip &chip);

/// The first CUDA release whose driver and ptxas read PTX of that version, as
/// drivers have it: 11040 for 7.4. PTX ISA manual, "Release Notes".
int getFirstRelease(PtxVersion ptx);

/// The oldest driver that loads the toolkit's cubins for the chip, 12080 for CUDA
/// 12.8: one of the same major release ("CUDA Compatibility", "Minor Version
/// Compatibility") that knows the chip.
int getOldestDriver(const Toolkit &toolkit, const Chip &chip);

/// What `ptxas -v` says of one kernel.
struct KernelUsage {
  std::string name;
  int64_t registers = 0, sharedBytes = 0, spillStoreBytes = 0, spillLoadBytes = 0;
};
std::vector<KernelUsage> parseUsage(llvm::StringRef output);

/// What a thread may have of registers where one block less than `registers` leave room for is on
/// an SM, or where a block is alone.
int64_t getRegistersOfFewerBlocks(const Chip &chip, int64_t threads, int64_t registers);

/// Assembles PTX; the cubin's bytes land in `cubin`. The error carries ptxas' message.
llvm::Expected<std::vector<KernelUsage>> assemble(const Toolkit &toolkit, const Chip &chip,
                                                  llvm::StringRef ptx, std::string *cubin);

/// A fatbin with the cubin, and the PTX for newer chips.
llvm::Expected<std::string> makeFatbin(const Toolkit &toolkit, const Chip &chip,
                                       llvm::StringRef ptx, llvm::StringRef cubin);

} // namespace elfatt::target

#endif // ELFATT_TARGET_PTXAS_H
