// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KeyBlocks.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <limits>

using namespace mlir;
using namespace elfatt::tile;

int64_t elfatt::tile::chooseLines(int64_t lines, int64_t most, int64_t keys, int64_t padTo) {
  int64_t best = 1, bestKeys = std::numeric_limits<int64_t>::max();
  for (int64_t ofBlock = 1; ofBlock <= std::min(most, std::max<int64_t>(1, lines)); ++ofBlock) {
    const int64_t blocks = (lines + ofBlock - 1) / ofBlock;
    const int64_t padded = blocks * roundUp(std::max<int64_t>(1, ofBlock * keys), padTo);
    if (padded <= bestKeys) {
      best = ofBlock;
      bestKeys = padded;
    }
  }
  return best;
}

FailureOr<KeyBlocks> KeyBlocks::choose(Operation *op, const TileContext &ctx,
                                       const SoftmaxTile &tile) {
  KeyBlocks blocks{};
  MemRefType key = typeOf(tile.key);
  int64_t rank = key.getRank();
  blocks.inner = 1;
  for (int64_t dim = 1; dim < rank - 1; ++dim) {
    if (key.isDynamicDim(dim))
      return op->emitOpError("expected static inner key extents, got a dynamic one at key dim ")
             << dim;
    blocks.inner *= key.getDimSize(dim);
  }
  int64_t outer = key.getDimSize(0);
  if (tile.firstKey) {
    blocks.first = 1;
    for (int64_t extent : typeOf(tile.firstKey).getShape().drop_back())
      blocks.first *= extent;
    blocks.lines = outer;
    blocks.columns = blocks.tile = roundUp(blocks.first + outer * blocks.inner, ctx.params.padTo);
    blocks.tiles = 1;
    blocks.single = true;
    blocks.exact = blocks.columns == blocks.first + outer * blocks.inner;
    return blocks;
  }
  blocks.lines = std::max<int64_t>(1, ctx.params.keys / std::max<int64_t>(1, blocks.inner));
  // Passing a block through scratch costs more than some padding.
  if (!key.isDynamicDim(0))
    blocks.lines = ctx.params.staged
                       ? llvm::divideCeil(outer, llvm::divideCeil(outer, blocks.lines))
                       : chooseLines(outer, blocks.lines, blocks.inner, ctx.params.padTo);
  blocks.columns = roundUp(std::max<int64_t>(1, blocks.lines * blocks.inner), ctx.params.padTo);
  // Several register tiles in a block share its width evenly.
  blocks.tiles = llvm::divideCeil(blocks.columns, std::max(ctx.params.keyTile, ctx.params.padTo));
  blocks.tile = roundUp(llvm::divideCeil(blocks.columns, blocks.tiles), ctx.params.padTo);
  blocks.columns = blocks.tile * blocks.tiles;
  blocks.single = !key.isDynamicDim(0) && outer <= blocks.lines;
  blocks.exact = !key.isDynamicDim(0) && outer % blocks.lines == 0 &&
                 blocks.columns == blocks.lines * blocks.inner;
  return blocks;
}

void KeyBlocks::dropHalfRegister(const TileContext &ctx) {
  // Cores with such registers may have half as wide units; no other registers are two of theirs.
  constexpr int64_t kTwoUnits = 512;
  const int64_t half = ctx.params.padTo / 2, keys = first + lines * inner;
  if (ctx.limits.vectorBits < kTwoUnits || tiles != 1 || columns - keys < half)
    return;
  tile = columns - half;
  exact = exact || (tile == keys && single);
}

int64_t KeyBlocks::firstMasked(Value key, const TileParams &params) const {
  int64_t outer = typeOf(key).getDimSize(0);
  if (!params.staged || ShapedType::isDynamic(outer))
    return 0;
  // The last block has the fewest.
  int64_t last = outer - (llvm::divideCeil(outer, lines) - 1) * lines;
  int64_t keys = last * inner, first = tile;
  for (int64_t start = 0; start < columns; start += tile)
    first = std::min(first, std::max<int64_t>(0, keys - start));
  return first / params.padTo * params.padTo;
}
