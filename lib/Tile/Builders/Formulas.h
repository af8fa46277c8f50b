// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every formula of attention, once, on register tiles: `rows x columns` vectors,
// per-row vectors [rows] and per-column vectors [columns]. Both machines lower
// what is built here.
#ifndef ELFATT_LIB_TILE_BUILDERS_FORMULAS_H
#define ELFATT_LIB_TILE_BUILDERS_FORMULAS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

#include <functional>

namespace elfatt::tile {

/// What scores are exponents of. Scaled by log2(e), to exponents of two, a bias of the
/// lowest number would be -inf.
enum class ScoreBase { Two, E };

/// The state of an online softmax over segments of keys, one row a query token
/// (or a key channel, for the context's softmax over tokens).
struct OnlineState {
  mlir::Value acc; ///< [rows, E], sum of P V so far
  mlir::Value max; ///< [rows], largest of the scores so far
  mlir::Value sum; ///< [rows], sum of P so far
};

/// Memory for scores [rows, keys] of more registers than there are, which weights replace in a
/// loop.
struct ScoreScratch {
  mlir::Value scores;
  /// Memory for a number a row if the loop is one over rows; else it is one over so many keys,
  /// beside their product with V.
  mlir::Value perRow;
  int64_t columns = 0;
  /// V of some keys from `first` on, [keys, E].
  std::function<mlir::Value(mlir::Value first, int64_t keys)> readValue;
};

/// Which operand of a product is transposed.
enum class Product {
  NN, ///< (i,k), (k,j) -> (i,j)
  NT, ///< (i,k), (j,k) -> (i,j)
  TN, ///< (k,i), (k,j) -> (i,j)
};

class Formulas {
public:
  /// With `fusesWeights` a weight is one multiply-add and 2^x; see Pivot.
  Formulas(mlir::ImplicitLocOpBuilder &builder, mlir::FloatType type, bool fusesWeights = false)
      : b(builder), type(type), fusesWeights(fusesWeights) {}

  /// lhs * rhs + acc, accumulated in the computation's type.
  mlir::Value product(Product kind, mlir::Value lhs, mlir::Value rhs, mlir::Value acc);
  /// The same from zero.
  mlir::Value product(Product kind, mlir::Value lhs, mlir::Value rhs);

  /// Q K^T, with `keys` as [D, keys] (NN) or [keys, D] (NT).
  mlir::Value scores(mlir::Value query, mlir::Value keys, bool keysTransposed);

  /// The same with channels in pairs: `query` [rows, D/2, 2], `keys` [D/2, keys, 2].
  mlir::Value pairedScores(mlir::Value query, mlir::Value keys);

  /// The state of `rows` rows that have seen no key yet.
  OnlineState noKeys(int64_t rows, int64_t values);
  /// One step over a segment of keys:
  ///   m' = max(m, max_j S);  P = 2^(S - m');  r = 2^(m - m')
  ///   sum' = r sum + sum_j P;  acc' = r acc + P V
  /// `state` may be empty for the first segment. P is rounded to V's type when
  /// the machine multiplies that type. With a `scale`, which must be positive, S is
  /// `scale` times `scores`, and m that of `scores`. Weights that are not rounded
  /// carry a small power of two, and so do sum and acc: it cancels in their quotient.
  /// With `scratch`, weights are made in a loop, and `value` is null.
  OnlineState online(const OnlineState *state, mlir::Value scores, mlir::Value value,
                     ScoreBase base = ScoreBase::Two, mlir::Value scale = {},
                     const ScoreScratch *scratch = nullptr);

  /// A state that is joined with others: relative to its maximum itself, where its weights of
  /// `weightType` were relative to a level next to it.
  OnlineState settle(const OnlineState &state, mlir::Type weightType, ScoreBase base);

  /// The state of both segments of keys together, both settled:
  ///   m = max(m1, m2);  r1 = 2^(m1 - m);  sum = r1 sum1 + r2 sum2;  acc = r1 acc1 + r2 acc2
  OnlineState join(const OnlineState &first, const OnlineState &second, ScoreBase base);

  /// O = acc / sum; rows with sum = 0 give 0 when `emptyRowsAreZero`.
  mlir::Value finalize(const OnlineState &state, bool emptyRowsAreZero);

  /// One step of the context's softmax over tokens, the tokens in the rows of
  /// `key` [tokens, D] and `value` [tokens, E]. `valid` [tokens] masks padding;
  /// null when every token is valid. acc is scaled and added to by the caller:
  /// returns P [tokens, D] and r [D], with max and sum updated in `state`.
  struct ContextStep {
    mlir::Value weights, rescale, max, sum;
  };
  /// With `scratch` [tokens, D], which then holds P, and `pivots` [D], P is made in a loop over
  /// the tokens.
  ContextStep contextStep(mlir::Value max, mlir::Value sum, mlir::Value key, mlir::Value valid,
                          mlir::Value scratch = {}, mlir::Value pivots = {});

