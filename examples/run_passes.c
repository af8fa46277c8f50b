/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

   Runs passes on a file of MLIR and prints what comes out, from C: the compiler as a
   library, beside the rest of MLIR's C API.

     cc -I include -I "$(llvm-config-22 --includedir)" examples/run_passes.c -o run_passes \
       -L build/lib -lElfatt-C -Wl,-rpath,build/lib
     ./run_passes model.mlir 'builtin.module(elfatt-raise,canonicalize)' */
#include "elfatt-c/Registration.h"

#include "mlir-c/Diagnostics.h"
#include "mlir-c/Pass.h"

#include <stdio.h>

static void print(MlirStringRef text, void *file) { fwrite(text.data, 1, text.length, file); }

/* Errors, and the remarks that raising makes, with their places. */
static MlirLogicalResult report(MlirDiagnostic diagnostic, void *unused) {
  (void)unused;
  mlirLocationPrint(mlirDiagnosticGetLocation(diagnostic), print, stderr);
  fputs(mlirDiagnosticGetSeverity(diagnostic) == MlirDiagnosticError ? ": error: " : ": ", stderr);
  mlirDiagnosticPrint(diagnostic, print, stderr);
  fputc('\n', stderr);
  return mlirLogicalResultSuccess();
}

static int run(MlirContext context, const char *path, const char *pipeline) {
  MlirModule module = mlirModuleCreateParseFromFile(context, mlirStringRefCreateFromCString(path));
  MlirPassManager passes;
  int status = 2;
  if (mlirModuleIsNull(module))
    return 2;
  passes = mlirPassManagerCreate(context);
  if (mlirLogicalResultIsSuccess(mlirParsePassPipeline(mlirPassManagerGetAsOpPassManager(passes),
                                                       mlirStringRefCreateFromCString(pipeline),
                                                       print, stderr)) &&
      mlirLogicalResultIsSuccess(mlirPassManagerRunOnOp(passes, mlirModuleGetOperation(module)))) {
    mlirOperationPrint(mlirModuleGetOperation(module), print, stdout);
    status = 0;
  }
  mlirPassManagerDestroy(passes);
  mlirModuleDestroy(module);
  return status;
}

int main(int argc, char **argv) {
  MlirDialectRegistry registry;
  MlirContext context;
  int status;
  if (argc != 3) {
    fprintf(stderr, "usage: %s FILE PIPELINE\n", argv[0]);
    return 2;
  }
  elfattRegisterAllPasses();
  elfattRegisterUpstreamPasses();
  registry = mlirDialectRegistryCreate();
  elfattRegisterUpstreamDialects(registry);
  elfattRegisterAllDialects(registry);
  context = mlirContextCreateWithRegistry(registry, /*threadingEnabled=*/true);
  mlirContextAttachDiagnosticHandler(context, report, NULL, NULL);
  status = run(context, argv[1], argv[2]);
  mlirContextDestroy(context);
  mlirDialectRegistryDestroy(registry);
  return status;
}
