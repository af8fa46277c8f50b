// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/GPU/Passes.h"

#include "CodeGen/KernelText.h"
#include "Layout/Alignment.h"
#include "ScratchPlacement.h"
#include "elfatt/Dialect/Attention/IR/TileAttributes.h"
#include "elfatt/GPU/FragmentLayout.h"
#include "elfatt/Target/Chip.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

namespace elfatt::gpu {
#define GEN_PASS_DEF_GPUOUTLINEPASS
#include "elfatt/GPU/Passes.h.inc"

namespace {
using namespace mlir;
namespace mg = mlir::gpu;

bool isIn(MemRefType type, mg::AddressSpace expected) {
  auto space = dyn_cast_or_null<mg::AddressSpaceAttr>(type.getMemorySpace());
  return space && space.getValue() == expected;
}

/// Warps of the block: what the widest loop over warps asks for.
FailureOr<int64_t> countWarps(scf::ForallOp loop) {
  int64_t warps = 1;
  WalkResult result = loop.walk([&](scf::ForallOp inner) {
    if (inner == loop)
      return WalkResult::advance();
    std::optional<int64_t> count = getConstantIntValue(inner.getMixedUpperBound().front());
    if (inner.getRank() != 1 || !count || !inner.isNormalized() ||
        *count * kWarpSize > target::kThreadsPerBlock) {
      inner.emitOpError("expected a loop over at most ")
          << target::kThreadsPerBlock / kWarpSize << " warps, from 0 in steps of 1";
      return WalkResult::interrupt();
    }
    warps = std::max(warps, *count);
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  return warps;
}

/// A worker's loop: on memrefs, and not itself inside one.
bool isWorkerLoop(scf::ForallOp loop) {
  return loop.getNumResults() == 0 && !loop->getParentOfType<scf::ForallOp>() &&
         !loop->getParentOfType<mg::GPUFuncOp>();
}

/// How one captured memref travels: as it is where its layout is static, else
/// as the pointer it starts from and the dynamic numbers of its layout.
struct MemRefArgument {
  Value captured;
  MemRefType type;
  bool direct;
  int64_t numDynamic = 0;
};

class Outliner {
public:
  Outliner(scf::ForallOp loop, mg::GPUModuleOp kernels, const target::Chip &chip)
      : loop(loop), kernels(kernels), chip(chip), host(loop), loc(loop.getLoc()) {}

  LogicalResult run(StringRef name);

private:
  LogicalResult checkScratch();
  void collectCaptures();
  void passMemRefs();
  void rebuildMemRefs(OpBuilder &b, Block &entry);
  SmallVector<Value> hostTripCounts();
  LogicalResult checkGrid(ArrayRef<Value> counts);
  SmallVector<Value> placeScratch(OpBuilder &b, mg::GPUFuncOp func, bool isDynamic);
  void delinearize(OpBuilder &b, ArrayRef<Value> counts);
  void limitRegisters(mg::GPUFuncOp func, int64_t warps);

  scf::ForallOp loop;
  mg::GPUModuleOp kernels;
  const target::Chip &chip;
  OpBuilder host;
  Location loc;
  SmallVector<Value> scalars;
  SmallVector<MemRefArgument> memrefs;
  SmallVector<Operation *> constants;
  SmallVector<memref::AllocaOp> scratch;
  ScratchPlacement placement;
  SmallVector<Value> operands; // of the launch
  IRMapping mapping;
};
} // namespace

LogicalResult Outliner::checkScratch() {
  WalkResult result = loop.walk([&](memref::AllocaOp op) {
    MemRefType type = op.getType();
    if (isIn(type, mg::AddressSpace::Private))
      return WalkResult::advance();
    if (!isIn(type, mg::AddressSpace::Workgroup) || !type.hasStaticShape()) {
      op.emitOpError("scratch of a kernel must be static and in "
                     "#gpu.address_space<workgroup>, got ")
          << type;
      return WalkResult::interrupt();
    }
    scratch.push_back(op);
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  placement = placeBuffers(loop.getRegion(), scratch);
  if (placement.bytes > chip.sharedPerBlock)
    return emitError(loc) << "needs " << placement.bytes
                          << " bytes of shared memory a block, expected at most "
                          << chip.sharedPerBlock << " (" << chip.name
                          << "); fewer channels a head, shorter lines of the grid, no prefix or "
                             "operands of 16 bits need less";
  return success();
}

void Outliner::collectCaptures() {
  SetVector<Value> captured;
  getUsedValuesDefinedAbove(loop.getRegion(), captured);
  captured.insert_range(loop.getDynamicLowerBound());
  captured.insert_range(loop.getDynamicStep());
  for (Value value : captured) {
    Operation *def = value.getDefiningOp();
    if (def && def->hasTrait<OpTrait::ConstantLike>()) {
      constants.push_back(def);
    } else if (auto type = dyn_cast<MemRefType>(value.getType())) {
      int64_t offset;
      SmallVector<int64_t> strides;
      bool isStatic = type.hasStaticShape() &&
                      succeeded(type.getStridesAndOffset(strides, offset)) &&
                      !ShapedType::isDynamic(offset) && !ShapedType::isDynamicShape(strides);
      memrefs.push_back({value, type, isStatic});
    } else {
      scalars.push_back(value);
    }
  }
}

void Outliner::passMemRefs() {
  for (MemRefArgument &arg : memrefs) {
    if (arg.direct) {
      operands.push_back(arg.captured);
      continue;
    }
    int64_t offset;
    SmallVector<int64_t> strides;
    (void)arg.type.getStridesAndOffset(strides, offset);
    auto meta = memref::ExtractStridedMetadataOp::create(host, loc, arg.captured);
    operands.push_back(meta.getBaseBuffer());
    SmallVector<Value> dynamic;
    if (ShapedType::isDynamic(offset))
      dynamic.push_back(meta.getOffset());
    for (auto [size, value] : llvm::zip(arg.type.getShape(), meta.getSizes()))
      if (ShapedType::isDynamic(size))
        dynamic.push_back(value);
    for (auto [stride, value] : llvm::zip(strides, meta.getStrides()))
      if (ShapedType::isDynamic(stride))
        dynamic.push_back(value);
    arg.numDynamic = dynamic.size();
    llvm::append_range(operands, dynamic);
  }
}

void Outliner::rebuildMemRefs(OpBuilder &b, Block &entry) {
  unsigned position = 0;
  auto next = [&] { return entry.getArgument(position++); };
  for (MemRefArgument &arg : memrefs) {
    Value base = next();
    if (arg.direct) {
      mapping.map(arg.captured, base);
      continue;
    }
    int64_t offset;
    SmallVector<int64_t> strides;
    (void)arg.type.getStridesAndOffset(strides, offset);
    auto mixed = [&](ArrayRef<int64_t> values) {
      return llvm::map_to_vector(values, [&](int64_t v) -> OpFoldResult {
        if (ShapedType::isDynamic(v))
          return next();
        return b.getIndexAttr(v);
      });
    };
    OpFoldResult mixedOffset = mixed({offset}).front();
    SmallVector<OpFoldResult> mixedSizes = mixed(arg.type.getShape());
    SmallVector<OpFoldResult> mixedStrides = mixed(strides);
    mapping.map(arg.captured, memref::ReinterpretCastOp::create(b, loc, arg.type, base, mixedOffset,
                                                                mixedSizes, mixedStrides));
  }
  for (Value scalar : scalars)
    mapping.map(scalar, next());
}

/// The number of iterations of each dim, on the host.
SmallVector<Value> Outliner::hostTripCounts() {
  SmallVector<Value> counts;
  for (auto [lb, ub, step] :
       llvm::zip(loop.getMixedLowerBound(), loop.getMixedUpperBound(), loop.getMixedStep())) {
    Value upper = getValueOrCreateConstantIndexOp(host, loc, ub);
    if (!isZeroInteger(lb))
      upper =
          arith::SubIOp::create(host, loc, upper, getValueOrCreateConstantIndexOp(host, loc, lb));
    if (!isOneInteger(step))
      upper = arith::CeilDivSIOp::create(host, loc, upper,
                                         getValueOrCreateConstantIndexOp(host, loc, step));
    counts.push_back(upper);
  }
  return counts;
}

/// A grid whose extents are known fits the chip; others are the driver's to refuse.
LogicalResult Outliner::checkGrid(ArrayRef<Value> counts) {
  int64_t blocks = 1;
  for (Value count : counts) {
    std::optional<int64_t> known = getConstantIntValue(count);
    if (!known)
      return success();
    if (llvm::MulOverflow(blocks, *known, blocks))
      blocks = std::numeric_limits<int64_t>::max();
  }
  if (blocks > target::kBlocksPerGrid)
    return emitError(loc) << "needs a grid of " << blocks << " blocks, expected at most "
                          << target::kBlocksPerGrid << "; fewer images a call need less";
  return success();
}

/// Maps the loop's induction variables to the block's number, the last dim
/// fastest: neighbouring blocks share what the inner dims share.
void Outliner::delinearize(OpBuilder &b, ArrayRef<Value> counts) {
  Value rest = mg::BlockIdOp::create(b, loc, mg::Dimension::x);
  SmallVector<Value> ivs = llvm::to_vector_of<Value>(loop.getInductionVars());
  for (int64_t d = ivs.size() - 1; d >= 0; --d) {
    Value id = rest;
    if (d > 0) {
      id = arith::RemUIOp::create(b, loc, rest, counts[d]);
      rest = arith::DivUIOp::create(b, loc, rest, counts[d]);
    }
    OpFoldResult lb = loop.getMixedLowerBound()[d], step = loop.getMixedStep()[d];
    auto inKernel = [&](OpFoldResult v) {
      Value value = getValueOrCreateConstantIndexOp(b, loc, v);
      return mapping.lookupOrDefault(value);
    };
    if (!isOneInteger(step))
      id = arith::MulIOp::create(b, loc, id, inKernel(step));
    if (!isZeroInteger(lb))
      id = arith::AddIOp::create(b, loc, id, inKernel(lb));
    mapping.map(ivs[d], id);
  }
}

/// The memory of each scratch buffer. Buffers that share none of it are attributions;
/// others are views of one array, which is an attribution or dynamic.
SmallVector<Value> Outliner::placeScratch(OpBuilder &b, mg::GPUFuncOp func, bool isDynamic) {
  if (!isDynamic && !placement.areShared)
    return llvm::to_vector_of<Value>(func.getWorkgroupAttributions());
  Value bytes;
  if (isDynamic) {
    auto space = mg::AddressSpaceAttr::get(b.getContext(), mg::AddressSpace::Workgroup);
    auto type =
        MemRefType::get({ShapedType::kDynamic}, b.getI8Type(), MemRefLayoutAttrInterface(), space);
    bytes = mg::DynamicSharedMemoryOp::create(b, loc, type);
  } else {
    bytes = func.getWorkgroupAttributions().front();
  }
  SmallVector<Value> buffers;
  for (auto [op, offset] : llvm::zip(scratch, placement.offsets))
    buffers.push_back(memref::ViewOp::create(
        b, loc, op.getType(), bytes, arith::ConstantIndexOp::create(b, loc, offset), ValueRange()));
  return buffers;
}

/// Warps that hide each other's waits: a multiprocessor needs no more.
static constexpr int64_t kEnoughWarps = 16;

/// Of the warps that a multiprocessor should hold as many as shared memory leaves room for: the
/// compiler would take more registers for code that waits a little less. Where nothing says that
/// they will do, ptxas is to try.
void Outliner::limitRegisters(mg::GPUFuncOp func, int64_t warps) {
  auto occupancy = loop->getAttrOfType<IntegerAttr>(attention::kOccupancyAttr);
  int64_t blocks = chip.sharedPerSM / (placement.bytes + target::kReservedSharedPerBlock);
  if (!occupancy) {
    const int64_t enough = llvm::divideCeil(kEnoughWarps, warps);
    func->setAttr(kBlocksAttr,
                  Builder(func.getContext()).getI64IntegerAttr(std::min(blocks, enough)));
    return;
  }
  int64_t resident = std::min(occupancy.getInt() / warps, blocks);
  if (resident == 0)
    return;
  int64_t registers = target::getMostRegisters(chip, warps, resident);
  if (registers < target::kRegistersPerThread)
    func->setAttr(NVVM::NVVMDialect::getMaxnregAttrName(),
                  Builder(func.getContext()).getI32IntegerAttr(registers));
}

LogicalResult Outliner::run(StringRef name) {
  FailureOr<int64_t> warps = countWarps(loop);
  if (failed(warps) || failed(checkScratch()))
    return failure();
  collectCaptures();

  SmallVector<Value> counts = hostTripCounts();
  if (failed(checkGrid(counts)))
    return failure();
  passMemRefs();
  llvm::append_range(operands, scalars);
  // Dynamic trip counts are needed to take the block's number apart.
  SmallVector<int64_t> countArgument(counts.size(), -1);
  for (auto [d, count] : llvm::enumerate(counts))
    if (d > 0 && !getConstantIntValue(count)) {
      countArgument[d] = operands.size();
      operands.push_back(count);
    }

  OpBuilder b(kernels.getContext());
  b.setInsertionPointToEnd(kernels.getBody());
  bool isDynamic = placement.bytes > target::kStaticSharedPerBlock;
  SmallVector<Type> scratchTypes;
  if (!isDynamic && placement.areShared)
    scratchTypes.push_back(MemRefType::get({placement.bytes}, b.getI8Type(),
                                           MemRefLayoutAttrInterface(),
                                           scratch.front().getType().getMemorySpace()));
  else if (!isDynamic)
    for (memref::AllocaOp op : scratch)
      scratchTypes.push_back(op.getType());
  auto type = b.getFunctionType(ValueRange(operands).getTypes(), {});
  auto func = mg::GPUFuncOp::create(b, loc, name, type, scratchTypes);
  func->setAttr(mg::GPUDialect::getKernelFuncAttrName(), b.getUnitAttr());
  func.setKnownBlockSizeAttr(
      b.getDenseI32ArrayAttr({static_cast<int32_t>(*warps * kWarpSize), 1, 1}));
  limitRegisters(func, *warps);
  for (unsigned i = 0; i < scratchTypes.size(); ++i)
    func.setWorkgroupAttributionAttr(i, "llvm.align", b.getI64IntegerAttr(kPointerAlignment));

  Block &entry = func.getBody().front();
  b.setInsertionPointToStart(&entry);
  for (Operation *op : constants)
    b.clone(*op, mapping);
  rebuildMemRefs(b, entry);
  SmallVector<Value> kernelCounts;
  for (auto [count, argument] : llvm::zip(counts, countArgument)) {
    std::optional<int64_t> constant = getConstantIntValue(count);
    if (constant)
      kernelCounts.push_back(arith::ConstantIndexOp::create(b, loc, *constant));
    else
      kernelCounts.push_back(argument < 0 ? Value() : entry.getArgument(argument));
  }
  delinearize(b, kernelCounts);
  SmallVector<Value> buffers = placeScratch(b, func, isDynamic);
  for (Operation &op : loop.getBody()->without_terminator())
    b.clone(op, mapping);
  mg::ReturnOp::create(b, loc);
  // Scratch may lie in loops of the body: there an alloca would be a lane's own.
  for (auto [op, buffer] : llvm::zip(scratch, buffers)) {
    Operation *clone = mapping.lookup(op.getResult()).getDefiningOp();
    clone->replaceAllUsesWith(ValueRange(buffer));
    clone->erase();
  }

  Value one = arith::ConstantIndexOp::create(host, loc, 1);
  Value lanes = arith::ConstantIndexOp::create(host, loc, *warps * kWarpSize);
  Value grid = counts.empty() ? one : counts.front();
  for (Value count : ArrayRef(counts).drop_front(counts.empty() ? 0 : 1))
    grid = arith::MulIOp::create(host, loc, grid, count);
  Value dynamicBytes;
  if (isDynamic)
    dynamicBytes = arith::ConstantIntOp::create(host, loc, placement.bytes, 32);
  mg::LaunchFuncOp::create(host, loc, func, mg::KernelDim3{grid, one, one},
                           mg::KernelDim3{lanes, one, one}, dynamicBytes, operands);
  loop.erase();
  return success();
}

namespace {
struct GPUOutlinePass : impl::GPUOutlinePassBase<GPUOutlinePass> {
  using GPUOutlinePassBase::GPUOutlinePassBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    llvm::Expected<const target::Chip *> found = target::findChip(chip);
    if (!found) {
      emitError(module.getLoc()) << llvm::toString(found.takeError());
      return signalPassFailure();
    }
    SmallVector<scf::ForallOp> loops;
    module.walk([&](scf::ForallOp loop) {
      if (isWorkerLoop(loop))
        loops.push_back(loop);
    });
    if (loops.empty())
      return;
    OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
    auto kernels = mg::GPUModuleOp::create(b, module.getLoc(), "kernels");
    SymbolTable(module).insert(kernels);
    module->setAttr(mg::GPUDialect::getContainerModuleAttrName(), b.getUnitAttr());
    llvm::StringMap<int> perFunction;
    for (scf::ForallOp loop : loops) {
      auto func = loop->getParentOfType<func::FuncOp>();
      StringRef base = func ? func.getName() : "kernel";
      std::string name = (base + "_" + Twine(perFunction[base]++)).str();
      if (failed(Outliner(loop, kernels, **found).run(name)))
        return signalPassFailure();
      ++numKernels;
    }
  }
};
} // namespace
} // namespace elfatt::gpu
