// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_GPU_LAYOUT_LAYOUTANALYSIS_H
#define ELFATT_LIB_GPU_LAYOUT_LAYOUTANALYSIS_H

#include "elfatt/GPU/FragmentLayout.h"
#include "elfatt/Target/Chip.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/DenseMap.h"
#include <optional>

namespace elfatt::gpu {

/// Whether a product of such elements is mma.m8n8k4, which has layouts of its own.
bool isOfQuadPairs(mlir::Type element, const target::Chip &chip);

/// The layouts of a product's operands and result, from its indexing maps. Fails
/// where the maps are not those of one product of two-dimensional tiles.
struct ContractLayouts {
  FragmentLayout lhs, rhs, acc;
  /// In which arithmetic makes a left operand: the result's, since each element of it has one
  /// lane. The same as `lhs` but for quad pairs.
  FragmentLayout madeLhs;
  int64_t rowDim, columnDim, sumDim; // of the iteration space
};
mlir::FailureOr<ContractLayouts> getContractLayouts(mlir::vector::ContractionOp op,
                                                    const target::Chip &chip);

/// True for memory that lanes hold in registers.
bool isInRegisters(mlir::Value memref);

/// True for ops that act on each element by itself and keep the shape.
bool isElementwise(mlir::Operation *op);

/// The layout of each vector of a kernel. Products and changes of layout fix those of
/// their operands and results; from there they spread over the ops that tie layouts
/// together, backwards and forwards; what is left takes the accumulator's layout. Two
/// ops may disagree about a value: it has one layout here, and `elfatt-gpu-assign-layouts`
/// puts a change of layout between.
class LayoutAnalysis {
public:
  LayoutAnalysis(mlir::gpu::GPUFuncOp func, const target::Chip &chip);
  const FragmentLayout &operator[](mlir::Value value) const { return layouts.at(value); }

  /// The layout that an op reads its operand in; none where any will do.
  std::optional<FragmentLayout> getWanted(mlir::OpOperand &operand) const;
  /// The layout that an op makes its result in, which its users may want otherwise.
  FragmentLayout getMade(mlir::OpResult result) const;
  /// The layout of memory that lanes hold in registers, where any of it is written.
  std::optional<FragmentLayout> getRegisters(mlir::Value memref) const;

private:
  bool set(mlir::Value value, const FragmentLayout &layout);
  bool unify(mlir::ValueRange values);
  bool tie(mlir::Operation *op);
  bool tieShapeCast(mlir::vector::ShapeCastOp op);
  bool tieBroadcast(mlir::vector::BroadcastOp op);
  /// `part` lies in `whole`, its dims spread alike.
  bool tieSlice(mlir::Value whole, mlir::Value part);
  bool tieReduction(mlir::vector::MultiDimReductionOp op);
  bool tieLoop(mlir::scf::ForOp op);
  bool tieRegisters(mlir::Value memref);
  void spread();

  const target::Chip &chip;
  mlir::SmallVector<mlir::Operation *> ops;
  llvm::DenseMap<mlir::Value, FragmentLayout> layouts;
};

} // namespace elfatt::gpu

#endif // ELFATT_LIB_GPU_LAYOUT_LAYOUTANALYSIS_H
