// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Pipelines/GPU.h"

#include "elfatt/GPU/Passes.h"
#include "elfatt/Pipelines/Stages.h"
#include "elfatt/Pipelines/Tile.h"
#include "elfatt/Target/Chip.h"
#include "elfatt/Tile/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace elfatt::pipelines {
/// Two blocks of a kernel share an SM, where that leaves each what every chip gives a block.
/// An unknown chip is the outliner's to report.
tile::MachineLimits getTileLimits(const GPUOptions &options) {
  llvm::Expected<const target::Chip *> chip = target::findChip(options.chip);
  if (!chip) {
    llvm::consumeError(chip.takeError());
    return tile::MachineLimits::gpu();
  }
  // Products of eight columns and eight sums, as LePE's, would waste half of m8n8k4.
  const bool tensorF16 = (*chip)->f16 >= target::Mma::M16N8K8;
  int64_t half = (*chip)->sharedPerSM / 2 - target::kReservedSharedPerBlock;
  return tile::MachineLimits::gpu(
      std::min((*chip)->sharedPerBlock, std::max(half, target::kStaticSharedPerBlock)),
      (*chip)->reference.SMs,
      {options.rowsPerBlock, options.warpsPerBlock, options.keysPerStep, options.contextTokens,
       options.contextWarps, options.headsPerBlock},
      (*chip)->sharedPerBlock, tensorF16, (*chip)->bf16,
      /*quadPairsF16=*/(*chip)->f16 == target::Mma::M8N8K4, (*chip)->registersPerBlock);
}

