// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Manifest.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
namespace json = llvm::json;

namespace elfatt::compile {
namespace {

std::string print(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

/// Element type and shape; dynamic extents are null.
json::Object describe(Type type) {
  auto memref = dyn_cast<MemRefType>(type);
  if (!memref)
    return json::Object{{"type", print(type)}, {"shape", json::Array()}};
  json::Array shape;
  for (int64_t extent : memref.getShape())
    shape.push_back(ShapedType::isDynamic(extent) ? json::Value(nullptr) : json::Value(extent));
  return json::Object{{"type", print(memref.getElementType())}, {"shape", std::move(shape)}};
}

json::Value constantOrNull(Value value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return *constant;
  return nullptr;
}

json::Array describe(mlir::gpu::KernelDim3 dims) {
  return json::Array{constantOrNull(dims.x), constantOrNull(dims.y), constantOrNull(dims.z)};
}

/// One function: where its buffers come from, and its launches.
class FunctionRecord {
public:
  explicit FunctionRecord(func::FuncOp func) : func(func) {
    func.walk([&](func::ReturnOp op) { results = op.getOperands(); });
  }

  json::Object make();

private:
  json::Value source(Value value);
  json::Object launch(mlir::gpu::LaunchFuncOp op);

  func::FuncOp func;
  ValueRange results;
  SmallVector<Value> workspaces;
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

/// What a kernel's argument is: a function's argument or result, a workspace, a
/// constant, or a value that host code computes.
json::Value FunctionRecord::source(Value value) {
  if (std::optional<int64_t> constant = getConstantIntValue(value))
    return json::Object{{"constant", *constant}};
  if (!isa<MemRefType>(value.getType())) {
    if (auto argument = dyn_cast<BlockArgument>(value);
        argument && argument.getOwner() == &func.getBody().front())
      return json::Object{{"argument", argument.getArgNumber()}};
    return json::Object{{"host", print(value.getType())}};
  }
  Value root = getRoot(value);
  if (auto argument = dyn_cast<BlockArgument>(root);
      argument && argument.getOwner() == &func.getBody().front())
    return json::Object{{"argument", argument.getArgNumber()}};
  for (auto [i, result] : llvm::enumerate(results))
    if (getRoot(result) == root)
      return json::Object{{"result", static_cast<int64_t>(i)}};
  auto alloc = root.getDefiningOp<memref::AllocOp>();
  if (!alloc)
    return json::Object{{"host", print(value.getType())}};
  auto *it = llvm::find(workspaces, root);
  int64_t number = it - workspaces.begin();
  if (it == workspaces.end())
    workspaces.push_back(root);
  return json::Object{{"workspace", number}};
}

json::Object FunctionRecord::launch(mlir::gpu::LaunchFuncOp op) {
  json::Array arguments;
  for (Value operand : op.getKernelOperands())
    arguments.push_back(source(operand));
  json::Value dynamicShared = 0;
  if (Value bytes = op.getDynamicSharedMemorySize())
    dynamicShared = constantOrNull(bytes);
  return json::Object{{"kernel", op.getKernelName().getValue()},
                      {"grid", describe(op.getGridSizeOperandValues())},
                      {"block", describe(op.getBlockSizeOperandValues())},
                      {"dynamic_shared_bytes", dynamicShared},
                      {"arguments", std::move(arguments)}};
}

json::Object FunctionRecord::make() {
  json::Array arguments, outputs, launches, scratch;
  for (Type type : func.getArgumentTypes())
    arguments.push_back(describe(type));
  for (Type type : func.getResultTypes())
    outputs.push_back(describe(type));
  // Whatever is neither a launch nor bookkeeping is left to the host.
  bool hasHostCode = false;
  func.walk([&](Operation *op) {
    if (auto kernel = dyn_cast<mlir::gpu::LaunchFuncOp>(op))
      launches.push_back(launch(kernel));
    else if (!isPure(op) && !isa<memref::AllocOp, func::ReturnOp, func::FuncOp>(op))
      hasHostCode = true;
  });
  for (Value workspace : workspaces)
    scratch.push_back(describe(workspace.getType()));
  return json::Object{{"name", func.getName()},          {"arguments", std::move(arguments)},
                      {"results", std::move(outputs)},   {"workspaces", std::move(scratch)},
                      {"launches", std::move(launches)}, {"host_code", hasHostCode}};
}

json::Object makeManifest(ModuleOp module, llvm::ArrayRef<Code> codes) {
  json::Array functions, code;
  for (auto func : module.getOps<func::FuncOp>())
    if (!func.isDeclaration())
      functions.push_back(FunctionRecord(func).make());
  for (const Code &entry : codes) {
    json::Value kernels = nullptr;
    if (entry.usage) {
      json::Object table;
      for (const target::KernelUsage &usage : *entry.usage)
        table[usage.name] =
            json::Object{{"registers", usage.registers},
                         {"shared_bytes", usage.sharedBytes},
                         {"spill_bytes", usage.spillStoreBytes + usage.spillLoadBytes}};
      kernels = std::move(table);
    }
    code.push_back(json::Object{{"file", entry.fileName},
                                {"format", "ptx"},
                                {"target", entry.target.chip->name},
                                {"ptx", entry.target.ptx.str()},
                                {"kernels", std::move(kernels)}});
  }
  return json::Object{
      {"schema", kManifestSchema}, {"functions", std::move(functions)}, {"code", std::move(code)}};
}

/// An identifier of C, in capitals.
static std::string toMacro(StringRef name) {
  std::string macro = "ELFATT_" + name.upper();
  for (char &c : macro)
    if (!llvm::isAlnum(c))
      c = '_';
  return macro;
}

std::string makeHeader(const json::Object &manifest) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "/* Kernels of this bundle: names, and launch sizes where they are constant. See\n"
        "   manifest.json for arguments and types. */\n"
        "#ifndef ELFATT_BUNDLE_H\n#define ELFATT_BUNDLE_H\n\n"
     << "#define ELFATT_BUNDLE_SCHEMA " << kManifestSchema << "\n";
  for (const json::Value &function : *manifest.getArray("functions"))
    for (const json::Value &value : *function.getAsObject()->getArray("launches")) {
      const json::Object &launch = *value.getAsObject();
      StringRef kernel = *launch.getString("kernel");
      std::string macro = toMacro(kernel);
      os << "\n#define " << macro << "_NAME \"" << kernel << "\"\n";
      for (StringRef what : {"grid", "block"}) {
        const json::Array &dims = *launch.getArray(what);
        for (auto [dim, letter] : llvm::zip(dims, StringRef("XYZ")))
          if (std::optional<int64_t> constant = dim.getAsInteger())
            os << "#define " << macro << "_" << what.upper() << "_" << letter << " " << *constant
               << "\n";
      }
    }
  os << "\n#endif /* ELFATT_BUNDLE_H */\n";
  return text;
}

} // namespace elfatt::compile
