// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt-c/Dialects.h"

#include "elfatt/Dialect/Attention/IR/Attention.h"

#include "mlir/CAPI/Registration.h"

MLIR_DEFINE_CAPI_DIALECT_REGISTRATION(Attention, attention, elfatt::attention::AttentionDialect)
