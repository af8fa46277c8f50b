// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tools/StageControl.h"

#include "elfatt/Pipelines/Stages.h"
#include "elfatt/Tools/OutputFile.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Operation.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

using namespace elfatt;

struct StageControl::Instrumentation : mlir::PassInstrumentation {
  explicit Instrumentation(StageControl &control) : control(control) {}

  void runAfterPass(mlir::Pass *pass, mlir::Operation *op) final {
    llvm::StringRef stage = getEndedStage(*pass);
    if (stage.empty() || control.stopped)
      return;
    if (!control.dumpFolder.empty() && mlir::failed(dump(stage, op)))
      control.failed = true;
    control.stopped = stage == control.stopAfter;
  }

  llvm::LogicalResult dump(llvm::StringRef stage, mlir::Operation *op) {
    llvm::SmallString<128> path(control.dumpFolder);
    llvm::sys::path::append(path, llvm::formatv("{0,0+2}-{1}.mlir", ++control.dumps, stage).str());
    llvm::Expected<std::unique_ptr<OutputFile>> file = OutputFile::open(path, nullptr);
    llvm::Error error = file ? llvm::Error::success() : file.takeError();
    if (!error) {
      op->print((*file)->os());
      (*file)->os() << "\n";
      error = (*file)->keep();
    }
    if (!error)
      return mlir::success();
    return mlir::emitError(op->getLoc()) << llvm::toString(std::move(error));
  }

  StageControl &control;
};

llvm::LogicalResult StageControl::apply(mlir::PassManager &pm) {
  if (stopAfter.empty() && dumpFolder.empty())
    return mlir::success();
  mlir::Location loc = mlir::UnknownLoc::get(pm.getContext());
  llvm::SmallVector<llvm::StringRef> stages;
  for (mlir::Pass &pass : pm.getPasses())
    if (llvm::StringRef stage = getEndedStage(pass); !stage.empty())
      stages.push_back(stage);
  if (!stopAfter.empty() && !llvm::is_contained(stages, stopAfter)) {
    if (stages.empty())
      return mlir::emitError(loc) << "cannot stop after '" << stopAfter
                                  << "': no pass pipeline with stages is run";
    return mlir::emitError(loc) << "cannot stop after '" << stopAfter << "': expected one of "
                                << llvm::join(stages, ", ");
  }
  if (!dumpFolder.empty())
    if (std::error_code code = llvm::sys::fs::create_directories(
            dumpFolder, /*IgnoreExisting=*/true, llvm::sys::fs::all_all))
      return mlir::emitError(loc) << "cannot write '" << dumpFolder << "': " << code.message();

  pm.addInstrumentation(std::make_unique<Instrumentation>(*this));
  stopped = false;
  if (!stopAfter.empty())
    pm.getContext()->registerActionHandler(
        [this](llvm::function_ref<void()> run, const mlir::tracing::Action &action) {
          if (!stopped || !llvm::isa<mlir::PassExecutionAction>(action))
            run();
        });
  return mlir::success();
}
