// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What tiles of attention cost one core of a host, and the tiles that cost least: pure
// functions of sizes and of the core's registers, without IR. Where Cost.h counts what an
// op needs at the least, this counts what its loops do.
#ifndef ELFATT_TARGET_CORE_H
#define ELFATT_TARGET_CORE_H

#include <cstdint>

namespace elfatt::target {

/// One core as the loops see it. Cycles are those of a core with two pipes for
/// multiply-adds and two for loads, as processors with vectors have had since 2013; the
/// figures were fitted to measured tiles (docs/Rationale.md), and only ratios matter.
struct Core {
  int64_t lanes;     ///< elements of the computation's type in a register
  int64_t registers; ///< vector registers
  int64_t bytes;     ///< of an element

  double multiplyAdds = 2;  ///< registers a cycle
  double loads = 2;         ///< registers or broadcasts a cycle
  double latency = 4;       ///< cycles until a sum can be added to again
  double exponential = 4.6; ///< a register of weights, from the difference to the sum
  double masked = 0.5;      ///< a register of scores some of which have no key
  double spilled = 0.15;    ///< one of more scores than there are registers
  double accumulator = 0.5; ///< beginning and end of a sum
  double panel = 17;        ///< those of a loop over a product's depth
  double rowBlock = 130;    ///< a row block against a block of keys: lanes are reduced
  double state = 3;         ///< a register of an online softmax's state, kept in memory
  double transposed = 0.4;  ///< an element on its way to scratch
  int64_t l1Bytes = 48 * 1024;
  double l2Bytes = 150; ///< what the first cache does not hold, beside arithmetic, a cycle

  /// Of registers of `registerBits` bits that hold elements of `elementBits`.
  static Core of(int64_t registerBits, int64_t registers, int64_t elementBits);
  /// Registers that `extent` elements take; at least one.
  int64_t registersOf(int64_t extent) const;
};

/// Cycles of sums over `depth` steps in rows x columns accumulators, columns in registers:
/// in each step one broadcast a row and one load a column. More accumulators than there
/// are registers are panels, one after the other.
double getProductCycles(const Core &core, int64_t rows, int64_t columns, int64_t depth);

/// One head's softmax attention, or one window of it; a negative size is not known.
struct SoftmaxSizes {
  int64_t rows, keys, channels, values;
};

/// Its tiles: so many rows at a time against so many keys, which are all that there are
/// (one maximum, no state) or a block of them (an online softmax, whose state is in memory
/// in between).
struct SoftmaxTiles {
  int64_t rows, keys;
  bool wholeRow;
};

/// Cycles of all rows and keys.
double getSoftmaxCycles(const Core &core, const SoftmaxSizes &sizes, const SoftmaxTiles &tiles);

/// The tiles that take fewest cycles of those that code of a bounded size can hold: the
/// choice between whole rows and an online softmax among them.
SoftmaxTiles chooseSoftmaxTiles(const Core &core, const SoftmaxSizes &sizes);

/// One head's context K^T V: `tokens` of one step, whose weights are in scratch, and the
/// rows of the context that are in registers together.
struct ContextTiles {
  int64_t tokens, rows;
};

/// Channels whose weights of a step's tokens are code without a loop.
int64_t getContextColumns(const Core &core, int64_t tokens);

/// Cycles of a token, on average.
double getContextCycles(const Core &core, int64_t channels, int64_t values,
                        const ContextTiles &tiles);
/// For a context of `tokens`, if not negative.
ContextTiles chooseContextTiles(const Core &core, int64_t channels, int64_t values,
                                int64_t tokens = -1);

/// Rows of a tile that meets a context: a softmax over its channels and one product.
double getApplyCycles(const Core &core, int64_t rows, int64_t channels, int64_t values,
                      int64_t tileRows);
int64_t chooseApplyRows(const Core &core, int64_t rows, int64_t channels, int64_t values);

/// Row blocks of one worker, each of so many rows, that pay for the transposition of keys.
constexpr int64_t kRowBlocksOfWorker = 16;

} // namespace elfatt::target

#endif // ELFATT_TARGET_CORE_H
