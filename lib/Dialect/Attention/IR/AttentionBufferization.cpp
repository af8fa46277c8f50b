// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Bufferization: the destination's buffer is the result's, views stay views.
#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/Dialect/Bufferization/IR/BufferizableOpInterface.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace elfatt::attention;

namespace {
template <typename OpTy>
struct ViewOpBufferization
    : DstBufferizableOpInterfaceExternalModel<ViewOpBufferization<OpTy>, OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand, const AnalysisState &) const {
    // LePE and the online state accumulate; the others overwrite.
    return !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand) || isa<LepeOp, OnlineOp>(op);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options, BufferizationState &state) const {
    auto dps = cast<DestinationStyleOpInterface>(op);
    rewriter.setInsertionPoint(op);
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      if (!isa<TensorType>(operand.getType())) {
        operands.push_back(operand);
        continue;
      }
      FailureOr<Value> buffer = getBuffer(rewriter, operand, options, state);
      if (failed(buffer))
        return failure();
      operands.push_back(*buffer);
    }
    SmallVector<Value> results;
    for (OpOperand &init : dps.getDpsInitsMutable())
      results.push_back(operands[init.getOperandNumber()]);
    // A clone keeps attributes and regions and drops the results.
    OperationState newState(op->getLoc(), op->getName(), operands, /*types=*/{}, op->getAttrs());
    newState.propertiesAttr = op->getPropertiesAsAttribute();
    for (Region &region : op->getRegions())
      newState.addRegion()->takeBody(region);
    rewriter.create(newState);
    replaceOpWithBufferizedValues(rewriter, op, results);
    return success();
  }
};
} // namespace

void elfatt::attention::registerBufferizableOpInterfaceExternalModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *ctx, AttentionDialect *) {
    SdpaOp::attachInterface<ViewOpBufferization<SdpaOp>>(*ctx);
    ElfattOp::attachInterface<ViewOpBufferization<ElfattOp>>(*ctx);
    LinearOp::attachInterface<ViewOpBufferization<LinearOp>>(*ctx);
    ContextOp::attachInterface<ViewOpBufferization<ContextOp>>(*ctx);
    PartialContextOp::attachInterface<ViewOpBufferization<PartialContextOp>>(*ctx);
    MergeOp::attachInterface<ViewOpBufferization<MergeOp>>(*ctx);
    ApplyOp::attachInterface<ViewOpBufferization<ApplyOp>>(*ctx);
    LepeOp::attachInterface<ViewOpBufferization<LepeOp>>(*ctx);
    OnlineOp::attachInterface<ViewOpBufferization<OnlineOp>>(*ctx);
    FinalizeOp::attachInterface<ViewOpBufferization<FinalizeOp>>(*ctx);
  });
}
