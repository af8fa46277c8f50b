// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Launches.h"

#include "Extents.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

using namespace mlir;
namespace json = llvm::json;

namespace elfatt::compile {
namespace {

class Launches {
public:
  explicit Launches(func::FuncOp func) : func(func) {
    func.walk([&](func::ReturnOp op) { results = op.getOperands(); });
  }

  json::Object make();

private:
  json::Value describe(Value value);
  json::Value describeArgument(Value value);
  json::Array describe(mlir::gpu::KernelDim3 dims);
  json::Object describe(mlir::gpu::LaunchFuncOp op);
  json::Object describeWorkspace(Value buffer);
  void needHost(const Twine &reason) {
    if (hostCode.empty())
      hostCode = reason.str();
  }

  func::FuncOp func;
  ValueRange results;
  SmallVector<Value> workspaces;
  std::string hostCode;
};
} // namespace

static Value getRoot(Value value) {
  while (Operation *def = value.getDefiningOp()) {
    if (auto view = dyn_cast<ViewLikeOpInterface>(def))
      value = view.getViewSource();
    else if (auto meta = dyn_cast<memref::ExtractStridedMetadataOp>(def))
      value = meta.getSource();
    else
      break;
  }
  return value;
}

/// A number of the launch.
json::Value Launches::describe(Value value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return *constant;
  if (value.getType().isIndex())
    if (std::optional<json::Value> expression = makeExpression(value))
      return std::move(*expression);
  needHost("a launch depends on a value that the host computes");
  return 0;
}

/// What a kernel's argument is: a function's argument or result, a workspace, a
/// number, or a value that host code computes.
json::Value Launches::describeArgument(Value value) {
  if (!isa<MemRefType>(value.getType())) {
    if (value.getType().isIndex() || getConstantIntValue(value))
      return json::Object{{"value", describe(value)}};
    needHost("a kernel takes a scalar that the host computes");
    return json::Object{{"value", 0}};
  }
  Value root = getRoot(value);
  if (auto argument = dyn_cast<BlockArgument>(root);
      argument && argument.getOwner() == &func.getBody().front())
    return json::Object{{"argument", argument.getArgNumber()}};
  for (auto [i, result] : llvm::enumerate(results))
    if (getRoot(result) == root)
      return json::Object{{"result", static_cast<int64_t>(i)}};
  if (!root.getDefiningOp<memref::AllocOp>()) {
    needHost("a kernel takes a buffer that the host provides");
    return json::Object{{"value", 0}};
  }
  auto *it = llvm::find(workspaces, root);
  int64_t number = it - workspaces.begin();
  if (it == workspaces.end())
    workspaces.push_back(root);
  return json::Object{{"workspace", number}};
}

json::Array Launches::describe(mlir::gpu::KernelDim3 dims) {
  return json::Array{describe(dims.x), describe(dims.y), describe(dims.z)};
}

json::Object Launches::describe(mlir::gpu::LaunchFuncOp op) {
  json::Array arguments;
  for (Value operand : op.getKernelOperands())
    arguments.push_back(describeArgument(operand));
  json::Value dynamicShared = 0;
  if (Value bytes = op.getDynamicSharedMemorySize())
    dynamicShared = describe(bytes);
  return json::Object{{"kernel", op.getKernelName().getValue()},
                      {"grid", describe(op.getGridSizeOperandValues())},
                      {"block", describe(op.getBlockSizeOperandValues())},
                      {"dynamic_shared_bytes", std::move(dynamicShared)},
                      {"arguments", std::move(arguments)}};
}

json::Object Launches::describeWorkspace(Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  json::Value bytes = static_cast<int64_t>(llvm::divideCeil(type.getElementTypeBitWidth(), 8));
  for (int64_t d = 0; d < type.getRank(); ++d) {
    std::optional<json::Value> extent = makeExpression(buffer, d);
    if (!extent) {
      needHost("the size of a workspace depends on more than the arguments' extents");
      extent = 0;
    }
    std::optional<int64_t> a = bytes.getAsInteger(), b = extent->getAsInteger();
    bytes = a && b ? json::Value(*a * *b)
                   : json::Value(json::Array{"*", std::move(bytes), std::move(*extent)});
  }
  return json::Object{{"bytes", std::move(bytes)}};
}

json::Object Launches::make() {
  json::Array launches, scratch;
  // Whatever is neither a launch nor bookkeeping is left to the host.
  func.walk([&](Operation *op) {
    if (auto kernel = dyn_cast<mlir::gpu::LaunchFuncOp>(op))
      launches.push_back(describe(kernel));
    else if (!isPure(op) && !isa<memref::AllocOp, func::ReturnOp, func::FuncOp>(op))
      needHost("'" + op->getName().getStringRef() + "' is left to the host");
    else if (op->getNumRegions() != 0 && op != func)
      needHost("'" + op->getName().getStringRef() + "' is left to the host");
  });
  // A result must be written by a kernel, whole.
  for (Value result : results)
    if (!getRoot(result).getDefiningOp<memref::AllocOp>())
      needHost("a result is an argument, or a buffer that the host provides");
  for (Value workspace : workspaces)
    scratch.push_back(describeWorkspace(workspace));
  json::Object record{{"workspaces", std::move(scratch)}, {"launches", std::move(launches)}};
  if (!hostCode.empty())
    record["host_code"] = hostCode;
  return record;
}

/// Extents that come out of a buffer's metadata, as dims: those have bounds.
static void replaceMetadata(func::FuncOp func) {
  func.walk([](memref::ExtractStridedMetadataOp op) {
    OpBuilder b(op);
    for (auto [d, size] : llvm::enumerate(op.getSizes()))
      if (!size.use_empty())
        size.replaceAllUsesWith(memref::DimOp::create(b, op.getLoc(), op.getSource(), d));
  });
}

json::Object makeLaunches(func::FuncOp func) {
  replaceMetadata(func);
  return Launches(func).make();
}

} // namespace elfatt::compile
