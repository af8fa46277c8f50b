// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Candidates.h"

#include "ChildProcess.h"

#include "elfatt/Pipelines/GPU.h"
#include "elfatt/Tile/Passes.h"
#include "elfatt/Tile/TileCandidates.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/FormatVariadic.h"

#include <chrono>

using namespace mlir;
using llvm::Error;
using llvm::Expected;
namespace json = llvm::json;

namespace elfatt::run {
namespace {

/// A size, and what became of it.
struct Candidate {
  tile::TileOverrides tile;
  bool isChosen = false;
  json::Array kernels;
  std::string refused, note;

  /// Of all kernels; nothing where one is not known.
  std::optional<double> combine(llvm::StringRef key,
                                llvm::function_ref<double(double, double)> join) const;
  std::optional<double> sum(llvm::StringRef key) const {
    return combine(key, [](double a, double b) { return a + b; });
  }
  std::optional<double> largest(llvm::StringRef key) const {
    return combine(key, [](double a, double b) { return std::max(a, b); });
  }
  std::optional<double> smallest(llvm::StringRef key) const {
    return combine(key, [](double a, double b) { return std::min(a, b); });
  }
  std::string name() const { return isChosen ? "chosen" : tile.str(); }
};

std::optional<double> Candidate::combine(llvm::StringRef key,
                                         llvm::function_ref<double(double, double)> join) const {
  std::optional<double> result;
  for (const json::Value &kernel : kernels) {
    std::optional<double> value = kernel.getAsObject()->getNumber(key);
    if (!value)
      return std::nullopt;
    result = result ? join(*result, *value) : *value;
  }
  return result;
}

/// Keeps what is said of a module from the user: the first error, and the first warning.
class Listener {
public:
  explicit Listener(MLIRContext *context)
      : handler(context, [this](Diagnostic &diagnostic) {
          std::string &text =
              diagnostic.getSeverity() == DiagnosticSeverity::Error ? error : warning;
          if (text.empty() && diagnostic.getSeverity() <= DiagnosticSeverity::Error &&
              diagnostic.getSeverity() != DiagnosticSeverity::Note)
            text = diagnostic.str();
        }) {}
  std::string error, warning;

private:
  ScopedDiagnosticHandler handler;
};

Expected<std::vector<tile::CandidatePart>> findParts(Tool &tool, ModuleOp module,
                                                     const CompileOptions &options) {
  OwningOpRef<ModuleOp> copy(module.clone());
  PassManager pm(module.getContext());
  if (options.raise && failed(parsePassPipeline("elfatt-raise", pm)))
    return llvm::createStringError("cannot set up elfatt-raise");
  if (options.approximate &&
      failed(parsePassPipeline("elfatt-approximate{" + *options.approximate + "}", pm)))
    return llvm::createStringError("--approximate: bad options '" + *options.approximate + "'");
  pm.addPass(tile::createTileDecomposePass());
  tool.follow(pm);
  if (failed(pm.run(*copy)))
    return llvm::createStringError("the model could not be compiled");
  std::vector<tile::CandidatePart> parts = tile::collectParts(*copy);
  if (parts.empty())
    return llvm::createStringError("no attention was found whose kernels could have other sizes");
  return parts;
}

json::Object measure(Tool &tool, ModuleOp module, CompileOptions options, const ArrayMap &inputs) {
  Listener listener(module.getContext());
  auto refuse = [&](Error error) {
    std::string why = llvm::toString(std::move(error));
    return json::Object{{"refused", listener.error.empty() ? why : listener.error}};
  };
  auto model = Model::compile(tool, OwningOpRef<ModuleOp>(module.clone()), options);
  if (!model)
    return refuse(model.takeError());
  auto prepared = model->prepareInputs(inputs);
  if (!prepared)
    return refuse(prepared.takeError());
  model->sampleBlocks();
  model->runDiscarding(*prepared);
  if (Error error = model->getLauncher()->takeError())
    return refuse(std::move(error));
  json::Array kernels =
      model->getLauncher()->takeRecords(("sim:" + options.chip->chip->name).str());
  return json::Object{{"kernels", std::move(kernels)}, {"note", listener.warning}};
}

void read(Candidate &candidate, const ChildResult &result) {
  Expected<json::Value> value = json::parse(result.text);
  json::Object *object = value ? value->getAsObject() : nullptr;
  if (!object) {
    llvm::consumeError(value.takeError());
    candidate.refused = result.text.empty() ? result.end : "not understood: " + result.text;
    return;
  }
  if (json::Array *kernels = object->getArray("kernels"))
    candidate.kernels = std::move(*kernels);
  candidate.refused = object->getString("refused").value_or("").str();
  candidate.note = object->getString("note").value_or("").str();
  if (candidate.refused.empty() && candidate.kernels.empty())
    candidate.refused = "no kernel was launched";
}

std::string show(std::optional<double> value, double unit = 1, int digits = 0) {
  return value ? llvm::formatv("{0}", llvm::format("%.*f", digits, *value / unit)).str() : "-";
}

void printTable(llvm::ArrayRef<Candidate> candidates) {
  size_t width = 8;
  for (const Candidate &candidate : candidates)
    if (candidate.refused.empty())
      width = std::max(width, candidate.name().size());
  auto &os = llvm::outs();
  os << llvm::left_justify("sizes", width)
     << "  predicted  limited    memory  no cache  launches  registers   shared  spills  blocks  "
        "bank\n"
     << llvm::left_justify("", width)
     << "         us  by             MB        MB                        bytes   bytes     /SM  "
        "conflicts\n";
  for (const Candidate &c : candidates) {
    if (!c.refused.empty())
      continue;
    auto slowest = llvm::max_element(c.kernels, [](const json::Value &a, const json::Value &b) {
      return a.getAsObject()->getNumber("predicted_us") <
             b.getAsObject()->getNumber("predicted_us");
    });
    auto total = [&](llvm::StringRef a, llvm::StringRef b) {
      std::optional<double> read = c.sum(a), written = c.sum(b);
      return read && written ? std::optional(*read + *written) : std::nullopt;
    };
    os << llvm::left_justify(c.name(), width)
       << llvm::formatv("  {0,9}  {1,-7}  {2,8}  {3,8}  {4,8}  {5,9}  {6,7}  {7,6}  {8,6}  {9,9}\n",
                        show(c.sum("predicted_us"), 1, 1),
                        slowest->getAsObject()->getString("limited_by").value_or("-"),
                        show(total("dram_bytes_read", "dram_bytes_written"), 1e6, 3),
                        show(total("global_bytes_read", "global_bytes_written"), 1e6, 3),
                        c.kernels.size(), show(c.largest("registers")),
                        show(c.largest("shared_bytes")), show(c.sum("spill_bytes")),
                        show(c.smallest("blocks_per_sm")), show(c.sum("bank_conflicts")));
  }
  for (const Candidate &c : candidates)
    if (!c.refused.empty())
      os << c.name() << ": refused: " << c.refused << "\n";
}

json::Object toJSON(Candidate &candidate) {
  json::Object object{{"tile", candidate.tile.str()}, {"chosen", candidate.isChosen}};
  if (!candidate.refused.empty()) {
    object["refused"] = candidate.refused;
    return object;
  }
  object["predicted_us"] = *candidate.sum("predicted_us");
  object["kernels"] = std::move(candidate.kernels);
  return object;
}
} // namespace

Expected<json::Object> listCandidates(Tool &tool, ModuleOp module, const CompileOptions &options,
                                      const ArrayMap &inputs, int jobs) {
  // Processes are forked below: none of this one may have threads.
  module.getContext()->disableMultithreading();
  const target::Chip &chip = *options.chip->chip;
  pipelines::GPUOptions gpu;
  gpu.chip = chip.name.str();
  gpu.setTile(options.tile);
  tile::MachineLimits limits = pipelines::getTileLimits(gpu);
  Expected<std::vector<tile::CandidatePart>> parts = findParts(tool, module, options);
  if (!parts)
    return parts.takeError();
  json::Array descriptions;
  for (const tile::CandidatePart &part : *parts) {
    descriptions.push_back(part.describe(limits));
    llvm::outs() << "chosen for " << part.describe(limits) << "\n";
  }
  llvm::outs().flush();
  std::vector<Candidate> candidates(1);
  candidates[0].tile = options.tile;
  candidates[0].isChosen = true;
  for (const tile::TileOverrides &sizes : tile::listCandidates(limits, *parts))
    candidates.emplace_back().tile = sizes;

  auto start = std::chrono::steady_clock::now();
  size_t done = 0;
  Error error = runInChildren(
      candidates.size(), jobs,
      [&](size_t i) {
        CompileOptions own = options;
        own.tile = candidates[i].tile;
        own.countRegisters = true;
        return llvm::formatv("{0}", json::Value(measure(tool, module, own, inputs))).str();
      },
      [&](size_t i, const ChildResult &result) {
        Candidate &candidate = candidates[i];
        read(candidate, result);
        double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        llvm::errs() << llvm::formatv(
            "[{0:F0} s, {1} of {2}] {3}: {4}\n", seconds, ++done, candidates.size(),
            candidate.name(),
            candidate.refused.empty() ? show(candidate.sum("predicted_us"), 1, 1) + " us predicted"
                                      : "refused");
      });
  if (error)
    return std::move(error);
  if (llvm::none_of(candidates, [](const Candidate &c) { return c.refused.empty(); }))
    return llvm::createStringError(candidates[0].refused);
  if (!candidates[0].note.empty())
    llvm::errs() << "elfatt-run: remark: " << candidates[0].note << "\n";
  auto rank = [](const Candidate &c) {
    bool refused = !c.refused.empty();
    return std::tuple(refused, refused ? 0.0 : *c.sum("predicted_us"), c.name());
  };
  llvm::sort(candidates, [&](const Candidate &a, const Candidate &b) { return rank(a) < rank(b); });
  printTable(candidates);
  json::Array records;
  for (Candidate &candidate : candidates)
    records.push_back(toJSON(candidate));
  return json::Object{
      {"chip", chip.name}, {"parts", std::move(descriptions)}, {"candidates", std::move(records)}};
}

} // namespace elfatt::run
