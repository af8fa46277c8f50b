// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Pipelines/Tile.h"

#include "elfatt/Raise/Passes.h"
#include "elfatt/Tile/Passes.h"

#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace elfatt::pipelines {

/// The options of a pass that chooses tiles.
template <typename Options> static Options getOptions(const tile::MachineLimits &limits) {
  Options options;
  options.machine = limits.machine;
  options.vectorBits = limits.vectorBits;
  options.vectorRegisters = limits.vectorRegisters;
  options.sharedBytes = limits.sharedBytes;
  options.processors = limits.processors;
  options.tensorF16 = limits.tensorF16;
  options.tensorBF16 = limits.tensorBF16;
  options.quadPairsF16 = limits.quadPairsF16;
  options.blockRegisters = limits.blockRegisters;
  options.rowsPerBlock = limits.overrides.rowsPerBlock;
  options.warpsPerBlock = limits.overrides.warpsPerBlock;
  options.keysPerStep = limits.overrides.keysPerStep;
  options.contextTokens = limits.overrides.contextTokens;
  options.contextWarps = limits.overrides.contextWarps;
  options.headsPerBlock = limits.overrides.headsPerBlock;
  return options;
}

void buildTileToForall(OpPassManager &pm, const tile::MachineLimits &limits) {
  // What is elementwise on tensors, or TOSA, would not bufferize.
  pm.addPass(raise::createToLinalgPass());
  pm.addPass(tile::createTileDecomposePass());
  pm.addPass(
      tile::createTileSplitContextPass(getOptions<tile::TileSplitContextPassOptions>(limits)));
  pm.addPass(tile::createTileSinkElementwisePass({.machine = limits.machine}));
  auto options = getOptions<tile::TileToForallPassOptions>(limits);
  options.mostSharedBytes = limits.mostSharedBytes;
  pm.addPass(tile::createTileToForallPass(options));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void buildBufferize(OpPassManager &pm) {
  pm.addPass(tile::createTileProtectArgumentsPass());
  pm.addPass(tile::createTileSwitchToIfPass());
  pm.addPass(bufferization::createEmptyTensorEliminationPass());
  bufferization::OneShotBufferizePassOptions options;
  options.bufferizeFunctionBoundaries = true;
  // What a loop carries may be another buffer in each turn.
  options.allowReturnAllocsFromLoops = true;
  options.functionBoundaryTypeConversion = bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(options));
}

void buildTileToVector(OpPassManager &pm, const tile::MachineLimits &limits) {
  // Copies of a buffer onto itself show only once CSE has merged their views.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(tile::createTileCleanBuffersPass({.machine = limits.machine}));
  auto options = getOptions<tile::TileToVectorPassOptions>(limits);
  options.dotsBF16 = limits.dotsBF16;
  pm.addPass(tile::createTileToVectorPass(options));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

} // namespace elfatt::pipelines
