// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Simulation.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

#include <limits>

using namespace mlir;
using llvm::Error;
using llvm::Expected;

namespace elfatt::run {

static thread_local Simulation *current = nullptr;

Simulation::Scope::Scope(Simulation *simulation) : outer(std::exchange(current, simulation)) {}
Simulation::Scope::~Scope() { current = outer; }

cpu::JIT::Function Simulation::getLaunchFunction() {
  return {"elfatt_launch", reinterpret_cast<const void *>(&Simulation::launch)};
}

Expected<std::unique_ptr<Simulation>> Simulation::take(ModuleOp module) {
  auto simulation = std::make_unique<Simulation>();
  if (auto names = module->getAttrOfType<ArrayAttr>("elfatt.kernels"))
    for (auto name : names.getAsRange<StringAttr>())
      simulation->kernels.push_back(name.str());
  for (auto binary : llvm::make_early_inc_range(module.getOps<mlir::gpu::BinaryOp>())) {
    auto object = cast<mlir::gpu::ObjectAttr>(binary.getObjects()[0]);
    auto program = sim::Program::createFromBitcode(object.getObject().getValue());
    if (!program)
      return program.takeError();
    simulation->program = std::move(*program);
    binary.erase();
  }
  return simulation;
}

void Simulation::launch(int64_t kernel, int64_t gridX, int64_t gridY, int64_t gridZ, int64_t blockX,
                        int64_t blockY, int64_t blockZ, int64_t sharedBytes, int64_t arguments) {
  Simulation &self = *current;
  if (!self.failure.empty())
    return;
  for (int64_t extent : {gridX, gridY, gridZ})
    if (extent < 0 || extent > std::numeric_limits<int32_t>::max()) {
      self.failure = "kernel '" + self.kernels[kernel] + "': a grid of " + std::to_string(extent) +
                     " blocks, expected at most 2147483647";
      return;
    }
  auto u32 = [](int64_t value) { return static_cast<uint32_t>(value); };
  sim::LaunchConfig config{{u32(gridX), u32(gridY), u32(gridZ)},
                           {u32(blockX), u32(blockY), u32(blockZ)},
                           /*seed=*/self.records.size(),
                           /*dynamicShared=*/u32(sharedBytes)};
  auto *words = reinterpret_cast<int64_t *>(arguments);
  std::vector<void *> pointers;
  for (int64_t i = 0, e = self.program->getNumArguments(self.kernels[kernel]); i < e; ++i)
    pointers.push_back(words + i);
  auto counts = self.program->launch(self.kernels[kernel], config, pointers);
  if (counts)
    self.records.push_back({kernel, config, *counts});
  else
    self.failure = llvm::toString(counts.takeError());
}

Error Simulation::takeError() {
  if (failure.empty())
    return Error::success();
  return llvm::createStringError(std::exchange(failure, {}));
}

llvm::json::Array Simulation::takeRecords(llvm::StringRef target) {
  llvm::json::Array result;
  for (const Record &record : std::exchange(records, {})) {
    const sim::Dim3 &grid = record.config.grid, &block = record.config.block;
    llvm::json::Object object{{"name", kernels[record.kernel]},
                              {"op", nullptr},
                              {"target", target},
                              {"grid", {grid.x, grid.y, grid.z}},
                              {"block", {block.x, block.y, block.z}},
                              {"mma", record.counts.mma},
                              {"ex2", record.counts.exp2},
                              {"barriers", record.counts.barriers}};
    for (const char *unknown :
         {"global_bytes_read", "global_bytes_written", "dram_bytes_read", "dram_bytes_written",
          "floor_bytes", "sector_efficiency", "bank_conflicts", "registers", "shared_bytes",
          "spill_bytes", "blocks_per_sm", "predicted_us", "limited_by"})
      object[unknown] = nullptr;
    result.push_back(std::move(object));
  }
  return result;
}

} // namespace elfatt::run
