// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Index notation on linalg: a term is a tensor whose dims are named after the
// dims of one iteration domain, and a formula is a chain of terms.
#ifndef ELFATT_DIALECT_ATTENTION_TRANSFORMS_LINALGFORMULAS_H
#define ELFATT_DIALECT_ATTENTION_TRANSFORMS_LINALGFORMULAS_H

#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace elfatt::attention {

/// A tensor and, for each of its dims, the dim of the domain it runs over.
struct Term {
  mlir::Value tensor;
  llvm::SmallVector<unsigned> dims;
};

/// What a term holds for one point: the elements of the inputs, extended to the
/// type of the computation if they are floats (i1 stays), to one such value.
using PointFormula =
    llvm::function_ref<mlir::Value(mlir::ImplicitLocOpBuilder &, mlir::ValueRange)>;

/// Builds terms over the iteration domain of one op. All terms that it makes are
/// in the type of the computation.
class LinalgFormulas {
public:
  LinalgFormulas(mlir::OpBuilder &builder, ViewOpInterface op);

  /// The operand seen through its map; constants in the map are sliced off.
  Term read(mlir::Value operand, mlir::AffineMap map);

  /// out[dims] = formula(inputs).
  Term map(llvm::ArrayRef<unsigned> dims, llvm::ArrayRef<Term> inputs, PointFormula formula);

  /// The same, given the index of each of `dims` too, after the elements.
  Term mapWithIndices(llvm::ArrayRef<unsigned> dims, llvm::ArrayRef<Term> inputs,
                      PointFormula formula);

  /// start[dims] + sum of x over the dims that `start` lacks; max likewise.
  Term addSum(Term start, Term x);
  Term maxWith(Term start, Term x);

  /// start[dims] + sum of a * b over the dims that `start` lacks.
  Term addProduct(Term start, Term a, Term b);

  /// out[dims] = sum of a * b over the other dims.
  Term contract(llvm::ArrayRef<unsigned> dims, Term a, Term b);

  /// exp(x - max x) / sum exp(x - max x), over the dims `over`. With `zeroMasked`
  /// a row of nothing but -inf gives 0 instead of NaN.
  Term softmax(Term x, llvm::ArrayRef<unsigned> over, bool zeroMasked = false);

  /// start + the 3-tap depthwise convolution of `value` with `weight`, whose
  /// leading dims are the taps, over `gridDims`. `value` starts one position
  /// before `start` does and ends one position after it.
  Term addDepthwiseConv(Term start, Term value, Term weight, llvm::ArrayRef<int64_t> gridDims);

  /// A term of nothing but `value`.
  Term fill(llvm::ArrayRef<unsigned> dims, double value);

  /// Rounds `x` into the place that `map` gives it in `init`.
  mlir::Value write(Term x, mlir::Value init, mlir::AffineMap map);

  /// Writes the sum of a * b over the dims that `map` lacks.
  mlir::Value writeProduct(Term a, Term b, mlir::Value init, mlir::AffineMap map);

  /// `sizes[dim]` of the domain.
  llvm::ArrayRef<mlir::OpFoldResult> getRanges() const { return ranges; }
  mlir::FloatType getType() const { return type; }
  mlir::ImplicitLocOpBuilder &getBuilder() { return builder; }

private:
  /// What a formula is given of the output: nothing, its indices instead, or the
  /// element that it accumulates on.
  enum class OutElement { Unused, Indices, Given };

  Term reduce(Term start, llvm::ArrayRef<Term> inputs, PointFormula formula);
  mlir::Value generic(llvm::ArrayRef<unsigned> dims, unsigned numParallel,
                      llvm::ArrayRef<Term> inputs, Term out, OutElement outElement,
                      PointFormula formula);
  mlir::Value finish(mlir::Value result, mlir::Value init, mlir::AffineMap map);
  mlir::Value extend(mlir::ImplicitLocOpBuilder &b, mlir::Value x) const;

  mlir::ImplicitLocOpBuilder builder;
  llvm::SmallVector<mlir::OpFoldResult> ranges;
  mlir::FloatType type;
};

} // namespace elfatt::attention

#endif // ELFATT_DIALECT_ATTENTION_TRANSFORMS_LINALGFORMULAS_H
