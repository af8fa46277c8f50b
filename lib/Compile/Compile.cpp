// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Compile/Compile.h"

#include "Bundle.h"
#include "Launches.h"
#include "Manifest.h"
#include "Options.h"
#include "RuntimeSource.h"
#include "SharedObject.h"
#include "Signature.h"
#include "elfatt/InitAll.h"
#include "elfatt/Pipelines/CPU.h"
#include "elfatt/Pipelines/GPU.h"
#include "elfatt/Tools/SourceModule.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
namespace json = llvm::json;
using llvm::Error;
using llvm::Expected;

namespace elfatt::compile {
namespace {

class Compiler {
public:
  Compiler(Tool &tool, const Options &options) : tool(tool), options(options) {}

  int run();

private:
  Error runPipeline(ModuleOp module, llvm::StringRef what,
                    llvm::function_ref<LogicalResult(OpPassManager &)> build);
  Error raise();
  Expected<json::Array> describeFunctions();
  Error compileFor(const target::ProcessorTarget &target);
  Error compileFor(const target::ChipTarget &target);
  Error addKernels(std::string ptx, const target::ChipTarget &target);
  Error write();

  Tool &tool;
  const Options &options;
  SourceModule source;
  json::Array functions;
  std::vector<HostCode> hostCode;
  std::vector<DeviceCode> deviceCode;
  ConstantFile constants;
  Files files;
};
} // namespace

Error Compiler::runPipeline(ModuleOp target, llvm::StringRef what,
                            llvm::function_ref<LogicalResult(OpPassManager &)> build) {
  PassManager pm(source.context.get());
  if (failed(build(pm)))
    return llvm::createStringError("cannot set up " + what);
  tool.followCompilation(pm);
  if (failed(pm.run(target)))
    return llvm::createStringError(what + " failed");
  return Error::success();
}

Error Compiler::raise() {
  if (options.raise)
    if (Error error = runPipeline(*source.module, "elfatt-raise", [](OpPassManager &pm) {
          return parsePassPipeline("elfatt-raise", pm);
        }))
      return error;
  if (!options.approximate)
    return Error::success();
  if (!PassInfo::lookup("elfatt-approximate"))
    return llvm::createStringError("--approximate is not built yet");
  return runPipeline(*source.module, "elfatt-approximate", [&](OpPassManager &pm) {
    return parsePassPipeline("elfatt-approximate{" + *options.approximate + "}", pm);
  });
}

Expected<json::Array> Compiler::describeFunctions() {
  json::Array records;
  for (func::FuncOp func : getFunctions(*source.module)) {
    FailureOr<json::Object> record = makeSignature(func);
    if (failed(record))
      return llvm::createStringError("describing the functions failed");
    records.push_back(std::move(*record));
  }
  if (records.empty())
    return llvm::createStringError("'" + options.file + "' has no public function");
  return records;
}

/// Whether something in the module may be a sum of products of bf16.
static bool usesBF16(ModuleOp module) {
  return module
      .walk([](Operation *op) {
        bool isBF16 = llvm::any_of(op->getOperandTypes(), [](Type type) {
          return mlir::getElementTypeOrSelf(type).isBF16();
        });
        return isBF16 ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

/// Whether something in the lowered module is one.
static bool dotsBF16(ModuleOp module) {
  return module
      .walk([](LLVM::CallIntrinsicOp op) {
        return op.getIntrin().contains("avx512bf16.dpbf16ps") ? WalkResult::interrupt()
                                                              : WalkResult::advance();
      })
      .wasInterrupted();
}

Error Compiler::compileFor(const target::ProcessorTarget &target) {
  for (const target::Processor *processor : target.levels) {
    // A processor of such a level runs the code of the one below as well.
    const bool isOptional = processor->dotsBF16 && target.levels.size() > 1;
    if (isOptional && !usesBF16(*source.module))
      continue;
    OwningOpRef<ModuleOp> module(source.module->clone());
    for (func::FuncOp func : getFunctions(*module))
      func->setAttr(LLVM::LLVMDialect::getEmitCWrapperAttrName(), UnitAttr::get(func.getContext()));
    pipelines::CPUOptions cpu;
    cpu.vectorBits = processor->vectorBits;
    cpu.vectorRegisters = processor->vectorRegisters;
    cpu.dotsBF16 = processor->dotsBF16;
    cpu.resultsAsArguments = true;
    if (Error error =
            runPipeline(*module, "compiling for " + processor->name.str(), [&](OpPassManager &pm) {
              pipelines::buildCPUPipeline(pm, cpu);
              return success();
            }))
      return error;
    if (isOptional && !dotsBF16(*module))
      continue;
    tool.setActivity("generating code for " + processor->name);
    Expected<std::string> object =
        makeSharedObject(tool, *module, target.triple, *processor, constants);
    if (!object)
      return object.takeError();
    HostCode code{processor, "code." + processor->name.str() + ".so"};
    files[code.fileName] = std::move(*object);
    hostCode.push_back(std::move(code));
  }
  return Error::success();
}

Error Compiler::compileFor(const target::ChipTarget &target) {
  OwningOpRef<ModuleOp> lowered(source.module->clone());
  pipelines::GPUOptions gpu;
  gpu.chip = target.chip->name.str();
  gpu.cuda = target.cuda;
  gpu.tf32 = target.tf32;
  gpu.cudaPath = options.cudaPath;
  gpu.setTile(options.tile);
  std::string what = "compiling for " + target.chip->name.str();
  if (Error error = runPipeline(*lowered, what, [&](OpPassManager &pm) {
        pipelines::buildGPUPipeline(pm, gpu);
        return success();
      }))
    return error;
  auto binaries = lowered->getOps<mlir::gpu::BinaryOp>();
  if (binaries.empty())
    return llvm::createStringError("nothing in '" + options.file +
                                   "' becomes a kernel: no attention was found");
  for (auto [func, record] : llvm::zip_equal(getFunctions(*lowered), functions)) {
    json::Object &function = *record.getAsObject();
    json::Value &devices = function.try_emplace("devices", json::Object()).first->second;
    (*devices.getAsObject())[target.chip->name] = makeLaunches(func);
  }
  auto object = cast<mlir::gpu::ObjectAttr>((*binaries.begin()).getObjects()[0]);
  std::string ptx = object.getObject().getValue().rtrim('\0').str();
  return addKernels(std::move(ptx), target);
}

/// PTX, and the cubin where a ptxas is found. PTX needs none, unless one was asked for.
Error Compiler::addKernels(std::string ptx, const target::ChipTarget &target) {
  const target::Chip &chip = *target.chip;
  tool.setActivity("assembling for " + chip.name);
  DeviceCode code;
  code.target = target;
  std::string stem = ("kernels." + chip.name).str();
  Expected<target::Toolkit> toolkit = target::findToolkit(chip, options.cudaPath, target.ptx);
  if (!toolkit) {
    if (!options.cudaPath.empty() || options.fatbin)
      return toolkit.takeError();
    llvm::errs() << "elfatt-compile: remark: " << chip.name
                 << " gets PTX alone: " << llvm::toString(toolkit.takeError()) << "\n";
    code.ptxFile = stem + ".ptx";
    files[code.ptxFile] = std::move(ptx);
    deviceCode.push_back(std::move(code));
    return Error::success();
  }
  std::string cubin;
  auto usage = target::assemble(*toolkit, chip, ptx, &cubin);
  if (!usage)
    return usage.takeError();
  // In a fixed order: ptxas has its own.
  llvm::sort(*usage, [](auto &a, auto &b) { return a.name < b.name; });
  code.usage = std::move(*usage);
  code.oldestDriver = target::getOldestDriver(*toolkit, chip);
  if (options.fatbin) {
    Expected<std::string> fatbin = target::makeFatbin(*toolkit, chip, ptx, cubin);
    if (!fatbin)
      return fatbin.takeError();
    code.fatbinFile = stem + ".fatbin";
    files[code.fatbinFile] = std::move(*fatbin);
  } else {
    code.ptxFile = stem + ".ptx";
    code.cubinFile = stem + ".cubin";
    files[code.ptxFile] = std::move(ptx);
    files[code.cubinFile] = std::move(cubin);
  }
  deviceCode.push_back(std::move(code));
  return Error::success();
}

Error Compiler::write() {
  llvm::StringRef constantsName;
  if (!constants.contents.empty()) {
    constantsName = "constants.bin";
    files[constantsName.str()] = std::move(constants.contents);
  }
  files["bundle.h"] = makeHeader(functions);
  if (options.runtimeSource)
    if (Error error = addRuntimeSource(files))
      return error;
  json::Object manifest =
      makeManifest(std::move(functions), hostCode, deviceCode, constantsName, files);
  std::string text = llvm::formatv("{0:2}\n", json::Value(std::move(manifest))).str();
  files["manifest.json.sha256"] = makeChecksum(text) + "  manifest.json\n";
  files["manifest.json"] = std::move(text);
  tool.setActivity("writing " + options.output);
  return writeBundle(tool, options.output, files);
}

int Compiler::run() {
  if (!source.parse(tool, options.file))
    return kBadInput;
  if (Error error = raise())
    return tool.error(llvm::toString(std::move(error)));
  Expected<json::Array> records = describeFunctions();
  if (!records)
    return tool.error(llvm::toString(records.takeError()));
  functions = std::move(*records);
  for (const target::ProcessorTarget &target : options.processors)
    if (Error error = compileFor(target))
      return tool.error(llvm::toString(std::move(error)));
  for (const target::ChipTarget &target : options.targets)
    if (Error error = compileFor(target))
      return tool.error(llvm::toString(std::move(error)));
  if (Error error = write())
    return tool.error(llvm::toString(std::move(error)));
  return kDone;
}

int compileMain(Tool &tool, int argc, char **argv) {
  Expected<Options> options = parseOptions(llvm::ArrayRef(argv, argc).drop_front());
  if (!options)
    return tool.error(llvm::toString(options.takeError()));
  if (options->help) {
    llvm::outs() << getUsage();
    return kDone;
  }
  registerAllPasses();
  registerAllPipelines();
  return Compiler(tool, *options).run();
}

} // namespace elfatt::compile
