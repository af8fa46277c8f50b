// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Executes GPU kernels on the host, from the LLVM IR that would become PTX.
// Each thread of a block is a fiber; the lanes of a warp meet at collective
// instructions, the threads of a block at barriers. Blocks run one after the
// other.
//
// Stricter than a GPU: threads run in a random order between the places where
// they meet, shared memory holds NaN when a block starts, and threads that do
// not meet where they must are an error.
#ifndef ELFATT_SIMULATOR_SIMULATOR_H
#define ELFATT_SIMULATOR_SIMULATOR_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace elfatt::sim {

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t(x) * y * z; }
};

struct LaunchConfig {
  Dim3 grid, block;
  /// Orders the threads.
  uint64_t seed = 0;
  /// Bytes of dynamic shared memory.
  uint32_t dynamicShared = 0;
};

/// What a launch did.
struct LaunchCounts {
  uint64_t blocks = 0, mma = 0, shuffles = 0, barriers = 0, exp2 = 0;
};

/// The kernels of one module, ready to run. Not thread-safe.
class Program {
public:
  /// Takes a module in the NVPTX dialect of LLVM IR. An error names an
  /// instruction that the simulator does not know.
  static llvm::Expected<std::unique_ptr<Program>> create(std::unique_ptr<llvm::LLVMContext> context,
                                                         std::unique_ptr<llvm::Module> module);
  /// The same from bitcode.
  static llvm::Expected<std::unique_ptr<Program>> createFromBitcode(llvm::StringRef bitcode);
  ~Program();

  std::vector<std::string> getKernels() const;
  /// Number of parameters of a kernel; 0 if there is no such kernel.
  size_t getNumArguments(llvm::StringRef kernel) const;

  /// Runs a kernel to its end. `args` points to one value for each of its
  /// parameters, as in cuLaunchKernel. An error names the kernel, the block and
  /// the threads at fault.
  llvm::Expected<LaunchCounts> launch(llvm::StringRef kernel, const LaunchConfig &config,
                                      llvm::ArrayRef<void *> args);

private:
  struct Impl;
  explicit Program(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

} // namespace elfatt::sim

#endif // ELFATT_SIMULATOR_SIMULATOR_H
