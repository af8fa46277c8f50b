// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Simulation.h"

#include "Profile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/Matchers.h"

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

Expected<std::unique_ptr<Simulation>> Simulation::take(ModuleOp module, const target::Chip &chip,
                                                       const Profile &profile) {
  auto simulation = std::make_unique<Simulation>();
  simulation->chip = &chip;
  if (auto names = module->getAttrOfType<ArrayAttr>("elfatt.kernels"))
    for (auto name : names.getAsRange<StringAttr>())
      simulation->launches.push_back({name.str(), std::nullopt, std::nullopt});
  module.walk([&](func::CallOp call) {
    llvm::APInt number;
    if (call.getCallee() != getLaunchFunction().first ||
        !matchPattern(call.getOperand(0), m_ConstantInt(&number)))
      return;
    Launch &launch = simulation->launches[number.getZExtValue()];
    launch.site = Profile::findSite(call.getLoc());
    if (launch.site)
      launch.floorBytes = profile.getBytes(*launch.site);
  });
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

void Simulation::launch(int64_t kernel, int64_t gridX, int64_t gridY, int64_t gridZ, int64_t blockX,
                        int64_t blockY, int64_t blockZ, int64_t sharedBytes, int64_t arguments) {
  Simulation &self = *current;
  if (!self.failure.empty())
    return;
  for (int64_t extent : {gridX, gridY, gridZ, blockX, blockY, blockZ})
    if (extent < 0 || extent > std::numeric_limits<int32_t>::max()) {
      self.failure = "kernel '" + self.launches[kernel].kernel + "': a grid of " +
                     std::to_string(extent) + " blocks, expected at most 2147483647";
      return;
    }
  auto u32 = [](int64_t value) { return static_cast<uint32_t>(value); };
  sim::LaunchConfig config;
  config.grid = {u32(gridX), u32(gridY), u32(gridZ)};
  config.block = {u32(blockX), u32(blockY), u32(blockZ)};
  config.dynamicShared = u32(sharedBytes);
  self.run(kernel, std::move(config), reinterpret_cast<const int64_t *>(arguments));
}

/// Views of one array become that array.
static std::vector<sim::Buffer> joinOverlaps(std::vector<sim::Buffer> buffers) {
  llvm::sort(buffers, [](auto &a, auto &b) { return a.data < b.data; });
  std::vector<sim::Buffer> result;
  for (sim::Buffer &buffer : buffers) {
    auto end = [](const sim::Buffer &b) { return static_cast<const char *>(b.data) + b.bytes; };
    if (result.empty() || buffer.data >= end(result.back())) {
      result.push_back(std::move(buffer));
      continue;
    }
    sim::Buffer &last = result.back();
    last.bytes = std::max(end(last), end(buffer)) - static_cast<const char *>(last.data);
    if (last.name != buffer.name)
      last.name += ", " + buffer.name;
  }
  return result;
}

void Simulation::run(int64_t number, sim::LaunchConfig config, const int64_t *words) {
  const Launch &launch = launches[number];
  auto known = programs.find(launch.kernel);
  if (known == programs.end()) {
    failure = "no kernel '" + launch.kernel + "'";
    return;
  }
  sim::Program &program = *known->second;
  std::vector<void *> arguments;
  for (size_t i = 0, e = program.getNumArguments(launch.kernel); i < e; ++i) {
    arguments.push_back(const_cast<int64_t *>(&words[2 * i]));
    if (auto bytes = static_cast<uint64_t>(words[2 * i + 1]))
      config.buffers.push_back({reinterpret_cast<const void *>(words[2 * i]), bytes,
                                /*isWritable=*/true, "argument " + std::to_string(i)});
  }
  config.buffers = joinOverlaps(std::move(config.buffers));
  for (sim::Buffer &buffer : config.buffers)
    for (const sim::Buffer &range : readOnly) {
      auto *data = static_cast<const char *>(buffer.data);
      auto *begin = static_cast<const char *>(range.data);
      if (data >= begin && data < begin + range.bytes) {
        buffer.isWritable = false;
        buffer.name += " (" + range.name + ")";
      }
    }
  config.seed = records.size();
  config.chip = chip;
  const bool isSameOp = lastLaunch && *lastLaunch < number && launch.site &&
                        launches[*lastLaunch].site == launch.site;
  if (!isSameOp)
    l2.emplace();
  lastLaunch = number;
  config.l2 = &*l2;
  config.sampleBlocks = samples;
  if (auto found = usage.find(launch.kernel); found != usage.end())
    config.registers = found->second.registers;
  auto counts = program.launch(launch.kernel, config, arguments);
  if (counts)
    records.push_back({number, config.grid, config.block, *counts});
  else
    failure = llvm::toString(counts.takeError());
}

Error Simulation::takeError() {
  if (failure.empty())
    return Error::success();
  return llvm::createStringError(std::exchange(failure, {}));
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
