/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

   Makes the dialects, passes and pipelines known to MLIR's C API. Pipelines are
   then what mlirParsePassPipeline takes:

     builtin.module(elfatt-raise,elfatt-approximate{window=7x7})
     builtin.module(elfatt-raise,elfatt-to-gpu{chip=sm_87 format=ptx}) */
#ifndef ELFATT_C_REGISTRATION_H
#define ELFATT_C_REGISTRATION_H

#include "mlir-c/IR.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The project's dialects with their models of upstream's interfaces. */
MLIR_CAPI_EXPORTED void elfattRegisterAllDialects(MlirDialectRegistry registry);

/* Upstream's dialects, extensions and translations to LLVM IR: the lowerings to a
   machine use many of them. */
MLIR_CAPI_EXPORTED void elfattRegisterUpstreamDialects(MlirDialectRegistry registry);

/* The project's passes and pipelines, by the names that elfatt-opt has for them.
   Once in a process is enough; again does nothing. */
MLIR_CAPI_EXPORTED void elfattRegisterAllPasses(void);

/* Upstream's passes (canonicalize, cse, ...). Once in a process is enough; again
   does nothing. */
MLIR_CAPI_EXPORTED void elfattRegisterUpstreamPasses(void);

#ifdef __cplusplus
}
#endif

#endif /* ELFATT_C_REGISTRATION_H */
