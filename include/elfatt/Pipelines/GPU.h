// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From attention on tensors to GPU kernels.
#ifndef ELFATT_PIPELINES_GPU_H
#define ELFATT_PIPELINES_GPU_H

#include "elfatt/Tile/TileParams.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace elfatt::pipelines {

/// Options of `--elfatt-to-gpu`.
struct GPUOptions : public mlir::PassPipelineOptions<GPUOptions> {
  Option<std::string> chip{*this, "chip", llvm::cl::desc("Chip, for example sm_87"),
                           llvm::cl::init("sm_87")};
  Option<std::string> cuda{
      *this, "cuda",
      llvm::cl::desc("Oldest CUDA release whose driver must load the code: 10.2, 11.4, 12.6 or "
                     "13.0; empty: the chip's default"),
      llvm::cl::init("")};
  Option<std::string> format{*this, "format", llvm::cl::desc("ptx, cubin, fatbin or llvm"),
                             llvm::cl::init("ptx")};
  Option<std::string> cudaPath{*this, "cuda-path",
                               llvm::cl::desc("CUDA Toolkit to take ptxas and fatbinary from"),
                               llvm::cl::init("")};
  Option<bool> tf32{*this, "tf32",
                    llvm::cl::desc("Round operands of f32 products to tf32 (sm_80 and newer)"),
                    llvm::cl::init(false)};
  /// Tile sizes in place of those that are chosen, 0: include/elfatt/Tile/TileOverrides.h.
  Option<int64_t> rowsPerBlock{*this, "rows-per-block",
                               llvm::cl::desc("Query rows of a block, a multiple of 16"),
                               llvm::cl::init(0)};
  Option<int64_t> warpsPerBlock{*this, "warps-per-block",
                                llvm::cl::desc("Warps that share a block's rows"),
                                llvm::cl::init(0)};
  Option<int64_t> keysPerStep{*this, "keys-per-step",
                              llvm::cl::desc("Keys that a block takes at once, a multiple of 8"),
                              llvm::cl::init(0)};
  Option<int64_t> contextTokens{
      *this, "context-tokens",
      llvm::cl::desc("Tokens that a warp adds to a context at once, a multiple of 16"),
      llvm::cl::init(0)};
  Option<int64_t> contextWarps{
      *this, "context-warps",
      llvm::cl::desc("Warps that share the tokens of some of a context's channels"),
      llvm::cl::init(0)};
  Option<int64_t> headsPerBlock{*this, "heads-per-block",
                                llvm::cl::desc("Heads beside each other in memory that a block "
                                               "takes"),
                                llvm::cl::init(0)};

  void setTile(const tile::TileOverrides &tile);
};

/// What tile sizes are chosen for: the chip, with the sizes of `options` in place of those
/// that are chosen.
tile::MachineLimits getTileLimits(const GPUOptions &options);

/// The attention ops of a module become gpu.func kernels in NVVM and launches of
/// them; everything else stays, on buffers. Stages: tile, kernels, nvvm.
void buildGPUKernelPipeline(mlir::OpPassManager &pm, const GPUOptions &options);

/// The same, and the kernels as PTX, cubin or fatbin. Stage: binary.
void buildGPUPipeline(mlir::OpPassManager &pm, const GPUOptions &options);

/// The same for code that runs in this process: calls of elfatt_launch stand where launches
/// were. Stage: binary. The simulator takes the format llvm, whose objects have figures of
/// ptxas in their properties with `countRegisters`, where there is one. A module that has
/// kernels of its own (gpu.launch, gpu.launch_func) keeps them, lowered as upstream lowers
/// them, and its attention goes to the host.
void buildGPULaunchPipeline(mlir::OpPassManager &pm, mlir::ModuleOp module,
                            const GPUOptions &options, bool countRegisters);

/// Makes `--elfatt-to-gpu` known.
void registerGPUPipelines();

} // namespace elfatt::pipelines

#endif // ELFATT_PIPELINES_GPU_H
