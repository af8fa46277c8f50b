// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Code.h"

#include "elfatt/Runtime/CodeInterface.h"

#include "Error.h"
#include "Run.h"

#include <dlfcn.h>
#include <map>
#include <mutex>

namespace elfatt::runtime {
namespace {

/// The objects in use by their handles: opening a file twice gives the same
/// handle, and with it the same interface.
struct Registry {
  std::mutex mutex;
  std::map<void *, std::weak_ptr<Code>> loaded;
};

/// Never destroyed: bundles may be closed while the process ends.
Registry &registry() {
  static auto *instance = new Registry;
  return *instance;
}

template <typename T> void *toPointer(T *function) { return reinterpret_cast<void *>(function); }

} // namespace

std::shared_ptr<Code> Code::load(const std::string &path, const std::string &constantsPath,
                                 const FileManifest *constantsManifest) {
  std::lock_guard lock(registry().mutex);
  void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    throw Error(ELFATT_BAD_BUNDLE, std::string("cannot load the code: ") + dlerror());
  std::weak_ptr<Code> &slot = registry().loaded[handle];
  if (std::shared_ptr<Code> code = slot.lock()) {
    dlclose(handle);
    return code;
  }
  std::shared_ptr<Code> code(new Code);
  code->handle = handle;
  auto *interface = static_cast<elfatt_code_interface *>(dlsym(handle, ELFATT_CODE_INTERFACE));
  if (!interface)
    throw Error(ELFATT_BAD_BUNDLE, "'" + path + "' is not the code of a bundle");
  if (interface->version != ELFATT_CODE_INTERFACE_VERSION)
    throw Error(ELFATT_NOT_SUPPORTED, "'" + path + "' needs a runtime with interface " +
                                          std::to_string(interface->version) + ", this one has " +
                                          std::to_string(ELFATT_CODE_INTERFACE_VERSION));
  if (constantsManifest) {
    code->constants = std::make_unique<MappedFile>(constantsPath);
    code->constants->check(*constantsManifest);
    interface->constants = code->constants->text().data();
  }
  interface->parallel_for = toPointer(elfatt_parallel_for);
  interface->sgemm = toPointer(elfatt_sgemm);
  interface->fail = toPointer(Run::fail);
  interface->alloc = toPointer(Run::allocate);
  interface->free = toPointer(Run::release);
  slot = code;
  return code;
}

Code::~Code() {
  // The slot in the registry is dead by now, and used anew should the address
  // come back.
  dlclose(handle);
}

Code::Entry Code::find(const std::string &function) const {
  void *entry = dlsym(handle, (ELFATT_CODE_ENTRY + function).c_str());
  if (!entry)
    throw Error(ELFATT_BAD_BUNDLE, "the code has no function '" + function + "'");
  return reinterpret_cast<Entry>(entry);
}

} // namespace elfatt::runtime
