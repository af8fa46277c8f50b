// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tile sizes: a pure function of extents and machine, without IR.
#ifndef ELFATT_TILE_TILEPARAMS_H
#define ELFATT_TILE_TILEPARAMS_H

#include "elfatt/Tile/TileOverrides.h"

#include "llvm/ADT/STLFunctionalExtras.h"

#include <cstdint>
#include <optional>

namespace elfatt::tile {

enum class Machine { CPU, GPU };

/// What a machine offers to one worker.
struct MachineLimits {
  Machine machine = Machine::CPU;
  /// Width of a vector register, in bits, and how many there are (CPU).
  int64_t vectorBits = 512;
  int64_t vectorRegisters = 32;
  /// Shared memory that a block should keep to, in bytes (GPU).
  int64_t sharedBytes = 48 * 1024;
  /// Multiprocessors, which run blocks at the same time (GPU).
  int64_t processors = 16;
  /// What a user asked for instead (GPU).
  TileOverrides overrides = {};
  /// Shared memory that a block can have where it cannot do with less, in bytes (GPU).
  int64_t mostSharedBytes = 48 * 1024;
  /// An instruction adds two products of bf16 to each sum of f32 (CPU).
  bool dotsBF16 = false;
  /// Whether tensor cores multiply tiles of f16, and of bf16 (GPU).
  bool tensorF16 = false, tensorBF16 = false;
  /// Whether quad pairs multiply f16, in smaller tiles (GPU).
  bool quadPairsF16 = false;
  /// Registers of a block's threads, of 32 bits (GPU).
  int64_t blockRegisters = 64 * 1024;

  static MachineLimits cpu(int64_t vectorBits, int64_t vectorRegisters, bool dotsBF16 = false) {
    return {.machine = Machine::CPU,
            .vectorBits = vectorBits,
            .vectorRegisters = vectorRegisters,
            .sharedBytes = 0,
            .processors = 0,
            .mostSharedBytes = 0,
            .dotsBF16 = dotsBF16};
  }
  static MachineLimits gpu(int64_t sharedBytes = 48 * 1024, int64_t processors = 16,
                           const TileOverrides &overrides = {}, int64_t mostSharedBytes = 48 * 1024,
                           bool tensorF16 = false, bool tensorBF16 = false,
                           bool quadPairsF16 = false, int64_t blockRegisters = 64 * 1024) {
    return {.machine = Machine::GPU,
            .vectorBits = 0,
            .vectorRegisters = 0,
            .sharedBytes = sharedBytes,
            .processors = processors,
            .overrides = overrides,
            .mostSharedBytes = mostSharedBytes,
            .tensorF16 = tensorF16,
            .tensorBF16 = tensorBF16,
            .quadPairsF16 = quadPairsF16,
            .blockRegisters = blockRegisters};
  }
};

/// Extents of one attention tile; ShapedType::kDynamic where not known.
struct TileExtents {
  int64_t rows;      ///< of the innermost row dim
  int64_t keys;      ///< of all key dims together; 0 where the part has none
  int64_t channels;  ///< D
  int64_t values;    ///< E
  int64_t bits = 32; ///< of the computation's type
  /// Of the widest operand, and how many biases lie beside them in scratch (GPU).
  int64_t storageBits = 32;
  bool isBF16 = false; ///< operands of 16 bits (GPU)
  int64_t biases = 0;
  /// Whether LePE adds to the rows, so that the rows of V around them lie there too (GPU).
  bool hasLepe = false;
  /// Whether these are the keys' values.
  bool lepeReadsKeys = false;
  /// Softmax steps that share the scratch of one worker (prefix and window: 2).
  int64_t steps = 1;
  /// A context and the rows that meet it have one worker, where it lies in scratch (GPU).
  bool ownsContext = false;
  /// Neighbours in memory that one worker takes, whose rows lie beside each other in scratch (GPU).
  int64_t heads = 1;
  /// A worker has a multiprocessor to itself: all of its shared memory, and as many warps as it
  /// should have registers for (GPU).
  bool hasProcessor = false;

