// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The one file that includes upstream's InitAll headers: they are slow to
// compile.
#include "elfatt/InitAll.h"

#include "elfatt/Approximate/Passes.h"
#include "elfatt/CPU/Passes.h"
#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Dialect/Attention/Transforms/Passes.h"
#include "elfatt/GPU/Passes.h"
#include "elfatt/Pipelines/CPU.h"
#include "elfatt/Pipelines/GPU.h"
#include "elfatt/Pipelines/Stages.h"
#include "elfatt/Raise/Passes.h"
#include "elfatt/Tile/Passes.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"

void elfatt::registerAllDialects(mlir::DialectRegistry &registry) {
  registry.insert<attention::AttentionDialect>();
  attention::registerBufferizableOpInterfaceExternalModels(registry);
}

void elfatt::registerUpstreamDialects(mlir::DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllToLLVMIRTranslations(registry);
}

void elfatt::registerAllPasses() {
  attention::registerAttentionPasses();
  raise::registerRaisePasses();
  approximate::registerApproximatePasses();
  tile::registerTilePasses();
  cpu::registerCPUPasses();
  gpu::registerGPUPasses();
}

void elfatt::registerAllPipelines() {
  registerStagePasses();
  pipelines::registerCPUPipelines();
  pipelines::registerGPUPipelines();
}

void elfatt::registerUpstreamPasses() { mlir::registerAllPasses(); }
