// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What a model on the host costs, and how long the loops of its attention take.
#ifndef ELFATT_LIB_RUN_PROFILE_H
#define ELFATT_LIB_RUN_PROFILE_H

#include "HostRates.h"

#include "elfatt/CPU/JIT.h"
#include "elfatt/Target/Cost.h"

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/JSON.h"

namespace elfatt::run {

class Profile {
public:
  /// Counts what the module's attention and products cost, and notes the index of
  /// each attention op in its location, which its loops inherit.
  void count(mlir::ModuleOp module);

  /// Reads from a module in the LLVM dialect which loops belong to which op.
  void readLaunches(mlir::ModuleOp lowered);

  /// The attention op that a location of lowered code comes from; of several, the first.
  static std::optional<int64_t> findSite(mlir::Location loc);

  /// Bytes that an attention op has to move: its operands and result, once.
  std::optional<int64_t> getBytes(int64_t index) const;

  /// What compiled code has to call in place of elfatt_parallel_for to be timed.
  static cpu::JIT::Function getLaunchFunction();

  /// Times the loops of `call`, which runs the model once, in a few calls. Leaves the
  /// times unknown where other loops ran than the module has, as in a branch.
  void measure(llvm::function_ref<void()> call);

  /// Of attention and products, f32; `bytes` is left to the caller.
  const target::Cost &getCost() const { return cost; }

  /// One record an attention op, as --stats has them.
  llvm::json::Array getRecords(HostRates &rates) const;

private:
  struct Site {
    int64_t index;
    std::string op;
    target::Cost cost;
  };
  struct Launch {
    std::string kernel;
    std::optional<int64_t> site;
    std::optional<double> microseconds;
  };
  std::vector<Site> sites;
  std::vector<Launch> launches;
  target::Cost cost;
};

} // namespace elfatt::run

#endif // ELFATT_LIB_RUN_PROFILE_H
