// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/CPU/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Utils/Utils.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;

namespace elfatt::cpu {
#define GEN_PASS_DEF_DENSETOLIBRARYPASS
#include "elfatt/CPU/Passes.h.inc"

namespace {

/// One loop dim of a product: its size and its stride in a, b and c (0 where
/// the operand does not have it).
struct Dim {
  OpFoldResult size;
  std::array<OpFoldResult, 3> strides;
};

/// c[batch.., m.., n..] += sum over k.. of a[batch.., m.., k..] * b[batch.., k.., n..]
struct Product {
  SmallVector<unsigned, 2> batch, m, n, k;
};

/// Whether the body is `out + a * b` on f32, the operands in either order.
bool isMultiplyAdd(Block &body) {
  if (body.getNumArguments() != 3 || !llvm::hasNItems(body, 3))
    return false;
  auto add = body.getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!add || !add.getType().isF32())
    return false;
  Value out = body.getArgument(2);
  Value other = add.getLhs() == out ? add.getRhs() : add.getLhs();
  auto mul = other.getDefiningOp<arith::MulFOp>();
  if (!mul || (add.getLhs() != out && add.getRhs() != out))
    return false;
  Value a = body.getArgument(0), b = body.getArgument(1);
  return (mul.getLhs() == a && mul.getRhs() == b) || (mul.getLhs() == b && mul.getRhs() == a);
}

FailureOr<Product> matchProduct(linalg::LinalgOp op) {
  if (!op.hasPureBufferSemantics() || op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1)
    return failure();
  // A parallel loop's body is one thread's work already.
  if (op->getParentOfType<scf::ForallOp>() || op->getParentOfType<scf::ParallelOp>())
    return failure();
  if (!linalg::isaContractionOpInterface(op) || !isMultiplyAdd(*op.getBlock()))
    return failure();
  FailureOr<linalg::ContractionDimensions> dims = linalg::inferContractionDims(op);
  if (failed(dims) || dims->k.empty() || (dims->m.empty() && dims->n.empty()))
    return failure();
  // A dim that one operand alone has, and is summed over, is no dim of a product.
  if (dims->batch.size() + dims->m.size() + dims->n.size() + dims->k.size() != op.getNumLoops())
    return failure();
  return Product{dims->batch, dims->m, dims->n, dims->k};
}

/// Reads sizes and strides of the loop dims off the operands.
class DimReader {
public:
  DimReader(OpBuilder &b, linalg::LinalgOp op) : op(op) {
    for (OpOperand &operand : op->getOpOperands()) {
      auto metadata = memref::ExtractStridedMetadataOp::create(b, op.getLoc(), operand.get());
      auto type = cast<MemRefType>(operand.get().getType());
      auto [strides, offset] = type.getStridesAndOffset();
      unsigned i = operand.getOperandNumber();
      for (int64_t d = 0; d < type.getRank(); ++d) {
        sizes[i].push_back(type.isDynamicDim(d) ? OpFoldResult(metadata.getSizes()[d])
                                                : b.getIndexAttr(type.getDimSize(d)));
        this->strides[i].push_back(ShapedType::isDynamic(strides[d])
                                       ? OpFoldResult(metadata.getStrides()[d])
                                       : b.getIndexAttr(strides[d]));
      }
      pointers[i] = makePointer(b, metadata, type, offset);
    }
  }

  Dim read(OpBuilder &b, unsigned dim) {
    Dim result{OpFoldResult(), {b.getIndexAttr(0), b.getIndexAttr(0), b.getIndexAttr(0)}};
    for (OpOperand &operand : op->getOpOperands()) {
      unsigned i = operand.getOperandNumber();
      AffineMap map = op.getMatchingIndexingMap(&operand);
      for (auto [position, expr] : llvm::enumerate(map.getResults())) {
        if (cast<AffineDimExpr>(expr).getPosition() != dim)
          continue;
        result.size = sizes[i][position];
        result.strides[i] = strides[i][position];
      }
    }
    return result;
  }

  std::array<Value, 3> pointers;

private:
  Value makePointer(OpBuilder &b, memref::ExtractStridedMetadataOp metadata, MemRefType type,
                    int64_t offset) {
    Location loc = op.getLoc();
    Value base = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, metadata.getBaseBuffer());
    if (offset == 0)
      return base;
    Value elements = ShapedType::isDynamic(offset)
                         ? metadata.getOffset()
                         : arith::ConstantIndexOp::create(b, loc, offset).getResult();
    Value bytes = arith::MulIOp::create(
        b, loc, elements,
        arith::ConstantIndexOp::create(b, loc, type.getElementTypeBitWidth() / 8));
    return arith::AddIOp::create(b, loc, base, bytes);
  }

  linalg::LinalgOp op;
  std::array<SmallVector<OpFoldResult>, 3> sizes, strides;
};

/// The dims of one kind, with those that lie behind each other in every
/// operand merged.
SmallVector<Dim, 2> readMerged(OpBuilder &b, DimReader &reader, ArrayRef<unsigned> dims) {
  SmallVector<Dim, 2> result;
  for (unsigned d : dims) {
    Dim dim = reader.read(b, d);
    std::optional<int64_t> size = getConstantIntValue(dim.size);
    if (size == 1)
      continue;
    bool adjacent = !result.empty() && size && getConstantIntValue(result.back().size);
    for (int i = 0; adjacent && i < 3; ++i) {
      auto outer = getConstantIntValue(result.back().strides[i]);
      auto inner = getConstantIntValue(dim.strides[i]);
      adjacent = outer && inner && *outer == *inner * *size;
    }
    if (adjacent)
      dim.size = b.getIndexAttr(*getConstantIntValue(result.back().size) * *size),
      result.pop_back();
    result.push_back(dim);
  }
  return result;
}

