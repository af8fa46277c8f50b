// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Buffers.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace elfatt::view;

/// `element`'s indices by groups of dims of `inner`, each one dim of `outer`.
static std::optional<Element> linearize(Value inner, Value outer,
                                        ArrayRef<ReassociationIndices> groups,
                                        const Element &element, Tracer &tracer) {
  const SmallVector<Size> sizes = tracer.getSizes().getSizes(inner);
  Element result{outer, {}};
  for (const ReassociationIndices &group : groups) {
    auto index = tracer.getSpace().linearize(
        ArrayRef<Index>(element.indices).slice(group.front(), group.size()),
        ArrayRef<Size>(sizes).slice(group.front(), group.size()));
    if (!index)
      return std::nullopt;
    result.indices.push_back(*index);
  }
  return result;
}

static std::optional<Element> delinearize(memref::CollapseShapeOp op, const Element &element,
                                          Tracer &tracer) {
  const SmallVector<Size> sizes = tracer.getSizes().getSizes(op.getSrc());
  Element result{op.getSrc(), {}};
  for (auto [index, group] : llvm::zip(element.indices, op.getReassociationIndices())) {
    auto parts = tracer.getSpace().delinearize(
        index, ArrayRef<Size>(sizes).slice(group.front(), group.size()));
    if (!parts)
      return std::nullopt;
    llvm::append_range(result.indices, *parts);
  }
  // A source of dims of size 1 collapses to rank 0 without groups.
  result.indices.resize(sizes.size());
  return result;
}

static std::optional<Element> stepOverSubview(memref::SubViewOp op, const Element &element,
                                              Tracer &tracer) {
  IndexSpace &space = tracer.getSpace();
  const llvm::SmallBitVector dropped = op.getDroppedDims();
  Element result{op.getSource(), {}};
  unsigned next = 0;
  for (unsigned dim = 0, e = op.getSourceType().getRank(); dim < e; ++dim) {
    const OpFoldResult offset = op.getMixedOffsets()[dim];
    std::optional<int64_t> known = getConstantIntValue(offset);
    std::optional<int64_t> stride = getConstantIntValue(op.getMixedStrides()[dim]);
    if (!stride || *stride < 1)
      return std::nullopt;
    Index start =
        known ? Index::constant(*known) : space.get(tracer.getPosition(cast<Value>(offset)));
    Index index = dropped.test(dim) ? Index() : element.indices[next++];
    result.indices.push_back(space.add(*space.scale(index, Size(*stride)), start));
  }
  return result;
}

std::optional<Element> elfatt::view::stepOverBuffer(const Element &element, Tracer &tracer) {
  using Step = std::optional<Element>;
  return llvm::TypeSwitch<Operation *, Step>(element.source.getDefiningOp())
      .Case([&](memref::SubViewOp op) { return stepOverSubview(op, element, tracer); })
      .Case([&](memref::ExpandShapeOp op) {
        return linearize(op.getResult(), op.getSrc(), op.getReassociationIndices(), element,
                         tracer);
      })
      .Case([&](memref::CollapseShapeOp op) { return delinearize(op, element, tracer); })
      .Case([&](memref::CastOp op) -> Step {
        if (!isa<MemRefType>(op.getSource().getType()))
          return std::nullopt;
        return Element{op.getSource(), element.indices};
      })
      .Default([](Operation *) { return std::nullopt; });
}
