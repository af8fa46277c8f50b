// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Bundle.h"

#include "Error.h"
#include "Processor.h"
#include "Sha256.h"

#include <algorithm>

using namespace elfatt::runtime;

namespace {

std::string join(const std::vector<std::string> &names) {
  std::string text;
  for (const std::string &name : names)
    text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

/// The code for `target`, or the best for this processor where that is null.
const CodeManifest &chooseHostCode(const Manifest &manifest, const char *target) {
  std::vector<std::string> present;
  for (const CodeManifest &code : manifest.code)
    // A GPU's cubin and PTX are of one name.
    if (std::find(present.begin(), present.end(), code.target) == present.end())
      present.push_back(code.target);
  if (target) {
    auto it = std::find_if(manifest.code.begin(), manifest.code.end(),
                           [&](const CodeManifest &code) { return code.target == target; });
    if (it == manifest.code.end())
      throw Error(ELFATT_NOT_SUPPORTED, std::string("the bundle has no code for '") + target +
                                            "'; it has code for " + join(present));
    if (it->format != "elf")
      throw Error(ELFATT_BAD_ARGUMENT,
                  std::string("'") + target + "' is a GPU: open the bundle for 'cuda'");
    if (!hasLevel(target))
      throw Error(ELFATT_NOT_SUPPORTED,
                  std::string("this processor cannot run code for '") + target + "'");
    return *it;
  }
  for (std::string_view level : getLevels())
    for (const CodeManifest &code : manifest.code)
      if (code.format == "elf" && code.target == level && code.architecture == getArchitecture())
        return code;
  std::string levels = getLevels().empty() ? "unknown" : std::string(getLevels().front());
  throw Error(ELFATT_NOT_SUPPORTED, "the bundle has no code for this processor (" + levels +
                                        "); it has code for " + join(present));
}

/// The manifest's own checksum lies beside it, as sha256sum writes it.
void checkManifest(const std::string &path, std::string_view text) {
  MappedFile checksum(path + "/manifest.json.sha256");
  if (checksum.text() != sha256(text.data(), text.size()) + "  manifest.json\n")
    throw Error(ELFATT_BAD_BUNDLE,
                "'" + path + "/manifest.json' was altered: its checksum differs");
}

} // namespace

elfatt_bundle::elfatt_bundle(const std::string &path, const char *wanted) {
  {
    MappedFile file(path + "/manifest.json");
    // The format first: a newer one may keep its checksum elsewhere.
    manifest = parseManifest(file.text());
    checkManifest(path, file.text());
  }
  for (const FunctionManifest &function : manifest.functions)
    functions.push_back({&function, this, nullptr, nullptr, {}});
  if (wanted && std::string(wanted) == "cuda")
    openForDevice(path);
  else
    openForHost(path, chooseHostCode(manifest, wanted));
}

const FileManifest &elfatt_bundle::getFile(const std::string &name) const {
  auto it = manifest.files.find(name);
  if (it == manifest.files.end())
    throw Error(ELFATT_BAD_BUNDLE, "manifest.json: 'files' lacks '" + name + "'");
  return it->second;
}

void elfatt_bundle::openForHost(const std::string &path, const CodeManifest &chosen) {
  target = chosen.target;
  std::string file = path + "/" + chosen.file;
  MappedFile(file).check(getFile(chosen.file));
  bool hasConstants = !manifest.constants.empty();
  code = Code::load(file, path + "/" + manifest.constants,
                    hasConstants ? &getFile(manifest.constants) : nullptr);
  for (elfatt_function &function : functions)
    function.entry = code->find(function.manifest->name);
}

void elfatt_bundle::openForDevice(const std::string &path) {
  std::vector<const CodeManifest *> candidates = listDeviceCode(manifest.code);
  std::string refused;
  for (const CodeManifest *candidate : candidates)
    try {
      return loadForDevice(path, *candidate);
    } catch (const NotLoadable &error) {
      refused += (refused.empty() ? "" : "; ") + std::string(error.what());
    }
  throw Error(ELFATT_NOT_SUPPORTED, "the device takes none of the bundle's code: " + refused);
}

void elfatt_bundle::loadForDevice(const std::string &path, const CodeManifest &chosen) {
  MappedFile file(path + "/" + chosen.file);
  file.check(getFile(chosen.file));
  auto loaded = std::make_unique<CudaModule>(std::string(file.text()), chosen.file);
  for (elfatt_function &function : functions) {
    auto device = function.manifest->devices.find(chosen.target);
    if (device == function.manifest->devices.end())
      throw Error(ELFATT_BAD_BUNDLE, "manifest.json: function '" + function.manifest->name +
                                         "' has no launches for " + chosen.target);
    function.device = &device->second;
    function.kernels.clear();
    for (const Launch &launch : function.device->launches)
      function.kernels.push_back(loaded->find(launch));
  }
  target = chosen.target;
  module = std::move(loaded);
}
