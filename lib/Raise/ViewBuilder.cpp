// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ViewBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"

using namespace mlir;
using namespace elfatt;
using namespace elfatt::raise;
using view::Size;

Value elfatt::raise::buildSymbol(OpBuilder &builder, Location loc,
                                 const view::SizeAnalysis::Origin &origin) {
  if (origin.dim >= 0)
    return tensor::DimOp::create(builder, loc, origin.value, origin.dim);
  if (origin.value.getType().isIndex())
    return origin.value;
  return arith::IndexCastOp::create(builder, loc, builder.getIndexType(), origin.value);
}

OpFoldResult ViewBuilder::buildSize(const Size &size) {
  if (std::optional<int64_t> number = size.getStatic())
    return builder.getIndexAttr(*number);
  Value result;
  auto multiply = [&](Value value) {
    result = result ? arith::MulIOp::create(builder, loc, result, value).getResult() : value;
  };
  for (unsigned symbol : size.getSymbols()) {
    multiply(buildSymbol(builder, loc, reader.getSizes().getOrigin(symbol)));
  }
  if (size.getNumber() != 1)
    multiply(arith::ConstantIndexOp::create(builder, loc, size.getNumber()));
  return result;
}

/// The type of a tensor with these dims.
static RankedTensorType getType(ArrayRef<OpFoldResult> sizes, Type element) {
  SmallVector<int64_t> shape;
  for (OpFoldResult size : sizes)
    shape.push_back(getConstantIntValue(size).value_or(ShapedType::kDynamic));
  return RankedTensorType::get(shape, element);
}

Value ViewBuilder::buildCollapsed(const ViewPlan &plan) {
  if (plan.groups.empty())
    return plan.source;
  for (auto &[groups, result] : collapsed)
    if (groups == plan.groups &&
        result.getDefiningOp<tensor::CollapseShapeOp>().getSrc() == plan.source)
      return result;
  Value result = tensor::CollapseShapeOp::create(builder, loc, plan.source,
                                                 ArrayRef<ReassociationIndices>(plan.groups));
  collapsed.emplace_back(plan.groups, result);
  return result;
}

Value ViewBuilder::buildExpanded(const ViewPlan &plan) {
  Value base = buildCollapsed(plan);
  Expanded wanted{base, {}, base};
  SmallVector<ReassociationIndices> groups;
  unsigned rank = 0;
  for (ArrayRef<Factor> factors : plan.dims) {
    wanted.shape.emplace_back();
    groups.emplace_back();
    for (const Factor &factor : factors) {
      wanted.shape.back().push_back(factor.size);
      groups.back().push_back(rank++);
    }
  }
  if (rank == plan.dims.size())
    return base;
  for (const Expanded &known : expanded)
    if (known.source == wanted.source && known.shape == wanted.shape)
      return known.result;
  SmallVector<OpFoldResult> sizes;
  for (auto [dim, factors] : llvm::enumerate(plan.dims))
    for (const Factor &factor : factors)
      // A dim that stays whole keeps its type.
      sizes.push_back(factors.size() == 1 ? tensor::getMixedSize(builder, loc, base, dim)
                                          : buildSize(factor.size));
  Type element = cast<RankedTensorType>(base.getType()).getElementType();
  wanted.result =
      tensor::ExpandShapeOp::create(builder, loc, getType(sizes, element), base, groups, sizes);
  expanded.push_back(wanted);
  return wanted.result;
}

Value ViewBuilder::buildOperand(const ViewPlan &plan) {
  Value result = buildExpanded(plan);
  SmallVector<OpFoldResult> offsets, extents = tensor::getMixedSizes(builder, loc, result);
  bool isSliced = false;
  for (ArrayRef<Factor> factors : plan.dims)
    for (const Factor &factor : factors) {
      bool isSlice = factor.atom && factor.extent != factor.size;
      isSliced |= isSlice;
      if (isSlice)
        extents[offsets.size()] = buildSize(factor.extent);
      offsets.push_back(builder.getIndexAttr(isSlice ? factor.digit : 0));
    }
  if (!isSliced)
    return result;
  SmallVector<OpFoldResult> strides(extents.size(), builder.getIndexAttr(1));
  return tensor::ExtractSliceOp::create(builder, loc, result, offsets, extents, strides);
}

Value ViewBuilder::buildInit(const OutputPlan &plan) {
  SmallVector<OpFoldResult> sizes;
  for (ArrayRef<unsigned> group : plan.factors)
    for (unsigned atom : group)
      sizes.push_back(buildSize(reader.getSpace().getExtent(atom)));
  Type element = cast<RankedTensorType>(plan.value.getType()).getElementType();
  return tensor::EmptyOp::create(builder, loc, sizes, element);
}

Value ViewBuilder::buildResult(const OutputPlan &plan, Value result) {
  auto whole = cast<RankedTensorType>(plan.value.getType()), type = whole;
  if (!plan.groups.empty())
    type = tensor::CollapseShapeOp::inferCollapsedType(whole,
                                                       ArrayRef<ReassociationIndices>(plan.groups));
  // Collapse the groups; dims of size 1 that the op does not have come after.
  SmallVector<ReassociationIndices> groups, units;
  SmallVector<OpFoldResult> sizes;
  unsigned next = 0;
  for (ArrayRef<unsigned> group : plan.factors) {
    if (group.empty())
      continue;
    groups.emplace_back();
    Size size;
    for (unsigned atom : group) {
      groups.back().push_back(next++);
      size = size * reader.getSpace().getExtent(atom);
    }
    sizes.push_back(buildSize(size));
  }
  if (groups.size() != next)
    result = tensor::CollapseShapeOp::create(builder, loc, getType(sizes, type.getElementType()),
                                             result, groups);
  if (groups.size() != plan.factors.size()) {
    SmallVector<OpFoldResult> all;
    unsigned whole = 0;
    for (auto [dim, group] : llvm::enumerate(plan.factors)) {
      if (units.empty() || (!group.empty() && whole > 0))
        units.emplace_back();
      if (!group.empty())
        ++whole;
      units.back().push_back(dim);
      all.push_back(group.empty() ? OpFoldResult(builder.getIndexAttr(1)) : sizes[whole - 1]);
    }
    result = tensor::ExpandShapeOp::create(builder, loc, getType(all, type.getElementType()),
                                           result, units, all);
  }
  if (result.getType() != type)
    result = tensor::CastOp::create(builder, loc, type, result);
  if (plan.groups.empty())
    return result;
  SmallVector<OpFoldResult> extents;
  for (const Size &size : reader.getSizes().getSizes(plan.value))
    extents.push_back(buildSize(size));
  return tensor::ExpandShapeOp::create(builder, loc, whole, result, plan.groups, extents);
}
