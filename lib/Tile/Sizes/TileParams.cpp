// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tile/TileParams.h"

#include "elfatt/Target/Chip.h"
#include "elfatt/Target/Core.h"

#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <numeric>

using namespace elfatt;
using namespace elfatt::tile;

/// Rows of up to this many keys are one block: one maximum, no state in memory (GPU).
static constexpr int64_t kWholeRow = 256;

/// What costs a core least, by the model in Target/Core.h.
static TileParams cpuParams(const MachineLimits &limits, const TileExtents &extents) {
  const auto core = target::Core::of(limits.vectorBits, limits.vectorRegisters, extents.bits);
  TileParams params{};
  params.rows = target::chooseApplyRows(core, extents.rows, extents.channels, extents.values);
  params.keys = core.lanes;
  if (extents.keys != 0) {
    const target::SoftmaxTiles tiles = target::chooseSoftmaxTiles(
        core, {extents.rows, extents.keys, extents.channels, extents.values});
    params.rows = tiles.rows;
    params.keys = tiles.keys;
  }
  params.keyTile = params.keys;
  params.warps = params.contextWarps = 1;
  params.manyRows = params.rows;
  params.rowsPerWorker = target::kRowBlocksOfWorker * params.rows;
  const target::ContextTiles context =
      target::chooseContextTiles(core, extents.channels, extents.values, extents.keys);
  params.contextTokens = context.tokens;
  params.contextRows = context.rows;
  params.contextColumns = target::getContextColumns(core, context.tokens);
  params.contextTiles = 1;
  params.padTo = core.lanes;
  params.staged = false;
  params.narrowOperands = false;
  params.fusedWeights = false;
  params.occupancy = 0;
  params.fillsWarps = false;
  return params;
}

int64_t elfatt::tile::stagedPitch(int64_t columns, int64_t bits) {
  const int64_t chunk = 128 / bits;
  const int64_t chunks = roundUp(columns, chunk) / chunk;
  return (chunks + (chunks % 2 == 0 ? 1 : 0)) * chunk;
}

int64_t elfatt::tile::fragmentPitch(int64_t columns) {
  constexpr int64_t fourth = 8;
  const int64_t fourths = roundUp(columns, fourth) / fourth;
  return (fourths + (fourths % 2 == 0 ? 1 : 0)) * fourth;
}

/// Rows of a fragment, and warps of a block.
static constexpr int64_t kFragmentRows = 16, kWarps = 4, kLongRowWarps = 8;
/// Keys of a register tile, which take half a register each beside half of one for each channel
/// of O: for all heads, and for those of at most so many channels, which share 128 registers.
static constexpr int64_t kKeyTile = 64;
static constexpr int64_t kKeyTileOfNarrowHeads = 56, kNarrowHead = 64;
static constexpr int64_t kKeyTileOfSmallHeads = 72, kSmallHead = 32;
/// Of heads of at least so many channels with a bias, whose elements take registers too.
static constexpr int64_t kKeyTileOfBiasedHeads = 48, kWideHead = 96;
/// What a tile costs beside its keys, in keys: O is rescaled, and a maximum found among lanes.
static constexpr int64_t kKeysOfTile = 8, kChannelsOfKey = 8;
/// Keys of a block of longer rows, whose state lanes carry on.
static constexpr int64_t kKeyBlockOfNarrowHeads = 48;
/// Of heads up to kNarrowHead: lanes then have 128 registers.
static constexpr int64_t kOccupancy = 16;
/// Of heads that share a block and have keys in several register tiles.
static constexpr int64_t kHeadOfTiles = 48;
/// Two fragments of rows double what O takes.
static constexpr int64_t kHeadOfManyRows = 32;

/// Of the context: registers of a lane for its state, as many for its weights, and warps.
static constexpr int64_t kWarpLanes = 32, kContextRegisters = 32, kContextWarps = 8;
/// What a lane takes without tensor cores beside scores and its part of O, which are half a
/// register a row: operands, addresses and states, fitted to what ptxas says of random shapes; and
/// what LePE takes, or a context.
static constexpr int64_t kOwnRegisters = 74, kLepeRegisters = 16;

/// Padding of staged extents: a row or a column of a fragment.
static constexpr int64_t kFragmentPad = 8;

