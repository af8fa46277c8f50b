// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Pipelines/Tile.h"

#include "elfatt/Tile/Passes.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace elfatt::pipelines {

void buildTileToForall(OpPassManager &pm, const tile::MachineLimits &limits) {
  pm.addPass(tile::createTileDecomposePass());
  pm.addPass(
      tile::createTileSplitContextPass({limits.machine, limits.vectorBits, limits.vectorRegisters,
                                        limits.sharedBytes, limits.processors}));
  pm.addPass(tile::createTileSinkElementwisePass({limits.machine, limits.vectorBits,
                                                  limits.vectorRegisters, limits.sharedBytes,
                                                  limits.processors}));
  const tile::TileOverrides &set = limits.overrides;
  pm.addPass(tile::createTileToForallPass(
      {limits.machine, limits.vectorBits, limits.vectorRegisters, limits.sharedBytes,
       limits.processors, set.rowsPerBlock, set.warpsPerBlock, set.keysPerStep, set.contextTokens,
       set.contextWarps, limits.mostSharedBytes}));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

void buildTileToVector(OpPassManager &pm, const tile::MachineLimits &limits) {
  // Copies of a buffer onto itself show only once CSE has merged their views.
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(
      tile::createTileCleanBuffersPass({limits.machine, limits.vectorBits, limits.vectorRegisters,
                                        limits.sharedBytes, limits.processors}));
  const tile::TileOverrides &set = limits.overrides;
  pm.addPass(tile::createTileToVectorPass(
      {limits.machine, limits.vectorBits, limits.vectorRegisters, limits.sharedBytes,
       limits.processors, set.rowsPerBlock, set.warpsPerBlock, set.keysPerStep, set.contextTokens,
       set.contextWarps, limits.dotsBF16}));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

} // namespace elfatt::pipelines
