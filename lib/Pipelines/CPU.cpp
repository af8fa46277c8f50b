// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Pipelines/CPU.h"

#include "elfatt/CPU/Passes.h"
#include "elfatt/Dialect/Attention/Transforms/Passes.h"
#include "elfatt/Pipelines/Stages.h"
#include "elfatt/Pipelines/Tile.h"
#include "elfatt/Raise/Passes.h"
#include "elfatt/Tile/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/VectorToSCF/VectorToSCF.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace elfatt::pipelines {
namespace {

/// What surrounds the attention, on tensors: fewer loops, products for the
/// library.
void buildFuse(OpPassManager &pm) {
  auto &function = pm.nest<func::FuncOp>();
  function.addPass(cpu::createTransposeWeightsPass());
  function.addPass(cpu::createConvolutionToProductPass());
  function.addPass(cpu::createFusePass());
  function.addPass(createCanonicalizerPass());
  function.addPass(createCSEPass());
}

void buildBuffers(OpPassManager &pm) {
  buildBufferize(pm);
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(cpu::createExternalizeConstantsPass());
}

/// The attention's tiles become vectors.
void buildVector(OpPassManager &pm, const tile::MachineLimits &limits) {
  buildTileToVector(pm, limits);
  auto &function = pm.nest<func::FuncOp>();
  function.addPass(cpu::createTileTranspositionsPass({limits.vectorBits}));
  function.addPass(cpu::createLowerStagingPass({limits.vectorBits}));
  function.addPass(cpu::createLowerTilesPass({limits.vectorBits, limits.vectorRegisters}));
  // Almost half of what tiles leave are constants; canonicalizers visit each.
  function.addPass(createCSEPass());
  function.addPass(createCanonicalizerPass());
  // Threads that would wait for the last context take windows.
  pm.addPass(tile::createTileMergeLaunchesPass());
}

void buildDeallocate(OpPassManager &pm) {
  // Upstream's pipeline, whose other canonicalizers find nothing here.
  pm.addPass(memref::createExpandReallocPass({/*emitDeallocs=*/false}));
  pm.addPass(bufferization::createOwnershipBasedBufferDeallocationPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(bufferization::createBufferDeallocationSimplificationPass());
  pm.addPass(bufferization::createLowerDeallocationsPass());
  pm.addPass(createConvertBufferizationToMemRefPass());
}

void buildLoops(OpPassManager &pm, const tile::MachineLimits &limits) {
  // Intrinsics have effects that deallocation does not know: after it.
  pm.addNestedPass<func::FuncOp>(cpu::createLowerExp2Pass({limits.vectorBits}));
  pm.addPass(cpu::createCopiesToLinalgPass());
  pm.addPass(cpu::createDenseToLibraryPass());
  pm.addNestedPass<func::FuncOp>(cpu::createLinalgToLoopsPass());
  // Processors that multiply bf16 have instructions for it.
  pm.addNestedPass<func::FuncOp>(cpu::createExpandMathPass({/*convertsBF16=*/!limits.dotsBF16}));
  pm.addPass(cpu::createLowerAssertionsPass());
  pm.addPass(cpu::createOutlineParallelPass());
  pm.addNestedPass<func::FuncOp>(createForallToForLoopPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

/// Everything that is left goes to the LLVM dialect.
void buildLLVM(OpPassManager &pm) {
  pm.addPass(createConvertVectorToSCFPass(VectorTransferToSCFOptions().enableFullUnroll()));
  pm.addPass(tile::createTileExpandViewsPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addPass(createSCFToControlFlowPass());
  // Functions that LLVM has no op for are the C library's.
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createConvertMathToLibmPass());
  pm.addPass(cpu::createLowerToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  // LLVM folds what is left.
  pm.addPass(createCSEPass());
}

} // namespace

void buildCPUPipeline(OpPassManager &pm, const CPUOptions &options) {
  // Vectors of 512 bits come with twice the registers.
  int64_t registers = options.vectorRegisters;
  if (registers == 0)
    registers = options.vectorBits == 512 ? 32 : 16;
  auto limits = tile::MachineLimits::cpu(options.vectorBits, registers,
                                         options.dotsBF16 && options.vectorBits == 512);
  pm.addPass(raise::createToLinalgPass());
  pm.addPass(cpu::createChannelsLastPass());
  // What no tile holds becomes loops.
  pm.addPass(tile::createTileMergeKeysPass());
  attention::DecomposeAttentionPassOptions decompose;
  decompose.untileable = true;
  pm.addPass(attention::createDecomposeAttentionPass(decompose));
  buildTileToForall(pm, limits);
  endStage(pm, "tile");
  buildFuse(pm);
  endStage(pm, "fuse");
  buildBuffers(pm);
  if (options.resultsAsArguments) {
    pm.addNestedPass<func::FuncOp>(cpu::createAllocateResultsPass());
    pm.addPass(bufferization::createBufferResultsToOutParamsPass(
        {/*addResultAttribute=*/false, /*hoistStaticAllocs=*/true, /*hoistDynamicAllocs=*/false,
         /*modifyPublicFunctions=*/true}));
  }
  endStage(pm, "bufferize");
  buildVector(pm, limits);
  endStage(pm, "vector");
  buildDeallocate(pm);
  endStage(pm, "deallocate");
  buildLoops(pm, limits);
  endStage(pm, "loops");
  buildLLVM(pm);
  endStage(pm, "llvm");
}

void registerCPUPipelines() {
  PassPipelineRegistration<CPUOptions>(
      "elfatt-to-cpu", "Lower attention and linalg on tensors to the LLVM dialect for the host",
      buildCPUPipeline);
}

} // namespace elfatt::pipelines
