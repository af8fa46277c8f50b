// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Manifest.h"

#include "Error.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace elfatt::runtime {
namespace {

using Json = nlohmann::json;

/// Deeper expressions are no one's.
constexpr int kMaxDepth = 64;
constexpr size_t kMaxRank = 64;

[[noreturn]] void fail(const std::string &message) {
  throw Error(ELFATT_BAD_BUNDLE, "manifest.json: " + message);
}

struct ElementType {
  std::string_view name;
  elfatt_element element;
  int64_t bytes;
};

constexpr ElementType kElements[] = {
    {"f16", ELFATT_F16, 2}, {"bf16", ELFATT_BF16, 2}, {"f32", ELFATT_F32, 4},
    {"f64", ELFATT_F64, 8}, {"i8", ELFATT_I8, 1},     {"i16", ELFATT_I16, 2},
    {"i32", ELFATT_I32, 4}, {"i64", ELFATT_I64, 8},   {"i1", ELFATT_BOOL, 1},
};

const Json &get(const Json &object, const char *key) {
  if (!object.is_object())
    fail(std::string("expected an object with '") + key + "'");
  auto it = object.find(key);
  if (it == object.end())
    fail(std::string("'") + key + "' is missing");
  return *it;
}

const Json &getArray(const Json &object, const char *key) {
  const Json &value = get(object, key);
  if (!value.is_array())
    fail(std::string("'") + key + "': expected an array");
  return value;
}

int64_t toInteger(const Json &value, const char *what) {
  // Values beyond 63 bits are unsigned, or floats, to the library.
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() >> 63))
    fail(std::string("'") + what + "': expected a whole number");
  return value.get<int64_t>();
}

std::string toString(const Json &value, const char *what) {
  if (!value.is_string())
    fail(std::string("'") + what + "': expected a string");
  return value.get<std::string>();
}

std::string getString(const Json &object, const char *key) {
  return toString(get(object, key), key);
}

/// A file beside the manifest, and nowhere else.
std::string getFileName(const Json &object, const char *key) {
  std::string name = getString(object, key);
  if (name.empty() || name.find('/') != std::string::npos || name == "." || name == ".." ||
      name.find('\0') != std::string::npos)
    fail(std::string("'") + key + "': expected the name of a file of the bundle");
  return name;
}

/// Reads expressions over the dims of one function.
class ExpressionReader {
public:
  explicit ExpressionReader(const std::vector<std::string> &dims) : dims(dims) {}

  Expression read(const Json &value) const {
    Expression expression;
    add(value, expression, 0);
    return expression;
  }

  std::vector<Expression> readAll(const Json &values) const {
    if (values.size() > kMaxRank)
      fail("an array of " + std::to_string(values.size()) + " dims");
    std::vector<Expression> result;
    for (const Json &value : values)
      result.push_back(read(value));
    return result;
  }

private:
  uint32_t add(const Json &value, Expression &expression, int depth) const {
    using Kind = Expression::Kind;
    Expression::Node node{};
    if (value.is_number()) {
      node = {Kind::Constant, toInteger(value, "expression"), 0, 0};
    } else if (value.is_string()) {
      auto it = std::find(dims.begin(), dims.end(), value.get<std::string>());
      if (it == dims.end())
        fail("unknown dim '" + value.get<std::string>() + "'");
      node = {Kind::Dim, it - dims.begin(), 0, 0};
    } else if (value.is_array() && value.size() == 3 && depth < kMaxDepth) {
      static const std::map<std::string, Kind> kinds = {{"+", Kind::Add},
                                                        {"*", Kind::Mul},
                                                        {"floordiv", Kind::FloorDiv},
                                                        {"ceildiv", Kind::CeilDiv},
                                                        {"mod", Kind::Mod}};
      auto kind = kinds.find(toString(value[0], "expression"));
      if (kind == kinds.end())
        fail("unknown operation '" + value[0].get<std::string>() + "' in an expression");
      uint32_t lhs = add(value[1], expression, depth + 1);
      uint32_t rhs = add(value[2], expression, depth + 1);
      node = {kind->second, 0, lhs, rhs};
    } else {
      fail("expected a number, a dim or [operation, a, b]");
    }
    expression.nodes.push_back(node);
    return static_cast<uint32_t>(expression.nodes.size() - 1);
  }

  const std::vector<std::string> &dims;
};

ArrayType readArrayType(const Json &value, const ExpressionReader &reader) {
  ArrayType type;
  std::string name = getString(value, "type");
  auto it = std::find_if(std::begin(kElements), std::end(kElements),
                         [&](const ElementType &e) { return e.name == name; });
  if (it == std::end(kElements))
    fail("unknown element type '" + name + "'");
  type.element = it->element;
  type.shape = reader.readAll(getArray(value, "shape"));
  type.strides = reader.readAll(getArray(value, "strides"));
  if (type.strides.size() != type.shape.size())
    fail("'strides': expected one for each dim");
  for (const Expression &extent : type.shape) {
    if (extent.isConstant() && extent.nodes[0].value < 0)
      fail("'shape': expected extents of 0 or more");
    type.fixedShape.push_back(extent.isConstant() ? extent.nodes[0].value : -1);
  }
  return type;
}

