// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The kernels of a model on the simulator, launched from its host code.
#ifndef ELFATT_RUN_SIMULATION_H
#define ELFATT_RUN_SIMULATION_H

#include "elfatt/CPU/JIT.h"
#include "elfatt/Simulator/Simulator.h"

#include "llvm/Support/JSON.h"

namespace elfatt::run {

class Simulation {
public:
  /// Takes the kernels' bitcode out of a module that buildGPUSimulationPipeline
  /// has lowered.
  static llvm::Expected<std::unique_ptr<Simulation>> take(mlir::ModuleOp module);

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

  /// The first error of a launch. After one, launches do nothing.
  llvm::Error takeError();

  /// One record a launch, as --stats has them, and forgets them. What the
  /// simulator does not know is null.
  llvm::json::Array takeRecords(llvm::StringRef target);

private:
  static void launch(int64_t kernel, int64_t gridX, int64_t gridY, int64_t gridZ, int64_t blockX,
                     int64_t blockY, int64_t blockZ, int64_t sharedBytes, int64_t arguments);
  struct Record {
    int64_t kernel;
    sim::LaunchConfig config;
    sim::LaunchCounts counts;
  };
  /// Null where the module has no kernels.
  std::unique_ptr<sim::Program> program;
  std::vector<std::string> kernels;
  std::vector<Record> records;
  std::string failure;
};

} // namespace elfatt::run

#endif // ELFATT_RUN_SIMULATION_H
