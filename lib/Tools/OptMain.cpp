// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Upstream's mlir-opt with our exit statuses and stages. Upstream's own main
// exits with 1 on bad input and aborts when it cannot write.
#include "elfatt/Tools/OptMain.h"

#include "elfatt/InitAll.h"
#include "elfatt/Tools/StageControl.h"
#include "elfatt/Tools/Tool.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"
#include "llvm/Support/CommandLine.h"

using namespace elfatt;
namespace cl = llvm::cl;

static int listDialects(mlir::DialectRegistry &registry) {
  llvm::outs() << "Available Dialects: ";
  llvm::interleave(registry.getDialectNames(), llvm::outs(), ",");
  llvm::outs() << "\n";
  return kDone;
}

int elfatt::runOpt(Tool &tool, int argc, char **argv) {
  // LLVM's code generator has an option of this name, of no use here.
  if (cl::Option *taken = cl::getRegisteredOptions().lookup("stop-after"))
    taken->removeArgument();

  cl::opt<std::string> input(cl::Positional, cl::desc("<input file>"), cl::init("-"));
  cl::opt<std::string> outputPath("o", cl::desc("Output file"), cl::value_desc("file"),
                                  cl::init("-"));
  cl::opt<std::string> stopAfter(
      "stop-after", cl::value_desc("stage"),
      cl::desc("Skip the passes behind the end of this stage of a pipeline"));
  cl::opt<std::string> dumpStages(
      "dump-stages", cl::value_desc("folder"),
      cl::desc("Write the IR at the end of each stage of a pipeline to a file here"));

  mlir::DialectRegistry registry;
  registerUpstreamDialects(registry);
  registerAllDialects(registry);
  registerUpstreamPasses();
  registerAllPasses();
  registerAllPipelines();
  std::string overview = mlir::registerCLIOptions("ELFATT optimizer driver\n", registry);
  if (!tool.parseCommandLine(argc, argv, overview))
    return kBadInput;

  mlir::MlirOptMainConfig parsed = mlir::MlirOptMainConfig::createFromCLOptions();
  if (parsed.shouldShowDialects())
    return listDialects(registry);
  if (parsed.shouldListPasses()) {
    mlir::printRegisteredPasses();
    return kDone;
  }

  std::unique_ptr<llvm::MemoryBuffer> buffer = tool.readInput(input);
  if (!buffer)
    return kBadInput;
  std::unique_ptr<OutputFile> output = tool.openOutput(outputPath);
  if (!output)
    return kBadInput;

  StageControl stages(stopAfter, dumpStages);
  mlir::MlirOptMainConfig config = parsed;
  config.setPassPipelineSetupFn([&](mlir::PassManager &pm) {
    if (mlir::failed(parsed.setupPassPipeline(pm)) || mlir::failed(stages.apply(pm)))
      return mlir::failure();
    tool.follow(pm);
    return mlir::success();
  });
  if (mlir::failed(mlir::MlirOptMain(output->os(), std::move(buffer), registry, config)) ||
      stages.hasFailed())
    return kBadInput;
  return tool.keepOutput(*output);
}
