// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Runs the kernels that a model's host code launches.
#ifndef ELFATT_RUN_LAUNCHER_H
#define ELFATT_RUN_LAUNCHER_H

#include "elfatt/CPU/JIT.h"
#include "elfatt/Simulator/Simulator.h"

#include "llvm/Support/JSON.h"

namespace elfatt::run {

class Profile;

class Launcher {
public:
  virtual ~Launcher() = default;

  /// What host code calls to launch a kernel.
  static cpu::JIT::Function getLaunchFunction();

  /// While it lives, launches of this thread go to `launcher` (may be null).
  class Scope {
  public:
    explicit Scope(Launcher *launcher);
    ~Scope();

  private:
    Launcher *outer;
  };

  /// Memory that no kernel may write: arguments of the model.
  void setReadOnly(std::vector<sim::Buffer> ranges) { readOnly = std::move(ranges); }

  /// The first error of a launch. After one, launches do nothing.
  llvm::Error takeError();

  /// One record a launch, as --stats has them, and forgets them. What is not known is null.
  virtual llvm::json::Array takeRecords(llvm::StringRef target) = 0;

protected:
  /// One launch in the model's code.
  struct Launch {
    std::string kernel;
    size_t numArguments = 0;
    std::optional<int64_t> site; ///< the attention op that it comes from
    std::optional<int64_t> floorBytes;
  };
  /// A launch when its turn comes.
  struct Request {
    size_t number; ///< in `launches`
    sim::Dim3 grid, block;
    uint32_t dynamicShared; ///< bytes
    /// The bits of each argument, as the kernel takes them.
    std::vector<const int64_t *> arguments;
    /// What the pointers among them point to, by address and without overlaps.
    std::vector<sim::Buffer> buffers;
  };

  /// Reads the launches of a module that buildGPULaunchPipeline has lowered. `profile` knows the
  /// attention ops that the kernels come from.
  void readLaunches(mlir::ModuleOp module, const Profile &profile);

  virtual llvm::Error run(Request request) = 0;

  std::vector<Launch> launches;

private:
  static void launch(int64_t kernel, int64_t gridX, int64_t gridY, int64_t gridZ, int64_t blockX,
                     int64_t blockY, int64_t blockZ, int64_t sharedBytes, int64_t arguments);

  std::vector<sim::Buffer> readOnly;
  std::string failure;
};

} // namespace elfatt::run

#endif // ELFATT_RUN_LAUNCHER_H
