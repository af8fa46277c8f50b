// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelText.h"

#include "MachineCode.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/SymbolTable.h"

#include <map>

using namespace mlir;
using namespace elfatt;
using namespace elfatt::gpu;
namespace mg = mlir::gpu;

namespace {
/// How a kernel's registers are limited, as directives of PTX.
struct Limits {
  int64_t registers = 0; ///< 0: not limited
  int64_t blocks = 0;    ///< that a multiprocessor has to hold; one: all registers of a block

  bool areNone() const { return registers == 0 && blocks == 0; }
  std::string str() const {
    return (registers ? ".maxnreg " + std::to_string(registers) + "\n" : "") +
           (blocks ? ".minnctapersm " + std::to_string(blocks) + "\n" : "");
  }
};

/// A kernel, and what ptxas makes of it within its limits.
struct Kernel {
  int64_t threads = 0;
  int64_t wantedBlocks = 0; ///< that a multiprocessor should have registers for
  Limits given, limits;     ///< as it came, and now
  int64_t registers = 0, spills = 0;
  enum class Fit { Asked, Relaxed, Tightened, Settled } fit = Fit::Asked;

  std::optional<Limits> relax(const target::Chip &chip) const;
  std::optional<Limits> tighten(const target::Chip &chip) const;
};

/// The kernels of a text by their names.
using Kernels = std::map<std::string, Kernel>;
} // namespace

/// The limits of one block less, or nothing where there are no more registers.
std::optional<Limits> Kernel::relax(const target::Chip &chip) const {
  if (spills == 0 || limits.blocks != 0 || fit == Fit::Settled)
    return std::nullopt;
  const Limits all{0, 1};
  if (limits.registers == 0)
    return all;
  const int64_t more = target::getRegistersOfFewerBlocks(chip, threads, limits.registers);
  if (more <= limits.registers)
    return std::nullopt;
  return more == target::kRegistersPerThread ? all : Limits{more, 0};
}

/// Of the registers that a kernel takes without a limit it can often do without a fourth: ptxas
/// spends what is there, or leaves a few unspent and spills.
static constexpr int64_t kNeededOfFour = 3;

/// The limits of one block more, where that is wanted and likely. A kernel that came with a limit
/// has as many as there is room for, or spilled with it.
std::optional<Limits> Kernel::tighten(const target::Chip &chip) const {
  if (spills != 0 || !given.areNone() || fit == Fit::Settled)
    return std::nullopt;
  const int64_t blocks = target::getBlocksPerSM(chip, {threads, registers, /*sharedBytes=*/0});
  const int64_t fewer = target::getMostRegisters(chip, llvm::divideCeil(threads, 32), blocks + 1);
  if (blocks == 0 || blocks >= wantedBlocks || 4 * fewer < kNeededOfFour * registers)
    return std::nullopt;
  return Limits{fewer, 0};
}

static Kernels listKernels(mg::GPUModuleOp kernels) {
  Kernels list;
  for (auto op : kernels.getOps<LLVM::LLVMFuncOp>()) {
    auto number = [&](StringRef name) {
      auto attr = op->getAttrOfType<IntegerAttr>(name);
      return attr ? attr.getInt() : int64_t(0);
    };
    auto threads = op->getAttrOfType<DenseI32ArrayAttr>(NVVM::NVVMDialect::getMaxntidAttrName());
    if (!threads)
      continue;
    Kernel &kernel = list[op.getName().str()];
    kernel.threads = llvm::product_of(threads.asArrayRef());
    kernel.wantedBlocks = number(kBlocksAttr);
    kernel.limits = {number(NVVM::NVVMDialect::getMaxnregAttrName()),
                     number(NVVM::NVVMDialect::getMinctasmAttrName())};
    kernel.given = kernel.limits;
  }
  return list;
}

/// `ptx` with the limits of `kernels`: directives between an entry's parameters and its body.
static std::string withLimits(StringRef ptx, const Kernels &kernels) {
  std::string text;
  while (true) {
    constexpr StringLiteral kEntry = ".entry ";
    const size_t entry = ptx.find(kEntry);
    if (entry == StringRef::npos)
      return text + ptx.str();
    const size_t parameters = ptx.find(')', entry), body = ptx.find('{', entry);
    auto found = kernels.find(ptx.substr(entry + kEntry.size()).split('(').first.str());
    if (found == kernels.end() || parameters >= body) {
      text += ptx.take_front(entry + kEntry.size());
      ptx = ptx.drop_front(entry + kEntry.size());
      continue;
    }
    text += ptx.take_front(parameters + 1);
    SmallVector<StringRef> lines;
    ptx.slice(parameters + 1, body).split(lines, '\n');
    for (StringRef line : lines)
      if (!line.starts_with(".maxnreg") && !line.starts_with(".minnctapersm"))
        text += line.str() + (line.data() == lines.back().data() ? "" : "\n");
    text += found->second.limits.str();
    ptx = ptx.drop_front(body);
  }
}

