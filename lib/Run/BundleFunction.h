// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUN_BUNDLEFUNCTION_H
#define ELFATT_LIB_RUN_BUNDLEFUNCTION_H

#include "Cuda.h"

#include "elfatt/Run/Array.h"
#include "elfatt/Runtime.h"

#include "mlir/IR/BuiltinTypes.h"

namespace elfatt::run {

/// The function "main" of a bundle, by the runtime's C API as any embedder has
/// it.
class BundleFunction {
public:
  /// Opens the bundle for `target`, null for the best of this processor; with `cuda` it must be
  /// "cuda".
  static llvm::Expected<std::unique_ptr<BundleFunction>> open(const std::string &path,
                                                              const char *target, Cuda *cuda);
  ~BundleFunction();

  /// Types of inputs and outputs; an extent that is not fixed is dynamic.
  std::vector<mlir::RankedTensorType> getTypes(mlir::MLIRContext *context, bool inputs) const;

  /// The name of the code in use.
  llvm::StringRef getTarget() const;

  /// Makes room for the results of such inputs.
  llvm::Expected<Results> makeResults(const std::vector<Array> &inputs) const;

  /// Runs the function into `results`, on a GPU on copies of the arrays.
  llvm::Error run(const std::vector<Array> &inputs, Results &results) const;

private:
  llvm::Error runOnDevice(std::vector<elfatt_tensor> from, std::vector<elfatt_tensor> to,
                          const std::vector<Array> &inputs, Results &results) const;

  Cuda *cuda = nullptr;
  elfatt_bundle *bundle = nullptr;
  const elfatt_function *function = nullptr;
};

} // namespace elfatt::run

#endif // ELFATT_LIB_RUN_BUNDLEFUNCTION_H
