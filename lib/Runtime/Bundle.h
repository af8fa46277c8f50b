// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUNTIME_BUNDLE_H
#define ELFATT_LIB_RUNTIME_BUNDLE_H

#include "Code.h"
#include "Cuda.h"
#include "Manifest.h"

#include <memory>
#include <string>
#include <vector>

struct elfatt_function {
  const elfatt::runtime::FunctionManifest *manifest;
  const elfatt_bundle *bundle;
  /// On the host.
  elfatt::runtime::Code::Entry entry = nullptr;
  /// On a GPU: its launches, and a kernel for each.
  const elfatt::runtime::DeviceManifest *device = nullptr;
  std::vector<elfatt::runtime::CudaKernel> kernels;
};

struct elfatt_bundle {
  /// Throws Error. `target` as elfatt_bundle_open has it.
  elfatt_bundle(const std::string &path, const char *target);
  elfatt_bundle(const elfatt_bundle &) = delete;

  elfatt::runtime::Manifest manifest;
  std::string target;
  std::vector<elfatt_function> functions;
  /// Null on the host.
  std::unique_ptr<elfatt::runtime::CudaModule> module;

private:
  void openForHost(const std::string &path, const elfatt::runtime::CodeManifest &code);
  void openForDevice(const std::string &path);
  void loadForDevice(const std::string &path, const elfatt::runtime::CodeManifest &code);
  const elfatt::runtime::FileManifest &getFile(const std::string &name) const;

  std::shared_ptr<elfatt::runtime::Code> code;
};

#endif // ELFATT_LIB_RUNTIME_BUNDLE_H