ContextForm elfatt::tile::getContextForm(const MachineLimits &limits, const TileExtents &extents) {
  const int64_t channels = roundUp(std::max<int64_t>(extents.channels, 1), kFragmentPad);
  const int64_t values = roundUp(std::max<int64_t>(extents.values, 1), kFragmentPad);
  const int64_t bits = extents.storageBits;
  if (bits >= extents.bits ||
      4 * channels * stagedPitch(values, bits) * bits / 8 > limits.sharedBytes)
    return ContextForm::Rounded;
  const bool hasProduct =
      extents.isBF16 ? limits.tensorBF16 : limits.tensorF16 || limits.quadPairsF16;
  return hasProduct ? ContextForm::WithRemainder : ContextForm::Wide;
}

/// Bytes of a row of the contexts of all heads when rows meet them.
static int64_t getContextRowBytes(const MachineLimits &limits, const TileExtents &extents,
                                  int64_t values) {
  const ContextForm form = getContextForm(limits, extents);
  if (form == ContextForm::Wide)
    return fragmentPitch(extents.heads * values) * extents.bits / 8;
  const int64_t parts = form == ContextForm::WithRemainder ? 2 : 1;
  return parts * stagedPitch(extents.heads * values, extents.storageBits) * extents.storageBits / 8;
}

/// Bytes of shared memory for `rows` rows beside `keys` keys, or beside as many rows of the
/// context where there are no keys.
static int64_t rowBytes(const MachineLimits &limits, const TileExtents &extents, int64_t rows,
                        int64_t keys) {
  const int64_t channels = roundUp(std::max<int64_t>(extents.channels, 1), kFragmentPad);
  const int64_t values = roundUp(std::max<int64_t>(extents.values, 1), kFragmentPad);
  const int64_t stored = extents.storageBits / 8, computed = extents.bits / 8;
  const int64_t heads = extents.heads;
  // Rows that meet a context, and those that LePE reads, lie as warps hold them.
  auto bytesOfRow = [&](int64_t columns, bool areHeld) {
    int64_t pitch = stagedPitch(columns, extents.storageBits);
    if (extents.storageBits == 32 && areHeld)
      pitch = std::max(pitch, fragmentPitch(columns));
    return pitch * stored;
  };
  const bool meetContext = extents.keys == 0;
  const int64_t valueBytes = bytesOfRow(heads * values, meetContext || extents.hasLepe);
  const int64_t keyBytes = bytesOfRow(heads * channels, meetContext);
  const int64_t state = heads * rows * (values + 2) * computed;
  const int64_t contextBytes = keys * getContextRowBytes(limits, extents, values);
  // O takes the place of Q where it fits.
  int64_t bytes = rows * (channels == values ? valueBytes : keyBytes + valueBytes);
  bytes += extents.keys != 0 ? keys * (valueBytes + keyBytes) : contextBytes;
  bytes += extents.biases * (rows + kFragmentRows) * keys * computed;
  // V a line and a row further on both sides; the rows between may be there already. Nine taps
  // and a bias, the taps as diagonal matrices in blocks of eight channels too.
  if (extents.hasLepe) {
    const bool areKeys = extents.lepeReadsKeys && keys >= extents.keys;
    const bool hasProduct = extents.storageBits == 16 && (limits.tensorF16 || limits.tensorBF16);
    // The last block of rows reads beyond them, in turns from any of them on.
    const int64_t read = rows >= extents.keys ? roundUp(extents.keys, kFragmentRows)
                                              : extents.keys + kFragmentRows - 1;
    const int64_t around = areKeys ? std::max(keys, read) - keys : rows;
    bytes += (around + 2 * (std::max<int64_t>(extents.rows, 1) + 1)) * valueBytes;
    bytes +=
        heads * values * (hasProduct ? 9 * kFragmentPad * stored + 10 * stored : 10 * computed);
  }
  // The context is there as it was summed until it is staged, before the rows are.
  if (extents.ownsContext)
    bytes = std::max(bytes, contextBytes + heads * channels * fragmentPitch(values) * computed);
  // Several steps hand the state on in scratch.
  return extents.steps > 1 ? (bytes + state) * extents.steps + state : bytes;
}

