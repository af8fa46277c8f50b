// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Run.h"

#include "Candidates.h"
#include "Cuda.h"
#include "Profile.h"

#include "elfatt/InitAll.h"
#include "elfatt/Run/Model.h"
#include "elfatt/Runtime.h"
#include "elfatt/Target/Chip.h"
#include "elfatt/Tools/SourceModule.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Threading.h"
#include "llvm/Support/ToolOutputFile.h"

#include <chrono>
#include <cmath>
#include <cstring>
#include <unistd.h>

using namespace mlir;
using llvm::Error;
using llvm::Expected;

namespace elfatt::run {
namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The largest difference of two arrays, and relative to the largest element
/// of the second. Not a number where one of them has a nan or an inf that the
/// other has not.
struct Difference {
  double maxAbs = 0;
  double largest = 0;
  double maxRel() const { return maxAbs == 0 ? 0 : maxAbs / largest; }
};

Difference compare(const Array &got, const Array &expected) {
  Difference difference;
  bool unequal = false;
  for (int64_t i = 0, e = got.size(); i < e; ++i) {
    double a = got.get(i), b = expected.get(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) {
      if (std::isfinite(b))
        difference.largest = std::max(difference.largest, std::abs(b));
      continue;
    }
    unequal |= !std::isfinite(a) || !std::isfinite(b);
    difference.maxAbs = std::max(difference.maxAbs, std::abs(a - b));
    if (std::isfinite(b))
      difference.largest = std::max(difference.largest, std::abs(b));
  }
  if (unequal)
    difference.maxAbs = INFINITY;
  return difference;
}

/// bf16 results carry their bits; as numbers they are float32.
Array toNumbers(const Array &array, bool isBF16) {
  if (!isBF16)
    return array;
  Array result{{'f', 4}, array.shape, Bytes(array.size() * 4)};
  for (int64_t i = 0, e = array.size(); i < e; ++i)
    std::memcpy(&result.data[i * 4 + 2], &array.data[i * 2], 2);
  return result;
}

llvm::json::Value toJSON(double value) {
  return std::isfinite(value) ? llvm::json::Value(value) : llvm::json::Value(nullptr);
}

llvm::json::Object toJSON(const Difference &difference) {
  return llvm::json::Object{{"max_abs", toJSON(difference.maxAbs)},
                            {"max_rel", toJSON(difference.maxRel())}};
}

/// Milliseconds of a call that reads and writes `bytes`, and of its attention and
/// products, at the least; none with a simulator, or where sizes are not known.
std::optional<double> getLimitMs(const Model &model, int64_t bytes, HostRates &rates) {
  if (!model.getProfile())
    return std::nullopt;
  target::Cost cost = model.getProfile()->getCost();
  cost.bytes = bytes;
  std::optional<target::Limit> limit = target::getLimit(cost, rates.getRates(bytes));
  return limit ? std::optional(limit->seconds * 1e3) : std::nullopt;
}

llvm::json::Object benchmark(const Model &model, const std::vector<Array> &inputs,
                             const Results &results, double seconds, HostRates &rates) {
  for (int i = 0; i < 2; ++i)
    model.runDiscarding(inputs);
  std::vector<double> times;
  for (auto start = Clock::now(); times.size() < 3 || secondsSince(start) < seconds;) {
    auto begin = Clock::now();
    model.runDiscarding(inputs);
    times.push_back(secondsSince(begin) * 1e3);
  }
  llvm::sort(times);
  int64_t bytes = model.getConstantBytes();
  for (const Array &array : inputs)
    bytes += array.data.size();
  for (const Array &array : results)
    bytes += array.data.size();
  double median = times[times.size() / 2], copy = rates.getCopySeconds(bytes) * 1e3;
  std::optional<double> limit = getLimitMs(model, bytes, rates);
  if (Profile *profile = model.getProfile())
    profile->measure([&] { model.runDiscarding(inputs); });
  llvm::outs() << llvm::formatv("benchmark: median {0:F3} ms, min {1:F3} ms, max {2:F3} ms, {3} "
                                "calls, {4} threads; {5:F1} x copying the same {6:F1} MB",
                                median, times.front(), times.back(), times.size(),
                                elfatt_get_threads(), median / copy, bytes / 1e6);
  if (limit)
    llvm::outs() << llvm::formatv(", {0:F1} x the limit of {1:F3} ms", median / *limit, *limit);
  llvm::outs() << "\n";
  return llvm::json::Object{{"median_ms", median},
                            {"min_ms", times.front()},
                            {"max_ms", times.back()},
                            {"copy_ms", copy},
                            {"limit_ms", limit ? llvm::json::Value(*limit) : nullptr},
                            {"threads", elfatt_get_threads()}};
}

/// One run of elfatt-run: the parsed module and what becomes of it.
class Session {
public:
  Session(Tool &tool, const Options &options, std::optional<target::ChipTarget> chip,
          std::unique_ptr<Cuda> cuda)
      : tool(tool), options(options), chip(std::move(chip)), cuda(std::move(cuda)) {}

