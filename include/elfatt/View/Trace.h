// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Traces the elements of a tensor through pure data movement to the tensor they
// come from, and those of a buffer's view to the buffer. An analysis: it creates no IR.
#ifndef ELFATT_VIEW_TRACE_H
#define ELFATT_VIEW_TRACE_H

#include "elfatt/View/Layout.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"

namespace elfatt::view {

/// One element of `source` as a function of the atoms: one Index per dim.
struct Element {
  mlir::Value source;
  llvm::SmallVector<Index, 0> indices;

  explicit operator bool() const { return bool(source); }
};

/// Sizes of tensors (and buffers) as `Size`s: equal dynamic sizes get equal symbols where the
/// IR shows that they are equal.
class SizeAnalysis {
public:
  Size getSize(mlir::Value tensor, int64_t dim);
  llvm::SmallVector<Size> getSizes(mlir::Value tensor);
  Size getSize(mlir::OpFoldResult value);

  /// Takes the sizes that `op` ties to one loop for equal from now on.
  void unifyLoops(mlir::linalg::LinalgOp op);

  /// What a symbol stands for: dim `dim` of a tensor, or an index value when
  /// `dim` is -1.
  struct Origin {
    mlir::Value value;
    int64_t dim;
  };
  const Origin &getOrigin(unsigned symbol) const { return origins[symbol]; }

private:
  Size getSymbol(mlir::Value value, int64_t dim);
  /// The name of `size` that is no other's.
  Size resolve(Size size) const;
  Size getDimSize(mlir::Value tensor, int64_t dim, unsigned depth);
  Size getValueSize(mlir::Value value, unsigned depth);
  Size readValueSize(mlir::Value value, unsigned depth);
  /// Whether what `condition` compares is below 0, if it is a size.
  std::optional<bool> readIsNegative(mlir::Value condition, unsigned depth);

  llvm::SmallVector<Origin> origins;
  /// Symbols that are known to be another size.
  llvm::DenseMap<unsigned, Size> equal;
  llvm::DenseMap<std::pair<mlir::Value, int64_t>, unsigned> symbols;
  /// Of index values: shared ones are read once.
  llvm::DenseMap<mlir::Value, Size> valueSizes;
};

/// Steps over transposes, copies under permuted or broadcast maps, reshapes,
/// slices, gathers at linear positions and casts between tensor types; of buffers
/// over slices (also at positions that are values), reshapes and casts.
class Tracer {
public:
  Tracer(IndexSpace &space, SizeAnalysis &sizes) : space(space), sizes(sizes) {}

  /// The same element one data movement earlier; fails where `element.source` is
  /// no data movement, or one that is no view.
  std::optional<Element> stepBack(const Element &element);

  /// The element at the end of all steps.
  Element trace(Element element);

  /// `element`, and it after each step, the source last. Stops before a step that
  /// would split an atom with a root in `whole`.
  llvm::SmallVector<Element, 0> traceAll(Element element, llvm::ArrayRef<unsigned> whole = {});

  /// The indices that `map` gives at `loops`; fails for divisions.
  std::optional<llvm::SmallVector<Index, 0>> apply(mlir::AffineMap map,
                                                   llvm::ArrayRef<Index> loops) const;

  IndexSpace &getSpace() { return space; }
  SizeAnalysis &getSizes() { return sizes; }
  /// The atom that stands for `value`, a position that is the same for all elements.
  unsigned getPosition(mlir::Value value);

private:
  IndexSpace &space;
  SizeAnalysis &sizes;
  llvm::DenseMap<mlir::Value, unsigned> positions;
};

/// Extent of every loop of `op`, from its operands.
llvm::SmallVector<Size> getLoopSizes(mlir::linalg::LinalgOp op, SizeAnalysis &sizes);

/// The loops of a linalg op whose result `map` reads at `indices`: one Index per
/// dim that `map` names alone, nothing for the others.
std::optional<llvm::SmallVector<std::optional<Index>>> invertMap(mlir::AffineMap map,
                                                                 llvm::ArrayRef<Index> indices);

/// The operand that `op` copies unchanged to its only result, if it is a copy
/// (possibly permuting or broadcasting).
mlir::OpOperand *getCopiedOperand(mlir::linalg::LinalgOp op);

} // namespace elfatt::view

#endif // ELFATT_VIEW_TRACE_H
