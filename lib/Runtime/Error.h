// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUNTIME_ERROR_H
#define ELFATT_LIB_RUNTIME_ERROR_H

#include "elfatt/Runtime.h"

#include <stdexcept>
#include <string>

namespace elfatt::runtime {

/// Thrown within the runtime; the C API returns it as a status and a message.
struct Error : std::runtime_error {
  Error(elfatt_status status, const std::string &message)
      : std::runtime_error(message), status(status) {}
  elfatt_status status;
};

/// Code that this device or its driver cannot take: other code may do.
struct NotLoadable : Error {
  explicit NotLoadable(const std::string &message) : Error(ELFATT_DEVICE_ERROR, message) {}
};

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_ERROR_H
