// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Simulation.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"

using namespace mlir;
using llvm::Error;
using llvm::Expected;

namespace elfatt::run {

Expected<std::unique_ptr<Simulation>> Simulation::take(ModuleOp module, const target::Chip &chip,
                                                       const Profile &profile) {
  auto simulation = std::make_unique<Simulation>();
  simulation->chip = &chip;
  simulation->readLaunches(module, profile);
  for (auto binary : llvm::make_early_inc_range(module.getOps<mlir::gpu::BinaryOp>())) {
    auto object = cast<mlir::gpu::ObjectAttr>(binary.getObjects()[0]);
    auto program = sim::Program::createFromBitcode(object.getObject().getValue(), &chip);
    if (!program)
      return program.takeError();
    std::shared_ptr<sim::Program> shared = std::move(*program);
    for (const std::string &kernel : shared->getKernels())
      simulation->programs[kernel] = shared;
    if (DictionaryAttr properties = object.getProperties())
      for (NamedAttribute kernel : properties) {
        auto figures = dyn_cast<DictionaryAttr>(kernel.getValue());
        auto get = [&](StringRef key) { return cast<IntegerAttr>(figures.get(key)).getInt(); };
        if (figures && figures.contains("registers"))
          simulation->usage[kernel.getName()] = {get("registers"), get("spill_bytes")};
      }
    binary.erase();
  }
  return simulation;
}

Error Simulation::run(Request request) {
  const Launch &launch = launches[request.number];
  auto known = programs.find(launch.kernel);
  if (known == programs.end())
    return llvm::createStringError("no kernel '" + launch.kernel + "'");
  sim::LaunchConfig config;
  config.grid = request.grid;
  config.block = request.block;
  config.dynamicShared = request.dynamicShared;
  config.buffers = std::move(request.buffers);
  config.seed = records.size();
  config.chip = chip;
  const bool isSameOp = lastLaunch && *lastLaunch < request.number && launch.site &&
                        launches[*lastLaunch].site == launch.site;
  if (!isSameOp)
    l2.emplace();
  lastLaunch = request.number;
  config.l2 = &*l2;
  config.sampleBlocks = samples;
  if (auto found = usage.find(launch.kernel); found != usage.end())
    config.registers = found->second.registers;
  std::vector<void *> arguments;
  for (const int64_t *argument : request.arguments)
    arguments.push_back(const_cast<int64_t *>(argument));
  auto counts = known->second->launch(launch.kernel, config, arguments);
  if (!counts)
    return counts.takeError();
  records.push_back({request.number, config.grid, config.block, *counts});
  return Error::success();
}

llvm::json::Array Simulation::takeRecords(llvm::StringRef target) {
  llvm::json::Array result;
  auto orNull = [](auto value) {
    return value ? llvm::json::Value(*value) : llvm::json::Value(nullptr);
  };
  for (const Record &record : std::exchange(records, {})) {
    const Launch &launch = launches[record.launch];
    const sim::LaunchCounts &counts = record.counts;
    sim::Prediction prediction = sim::predict(*chip, counts);
    llvm::json::Object terms;
    for (auto [name, us] : prediction.terms)
      terms[name] = us;
    uint64_t global = counts.globalRead + counts.globalWritten;
    llvm::json::Object object{
        {"name", launch.kernel},
        {"op", orNull(launch.site)},
        {"target", target},
        {"grid", {record.grid.x, record.grid.y, record.grid.z}},
        {"block", {record.block.x, record.block.y, record.block.z}},
        {"global_bytes_read", counts.globalRead},
        {"global_bytes_written", counts.globalWritten},
        {"dram_bytes_read", counts.dramRead},
        {"dram_bytes_written", counts.dramWritten},
        {"floor_bytes", orNull(launch.floorBytes)},
        {"sector_efficiency",
         global ? llvm::json::Value(double(counts.globalUsed) / global) : nullptr},
        {"bank_conflicts", counts.bankConflicts},
        {"shared_wavefronts", counts.sharedWavefronts},
        {"mma", counts.mma},
        {"ex2", counts.exp2},
        {"barriers", counts.barriers},
        {"divergence", counts.divergence},
        {"issue_slots", counts.issueSlots},
        {"poison_reads", counts.poisonReads},
        {"shared_bytes", counts.sharedBytes},
        {"blocks_per_sm", counts.blocksPerSM},
        {"predicted_us", prediction.us},
        {"limited_by", prediction.limitedBy},
        {"terms_us", std::move(terms)}};
    auto found = usage.find(launch.kernel);
    bool isKnown = found != usage.end();
    object["registers"] = isKnown ? llvm::json::Value(found->second.registers) : nullptr;
    object["spill_bytes"] = isKnown ? llvm::json::Value(found->second.spillBytes) : nullptr;
    result.push_back(std::move(object));
  }
  return result;
}

} // namespace elfatt::run
