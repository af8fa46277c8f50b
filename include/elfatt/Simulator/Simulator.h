// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Executes GPU kernels on the host, from the LLVM IR that would become PTX, and counts what
// they would cost. Each thread of a block is a fiber; the lanes of a warp meet at collective
// instructions, the threads of a block at barriers. Blocks run one after the other.
//
// Stricter than a GPU: threads run in a random order between the places where they meet; shared
// memory holds NaN when a block starts, and where cp.async will write until its data is waited
// for; every access must be aligned and inside of a buffer; two threads that touch the same
// shared bytes, one of them writing, without a barrier between are an error, and so are threads
// that do not meet where they must, and stores to read-only buffers.
//
// What it cannot see: faults of ptxas, the memory model between blocks, time.
#ifndef ELFATT_SIMULATOR_SIMULATOR_H
#define ELFATT_SIMULATOR_SIMULATOR_H

#include "elfatt/Target/Chip.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <array>
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

/// Global memory that a kernel may touch. For counting, each lies at an address of its own that
/// is a multiple of 256, as device memory does.
struct Buffer {
  const void *data = nullptr;
  uint64_t bytes = 0;
  bool isWritable = true;
  std::string name; ///< for messages
};

/// The L2 of a chip, and where device memory has the buffers of its launches: a launch finds what
/// the one before has left, as on a GPU.
class L2 {
public:
  L2();
  ~L2();
  struct Impl;
  Impl &get() { return *impl; }

private:
  std::unique_ptr<Impl> impl;
};

struct LaunchConfig {
  Dim3 grid, block;
  /// Orders the threads.
  uint64_t seed = 0;
  /// Bytes of dynamic shared memory.
  uint32_t dynamicShared = 0;
  /// All global memory there is.
  std::vector<Buffer> buffers = {};
  /// Sets limits (shared memory, blocks on an SM), and the cache that counts; null: no cache.
  const target::Chip *chip = nullptr;
  /// What earlier launches on `chip` have left, and this one leaves there; null: nothing. A launch
  /// that is sampled leaves nothing: blocks that did not run would have replaced it.
  L2 *l2 = nullptr;
  /// Registers of a thread, as ptxas has them; 0 where it is not known. For blocks on an SM.
  int64_t registers = 0;
  /// Runs only one full wave of blocks and those of the last, incomplete one, of each part where
  /// several were merged into one launch; counts are scaled to the whole grid. Results are those
  /// of the blocks that ran. Needs a chip.
  bool sampleBlocks = false;
  /// Basic blocks that one thread may execute: kernels that never end are an error.
  uint64_t maxSteps = uint64_t(1) << 28;
};

/// What a launch did.
struct LaunchCounts {
  uint64_t blocks = 0;
  uint64_t mma = 0;                           ///< instructions
  std::array<uint64_t, 4> tensorOps = {};     ///< operations: f16/bf16, f16 sums, tf32, int8
  uint64_t exp2 = 0;                          ///< ex2, of single threads
  uint64_t special = 0;                       ///< the other functions of that unit
  uint64_t shuffles = 0, barriers = 0;        ///< instructions of warps; barriers of blocks
  uint64_t divergence = 0;                    ///< branches where the lanes of a warp part
  uint64_t issueSlots = 0;                    ///< instructions of warps, estimated from the IR
  uint64_t floats = 0;                        ///< those of them that the f32 units execute
  uint64_t globalRead = 0, globalWritten = 0; ///< bytes of the sectors touched, without a cache
  uint64_t globalUsed = 0;                    ///< bytes of them that lanes asked for
  uint64_t dramRead = 0, dramWritten = 0;     ///< bytes behind the L2; 0 without a chip
  uint64_t sharedWavefronts = 0;              ///< clocks of shared memory
  uint64_t bankConflicts = 0;                 ///< those of them that conflicts cost
  uint64_t poisonReads = 0;                   ///< loads of shared bytes that nobody had written
  std::string poisonSite;                     ///< where the first was
  int64_t sharedBytes = 0;                    ///< of one block, static and dynamic
  int64_t blocksPerSM = 0;                    ///< at once; 0 without a chip
};

/// Time on a chip: the largest of the times that each resource needs by itself.
struct Prediction {
  double us = 0;
  llvm::StringRef limitedBy; ///< a name of `terms`
  /// bytes (memory behind the L2), l2, shared, tensor, ex2, fma, issue: microseconds.
  std::vector<std::pair<llvm::StringRef, double>> terms;
};
Prediction predict(const target::Chip &chip, const LaunchCounts &counts);

/// The kernels of one module, ready to run. Not thread-safe.
class Program {
public:
  /// Takes a module in the NVPTX dialect of LLVM IR. An error names an instruction that the
  /// simulator does not know, or, with a chip, that the chip lacks.
  static llvm::Expected<std::unique_ptr<Program>> create(std::unique_ptr<llvm::LLVMContext> context,
                                                         std::unique_ptr<llvm::Module> module,
                                                         const target::Chip *chip = nullptr);
  /// The same from bitcode.
  static llvm::Expected<std::unique_ptr<Program>>
  createFromBitcode(llvm::StringRef bitcode, const target::Chip *chip = nullptr);
  ~Program();

  std::vector<std::string> getKernels() const;

  /// Runs a kernel to its end. `args` points to one value for each of its parameters, as in
  /// cuLaunchKernel. An error names the kernel, the block, the thread and the instruction.
  llvm::Expected<LaunchCounts> launch(llvm::StringRef kernel, const LaunchConfig &config,
                                      llvm::ArrayRef<void *> args);

private:
  struct Impl;
  explicit Program(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

/// The intrinsics that kernels may call, one a line, for people.
std::string listInstructions();

} // namespace elfatt::sim

#endif // ELFATT_SIMULATOR_SIMULATOR_H
