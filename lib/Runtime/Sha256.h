// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUNTIME_SHA256_H
#define ELFATT_LIB_RUNTIME_SHA256_H

#include <cstddef>
#include <string>

namespace elfatt::runtime {

/// The SHA-256 checksum (FIPS 180-4) of `bytes` bytes, in lower-case hexadecimal.
std::string sha256(const void *data, size_t bytes);

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_SHA256_H
