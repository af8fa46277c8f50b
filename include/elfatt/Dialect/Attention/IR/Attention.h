// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The attention dialect: ops, attributes, interfaces, and the classification of
// an op's iteration domain.
#ifndef ELFATT_DIALECT_ATTENTION_IR_ATTENTION_H
#define ELFATT_DIALECT_ATTENTION_IR_ATTENTION_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StructuredOpsUtils.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "mlir/Interfaces/TilingInterface.h"

#include "elfatt/Dialect/Attention/IR/AttentionDialect.h.inc"
#include "elfatt/Dialect/Attention/IR/AttentionEnums.h.inc"

#include "elfatt/Dialect/Attention/IR/AttentionInterfaces.h.inc"

#define GET_ATTRDEF_CLASSES
#include "elfatt/Dialect/Attention/IR/AttentionAttributes.h.inc"

namespace elfatt::attention {
// Upstream's AggregatedOpInterface names these without their namespace.
using llvm::FailureOr;
using llvm::SmallVector;
using mlir::OpBuilder;
using mlir::Value;
} // namespace elfatt::attention

#define GET_OP_CLASSES
#include "elfatt/Dialect/Attention/IR/AttentionOps.h.inc"

namespace elfatt::attention {

/// Where the lowest bits of an index go: for each, from bit 0 on, the bit of the lane's number that
/// it is, or kInRegisters. All bits above are in registers.
constexpr int8_t kInRegisters = -1;
llvm::ArrayRef<int8_t> getLaneBits(LaneDim dim);

/// The dims of an iteration domain by class; see the dialect's description. A
/// class that an op has no dims of is empty.
struct AttentionDims {
  llvm::SmallVector<unsigned> batch, rows, keys;
  unsigned channels = 0, values = 0;

  /// The dims whose position a score region is given: batch, rows and keys, in the
  /// domain's order.
  llvm::SmallVector<unsigned> getPositionDims() const;

  /// Classifies the dims of softmax and linear attention by the maps they occur
  /// in. Fails, with the reason in `why`, when a dim has no class or when there
  /// is not exactly one channel and one value dim.
  static llvm::FailureOr<AttentionDims> infer(mlir::AffineMap query, mlir::AffineMap key,
                                              mlir::AffineMap value, mlir::AffineMap output,
                                              std::string *why = nullptr);

  /// The dims of verified ops.
  static AttentionDims get(SdpaOp op);
  static AttentionDims get(LinearOp op);
  static AttentionDims get(OnlineOp op);
  /// `rows` is empty.
  static AttentionDims get(ContextOp op);
  static AttentionDims get(PartialContextOp op);
  /// `keys` are the segments, `channels` is the last dim of max; `rows` is empty.
  static AttentionDims get(MergeOp op);
  /// `keys` is empty.
  static AttentionDims get(ApplyOp op);
};

/// Extents of the domain of `op` (static, or ShapedType::kDynamic), from the
/// shapes of its viewed operands.
llvm::SmallVector<int64_t> getStaticLoopRanges(ViewOpInterface op);

/// The same as index values or attributes, at `builder`'s insertion point.
llvm::SmallVector<mlir::OpFoldResult> getMixedLoopRanges(mlir::OpBuilder &builder,
                                                         ViewOpInterface op);

/// The type that `op` computes in: f64 when any viewed operand is f64, else f32.
mlir::FloatType getComputeType(ViewOpInterface op);

/// `scale` as a value of `type` at `builder`'s insertion point; 1/sqrt(extent of
/// the channel dim) when absent.
mlir::Value getOrCreateScale(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value scale,
                             mlir::OpFoldResult channels, mlir::FloatType type);

/// A discardable attribute of a site that a stage left as it was: a dictionary of
/// the `reason`, a name of docs/Reasons.md, and a `message`. Reports read it.
inline constexpr llvm::StringLiteral kRefusedAttrName = "attention.refused";

/// Bufferization of all ops of the dialect.
void registerBufferizableOpInterfaceExternalModels(mlir::DialectRegistry &registry);

} // namespace elfatt::attention

#endif // ELFATT_DIALECT_ATTENTION_IR_ATTENTION_H
