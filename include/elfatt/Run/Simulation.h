// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The kernels of a model on the simulator, launched from its host code.
#ifndef ELFATT_RUN_SIMULATION_H
#define ELFATT_RUN_SIMULATION_H

#include "elfatt/CPU/JIT.h"
#include "elfatt/Simulator/Simulator.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/JSON.h"

namespace elfatt::run {

class Profile;

class Simulation {
public:
  /// Takes the kernels' bitcode out of a module that buildGPUSimulationPipeline has lowered.
  /// `profile` knows the attention ops that the kernels come from.
  static llvm::Expected<std::unique_ptr<Simulation>>
  take(mlir::ModuleOp module, const target::Chip &chip, const Profile &profile);

  /// What host code calls to launch a kernel.
  static cpu::JIT::Function getLaunchFunction();

  /// While it lives, launches of this thread go to `simulation` (may be null).
  class Scope {
  public:
    explicit Scope(Simulation *simulation);
    ~Scope();

  private:
    Simulation *outer;
  };

  /// Memory that no kernel may write: arguments of the model.
  void setReadOnly(std::vector<sim::Buffer> ranges) { readOnly = std::move(ranges); }

  /// Counts each launch on one wave of blocks and the rest: results are incomplete.
  void sampleBlocks() { samples = true; }

  /// The first error of a launch. After one, launches do nothing.
  llvm::Error takeError();

  /// One record a launch, as --stats has them, and forgets them. What is not known (registers
  /// where there is no ptxas) is null.
  llvm::json::Array takeRecords(llvm::StringRef target);

private:
  static void launch(int64_t kernel, int64_t gridX, int64_t gridY, int64_t gridZ, int64_t blockX,
                     int64_t blockY, int64_t blockZ, int64_t sharedBytes, int64_t arguments);
  void run(int64_t kernel, sim::LaunchConfig config, const int64_t *words);

  /// One launch in the model's code.
  struct Launch {
    std::string kernel;
    std::optional<int64_t> site; ///< the attention op that it comes from
    std::optional<int64_t> floorBytes;
  };
  /// What ptxas says of a kernel.
  struct Usage {
    int64_t registers, spillBytes;
  };
  struct Record {
    int64_t launch;
    sim::Dim3 grid, block;
    sim::LaunchCounts counts;
  };
  const target::Chip *chip = nullptr;
  /// By kernel.
  llvm::StringMap<std::shared_ptr<sim::Program>> programs;
  llvm::StringMap<Usage> usage;
  std::vector<Launch> launches;
  std::vector<sim::Buffer> readOnly;
  bool samples = false;
  std::vector<Record> records;
  /// Of the launches of one attention op: what comes before it finds nothing of its own there.
  std::optional<sim::L2> l2;
  std::optional<int64_t> lastLaunch;
  std::string failure;
};

} // namespace elfatt::run

#endif // ELFATT_RUN_SIMULATION_H