  int run() {
    // Processes that try candidates have one each, and this one none to lose.
    elfatt_set_threads(options.listCandidates ? 1 : options.threads);
    if (Error error = readArrays())
      return tool.error(llvm::toString(std::move(error)));
    if (llvm::sys::fs::is_directory(options.file))
      return executeBundle();
    if (!parse())
      return 2;
    return options.listCandidates ? listCandidates() : execute();
  }

private:
  Error readArrays() {
    for (auto [path, arrays] :
         {std::pair(&options.inputs, &inputs), {&options.expect, &expected}}) {
      if (path->empty())
        continue;
      auto read = readNpz(*path);
      if (!read)
        return read.takeError();
      *arrays = std::move(*read);
    }
    return Error::success();
  }

  bool parse() {
    auto start = Clock::now();
    if (!source.parse(tool, options.file))
      return false;
    llvm::outs() << llvm::formatv("parsed in {0:F2} s\n", secondsSince(start));
    return true;
  }

  CompileOptions getCompileOptions(std::optional<std::string> approximate) const {
    return {options.raise,
            std::move(approximate),
            chip,
            cuda.get(),
            options.tile,
            options.guard,
            /*countRegisters=*/false,
            options.cudaPath};
  }

  Expected<Model> compile(llvm::StringRef what, const CompileOptions &compileOptions, bool last) {
    auto start = Clock::now();
    OwningOpRef<ModuleOp> copy =
        last ? std::move(source.module) : OwningOpRef<ModuleOp>(source.module->clone());
    auto model = Model::compile(tool, std::move(copy), compileOptions);
    if (model)
      llvm::outs() << llvm::formatv("compiled {0} model in {1:F2} s\n", what, secondsSince(start));
    llvm::outs().flush();
    return model;
  }

  int executeBundle() {
    if (options.approximate || options.compareExact || !options.raise)
      return tool.error(options.file + ": a bundle is compiled already; --approximate, --compare "
                                       "and --no-raise are for elfatt-compile");
    // Not through the JIT, and not by its dense library.
    MLIRContext context;
    tool.setActivity("opening the bundle");
    auto start = Clock::now();
    llvm::StringRef target = options.target;
    bool isNamed = target.consume_front("cpu:") || cuda;
    auto model = Model::open(&context, options.file, isNamed ? target.data() : nullptr, cuda.get());
    if (!model)
      return tool.error(llvm::toString(model.takeError()));
    llvm::outs() << llvm::formatv("opened the bundle's code for {0} in {1:F2} s\n",
                                  model->getBundleTarget(), secondsSince(start));
    for (RankedTensorType type : model->getResultTypes())
      isBF16.push_back(type.getElementType().isBF16());
    return executeModel(*model);
  }

  int listCandidates() {
    CompileOptions compileOptions = getCompileOptions(options.approximate);
    compileOptions.countRegisters = true;
    int jobs =
        options.threads ? options.threads : llvm::hardware_concurrency().compute_thread_count();
    auto record = run::listCandidates(tool, *source.module, compileOptions, inputs, jobs);
    if (!record)
      return tool.error(llvm::toString(record.takeError()));
    stats = std::move(*record);
    return writeFiles({});
  }