static Assembly assemble(NVVM::NVVMTargetAttr nvvm, StringRef ptx, StringRef cudaPath) {
  Assembly assembly;
  auto chip = target::findChip(nvvm.getChip().rtrim("af"));
  llvm::Error error = chip.takeError();
  if (!error) {
    auto toolkit =
        target::findToolkit(**chip, cudaPath, target::parsePtxFeature(nvvm.getFeatures()));
    error = toolkit.takeError();
    if (!error) {
      auto usage = target::assemble(*toolkit, **chip, ptx, &assembly.cubin);
      error = usage.takeError();
      if (!error)
        assembly.usage = std::move(*usage);
    }
  }
  assembly.error = llvm::toString(std::move(error));
  return assembly;
}

/// Takes what ptxas says of `kernels`; those whose limits in `before` were better have them again.
/// Whether some and whether all are as they were asked for.
static std::pair<bool, bool> judge(Kernels &kernels, const Kernels &before,
                                   ArrayRef<target::KernelUsage> usage) {
  bool some = false, all = true;
  for (const target::KernelUsage &of : usage) {
    auto found = kernels.find(of.name);
    if (found == kernels.end())
      continue;
    Kernel &kernel = found->second;
    const int64_t spills = of.spillStoreBytes + of.spillLoadBytes;
    auto old = before.find(of.name);
    const bool isTried = old != before.end();
    const bool isBetter =
        kernel.fit == Kernel::Fit::Tightened ? spills == 0 : spills < kernel.spills;
    if (isTried && !isBetter) {
      kernel = old->second;
      kernel.fit = Kernel::Fit::Settled;
      all = false;
      continue;
    }
    some |= isTried;
    kernel.registers = of.registers;
    kernel.spills = spills;
  }
  return {some, all};
}

/// Text and assembly of one object with the limits that its kernels do best with.
static void fit(NVVM::NVVMTargetAttr nvvm, Kernels kernels, StringRef cudaPath, std::string &ptx,
                Assembly &assembly, FitCounts &counts) {
  const target::Chip *chip = llvm::cantFail(target::findChip(nvvm.getChip().rtrim("af")));
  judge(kernels, {}, assembly.usage);
  // Whether the text is of other limits than kernels have.
  bool isStale = false;
  while (true) {
    Kernels before;
    for (auto &[name, kernel] : kernels) {
      const std::optional<Limits> more = kernel.relax(*chip), fewer = kernel.tighten(*chip);
      if (!more && !fewer)
        continue;
      before[name] = kernel;
      kernel.limits = more ? *more : *fewer;
      kernel.fit = more ? Kernel::Fit::Relaxed : Kernel::Fit::Tightened;
    }
    if (before.empty())
      break;
    std::string next = withLimits(ptx, kernels);
    Assembly made = assemble(nvvm, next, cudaPath);
    auto [some, all] = judge(kernels, before, made.usage);
    if (!made.error.empty())
      return;
    if (!some)
      continue;
    ptx = std::move(next);
    assembly = std::move(made);
    isStale = !all;
  }
  for (const auto &[name, kernel] : kernels) {
    const bool isTightened = kernel.given.areNone() && kernel.limits.registers != 0;
    counts.tightened += isTightened;
    counts.relaxed += !isTightened && kernel.limits.str() != kernel.given.str();
  }
  if (!isStale)
    return;
  ptx = withLimits(ptx, kernels);
  assembly = assemble(nvvm, ptx, cudaPath);
}

FailureOr<KernelText> elfatt::gpu::makeText(mg::GPUModuleOp kernels, const TextOptions &options,
                                            FitCounts &counts) {
  OpBuilder b(kernels.getContext());
  OwningOpRef<mg::GPUModuleOp> copy = kernels.clone();
  if (options.dropLocations)
    copy->walk([&](Operation *op) { op->setLoc(b.getUnknownLoc()); });
  KernelText text;
  SmallVector<Attribute> objects;
  for (auto nvvm : kernels.getTargetsAttr().getAsRange<NVVM::NVVMTargetAttr>()) {
    FailureOr<std::string> ptx = makePtx(*copy, nvvm, /*isForeign=*/!options.fitRegisters);
    if (failed(ptx))
      return failure();
    if (options.assemble || options.fitRegisters) {
      Assembly assembly = assemble(nvvm, *ptx, options.cudaPath);
      if (options.fitRegisters && assembly.error.empty())
        fit(nvvm, listKernels(kernels), options.cudaPath, *ptx, assembly, counts);
      text.assemblies.push_back(std::move(assembly));
    }
    // With the zero in the end, as upstream has it.
    objects.push_back(mg::ObjectAttr::get(b.getContext(), nvvm, mg::CompilationTarget::Assembly,
                                          b.getStringAttr(StringRef(ptx->c_str(), ptx->size() + 1)),
                                          nullptr, nullptr));
  }
  text.binary = mg::BinaryOp::create(b, kernels.getLoc(), kernels.getName(), nullptr, objects);
  return text;
}
