// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_DIALECT_ATTENTION_IR_ATTENTIONINTERFACES_TD
#define ELFATT_DIALECT_ATTENTION_IR_ATTENTIONINTERFACES_TD

include "mlir/IR/OpBase.td"

def ViewOpInterface : OpInterface<"ViewOpInterface"> {
  let cppNamespace = "::elfatt::attention";
  let description = [{
    An op whose shaped operands are views: `indexing_maps` holds one map for
    each of them, from the op's iteration domain to the operand's dims. A map is
    a projected permutation plus constants. Tiling, bufferization and shape
    reification are written once against this interface.
  }];
  let methods = [
    InterfaceMethod<"The maps, one for each viewed operand, in order.",
      "::llvm::SmallVector<::mlir::AffineMap>", "getIndexingMapsArray", (ins), "", [{
        return llvm::to_vector(
            $_op.getIndexingMaps().template getAsValueRange<::mlir::AffineMapAttr>());
      }]>,
    InterfaceMethod<"The operands that the maps belong to, in the maps' order.",
      "::llvm::SmallVector<::mlir::OpOperand *>", "getViewedOperands", (ins)>,
    InterfaceMethod<"Parallel or reduction, one entry per dim of the domain.",
      "::llvm::SmallVector<::mlir::utils::IteratorType>", "getViewIteratorTypes", (ins)>,
    InterfaceMethod<[{
        Domain dims in which this op's position matters (causal masks, score
        indices, grids). Tiling adds the tile's origin to `offsets` for them.
        Empty when the position does not matter.
      }],
      "::llvm::SmallVector<unsigned>", "getPositionDims", (ins), "", [{
        return {};
      }]>,
    InterfaceMethod<[{
        Whether tiling cuts `operand` along domain dim `dim`. LePE reads a halo,
        so it keeps the grid dims of its value whole.
      }],
      "bool", "isOperandTiled", (ins "::mlir::OpOperand &":$operand, "unsigned":$dim), "", [{
        return true;
      }]>
  ];
}

#endif // ELFATT_DIALECT_ATTENTION_IR_ATTENTIONINTERFACES_TD