/// Whether a block of kLongRowWarps has the registers that lanes need beside key tiles of
/// `keyTile`. On most chips they have all that there can be; where they have half, tensor cores
/// there are none (GPU).
static bool hasRegistersForWarps(const MachineLimits &limits, int64_t values, int64_t keyTile,
                                 bool hasLepe) {
  const int64_t rowsOfLane = (keyTile + values) * kFragmentRows / kWarpLanes;
  const int64_t needed = kOwnRegisters + rowsOfLane + (hasLepe ? kLepeRegisters : 0);
  return std::min(needed, target::kRegistersPerThread) * kWarpLanes * kLongRowWarps <=
         limits.blockRegisters;
}

/// Warps of a context's block where it has no registers for kContextWarps; 0 where it has.
static int64_t getFewContextWarps(const MachineLimits &limits) {
  return hasRegistersForWarps(limits, kNarrowHead, kKeyTile, /*hasLepe=*/true) ? 0 : kWarps;
}

/// Channels whose state one of `warps` warps holds, of `channelRows`.
static int64_t getContextRows(int64_t channelRows, int64_t warps) {
  return roundUp(llvm::divideCeil(channelRows, warps), kFragmentRows);
}

/// Bytes of shared memory for a step of a context's tokens, `params.contextTokens` of each of
/// `params.contextWarps` in `params.contextTiles` tiles; and for what parts of the tokens or heads
/// leave there.
static int64_t contextBytes(const TileExtents &extents, const TileParams &params) {
  const int64_t channels = roundUp(std::max<int64_t>(extents.channels, 1), kFragmentPad);
  const int64_t values = roundUp(std::max<int64_t>(extents.values, 1), kFragmentPad);
  const int64_t rows = roundUp(channels, params.contextRows), heads = extents.heads;
  const int64_t stored = extents.storageBits / 8, computed = extents.bits / 8;
  // Parts of the tokens meet where the last step's tokens were.
  const int64_t state = params.contextWarps == 1 ? 0
                                                 : params.contextWarps * heads * rows *
                                                       (fragmentPitch(values) + 2) * computed;
  const int64_t tokenBytes = (stagedPitch(heads * channels, extents.storageBits) +
                              stagedPitch(heads * values, extents.storageBits)) *
                             stored;
  // The last token's channels are padded.
  const int64_t padding = (rows - channels) * stored;
  const int64_t tokens = params.contextWarps * params.contextTokens * params.contextTiles;
  const int64_t context =
      heads == 1 || extents.ownsContext ? heads * rows * fragmentPitch(values) : 0;
  return std::max(tokens * tokenBytes + padding, state) + context * computed;
}

/// Register tiles of at most `keyTile` keys for rows of `keys` keys that lie in shared memory
/// whole: what costs least, padding and tiles together, of those beside which the worker's rows
/// pass by in the fewest turns. None where only few rows fit beside the keys.
static std::optional<int64_t> chooseKeyTiles(const MachineLimits &limits,
                                             const TileExtents &extents, int64_t keyTile) {
  const int64_t keys = extents.keys, least = (keys + keyTile - 1) / keyTile;
  // Rows are as many as keys where that matters: in windows and images.
  const int64_t rowBlocks = roundUp(keys, kFragmentRows) / kFragmentRows;
  const int64_t perTile = kKeysOfTile + extents.values / kChannelsOfKey;
  std::optional<int64_t> best;
  std::pair<int64_t, int64_t> bestCost;
  for (int64_t tiles = least; tiles <= 2 * least; ++tiles) {
    const int64_t padded = roundUp(keys, kFragmentPad * tiles);
    int64_t fitting = 0;
    while (fitting < rowBlocks &&
           rowBytes(limits, extents, (fitting + 1) * kFragmentRows, padded) <= limits.sharedBytes)
      ++fitting;
    if (fitting < std::min(rowBlocks, kWarps))
      continue;
    const int64_t turns = (rowBlocks + fitting - 1) / fitting;
    const std::pair cost(turns, padded + tiles * perTile);
    if (!best || cost < bestCost) {
      best = tiles;
      bestCost = cost;
    }
  }
  return best;
}

