// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelText.h"

#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/SymbolTable.h"

#include <map>

using namespace mlir;
using namespace elfatt;
using namespace elfatt::gpu;
namespace mg = mlir::gpu;

namespace {
/// How a kernel's registers are limited; nothing where they are not.
struct Limits {
  Attribute registers, blocks;

  static Limits of(LLVM::LLVMFuncOp kernel) {
    return {kernel->getAttr(NVVM::NVVMDialect::getMaxnregAttrName()),
            kernel->getAttr(NVVM::NVVMDialect::getMinctasmAttrName())};
  }
  void set(LLVM::LLVMFuncOp kernel) const {
    auto setOne = [&](StringRef name, Attribute value) {
      if (value)
        kernel->setAttr(name, value);
      else
        kernel->removeAttr(name);
    };
    setOne(NVVM::NVVMDialect::getMaxnregAttrName(), registers);
    setOne(NVVM::NVVMDialect::getMinctasmAttrName(), blocks);
  }
};
} // namespace

/// The limits of one block less, or nothing where there are no more registers.
static std::optional<Limits> relax(LLVM::LLVMFuncOp kernel, const target::Chip &chip) {
  auto threads = kernel->getAttrOfType<DenseI32ArrayAttr>(NVVM::NVVMDialect::getMaxntidAttrName());
  const Limits limits = Limits::of(kernel);
  if (!threads || limits.blocks)
    return std::nullopt;
  Builder b(kernel.getContext());
  const Limits all{{}, b.getI32IntegerAttr(1)};
  auto registers = dyn_cast_or_null<IntegerAttr>(limits.registers);
  if (!registers)
    return all;
  const int64_t more = target::getRegistersOfFewerBlocks(
      chip, llvm::product_of(threads.asArrayRef()), registers.getInt());
  if (more <= registers.getInt())
    return std::nullopt;
  return more == target::kRegistersPerThread ? all : Limits{b.getI32IntegerAttr(more), {}};
}

static Assembly assembleObject(mg::ObjectAttr object, StringRef cudaPath) {
  auto nvvm = cast<NVVM::NVVMTargetAttr>(object.getTarget());
  Assembly assembly;
  auto chip = target::findChip(nvvm.getChip().rtrim("af"));
  llvm::Error error = chip.takeError();
  if (!error) {
    auto toolkit =
        target::findToolkit(**chip, cudaPath, target::parsePtxFeature(nvvm.getFeatures()));
    error = toolkit.takeError();
    if (!error) {
      StringRef ptx = object.getObject().getValue().rtrim('\0');
      auto usage = target::assemble(*toolkit, **chip, ptx, &assembly.cubin);
      error = usage.takeError();
      if (!error)
        assembly.usage = std::move(*usage);
    }
  }
  assembly.error = llvm::toString(std::move(error));
  return assembly;
}

static FailureOr<KernelText> compile(mg::GPUModuleOp kernels, const TextOptions &options) {
  MLIRContext *context = kernels.getContext();
  KernelText text;
  text.holder = ModuleOp::create(UnknownLoc::get(context));
  text.holder->push_back(kernels->clone());
  if (options.dropLocations)
    text.holder->walk([&](Operation *op) { op->setLoc(UnknownLoc::get(context)); });
  mg::TargetOptions toPtx({}, {}, {}, {}, mg::CompilationTarget::Assembly);
  if (failed(mg::transformGpuModulesToBinaries(*text.holder, nullptr, toPtx)))
    return failure();
  text.binary = *text.holder->getOps<mg::BinaryOp>().begin();
  if (options.assemble || options.fitRegisters)
    for (Attribute object : text.binary.getObjects())
      text.assemblies.push_back(assembleObject(cast<mg::ObjectAttr>(object), options.cudaPath));
  return text;
}

/// What each kernel spills, in bytes, by its first target; nothing where that is not known.
static std::map<std::string, int64_t> countSpills(const KernelText &text) {
  std::map<std::string, int64_t> spills;
  for (const target::KernelUsage &kernel : text.assemblies.front().usage)
    spills[kernel.name] = kernel.spillStoreBytes + kernel.spillLoadBytes;
  return spills;
}

FailureOr<KernelText> elfatt::gpu::makeText(mg::GPUModuleOp kernels, const TextOptions &options,
                                            unsigned &numRelaxed) {
  FailureOr<KernelText> text = compile(kernels, options);
  if (failed(text) || !options.fitRegisters)
    return text;
  auto nvvm = cast<NVVM::NVVMTargetAttr>(kernels.getTargetsAttr()[0]);
  const target::Chip *chip = llvm::cantFail(target::findChip(nvvm.getChip().rtrim("af")));
  std::map<std::string, int64_t> spills = countSpills(*text);
  // Whether the text is of other limits than kernels have.
  bool isStale = false;
  while (true) {
    std::map<std::string, Limits> tried;
    for (auto kernel : kernels.getOps<LLVM::LLVMFuncOp>()) {
      auto found = spills.find(kernel.getName().str());
      if (found == spills.end() || found->second == 0)
        continue;
      std::optional<Limits> next = relax(kernel, *chip);
      if (!next)
        continue;
      tried[found->first] = Limits::of(kernel);
      next->set(kernel);
    }
    if (tried.empty())
      return isStale ? compile(kernels, options) : std::move(text);
    FailureOr<KernelText> next = compile(kernels, options);
    if (failed(next))
      return failure();
    std::map<std::string, int64_t> after = countSpills(*next);
    size_t numKept = 0;
    for (const auto &[name, limits] : tried) {
      if (after.count(name) && after[name] < spills[name]) {
        spills[name] = after[name];
        ++numRelaxed;
        ++numKept;
        continue;
      }
      limits.set(cast<LLVM::LLVMFuncOp>(SymbolTable::lookupSymbolIn(kernels, name)));
      spills[name] = 0;
    }
    if (numKept != 0) {
      text = std::move(next);
      isStale = numKept != tried.size();
    }
  }
}
