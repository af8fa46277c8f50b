// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The kernels of a model on the simulator, launched from its host code.
#ifndef ELFATT_RUN_SIMULATION_H
#define ELFATT_RUN_SIMULATION_H

#include "elfatt/Run/Launcher.h"

#include "llvm/ADT/StringMap.h"

namespace elfatt::run {

class Simulation : public Launcher {
public:
  /// Takes the kernels' bitcode out of a module that buildGPULaunchPipeline has lowered to it.
  static llvm::Expected<std::unique_ptr<Simulation>>
  take(mlir::ModuleOp module, const target::Chip &chip, const Profile &profile);

  /// Counts each launch on one wave of blocks and the rest: results are incomplete.
  void sampleBlocks() { samples = true; }

  /// What is not known (registers where there is no ptxas) is null.
  llvm::json::Array takeRecords(llvm::StringRef target) override;

private:
  llvm::Error run(Request request) override;

  /// What ptxas says of a kernel.
  struct Usage {
    int64_t registers, spillBytes;
  };
  struct Record {
    size_t launch;
    sim::Dim3 grid, block;
    sim::LaunchCounts counts;
  };
  const target::Chip *chip = nullptr;
  /// By kernel.
  llvm::StringMap<std::shared_ptr<sim::Program>> programs;
  llvm::StringMap<Usage> usage;
  bool samples = false;
  std::vector<Record> records;
  /// Of the launches of one attention op: what comes before it finds nothing of its own there.
  std::optional<sim::L2> l2;
  std::optional<size_t> lastLaunch;
};

} // namespace elfatt::run

#endif // ELFATT_RUN_SIMULATION_H