/// Rows and keys of one block. Short rows lie in shared memory whole, all rows that see
/// them beside each other; of longer ones blocks pass by, and each warp has one
/// fragment of rows.
static TileParams gpuParams(const MachineLimits &limits, const TileExtents &extents) {
  TileParams params{};
  const TileOverrides &wanted = limits.overrides;
  params.padTo = kFragmentPad;
  params.staged = true;
  params.narrowOperands = true;
  params.fusedWeights = true;
  params.rows = kFragmentRows;
  const int64_t channels = roundUp(std::max<int64_t>(extents.channels, 1), params.padTo);
  const int64_t values = roundUp(std::max<int64_t>(extents.values, 1), params.padTo);
  auto bytesOf = [&](int64_t rows, int64_t keys) { return rowBytes(limits, extents, rows, keys); };
  // Without tensor cores operands take registers beside the scores.
  const bool isNarrow =
      std::max(channels, values) <= kNarrowHead && extents.storageBits < extents.bits;
  const bool hasProcessor = extents.hasProcessor && isNarrow;
  const int64_t sharedBytes =
      hasProcessor ? std::max(limits.sharedBytes, limits.mostSharedBytes) : limits.sharedBytes;
  // Which of several heads a row block is of takes registers too, beside the state of tiles.
  const int64_t narrowTile =
      std::max(channels, values) <= kSmallHead ? kKeyTileOfSmallHeads : kKeyTileOfNarrowHeads;
  const int64_t wideTile = extents.biases > 0 && std::max(channels, values) >= kWideHead
                               ? kKeyTileOfBiasedHeads
                               : kKeyTile;
  const int64_t keyTile = !isNarrow                  ? wideTile
                          : extents.heads == 1       ? narrowTile
                          : extents.keys <= kKeyTile ? kKeyTile
                                                     : kKeyBlockOfNarrowHeads;
  const int64_t fewest = (std::max<int64_t>(extents.keys, 1) + keyTile - 1) / keyTile;
  std::optional<int64_t> keyTiles;
  if (extents.keys > 0 && extents.keys <= kWholeRow)
    keyTiles = chooseKeyTiles(limits, extents, keyTile);
  bool wholeRow = keyTiles.has_value();
  const int64_t allTiles = keyTiles.value_or(fewest);
  const int64_t allKeys = roundUp(std::max<int64_t>(extents.keys, 1), params.padTo * allTiles);
  if (wanted.keysPerStep != 0)
    wholeRow = extents.keys > 0 && extents.keys <= wanted.keysPerStep;
  // Where there are no keys the rows meet the context.
  const bool noKeys = extents.keys == 0;
  // Wide heads have registers for few warps: rather of several blocks.
  params.warps = wholeRow && !isNarrow ? kWarps : kLongRowWarps;
  if (hasProcessor)
    params.warps = kOccupancy;
  // Rows that meet a context have as many warps as its sum, with which they may share a worker.
  const bool hasFew = noKeys ? getFewContextWarps(limits) != 0
                             : !hasRegistersForWarps(limits, values, keyTile, extents.hasLepe);
  if (hasFew)
    params.warps = kWarps;
  params.mostWarps = hasFew ? kWarps : kWarpsPerBlock;
  if (wanted.warpsPerBlock != 0)
    params.warps = params.mostWarps = wanted.warpsPerBlock;
  const int64_t mostRows =
      wholeRow || noKeys ? kWholeRow : kFragmentRows * (params.warps / extents.heads);
  params.keys = wholeRow ? allKeys : isNarrow ? kKeyBlockOfNarrowHeads : wideTile;
  if (extents.keys > 0)
    params.keys = std::min(params.keys, allKeys);
  if (noKeys)
    params.keys = channels;
  else if (wanted.keysPerStep != 0)
    params.keys = wholeRow ? allKeys : wanted.keysPerStep;
  while (wanted.keysPerStep == 0 && params.keys > params.padTo &&
         bytesOf(kFragmentRows, params.keys) > sharedBytes)
    params.keys -= params.padTo;
  // Register tiles of about the same width.
  const int64_t tiles =
      wholeRow && wanted.keysPerStep == 0 ? allTiles : (params.keys + keyTile - 1) / keyTile;
  params.keyTile = roundUp((params.keys + tiles - 1) / tiles, params.padTo);
  if (!noKeys)
    params.keys = params.keyTile * tiles;
  params.rowsPerWorker = wanted.rowsPerBlock != 0 ? wanted.rowsPerBlock : kFragmentRows;
  while (wanted.rowsPerBlock == 0 && params.rowsPerWorker < mostRows &&
         bytesOf(params.rowsPerWorker + kFragmentRows, params.keys) <= sharedBytes)
    params.rowsPerWorker += kFragmentRows;
  params.occupancy = isNarrow ? kOccupancy : 0;
  // State in registers needs a block of rows for each warp.
  params.fillsWarps = wholeRow && params.occupancy != 0 && params.occupancy % params.warps == 0;
  // Beside keys their scores would take too many registers.
  const bool hasMany = noKeys && isNarrow && std::max(channels, values) <= kHeadOfManyRows;
  params.manyRows = hasMany ? 2 * kFragmentRows : params.rows;
  // The context: a warp holds the state of some channels in registers, and takes a part
  // of the tokens that are staged. Of few columns the weights of the fewest tokens take more.
  const int64_t accumulators = kWarpLanes * kContextRegisters / std::max(values, kFragmentRows);
  const int64_t channelRows = roundUp(channels, kFragmentRows);
  params.contextRows =
      std::clamp(accumulators / kFragmentRows * kFragmentRows, kFragmentRows, channelRows);
  while (channelRows % params.contextRows != 0)
    params.contextRows -= kFragmentRows;
  const int64_t fewWarps = getFewContextWarps(limits);
  const int64_t contextWarps = fewWarps != 0 ? fewWarps : kContextWarps;
  if (fewWarps != 0)
    params.contextRows = std::max(params.contextRows, getContextRows(channelRows, fewWarps));
  params.contextWarps =
      std::max<int64_t>(1, contextWarps * params.contextRows / (extents.heads * channelRows));
  if (wanted.contextWarps != 0)
    params.contextWarps = wanted.contextWarps;
  params.contextTokens =
      std::max(kFragmentRows,
               kWarpLanes * kContextRegisters / params.contextRows / kFragmentRows * kFragmentRows);
  if (wanted.contextTokens != 0)
    params.contextTokens = wanted.contextTokens;
  // Several heads have fewer warps each, which take as many tokens one tile after the other.
  params.contextTiles =
      wanted.contextWarps != 0
          ? 1
          : std::max<int64_t>(1, contextWarps * params.contextRows / channelRows) /
                params.contextWarps;
  auto fits = [&] { return contextBytes(extents, params) <= limits.sharedBytes; };
  while (params.contextTiles > 1 && !fits())
    --params.contextTiles;
  while (wanted.contextTokens == 0 && params.contextTokens > 16 && !fits())
    params.contextTokens -= 16;
  while (wanted.contextWarps == 0 && params.contextWarps > 1 && !fits())
    --params.contextWarps;
  return params;
}

