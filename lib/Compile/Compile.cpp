// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Compile/Compile.h"

#include "Bundle.h"
#include "Manifest.h"
#include "Options.h"
#include "elfatt/InitAll.h"
#include "elfatt/Pipelines/GPU.h"
#include "elfatt/Tools/SourceModule.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
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
  Expected<Code> compileFor(const GPUTarget &target, OwningOpRef<ModuleOp> &lowered);

  Tool &tool;
  const Options &options;
  SourceModule source;
};
} // namespace

Error Compiler::runPipeline(ModuleOp target, llvm::StringRef what,
                            llvm::function_ref<LogicalResult(OpPassManager &)> build) {
  PassManager pm(source.context.get());
  if (failed(build(pm)))
    return llvm::createStringError("cannot set up " + what);
  tool.follow(pm);
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

Expected<Code> Compiler::compileFor(const GPUTarget &target, OwningOpRef<ModuleOp> &lowered) {
  lowered = source.module->clone();
  pipelines::GPUOptions gpu;
  gpu.chip = target.chip->name.str();
  gpu.cuda = target.cuda;
  std::string what = "compiling for " + target.chip->name.str();
  if (Error error = runPipeline(*lowered, what, [&](OpPassManager &pm) {
        pipelines::buildGPUPipeline(pm, gpu);
        return success();
      }))
    return std::move(error);
  Code code;
  code.target = target;
  code.fileName = "kernels." + target.chip->name.str() + ".ptx";
  auto binaries = lowered->getOps<mlir::gpu::BinaryOp>();
  if (binaries.empty())
    return llvm::createStringError("nothing in '" + options.file +
                                   "' becomes a kernel: no attention was found");
  auto object = cast<mlir::gpu::ObjectAttr>((*binaries.begin()).getObjects()[0]);
  code.ptx = object.getObject().getValue().rtrim('\0').str();

  tool.setActivity("assembling for " + target.chip->name);
  Expected<target::Toolkit> toolkit = target::findToolkit(*target.chip, options.cudaPath);
  if (!toolkit) {
    // PTX needs none, unless one was asked for.
    if (!options.cudaPath.empty())
      return toolkit.takeError();
    llvm::errs() << "elfatt-compile: remark: kernels are not checked: "
                 << llvm::toString(toolkit.takeError()) << "\n";
    return code;
  }
  auto usage = target::assemble(*toolkit, *target.chip, code.ptx, /*cubin=*/nullptr);
  if (!usage)
    return usage.takeError();
  // In a fixed order: ptxas has its own.
  llvm::sort(*usage, [](auto &a, auto &b) { return a.name < b.name; });
  code.usage = std::move(*usage);
  return code;
}

int Compiler::run() {
  if (!source.parse(tool, options.file))
    return kBadInput;
  if (Error error = raise())
    return tool.error(llvm::toString(std::move(error)));
  std::vector<Code> codes;
  OwningOpRef<ModuleOp> lowered;
  for (const GPUTarget &target : options.targets) {
    Expected<Code> code = compileFor(target, lowered);
    if (!code)
      return tool.error(llvm::toString(code.takeError()));
    codes.push_back(std::move(*code));
  }
  llvm::json::Object manifest = makeManifest(*lowered, codes);
  std::map<std::string, std::string> files;
  for (const Code &code : codes)
    files[code.fileName] = code.ptx;
  files["bundle.h"] = makeHeader(manifest);
  files["manifest.json"] = llvm::formatv("{0:2}\n", llvm::json::Value(std::move(manifest))).str();
  tool.setActivity("writing " + options.output);
  if (Error error = writeBundle(tool, options.output, files))
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