  int execute() {
    std::vector<Type> types;
    if (auto main = dyn_cast_or_null<FunctionOpInterface>(source.module->lookupSymbol("main"))) {
      types.assign(main.getResultTypes().begin(), main.getResultTypes().end());
      llvm::copy_if(main.getArgumentTypes(), std::back_inserter(types),
                    [](Type type) { return isa<MemRefType>(type); });
    }
    for (Type type : types)
      isBF16.push_back(getElementTypeOrSelf(type).isBF16());
    bool approximates = options.approximate.has_value();
    CompileOptions compileOptions = getCompileOptions(options.approximate);
    compileOptions.countRegisters = !options.stats.empty();
    auto model =
        compile(approximates ? "approximate" : "exact", compileOptions, !options.compareExact);
    if (!model)
      return tool.error(llvm::toString(model.takeError()));
    return executeModel(*model);
  }

  int executeModel(const Model &compiled) {
    const Model *model = &compiled;
    tool.setActivity("preparing inputs");
    auto prepared = model->prepareInputs(inputs);
    if (!prepared)
      return tool.error(llvm::toString(prepared.takeError()));
    tool.setActivity("running the model");
    if (options.sampleBlocks)
      model->sampleBlocks();
    Results results = model->run(*prepared);
    Launcher *launcher = model->getLauncher();
    if (launcher) {
      if (Error error = launcher->takeError())
        return tool.error(llvm::toString(std::move(error)));
      stats["kernels"] = launcher->takeRecords(options.target);
    }
    if (Error error = printApproximationError(*prepared, results))
      return tool.error(llvm::toString(std::move(error)));
    bool matches = true;
    if (!options.expect.empty()) {
      auto compared = checkExpected(results);
      if (!compared)
        return tool.error(llvm::toString(compared.takeError()));
      matches = *compared;
    }
    if (options.benchmarkSeconds)
      stats["benchmark"] =
          benchmark(*model, *prepared, results, *options.benchmarkSeconds, getRates());
    if (launcher) {
      if (Error error = launcher->takeError())
        return tool.error(llvm::toString(std::move(error)));
      // On a GPU those of the calls that were timed: the first one is slower.
      if (cuda && options.benchmarkSeconds)
        stats["kernels"] = printKernelTimes(launcher->takeRecords(options.target));
    }
    if (Profile *profile = model->getProfile(); profile && !options.stats.empty())
      stats["kernels"] = profile->getRecords(getRates());
    if (int status = writeFiles(results))
      return status;
    return matches ? kDone : kDiffers;
  }

  /// A model's calls copy to the device and back; its kernels do not.
  static llvm::json::Array printKernelTimes(llvm::json::Array records) {
    for (const llvm::json::Value &value : records) {
      const llvm::json::Object &record = *value.getAsObject();
      llvm::outs() << llvm::formatv("kernel {0}: {1:F1} us on the device\n",
                                    *record.getString("name"), *record.getNumber("measured_us"));
    }
    return records;
  }

  Error printApproximationError(const std::vector<Array> &prepared, const Results &results) {
    if (!options.compareExact)
      return Error::success();
    auto exact = compile("exact", getCompileOptions(std::nullopt), true);
    if (!exact)
      return exact.takeError();
    Results reference = exact->run(prepared);
    if (Launcher *launcher = exact->getLauncher())
      if (Error error = launcher->takeError())
        return error;
    Difference worst;
    for (size_t i = 0; i < results.size(); ++i) {
      Difference d = compare(toNumbers(results[i], isBF16[i]), toNumbers(reference[i], isBF16[i]));
      llvm::outs() << llvm::formatv("approximation error of out{0} against the exact model: max "
                                    "abs {1:e3}, relative to the largest output {2:e3}\n",
                                    i, d.maxAbs, d.maxRel());
      if (!(d.maxRel() <= worst.maxRel()))
        worst = d;
    }
    stats["approximation_error"] = toJSON(worst);
    if (options.expect.empty())
      stats["error"] = toJSON(worst);
    return Error::success();
  }