bool elfatt::tile::fitsBlock(const MachineLimits &limits, PartKind kind, const TileExtents &extents,
                             int64_t rows, int64_t keys) {
  rows = roundUp(std::max<int64_t>(rows, 1), kFragmentRows);
  const int64_t channels = roundUp(std::max<int64_t>(extents.channels, 1), kFragmentRows);
  const int64_t values = roundUp(std::max<int64_t>(extents.values, 1), kFragmentPad);
  switch (kind) {
  case PartKind::Softmax:
    return rowBytes(limits, extents, rows, roundUp(keys, kFragmentPad)) <= limits.sharedBytes;
  case PartKind::Apply:
    return rowBytes(limits, extents, rows, channels) <= limits.sharedBytes;
  case PartKind::Context: {
    const int64_t context =
        extents.ownsContext ? channels * fragmentPitch(values) * extents.bits / 8 : 0;
    // All channels have a warp that holds their state, beside as many weights and addresses.
    const int64_t fewWarps = getFewContextWarps(limits);
    const int64_t ofWarp = fewWarps != 0 ? getContextRows(channels, fewWarps) : kFragmentRows;
    const int64_t registers = ofWarp * values / kWarpLanes + 2 * kContextRegisters;
    const int64_t pitches =
        stagedPitch(channels, extents.storageBits) + stagedPitch(values, extents.storageBits);
    return registers <= target::kRegistersPerThread &&
           llvm::divideCeilSigned(channels, ofWarp) * kWarpLanes * registers <=
               limits.blockRegisters &&
           context + kFragmentRows * pitches * extents.storageBits / 8 <= limits.sharedBytes;
  }
  }
  llvm_unreachable("all kinds are handled");
}

