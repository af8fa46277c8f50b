// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rebuilds the body of a kernel so that each vector of the warp becomes the
// flat vector that one lane holds of it.
#ifndef ELFATT_LIB_GPU_DISTRIBUTE_DISTRIBUTOR_H
#define ELFATT_LIB_GPU_DISTRIBUTE_DISTRIBUTOR_H

#include "Layout/LayoutAnalysis.h"
#include "elfatt/Target/Chip.h"
#include "mlir/Dialect/NVGPU/IR/NVGPUDialect.h"
#include "mlir/IR/IRMapping.h"

namespace elfatt::gpu {

/// What one lane holds of a tile.
struct Fragment {
  mlir::Value value; // vector<layout.numLocal() x element>
  FragmentLayout layout;
};

/// One transfer seen by a lane.
struct Access {
  mlir::VectorTransferOpInterface op;
  FragmentLayout layout;
  mlir::Value base, mask;
  mlir::SmallVector<mlir::Value> indices;
  /// The memref dim behind each dim of the tile; -1 if the tile repeats along it.
  mlir::SmallVector<int64_t> memrefDim;
  /// Per dim of the tile and local coordinate: the index, and where the dim may
  /// leave the buffer whether the index is inside.
  mlir::SmallVector<mlir::SmallVector<mlir::Value>> index, inside;
  /// So many neighbours of the tile's last dim move together.
  int64_t width = 1;
};

class Distributor {
public:
  /// `tf32` says that operands of f32 products may be rounded to it.
  Distributor(mlir::gpu::GPUFuncOp func, const LayoutAnalysis &layouts, const target::Chip &chip,
              bool tf32);

  /// Replaces the kernel's body.
  mlir::LogicalResult run();

  int64_t numMma = 0, numMatrices = 0;

private:
  // Distributor.cpp: control flow and what all ops need.
  mlir::LogicalResult visit(mlir::Operation *op);
  mlir::LogicalResult visitFor(mlir::scf::ForOp op);
  mlir::LogicalResult visitWarps(mlir::scf::ForallOp op);
  mlir::LogicalResult visitIf(mlir::scf::IfOp op);
  mlir::LogicalResult visitSwitch(mlir::scf::IndexSwitchOp op);
  mlir::LogicalResult checkLayouts(mlir::Operation *op);

  // Memory that is held in registers: what an op writes of it is carried out of it.
  mlir::SmallVector<mlir::Value> getWrittenRegisters(mlir::Operation *op);
  mlir::Value &getRegisters(mlir::Value memref);
  mlir::LogicalResult checkRegisterAccess(mlir::VectorTransferOpInterface op);

  mlir::VectorType localType(mlir::Type element, const FragmentLayout &layout);
  /// What a vector or scalar of the warp has become: vectors in their one layout.
  mlir::Value get(mlir::Value value) { return mapping.lookupOrDefault(value); }
  Fragment getFragment(mlir::Value value) { return {get(value), layouts[value]}; }
  void define(mlir::Value value, mlir::Value local) { mapping.map(value, local); }
  mlir::LogicalResult visitConvertLayout(attention::ConvertLayoutOp op);
  /// What lanes hold of a tile, `elements` in the layout `from`, in the layout `to`.
  void exchange(LaneLayout &from, const LaneLayout &to, mlir::SmallVector<mlir::Value> &elements);
  mlir::SmallVector<mlir::Value> askHolders(const LaneLayout &from, const LaneLayout &to,
                                            mlir::ArrayRef<mlir::Value> elements);

  /// Lane arithmetic.
  mlir::Value constant(int64_t value);
  mlir::Value constantI32(int64_t value);
  /// Whether a bit of the lane's number is set.
  mlir::Value laneBit(int64_t bit);
  /// `value`, a power of two, where a bit of the lane's number is set, else 0 (index).
  mlir::Value moveLaneBit(int64_t bit, int64_t value);
  mlir::Value laneOffset(LaneDim dim);
  mlir::Value makeLaneOffset(LaneDim dim);
  mlir::Value laneI32();
  mlir::Value extract(mlir::Value vector, int64_t position);
  mlir::Value fromElements(mlir::ArrayRef<mlir::Value> elements, mlir::Type element);
  mlir::Value shuffle(mlir::Value value, mlir::Value lane);
  mlir::Value shuffleXor(mlir::Value value, int64_t mask);
  /// Index of local coordinate `local` of dim `d`.
  mlir::Value coordinate(const FragmentLayout &layout, int64_t d, int64_t local);
  /// True in one of the lanes that hold the same elements; null if no two do.
  mlir::Value isFirstHolder(const FragmentLayout &layout);