  /// softmax over the columns of `query` [rows, D], not yet divided: e^(q - max), to be
  /// rounded to `weightType`, and its row sums. Columns from `validColumns` on are
  /// padding.
  std::pair<mlir::Value, mlir::Value> unnormalizedSoftmax(mlir::Value query, int64_t validColumns,
                                                          mlir::Type weightType);

  /// O = softmax_d(Q) C, with C the sum of `contexts`: a context of a wider type than
  /// products take comes in two parts.
  mlir::Value apply(mlir::Value query, int64_t validColumns, mlir::ValueRange contexts);

  // Building blocks.
  mlir::Value log2e();
  /// Lets a product and a sum round once.
  mlir::arith::FastMathFlagsAttr fused() const;
  mlir::Value constant(double value, mlir::Type shapedOrScalar);
  mlir::Value splat(mlir::Value scalar, mlir::VectorType vector);
  mlir::Value alongRows(mlir::Value perRow, int64_t columns);
  mlir::Value alongColumns(mlir::Value perColumn, int64_t rows);
  /// `tile` in the computation's type.
  mlir::Value widen(mlir::Value tile);
  mlir::Value narrow(mlir::Value tile, mlir::Type elementType);
  /// Reduces over the columns (perRow) or the rows, `with` what there is, if any.
  mlir::Value reduceMax(mlir::Value tile, bool perRow, mlir::Value with = {});
  mlir::Value reduceSum(mlir::Value tile, bool perRow, mlir::Value with = {});
  /// base + 0, 1, ... as i32, [extent].
  mlir::Value indices(mlir::Value base, int64_t extent);
  /// `height` x `width` elements of `tile` from (row, column) on.
  mlir::Value slice(mlir::Value tile, int64_t row, int64_t column, int64_t height, int64_t width);
  /// `tile` with `part` in place of its columns from `column` on.
  mlir::Value insertColumns(mlir::Value part, mlir::Value tile, int64_t column);
  /// Whether an element of `tile` is NaN: a scalar.
  mlir::Value anyNaN(mlir::Value tile);
  /// Scores of columns at or beyond `bound` become -inf; columns before `first` never are.
  mlir::Value maskColumns(mlir::Value scores, mlir::Value bound, int64_t first = 0);
  mlir::FloatType getType() const { return type; }

private:
  OnlineState inColumns(const OnlineState *state, mlir::Value max, mlir::Value pivot,
                        mlir::Value factor, bool headroom, const ScoreScratch &scratch);
  /// 2^(factor (x - pivot)), with headroom for sums if asked for. The difference comes
  /// first: it is exact near the maximum, however large. `pivot` has the shape of `x`,
  /// or one value a row; no factor is a factor of 1.
  mlir::Value weight(mlir::Value x, mlir::Value pivot, mlir::Value factor, bool headroom);

  /// What the weights 2^(factor x - level) of a row share: a level next to factor * max, the same
  /// for whatever is rescaled to it. Where scores are so large that it would leave of the largest
  /// what rounding does, the factor is a power of two instead and the level exact: scores lie so
  /// far apart there that weights are those of the formula, to the rounding of scores.
  struct Pivot {
    mlir::Value factor, offset, level; ///< level = factor max + offset, a row
    mlir::Value shift;                 ///< what weights add to factor x, a row
  };
  /// None where weights are not fused, or for a factor that is not a constant in (2^-60, 2).
  std::optional<Pivot> findPivot(mlir::Value max, mlir::Value factor, bool headroom);
  mlir::Value levelOf(mlir::Value max, const Pivot &pivot);
  mlir::Value weight(mlir::Value x, const Pivot &pivot);
  /// 2^(factor (before - max)), where `pivot` is that of max.
  mlir::Value rescale(mlir::Value before, mlir::Value max, mlir::Value factor,
                      const std::optional<Pivot> &pivot);
  /// `body` of each row [1, columns] of `matrix`, in a loop; what it gives takes the row's place.
  void forEachRow(mlir::Value matrix,
                  llvm::function_ref<mlir::Value(mlir::Value row, mlir::Value index)> body);
  mlir::Value readAll(mlir::Value buffer);
  void writeAll(mlir::Value tile, mlir::Value buffer);
  /// m, with 0 where no score is finite, so that -inf - m is -inf and not NaN.
  mlir::Value finiteOrZero(mlir::Value max);
  mlir::VectorType vectorType(llvm::ArrayRef<int64_t> shape) const;

  mlir::ImplicitLocOpBuilder &b;
  mlir::FloatType type;
  bool fusesWeights;
};

} // namespace elfatt::tile

#endif // ELFATT_LIB_TILE_BUILDERS_FORMULAS_H