int64_t elfatt::tile::getHeadsOfSectors(int64_t channels, int64_t values, int64_t bits) {
  if (channels <= 0 || values <= 0 || channels % kFragmentPad != 0 || values % kFragmentPad != 0)
    return 1;
  constexpr int64_t sector = 8 * target::kSectorBytes;
  return std::max(sector / std::gcd(channels * bits, sector),
                  sector / std::gcd(values * bits, sector));
}

int64_t elfatt::tile::getSectorBytes(int64_t bytes, bool isAligned) {
  constexpr int64_t chunk = 16;
  if (isAligned || bytes / chunk % 2 != 0)
    return roundUp(isAligned ? bytes : bytes + chunk, target::kSectorBytes);
  // A warp copies four chunks of each of eight rows.
  return bytes + llvm::divideCeil(bytes, 4 * chunk) * target::kSectorBytes;
}

bool elfatt::tile::fitsHeads(const MachineLimits &limits, TileExtents extents, int64_t heads,
                             int64_t rows) {
  const TileParams one = getTileParams(limits, extents);
  extents.heads = heads;
  const TileParams all = getTileParams(limits, extents);
  if (extents.keys != 0 && (extents.keys < 0 || all.keys < extents.keys))
    return false;
  // Lanes of 128 registers have none for another head beside the state of keys in tiles.
  const int64_t widest = std::max(extents.channels, extents.values);
  if (all.keys > all.keyTile && all.occupancy != 0 && widest > kHeadOfTiles)
    return false;
  // Of more than two only where two blocks are the warps that a multiprocessor should have.
  if (heads > 2 && extents.keys != 0 && !all.fillsWarps)
    return false;
  // Rows that come in turns find the keys there.
  const bool inTurns = extents.keys != 0 && rows <= kWholeRow && limits.overrides.rowsPerBlock == 0;
  return inTurns || std::min(rows, all.rowsPerWorker) >= std::min(rows, one.rowsPerWorker);
}

bool elfatt::tile::fitsContexts(const MachineLimits &limits, TileExtents extents, int64_t heads) {
  extents.heads = heads;
  const TileParams params = getTileParams(limits, extents);
  const int64_t channels = roundUp(extents.channels, kFragmentRows);
  const int64_t values = roundUp(extents.values, kFragmentPad);
  // A warp for each tile of their channels, which holds its state beside weights and addresses.
  const int64_t warps = heads * llvm::divideCeil(channels, params.contextRows);
  const int64_t registers = params.contextRows * values / kWarpLanes + 2 * kContextRegisters;
  const int64_t fewWarps = getFewContextWarps(limits);
  return warps <= (fewWarps != 0 ? fewWarps : kContextWarps) &&
         warps * params.contextWarps <= kWarpsPerBlock &&
         warps * kWarpLanes * registers <= limits.blockRegisters &&
         contextBytes(extents, params) <= limits.sharedBytes;
}

bool elfatt::tile::fitsAppliedRows(const MachineLimits &limits, TileExtents extents, int64_t heads,
                                   int64_t rows) {
  extents.heads = heads;
  rows = roundUp(std::max<int64_t>(rows, 1), kFragmentRows);
  return getTileParams(limits, extents).rowsPerWorker >= rows;
}

std::optional<int64_t> elfatt::tile::chooseColumns(int64_t values,
                                                   llvm::function_ref<bool(int64_t)> fits) {
  for (int64_t columns = values; columns > 0; --columns)
    if (values % columns == 0 && fits(columns))
      return columns;
  return std::nullopt;
}

TileParams elfatt::tile::forRows(TileParams params, int64_t rows) {
  // Where their padding fits too.
  if (rows > params.rows * params.warps && roundUp(rows, params.manyRows) <= params.rowsPerWorker)
    params.rows = params.manyRows;
  return params;
}

TileParams elfatt::tile::getTileParams(const MachineLimits &limits, const TileExtents &extents) {
  return limits.machine == Machine::CPU ? cpuParams(limits, extents) : gpuParams(limits, extents);
}
