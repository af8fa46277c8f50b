// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Manifest.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace elfatt::compile {

static json::Object describe(const HostCode &code) {
  return json::Object{{"file", code.fileName},
                      {"format", "elf"},
                      {"target", code.processor->name},
                      {"architecture", code.processor->architecture}};
}

static json::Object describeUsage(const DeviceCode &code) {
  json::Object kernels;
  for (const target::KernelUsage &usage : code.usage)
    kernels[usage.name] =
        json::Object{{"registers", usage.registers},
                     {"shared_bytes", usage.sharedBytes},
                     {"spill_bytes", usage.spillStoreBytes + usage.spillLoadBytes}};
  return kernels;
}

static json::Object describePtx(const DeviceCode &code) {
  return json::Object{{"file", code.ptxFile},
                      {"format", "ptx"},
                      {"target", code.target.chip->name},
                      {"ptx", code.target.ptx.str()}};
}

static json::Object describeCubin(const DeviceCode &code) {
  return json::Object{{"file", code.cubinFile},
                      {"format", "cubin"},
                      {"target", code.target.chip->name},
                      {"cuda", code.oldestDriver},
                      {"kernels", describeUsage(code)}};
}

static json::Object describeFatbin(const DeviceCode &code) {
  return json::Object{{"file", code.fatbinFile},          {"format", "fatbin"},
                      {"target", code.target.chip->name}, {"ptx", code.target.ptx.str()},
                      {"cuda", code.oldestDriver},        {"kernels", describeUsage(code)}};
}

std::string makeChecksum(StringRef contents) {
  return toHex(SHA256::hash(arrayRefFromStringRef(contents)), /*LowerCase=*/true);
}

json::Object makeManifest(json::Array functions, ArrayRef<HostCode> hostCode,
                          ArrayRef<DeviceCode> deviceCode, StringRef constants,
                          const Files &files) {
  json::Array code;
  for (const HostCode &entry : hostCode)
    code.push_back(describe(entry));
  for (const DeviceCode &entry : deviceCode) {
    if (!entry.fatbinFile.empty()) {
      code.push_back(describeFatbin(entry));
      continue;
    }
    code.push_back(describePtx(entry));
    if (!entry.cubinFile.empty())
      code.push_back(describeCubin(entry));
  }
  json::Object checksums;
  for (const auto &[name, contents] : files)
    checksums[name] = json::Object{{"bytes", static_cast<int64_t>(contents.size())},
                                   {"sha256", makeChecksum(contents)}};
  return json::Object{{"schema", kManifestSchema},
                      {"functions", std::move(functions)},
                      {"code", std::move(code)},
                      {"constants", constants.empty() ? json::Value(nullptr) : constants},
                      {"files", std::move(checksums)}};
}

/// An identifier of C, in capitals.
static std::string toMacro(StringRef name) {
  std::string macro = "ELFATT_" + name.upper();
  for (char &c : macro)
    if (!isAlnum(c))
      c = '_';
  return macro;
}

static void writeArrays(raw_ostream &os, const std::string &macro, const json::Array &arrays,
                        StringRef kind) {
  os << "#define " << macro << "_" << kind << "S " << arrays.size() << "\n";
  for (auto [i, value] : enumerate(arrays)) {
    const json::Object &array = *value.getAsObject();
    const json::Array &shape = *array.getArray("shape");
    std::string name = (macro + "_" + kind + "_" + Twine(i)).str();
    os << "#define " << name << "_TYPE ELFATT_";
    StringRef type = *array.getString("type");
    os << (type == "i1" ? "BOOL" : type.upper()) << "\n";
    os << "#define " << name << "_RANK " << shape.size() << "\n";
    for (auto [d, extent] : enumerate(shape))
      if (std::optional<int64_t> constant = extent.getAsInteger())
        os << "#define " << name << "_DIM_" << d << " " << *constant << "\n";
  }
}

static void writeLaunches(raw_ostream &os, StringRef target, const json::Array &launches) {
  for (const json::Value &value : launches) {
    const json::Object &launch = *value.getAsObject();
    StringRef kernel = *launch.getString("kernel");
    std::string macro = toMacro((target + "_" + kernel).str());
    os << "\n#define " << macro << "_NAME \"" << kernel << "\"\n";
    for (StringRef what : {"grid", "block"})
      for (auto [dim, letter] : zip(*launch.getArray(what), StringRef("XYZ")))
        if (std::optional<int64_t> constant = dim.getAsInteger())
          os << "#define " << macro << "_" << what.upper() << "_" << letter << " " << *constant
             << "\n";
  }
}

/// Objects have no order of their own.
static std::vector<StringRef> getSortedKeys(const json::Object &object) {
  std::vector<StringRef> keys;
  for (const auto &entry : object)
    keys.push_back(entry.first);
  sort(keys);
  return keys;
}

std::string makeHeader(const json::Array &functions) {
  std::string text;
  raw_string_ostream os(text);
  os << "/* Functions and kernels of this bundle: names, and what is constant of their\n"
        "   shapes and launches. manifest.json has the rest. */\n"
        "#ifndef ELFATT_BUNDLE_H\n#define ELFATT_BUNDLE_H\n\n"
     << "#define ELFATT_BUNDLE_SCHEMA " << kManifestSchema << "\n";
  for (const json::Value &value : functions) {
    const json::Object &function = *value.getAsObject();
    std::string macro = toMacro(*function.getString("name"));
    os << "\n#define " << macro << "_FUNCTION \"" << *function.getString("name") << "\"\n";
    writeArrays(os, macro, *function.getArray("arguments"), "INPUT");
    writeArrays(os, macro, *function.getArray("results"), "OUTPUT");
    if (const json::Object *devices = function.getObject("devices"))
      for (StringRef target : getSortedKeys(*devices))
        writeLaunches(os, target, *devices->getObject(target)->getArray("launches"));
  }
  os << "\n#endif /* ELFATT_BUNDLE_H */\n";
  return text;
}

} // namespace elfatt::compile