  // DistributeVector.cpp
  mlir::LogicalResult visitElementwise(mlir::Operation *op);
  mlir::LogicalResult visitConstant(mlir::arith::ConstantOp op);
  mlir::LogicalResult visitBroadcast(mlir::vector::BroadcastOp op);
  mlir::LogicalResult visitShapeCast(mlir::vector::ShapeCastOp op);
  mlir::LogicalResult visitExtractSlice(mlir::vector::ExtractStridedSliceOp op);
  mlir::LogicalResult visitInsertSlice(mlir::vector::InsertStridedSliceOp op);
  /// Positions in the flat fragment of `whole` of the elements of `part`, which lies at
  /// `offsets` in it; fails where lanes would have to exchange elements.
  mlir::FailureOr<mlir::SmallVector<int64_t>>
  getPositions(const FragmentLayout &whole, const FragmentLayout &part, mlir::ArrayAttr offsets);
  mlir::LogicalResult visitReduction(mlir::vector::MultiDimReductionOp op);
  mlir::LogicalResult visitAny(mlir::vector::MultiDimReductionOp op);
  mlir::LogicalResult visitStep(mlir::vector::StepOp op);
  mlir::LogicalResult visitCompare(mlir::arith::CmpIOp op);
  mlir::LogicalResult visitMask(mlir::Operation *op, mlir::ArrayRef<mlir::OpFoldResult> bounds);

  // DistributeMemory.cpp
  mlir::LogicalResult visitRead(mlir::vector::TransferReadOp op);
  mlir::LogicalResult visitWrite(mlir::vector::TransferWriteOp op);
  /// Whether ldmatrix can load the tile.
  bool isLoadedByMatrices(const Access &access);
  /// Loads by ldmatrix `count` blocks of 8 x 8 elements from block `first` on, in each dim of
  /// the tile, into their places among `elements`.
  void loadMatrices(const Access &access, std::array<int64_t, 2> first,
                    std::array<int64_t, 2> count, mlir::MutableArrayRef<mlir::Value> elements,
                    bool asLeftOperand = false);
  mlir::FailureOr<Access> getAccess(mlir::VectorTransferOpInterface op,
                                    const FragmentLayout &layout);
  mlir::SmallVector<mlir::Value> getIndices(const Access &access, int64_t flat);
  mlir::Value getCondition(const Access &access, int64_t flat);

  // DistributeContract.cpp
  mlir::LogicalResult visitContract(mlir::vector::ContractionOp op);
  /// The longest sum of one product of such elements; 0 if there is none.
  int64_t getMmaK(mlir::Type element) const;
  Fragment widen(Fragment fragment);
  /// Elements of a right operand; blocks of its columns are loaded when they are asked for.
  struct RightOperand;
  mlir::Value emitMma(const Fragment &lhs, RightOperand &rhs, const Fragment &acc,
                      mlir::ArrayRef<bool> swapped);
  /// Sums of the rows of a 16-bit tile, in f32, added to `acc`: its product with ones. Null where
  /// there is no such product.
  mlir::Value sumRowsByMma(const Fragment &tile, mlir::Value acc);
  bool isReadInContract(mlir::vector::TransferReadOp op, bool isLeft = false);

  // DistributeQuadPairs.cpp
  struct PairOperand;
  void emitQuadPairs(mlir::vector::ContractionOp op);
  /// Whether the product of quad pairs that uses a tile reads it where it lies.
  bool isReadByQuadPairs(mlir::vector::TransferReadOp op, const Access &access);

  /// An operand of a product without tensor cores, in f32; `swapped`: sums are its first dim.
  struct HeldOperand {
    const Fragment &fragment;
    bool swapped;
  };
  mlir::Value
  emitInTurns(int64_t sums, const Fragment &acc, mlir::ArrayRef<HeldOperand> held,
              mlir::function_ref<void(mlir::Value first, int64_t k, mlir::ValueRange held,
                                      mlir::SmallVector<mlir::Value> &results)>
                  emitTerm);
  mlir::Value emitFma(const Fragment &lhs, const Fragment &rhs, const Fragment &acc,
                      mlir::ArrayRef<bool> swapped);
  /// The same with operands where they lie in shared memory.
  mlir::Value emitFmaOfMemory(const Access &lhs, const Access &rhs, const Fragment &acc,
                              mlir::ArrayRef<bool> swapped);
  mlir::Value emitFmaOfRight(const Fragment &lhs, const Access &rhs, const Fragment &acc,
                             mlir::ArrayRef<bool> swapped);
  mlir::Value loadWide(const Access &access, mlir::Value row, mlir::Value column, int64_t width);
  bool isReadableByFma(mlir::Value tile);
  bool isReadByFma(mlir::vector::TransferReadOp op);

  mlir::gpu::GPUFuncOp func;
  const LayoutAnalysis &layouts;
  const target::Chip &chip;
  bool tf32;
  mlir::OpBuilder b;
  mlir::Location loc;
  mlir::IRMapping mapping;
  llvm::DenseMap<mlir::Value, mlir::Value> registers; // what a lane holds, by memref
  /// Tiles that the product that uses them reads.
  llvm::DenseMap<mlir::Value, Access> deferred;
  mlir::Value thread, lane, warp; // index
  llvm::DenseMap<LaneDim, mlir::Value> laneOffsets;
};

} // namespace elfatt::gpu

#endif // ELFATT_LIB_GPU_DISTRIBUTE_DISTRIBUTOR_H
