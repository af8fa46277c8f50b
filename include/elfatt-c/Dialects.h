/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

   The dialects, for MLIR's C API. */
#ifndef ELFATT_C_DIALECTS_H
#define ELFATT_C_DIALECTS_H

#include "mlir-c/IR.h"

#ifdef __cplusplus
extern "C" {
#endif

/* mlirGetDialectHandle__attention__(): the dialect alone, without its models of
   upstream's interfaces (bufferization). */
MLIR_DECLARE_CAPI_DIALECT_REGISTRATION(Attention, attention);

#ifdef __cplusplus
}
#endif

#endif /* ELFATT_C_DIALECTS_H */