KernelArgument readKernelArgument(const Json &value, const FunctionManifest &function,
                                  const DeviceManifest &device, const ExpressionReader &reader) {
  using Kind = KernelArgument::Kind;
  if (!value.is_object() || value.size() != 1)
    fail("'arguments' of a launch: expected objects with one entry");
  const std::string &key = value.begin().key();
  if (key == "value")
    return {Kind::Value, 0, reader.read(value.begin().value())};
  int64_t number = toInteger(value.begin().value(), "arguments");
  size_t count = 0;
  Kind kind = Kind::Argument;
  if (key == "argument")
    count = function.arguments.size();
  else if (key == "result")
    kind = Kind::Result, count = function.results.size();
  else if (key == "workspace")
    kind = Kind::Workspace, count = device.workspaces.size();
  else
    fail("unknown kind of argument '" + key + "'");
  if (number < 0 || static_cast<size_t>(number) >= count)
    fail("a launch names " + key + " " + std::to_string(number) + " of " + std::to_string(count));
  return {kind, static_cast<size_t>(number), {}};
}

void readDims(const Json &value, const ExpressionReader &reader, const char *key,
              Expression (&dims)[3]) {
  const Json &array = getArray(value, key);
  if (array.size() != 3)
    fail(std::string("'") + key + "': expected three extents");
  for (int i = 0; i < 3; ++i)
    dims[i] = reader.read(array[i]);
}

DeviceManifest readDevice(const Json &value, const FunctionManifest &function,
                          const ExpressionReader &reader) {
  DeviceManifest device;
  if (value.find("host_code") != value.end())
    device.hostCode = getString(value, "host_code");
  for (const Json &workspace : getArray(value, "workspaces"))
    device.workspaces.push_back(reader.read(get(workspace, "bytes")));
  for (const Json &entry : getArray(value, "launches")) {
    Launch launch;
    launch.kernel = getString(entry, "kernel");
    readDims(entry, reader, "grid", launch.grid);
    readDims(entry, reader, "block", launch.block);
    launch.sharedBytes = reader.read(get(entry, "dynamic_shared_bytes"));
    for (const Json &argument : getArray(entry, "arguments"))
      launch.arguments.push_back(readKernelArgument(argument, function, device, reader));
    device.launches.push_back(std::move(launch));
  }
  return device;
}

FunctionManifest readFunction(const Json &value) {
  FunctionManifest function;
  function.name = getString(value, "name");
  for (const Json &dim : getArray(value, "dims"))
    function.dims.push_back(toString(dim, "dims"));
  ExpressionReader reader(function.dims);
  std::vector<bool> bound(function.dims.size());
  for (const Json &argument : getArray(value, "arguments")) {
    ArrayType type = readArrayType(argument, reader);
    for (const Expression &extent : type.shape) {
      if (extent.nodes.size() != 1)
        fail("'shape' of an argument: expected numbers and dims");
      if (extent.nodes[0].kind == Expression::Kind::Dim)
        bound[extent.nodes[0].value] = true;
    }
    function.arguments.push_back(std::move(type));
  }
  if (std::find(bound.begin(), bound.end(), false) != bound.end())
    fail("'dims': one is not the extent of any argument");
  for (const Json &result : getArray(value, "results"))
    function.results.push_back(readArrayType(result, reader));
  if (value.find("devices") == value.end())
    return function;
  const Json &devices = get(value, "devices");
  if (!devices.is_object())
    fail("'devices': expected an object");
  for (const auto &[target, device] : devices.items())
    function.devices[target] = readDevice(device, function, reader);
  return function;
}

CodeManifest readCode(const Json &value) {
  CodeManifest code;
  code.file = getFileName(value, "file");
  code.format = getString(value, "format");
  code.target = getString(value, "target");
  if (code.format == "elf")
    code.architecture = getString(value, "architecture");
  bool isFatbin = code.format == "fatbin";
  if (code.format == "ptx" || isFatbin) {
    std::string version = getString(value, "ptx");
    auto isDigit = [](char c) { return c >= '0' && c <= '9'; };
    if (version.size() != 3 || !isDigit(version[0]) || version[1] != '.' || !isDigit(version[2]))
      fail("'ptx': expected a version such as 8.5, got '" + version + "'");
    code.ptxVersion = (version[0] - '0') * 10 + (version[2] - '0');
  }
  if (code.format == "cubin" || isFatbin) {
    int64_t version = toInteger(get(value, "cuda"), "cuda");
    if (version < 0 || version > 1000000)
      fail("'cuda': expected a version such as 12000");
    code.cudaVersion = static_cast<int>(version);
  }
  return code;
}

} // namespace

int64_t getElementBytes(elfatt_element element) {
  for (const ElementType &e : kElements)
    if (e.element == element)
      return e.bytes;
  return 0;
}

std::string_view getElementName(elfatt_element element) {
  for (const ElementType &e : kElements)
    if (e.element == element)
      return e.name;
  return "unknown";
}

Manifest parseManifest(std::string_view text) {
  Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded())
    fail("not JSON");
  // First, since all else may be different in a newer one.
  int64_t schema = toInteger(get(root, "schema"), "schema");
  if (schema > kManifestSchema)
    throw Error(ELFATT_NOT_SUPPORTED, "the bundle has format " + std::to_string(schema) +
                                          ", this runtime reads up to " +
                                          std::to_string(kManifestSchema));
  if (schema != kManifestSchema)
    fail("format " + std::to_string(schema) + " is no longer read, expected " +
         std::to_string(kManifestSchema) + ": compile the model again");
  Manifest manifest;
  for (const Json &function : getArray(root, "functions"))
    manifest.functions.push_back(readFunction(function));
  for (const Json &code : getArray(root, "code"))
    manifest.code.push_back(readCode(code));
  if (!get(root, "constants").is_null())
    manifest.constants = getFileName(root, "constants");
  const Json &files = get(root, "files");
  if (!files.is_object())
    fail("'files': expected an object");
  for (const auto &[name, entry] : files.items())
    manifest.files[name] = {toInteger(get(entry, "bytes"), "bytes"), getString(entry, "sha256")};
  return manifest;
}

} // namespace elfatt::runtime
