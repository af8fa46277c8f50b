// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt-c/Registration.h"

#include "elfatt/InitAll.h"

#include "mlir/CAPI/IR.h"

#include <mutex>

void elfattRegisterAllDialects(MlirDialectRegistry registry) {
  elfatt::registerAllDialects(*unwrap(registry));
}

void elfattRegisterUpstreamDialects(MlirDialectRegistry registry) {
  elfatt::registerUpstreamDialects(*unwrap(registry));
}

// A pipeline that is registered twice ends the process.

void elfattRegisterAllPasses() {
  static std::once_flag once;
  std::call_once(once, [] {
    elfatt::registerAllPasses();
    elfatt::registerAllPipelines();
  });
}

void elfattRegisterUpstreamPasses() {
  static std::once_flag once;
  std::call_once(once, elfatt::registerUpstreamPasses);
}