namespace {

void addCleanup(OpPassManager &pm) {
  // Thousands of constants are the same: merged first, there is less to canonicalize.
  pm.addPass(createCSEPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

/// Attention ops on tensors to the tile level on buffers.
void buildTile(OpPassManager &pm, const GPUOptions &options) {
  const tile::MachineLimits limits = getTileLimits(options);
  pm.addPass(tile::createTileMergeKeysPass());
  buildTileToForall(pm, limits);
  buildBufferize(pm);
  buildTileToVector(pm, limits);
  pm.addPass(tile::createTileHoistStagingPass());
  pm.addPass(tile::createTileMergeLaunchesPass());
}

/// The tile level to what one lane does. Barriers come first, while each op is
/// still one step of the whole warp; staging comes last, since its chunks are
/// vectors of one lane and not of the warp.
void buildKernels(OpPassManager &pm, const GPUOptions &options) {
  pm.addPass(gpu::createGPUOutlinePass({options.chip}));
  pm.addPass(gpu::createGPUAttachTargetPass({options.chip, options.cuda}));
  addCleanup(pm);
  pm.addPass(gpu::createGPUMergeKernelsPass());
  OpPassManager &kernels = pm.nest<mlir::gpu::GPUModuleOp>();
  OpPassManager &kernel = kernels.nest<mlir::gpu::GPUFuncOp>();
  kernel.addPass(gpu::createGPUInsertBarriersPass());
  kernel.addPass(gpu::createGPUAssignLayoutsPass({options.chip}));
  kernel.addPass(gpu::createGPUDistributePass({options.chip, options.tf32}));
  kernel.addPass(gpu::createGPUDistributeStagingPass({options.chip}));
  addCleanup(pm);
  // Last: the canonicalizer would make shape casts anew.
  pm.nest<mlir::gpu::GPUModuleOp>().addPass(gpu::createGPULowerMathPass());
  pm.addPass(createCSEPass());
}

void buildNVVM(OpPassManager &pm) {
  OpPassManager &kernels = pm.nest<mlir::gpu::GPUModuleOp>();
  kernels.addPass(gpu::createGPUEvictFirstPass());
  kernels.addPass(createConvertNVGPUToNVVMPass());
  kernels.addPass(tile::createTileExpandViewsPass());
  kernels.addPass(memref::createExpandStridedMetadataPass());
  kernels.addPass(createLowerAffinePass());
  kernels.addPass(createSCFToControlFlowPass());
  // Pointers alone: what is dynamic in a layout is an argument of its own.
  ConvertGpuOpsToNVVMOpsOptions nvvm;
  nvvm.useBarePtrCallConv = true;
  kernels.addPass(createConvertGpuOpsToNVVMOps(nvvm));
  kernels.addPass(gpu::createGPUExternalizeSharedPass());
  kernels.addPass(createReconcileUnrealizedCastsPass());
  // LLVM folds what is left.
  kernels.addPass(createCSEPass());
}

} // namespace

void GPUOptions::setTile(const tile::TileOverrides &tile) {
  rowsPerBlock = tile.rowsPerBlock;
  warpsPerBlock = tile.warpsPerBlock;
  keysPerStep = tile.keysPerStep;
  contextTokens = tile.contextTokens;
  contextWarps = tile.contextWarps;
  headsPerBlock = tile.headsPerBlock;
}

void buildGPUKernelPipeline(OpPassManager &pm, const GPUOptions &options) {
  buildTile(pm, options);
  endStage(pm, "tile");
  buildKernels(pm, options);
  endStage(pm, "kernels");
  buildNVVM(pm);
  endStage(pm, "nvvm");
}

void buildGPUPipeline(OpPassManager &pm, const GPUOptions &options) {
  buildGPUKernelPipeline(pm, options);
  pm.addPass(gpu::createGPUSerializePass(
      {options.format, options.cudaPath, /*countRegisters=*/false, /*fitRegisters=*/true}));
  endStage(pm, "binary");
}

/// Kernels that somebody else wrote, in upstream's dialects.
static void buildForeignKernels(OpPassManager &pm, const GPUOptions &options) {
  pm.addPass(createGpuKernelOutliningPass());
  pm.addPass(gpu::createGPUHostToMemoryPass());
  pm.addPass(gpu::createGPUAttachTargetPass({options.chip, options.cuda}));
  OpPassManager &kernels = pm.nest<mlir::gpu::GPUModuleOp>();
  kernels.addPass(createConvertNVGPUToNVVMPass());
  kernels.addPass(createConvertVectorToSCFPass());
  kernels.addPass(memref::createExpandStridedMetadataPass());
  kernels.addPass(createLowerAffinePass());
  kernels.addPass(createSCFToControlFlowPass());
  kernels.addPass(createConvertGpuOpsToNVVMOps());
  kernels.addPass(createConvertNVVMToLLVMPass());
  kernels.addPass(createConvertIndexToLLVMPass());
  kernels.addPass(gpu::createGPUExternalizeSharedPass());
  addCleanup(kernels);
  kernels.addPass(createReconcileUnrealizedCastsPass());
  endStage(pm, "nvvm");
}

void buildGPULaunchPipeline(OpPassManager &pm, ModuleOp module, const GPUOptions &options,
                            bool countRegisters) {
  const bool isSimulated = options.format == "llvm";
  bool isForeign = module
                       .walk([](Operation *op) {
                         return isa<mlir::gpu::GPUModuleOp, mlir::gpu::LaunchOp>(op)
                                    ? WalkResult::interrupt()
                                    : WalkResult::advance();
                       })
                       .wasInterrupted();
  if (isForeign)
    buildForeignKernels(pm, options);
  else
    buildGPUKernelPipeline(pm, options);
  pm.addPass(gpu::createGPULaunchToCallPass());
  // Errors of the simulator name places in the source.
  if (isSimulated) {
    pm.addPass(gpu::createGPUDropCallSitesPass());
    pm.addPass(LLVM::createDIScopeForLLVMFuncOpPass());
  }
  pm.addPass(gpu::createGPUSerializePass(
      {options.format, options.cudaPath, countRegisters, /*fitRegisters=*/!isForeign}));
  endStage(pm, "binary");
}

void registerGPUPipelines() {
  PassPipelineRegistration<GPUOptions>(
      "elfatt-to-gpu", "Lower the attention ops of a module to GPU kernels", buildGPUPipeline);
}

} // namespace elfatt::pipelines