  Expected<bool> checkExpected(const Results &results) {
    bool matches = true;
    Difference worst;
    for (size_t i = 0; i < results.size(); ++i) {
      std::string name = "out" + std::to_string(i);
      auto it = expected.find(name);
      if (it == expected.end())
        return llvm::createStringError("%s: no array named %s", options.expect.c_str(),
                                       name.c_str());
      const Array &wanted = it->second;
      if (wanted.shape != results[i].shape)
        return llvm::createStringError("%s: %s has another shape than the result",
                                       options.expect.c_str(), name.c_str());
      bool bits = isBF16[i] && wanted.type == ElementType{'u', 2};
      Difference d = compare(toNumbers(results[i], isBF16[i]), toNumbers(wanted, bits));
      bool ok = d.maxAbs <= options.atol + options.rtol * d.largest;
      llvm::outs() << llvm::formatv("{0}: max error {1:e3}, relative to the largest output {2:e3}: "
                                    "{3}\n",
                                    name, d.maxAbs, d.maxRel(), ok ? "as expected" : "differs");
      matches &= ok;
      if (!(d.maxRel() <= worst.maxRel()))
        worst = d;
    }
    stats["error"] = toJSON(worst);
    return matches;
  }

  /// Writes a file whole or not at all; the exit status.
  int write(llvm::StringRef path, llvm::StringRef bytes) {
    auto file = tool.openOutput(path);
    if (!file)
      return kBadInput;
    file->os() << bytes;
    return tool.keepOutput(*file);
  }

  int writeFiles(const Results &results) {
    if (!options.save.empty()) {
      ArrayMap arrays;
      for (auto [i, array] : llvm::enumerate(results))
        arrays.emplace("out" + std::to_string(i), array);
      auto bytes = formatNpz(arrays);
      if (!bytes)
        return tool.error(options.save + ": " + llvm::toString(bytes.takeError()));
      if (int status = write(options.save, {bytes->data(), bytes->size()}))
        return status;
    }
    if (options.stats.empty())
      return kDone;
    if (!stats.get("kernels"))
      stats["kernels"] = llvm::json::Array();
    return write(options.stats,
                 llvm::formatv("{0:2}\n", llvm::json::Value(std::move(stats))).str());
  }

  /// Measured when they are first asked for.
  HostRates &getRates() {
    if (!rates)
      rates.emplace();
    return *rates;
  }

  Tool &tool;
  const Options &options;
  std::optional<HostRates> rates;
  std::optional<target::ChipTarget> chip;
  /// Outlives the models that use it.
  std::unique_ptr<Cuda> cuda;
  ArrayMap inputs, expected;
  SourceModule source;
  std::vector<bool> isBF16;
  llvm::json::Object stats;
};

} // namespace

/// Ends the command: compiled code cannot go on, and its threads are not ours
/// to unwind. Nothing is written before the results are there.
[[noreturn]] static void endWithFailure(const char *message) {
  llvm::outs().flush();
  llvm::errs() << "elfatt-run: error: the model failed: " << message << "\n";
  _exit(kBadInput);
}

int runMain(Tool &tool, int argc, char **argv) {
  auto options = parseOptions(llvm::ArrayRef(argv, argc).drop_front());
  if (!options)
    return tool.error(llvm::toString(options.takeError()));
  if (options->help) {
    llvm::outs() << getUsage();
    return kDone;
  }
  if (options->listInstructions) {
    llvm::outs() << sim::listInstructions();
    return kDone;
  }
  std::optional<target::ChipTarget> chip;
  std::unique_ptr<Cuda> cuda;
  auto refuse = [&](llvm::StringRef why) {
    return tool.error("--target=" + options->target + ": " + why);
  };
  const bool isBundle = llvm::sys::fs::is_directory(options->file);
  llvm::StringRef name = options->target;
  if (name.consume_front("sim:")) {
    Expected<target::ChipTarget> target = target::parseChipTarget(name);
    if (!target)
      return refuse(llvm::toString(target.takeError()));
    chip = std::move(*target);
    if (isBundle)
      return refuse("a bundle runs on cpu, cpu:LEVEL or cuda");
  } else if (name == "cuda") {
    auto opened = Cuda::open();
    if (!opened)
      return refuse(llvm::toString(opened.takeError()));
    cuda = std::move(*opened);
    chip = cuda->getTarget();
  } else if (name != "cpu" && !(isBundle && name.starts_with("cpu:"))) {
    return refuse(isBundle ? "expected cpu, cpu:LEVEL or cuda" : "expected cpu, sim:CHIP or cuda");
  }
  elfatt_set_failure_handler(endWithFailure);
  registerAllPasses();
  registerAllPipelines();
  return Session(tool, *options, std::move(chip), std::move(cuda)).run();
}

} // namespace elfatt::run