  bool operator==(const TileExtents &) const = default;
};

/// What decides of the shared memory that a part needs.
enum class PartKind { Softmax, Context, Apply };

/// Sizes of the tile level; see docs/TileLevel.md.
struct TileParams {
  /// Rows of a register tile.
  int64_t rows;
  /// The same where a worker has so many rows that each warp takes several tiles: what it
  /// reads of shared memory serves them all (GPU).
  int64_t manyRows;
  /// Keys of one block, padded to whole vectors (CPU) or fragments (GPU).
  int64_t keys;
  /// Keys of one register tile; those of a block, or a part of them.
  int64_t keyTile;
  /// Rows that one worker takes of a long row dim.
  int64_t rowsPerWorker;
  /// Tokens of one step of the context's sum, and its rows in registers; of one warp
  /// on the GPU, where so many warps share the tokens of a step.
  int64_t contextTokens;
  int64_t contextRows;
  /// Channels that are weighted at once (CPU).
  int64_t contextColumns;
  int64_t contextWarps;
  /// Register tiles of tokens that each of these warps takes of one step (GPU).
  int64_t contextTiles;
  /// Warps that share a worker's row blocks, at most (GPU).
  int64_t warps;
  /// Warps of a block that has registers for these tiles, at most: its launch can have no more,
  /// whatever else is in it (GPU).
  int64_t mostWarps;
  /// Extents of staged matrices are padded to a multiple of this.
  int64_t padTo;
  /// Q, V and O pass through scratch, with row and key dims flattened.
  bool staged;
  /// Products take 16-bit operands as they are.
  bool narrowOperands;
  /// A weight is one multiply-add and 2^x, for some more work a row (GPU).
  bool fusedWeights;
  /// Warps that a multiprocessor should have registers for; 0 where tiles take too many (GPU).
  int64_t occupancy;
  /// Blocks have all of `warps` where one of them would have nothing to do but copy: so that
  /// whole blocks make up `occupancy` (GPU).
  bool fillsWarps;
};

/// Of 32 threads, in a block of at most 1024.
constexpr int64_t kWarpsPerBlock = 32;

/// Elements from one row of a staged matrix to the next: rows start an odd number of
/// 16-byte chunks apart, so that a chunk of each of eight rows lies in other banks (GPU).
int64_t stagedPitch(int64_t columns, int64_t bits);

/// The same for a matrix of f32 in which warps have two neighbours a lane: four rows start in
/// different fourths of the banks (GPU).
int64_t fragmentPitch(int64_t columns);

/// The least multiple of `multiple` that is not below `value`.
constexpr int64_t roundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Lines of a block, at most `most` of all `lines` of `keys` keys, that leave the fewest padded
/// keys in all blocks; the most of these.
int64_t chooseLines(int64_t lines, int64_t most, int64_t keys, int64_t padTo);

/// `params` for a worker of `rows` rows.
TileParams forRows(TileParams params, int64_t rows);

TileParams getTileParams(const MachineLimits &limits, const TileExtents &extents);

/// How a context that was summed in more bits than its rows have lies in scratch when these meet it
/// (GPU).
enum class ContextForm {
  Rounded,       ///< to the type of the rows
  WithRemainder, ///< and what that leaves of it beside it
  Wide           ///< as it was summed, where multiply-adds take that type alone
};

/// Sums of all tokens, rounded once, would be the largest error of 16-bit kernels: they are where
/// they are too many to have 32 bits.
ContextForm getContextForm(const MachineLimits &limits, const TileExtents &extents);

/// Whether a block can make `extents.values` columns of at least `rows` rows of a part's result,
/// with at least `keys` keys, or the fewest tokens, at a time (GPU).
bool fitsBlock(const MachineLimits &limits, PartKind kind, const TileExtents &extents, int64_t rows,
               int64_t keys);

/// The fewest heads whose rows of `channels`, and of `values`, elements of `bits` bits are whole
/// sectors of memory; one where none are, or where staged rows of them would not lie as they do in
/// memory (GPU).
int64_t getHeadsOfSectors(int64_t channels, int64_t values, int64_t bits);

/// Bytes of the sectors that warps ask for to copy a row of `bytes` bytes, chunks of 16 bytes: one
/// that begins with a sector, or at any chunk (GPU).
int64_t getSectorBytes(int64_t bytes, bool isAligned);

/// Whether a worker of `heads` heads takes all keys of each at once, where there are keys, and of
/// `rows` rows, which may then come in turns, as many as a worker of one head would (GPU).
bool fitsHeads(const MachineLimits &limits, TileExtents extents, int64_t heads, int64_t rows);

/// Whether a worker has room for the contexts of `heads` heads at once: for a step of their tokens,
/// and for warps that hold their states (GPU).
bool fitsContexts(const MachineLimits &limits, TileExtents extents, int64_t heads);

/// The same for `rows` rows of each head that meet their contexts.
bool fitsAppliedRows(const MachineLimits &limits, TileExtents extents, int64_t heads, int64_t rows);

/// The largest divisor of `values` that `fits`, if one does.
std::optional<int64_t> chooseColumns(int64_t values, llvm::function_ref<bool(int64_t)> fits);

} // namespace elfatt::tile

#endif // ELFATT_TILE_TILEPARAMS_H
