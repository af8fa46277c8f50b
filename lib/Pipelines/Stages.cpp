// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Pipelines/Stages.h"

#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

namespace {

struct EndStagePass : mlir::PassWrapper<EndStagePass, mlir::OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(EndStagePass)

  EndStagePass() = default;
  EndStagePass(const EndStagePass &other) : PassWrapper(other) {}

  llvm::StringRef getArgument() const final { return "elfatt-end-stage"; }
  llvm::StringRef getDescription() const final {
    return "mark the end of a stage for --stop-after and --dump-stages; changes nothing";
  }
  void runOnOperation() final { markAllAnalysesPreserved(); }

  Option<std::string> stage{*this, "stage", llvm::cl::desc("name of the stage that ends here")};
};

} // namespace

void elfatt::endStage(mlir::OpPassManager &pm, llvm::StringRef name) {
  auto pass = std::make_unique<EndStagePass>();
  pass->stage = name.str();
  pm.addPass(std::move(pass));
}

llvm::StringRef elfatt::getEndedStage(const mlir::Pass &pass) {
  // These two are stages of their own, on the command line as in a pipeline.
  if (pass.getArgument() == "elfatt-raise")
    return "raise";
  if (pass.getArgument() == "elfatt-approximate")
    return "approximate";
  if (pass.getTypeID() != mlir::TypeID::get<EndStagePass>())
    return {};
  return static_cast<const EndStagePass &>(pass).stage.getValue();
}

void elfatt::registerStagePasses() { mlir::PassRegistration<EndStagePass>(); }
