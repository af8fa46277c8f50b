// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUNTIME_ARGUMENTS_H
#define ELFATT_LIB_RUNTIME_ARGUMENTS_H

#include "Manifest.h"

namespace elfatt::runtime {

/// The values of the function's dims for these inputs. Throws
/// ELFATT_BAD_ARGUMENT where number, type, shape or strides are not the
/// function's.
std::vector<int64_t> bindDims(const FunctionManifest &function, const elfatt_tensor *inputs,
                              int32_t inputCount);

/// The shape of a result for these dims.
std::vector<int64_t> evaluateShape(const std::vector<Expression> &shape,
                                   const std::vector<int64_t> &dims);

/// Checks what bindDims leaves: the outputs, and every pointer. Throws
/// ELFATT_BAD_ARGUMENT.
void checkArrays(const FunctionManifest &function, const elfatt_tensor *inputs,
                 const elfatt_tensor *outputs, int32_t outputCount,
                 const std::vector<int64_t> &dims);

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_ARGUMENTS_H
