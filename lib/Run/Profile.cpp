// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Profile.h"

#include "elfatt/Raise/Sites.h"
#include "elfatt/Runtime.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinOps.h"

#include <chrono>

using namespace mlir;

namespace elfatt::run {
namespace {

/// One call of elfatt_parallel_for.
struct TimedLoop {
  elfatt_kernel kernel;
  double microseconds;
};

/// Where the loops of this thread's model are noted; null while nobody asks.
thread_local std::vector<TimedLoop> *timedLoops = nullptr;

void launch(elfatt_kernel kernel, void **args, int64_t count) {
  std::vector<TimedLoop> *loops = timedLoops;
  if (!loops)
    return elfatt_parallel_for(kernel, args, count);
  auto start = std::chrono::steady_clock::now();
  elfatt_parallel_for(kernel, args, count);
  std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
  loops->push_back({kernel, time.count()});
}

/// How often a model is called for the times of its loops, unless that takes long.
constexpr int profiledCalls = 5;
constexpr std::chrono::seconds longEnough(1);

/// The index of an attention op travels as the metadata of a fused location.
constexpr StringLiteral siteMark = "elfatt.site";

Location markLocation(Location loc, int64_t index) {
  Builder b(loc.getContext());
  return FusedLoc::get(loc.getContext(), {loc},
                       b.getArrayAttr({b.getStringAttr(siteMark), b.getI64IntegerAttr(index)}));
}

/// Multiply-adds of a product or convolution; nothing for other ops.
target::Count countFlops(linalg::LinalgOp op) {
  if (!linalg::isaContractionOpInterface(op) && !linalg::isaConvolutionOpInterface(op))
    return 0;
  target::Count flops = 2;
  for (int64_t extent : op.getStaticLoopRanges())
    flops *= extent;
  return flops;
}

} // namespace

/// The first mark found; loops of several ops belong to the first.
std::optional<int64_t> Profile::findSite(Location loc) {
  std::optional<int64_t> index;
  loc->walk([&](Location inner) {
    auto fused = dyn_cast<FusedLoc>(inner);
    auto mark = fused ? dyn_cast_or_null<ArrayAttr>(fused.getMetadata()) : nullptr;
    if (!mark || mark.size() != 2 || mark[0] != StringAttr::get(loc.getContext(), siteMark))
      return WalkResult::advance();
    index = cast<IntegerAttr>(mark[1]).getInt();
    return WalkResult::interrupt();
  });
  return index;
}

std::optional<int64_t> Profile::getBytes(int64_t index) const {
  for (const Site &site : sites)
    if (site.index == index)
      return site.cost.bytes.get();
  return std::nullopt;
}

void Profile::count(ModuleOp module) {
  module.walk([&](linalg::LinalgOp op) { cost.flops += countFlops(op); });
  for (auto [index, site] : llvm::enumerate(raise::collectSites(module))) {
    if (!site.isRaised)
      continue;
    auto get = [&](StringRef key) -> target::Count {
      return site.record.getInteger(key).value_or(-1);
    };
    target::Cost own = {get("flops"), get("bytes"), get("exponentials")};
    sites.push_back({int64_t(index), site.op->getName().getStringRef().str(), own});
    cost += own;
    site.op->setLoc(markLocation(site.op->getLoc(), index));
  }
}

void Profile::readLaunches(ModuleOp lowered) {
  auto main = lowered.lookupSymbol<LLVM::LLVMFuncOp>("main");
  if (!main)
    return;
  main.walk([&](LLVM::CallOp call) {
    if (call.getCallee() != getLaunchFunction().first)
      return;
    auto kernel = call.getArgOperands()[0].getDefiningOp<LLVM::AddressOfOp>();
    launches.push_back({kernel ? kernel.getGlobalName().str() : "", findSite(call.getLoc()), {}});
  });
}

cpu::JIT::Function Profile::getLaunchFunction() {
  return {"elfatt_parallel_for", reinterpret_cast<const void *>(&launch)};
}

void Profile::measure(llvm::function_ref<void()> call) {
  std::vector<std::vector<double>> times(launches.size());
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < profiledCalls; ++i) {
    if (i > 0 && std::chrono::steady_clock::now() - start > longEnough)
      break;
    std::vector<TimedLoop> loops;
    timedLoops = &loops;
    call();
    timedLoops = nullptr;
    if (loops.size() != launches.size())
      return;
    for (auto [all, loop] : llvm::zip_equal(times, loops))
      all.push_back(loop.microseconds);
  }
  for (auto [launch, all] : llvm::zip_equal(launches, times)) {
    llvm::sort(all);
    launch.microseconds = all[all.size() / 2];
  }
}

llvm::json::Array Profile::getRecords(HostRates &rates) const {
  llvm::json::Array records;
  auto toJSON = [](auto value) {
    return value ? llvm::json::Value(*value) : llvm::json::Value(nullptr);
  };
  for (const Site &site : sites) {
    llvm::json::Array loops;
    std::string name;
    std::optional<double> measured;
    for (const Launch &launch : launches) {
      if (launch.site != site.index)
        continue;
      name += (name.empty() ? "" : ", ") + launch.kernel;
      if (launch.microseconds)
        measured = measured.value_or(0) + *launch.microseconds;
      loops.push_back(llvm::json::Object{{"name", launch.kernel},
                                         {"measured_us", toJSON(launch.microseconds)}});
    }
    std::optional<target::Limit> limit;
    if (std::optional<int64_t> bytes = site.cost.bytes.get())
      limit = target::getLimit(site.cost, rates.getRates(*bytes));
    llvm::json::Object record{
        {"name", name},
        {"op", site.index},
        {"op_name", site.op},
        {"target", "cpu"},
        {"floor_bytes", toJSON(site.cost.bytes.get())},
        {"flops", toJSON(site.cost.flops.get())},
        {"exponentials", toJSON(site.cost.exponentials.get())},
        {"predicted_us", limit ? llvm::json::Value(limit->seconds * 1e6) : nullptr},
        {"limited_by", limit ? llvm::json::Value(target::getName(limit->bound)) : nullptr},
        {"measured_us", toJSON(measured)},
        {"loops", std::move(loops)}};
    records.push_back(std::move(record));
  }
  return records;
}

} // namespace elfatt::run