/// Takes the last dim off the list; a dim of size 1 where there is none.
Dim takeLast(OpBuilder &b, SmallVector<Dim, 2> &dims) {
  OpFoldResult zero = b.getIndexAttr(0);
  if (dims.empty())
    return {b.getIndexAttr(1), {zero, zero, zero}};
  return dims.pop_back_val();
}

func::FuncOp getOrDeclareSgemm(ModuleOp module) {
  constexpr StringLiteral name = "elfatt_sgemm";
  if (auto known = module.lookupSymbol<func::FuncOp>(name))
    return known;
  OpBuilder b(module.getBodyRegion());
  SmallVector<Type> inputs(5 + 3 * 5, b.getIndexType());
  inputs.push_back(b.getF32Type());
  auto function = func::FuncOp::create(b, module.getLoc(), name, b.getFunctionType(inputs, {}));
  function.setPrivate();
  return function;
}

/// The fill with zero that alone stands between the making of `buffer` and
/// `op`; null where there is none.
linalg::FillOp findZeroFill(linalg::LinalgOp op, Value buffer) {
  if (!buffer.getDefiningOp<memref::AllocOp>())
    return nullptr;
  for (Operation *before = op->getPrevNode(); before; before = before->getPrevNode()) {
    if (!llvm::is_contained(before->getOperands(), buffer)) {
      if (before->getNumRegions() != 0 && !isa<linalg::LinalgOp>(before))
        return nullptr;
      continue;
    }
    auto fill = dyn_cast<linalg::FillOp>(before);
    return fill && matchPattern(fill.getInputs()[0], m_AnyZeroFloat()) ? fill : nullptr;
  }
  return nullptr;
}

/// Moves the pointers by `index` steps of `dim`.
void advance(OpBuilder &b, Location loc, std::array<Value, 3> &pointers, const Dim &dim,
             Value index) {
  Value four = arith::ConstantIndexOp::create(b, loc, 4);
  for (int i = 0; i < 3; ++i) {
    if (isZeroInteger(dim.strides[i]))
      continue;
    Value stride = getValueOrCreateConstantIndexOp(b, loc, dim.strides[i]);
    Value bytes = arith::MulIOp::create(b, loc, arith::MulIOp::create(b, loc, index, stride), four);
    pointers[i] = arith::AddIOp::create(b, loc, pointers[i], bytes);
  }
}

void rewriteProduct(linalg::LinalgOp op, const Product &product, func::FuncOp callee) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  linalg::FillOp fill = findZeroFill(op, op.getDpsInits()[0]);
  float beta = fill ? 0.0f : 1.0f;
  if (fill)
    fill->erase();

  DimReader reader(b, op);
  SmallVector<Dim, 2> batch = readMerged(b, reader, product.batch);
  SmallVector<Dim, 2> ms = readMerged(b, reader, product.m), ns = readMerged(b, reader, product.n),
                      ks = readMerged(b, reader, product.k);
  Dim m = takeLast(b, ms), n = takeLast(b, ns), k = takeLast(b, ks);
  // Further dims of m and n are as good as batch dims; further dims of k add
  // up in a loop.
  batch.append(ms);
  batch.append(ns);
  Dim batch1 = takeLast(b, batch), batch0 = takeLast(b, batch);
  if (!ks.empty() && fill) {
    // The first step of such a loop is no different from the others.
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    linalg::FillOp::create(b, loc, zero, op.getDpsInits()[0]);
    beta = 1.0f;
  }
  batch.append(ks);
  std::array<Value, 3> pointers = reader.pointers;
  for (const Dim &dim : batch) {
    auto loop = scf::ForOp::create(b, loc, arith::ConstantIndexOp::create(b, loc, 0),
                                   getValueOrCreateConstantIndexOp(b, loc, dim.size),
                                   arith::ConstantIndexOp::create(b, loc, 1));
    b.setInsertionPointToStart(loop.getBody());
    advance(b, loc, pointers, dim, loop.getInductionVar());
  }
  SmallVector<Value> args;
  auto push = [&](OpFoldResult value) {
    args.push_back(getValueOrCreateConstantIndexOp(b, loc, value));
  };
  for (const Dim &dim : {batch0, batch1, m, n, k})
    push(dim.size);
  const Dim *rows[] = {&m, &k, &m}, *columns[] = {&k, &n, &n};
  for (int i = 0; i < 3; ++i) {
    push(pointers[i]);
    for (const Dim *dim : std::initializer_list<const Dim *>{&batch0, &batch1, rows[i], columns[i]})
      push(dim->strides[i]);
  }
  args.push_back(arith::ConstantOp::create(b, loc, b.getF32FloatAttr(beta)));
  func::CallOp::create(b, loc, callee, args);
  op->erase();
}

struct DenseToLibrary : impl::DenseToLibraryPassBase<DenseToLibrary> {
  using DenseToLibraryPassBase::DenseToLibraryPassBase;

  void runOnOperation() override {
    SmallVector<std::pair<linalg::LinalgOp, Product>, 0> products;
    getOperation().walk([&](linalg::LinalgOp op) {
      if (FailureOr<Product> product = matchProduct(op); succeeded(product))
        products.push_back({op, *product});
    });
    for (auto &[op, product] : products) {
      rewriteProduct(op, product, getOrDeclareSgemm(getOperation()));
      ++numCalls;
    }
  }
};

} // namespace
} // namespace elfatt::cpu
