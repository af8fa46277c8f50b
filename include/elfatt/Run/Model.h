// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A compiled function and its calls.
#ifndef ELFATT_RUN_MODEL_H
#define ELFATT_RUN_MODEL_H

#include "elfatt/CPU/JIT.h"
#include "elfatt/Run/Array.h"
#include "elfatt/Run/Guard.h"
#include "elfatt/Run/Simulation.h"
#include "elfatt/Target/Chip.h"
#include "elfatt/Tile/TileOverrides.h"
#include "elfatt/Tools/Tool.h"

#include "mlir/IR/BuiltinTypes.h"

namespace elfatt::run {

class Cuda;

/// How a module is compiled.
struct CompileOptions {
  bool raise = true;
  std::optional<std::string> approximate;
  /// Chip that runs the kernels; none: all is for the host.
  std::optional<target::ChipTarget> chip;
  /// The GPU that is that chip; null: the simulator.
  Cuda *cuda = nullptr;
  /// Sizes of its kernels, in place of those that are chosen.
  tile::TileOverrides tile;
  /// Where set, arguments, results and the host's buffers lie against guards.
  std::optional<GuardedEnd> guard;
  /// Lets ptxas count the registers of simulated kernels, where there is one.
  bool countRegisters = false;
  /// The Toolkit of ptxas; empty: searched.
  std::string cudaPath;
};

class Profile;
class BundleFunction;

class Model {
public:
  ~Model();
  Model(Model &&);

  /// Compiles @main of `module`, which is consumed. Diagnostics go to the
  /// context's handler; the error says which step failed.
  static llvm::Expected<Model> compile(Tool &tool, mlir::OwningOpRef<mlir::ModuleOp> module,
                                       const CompileOptions &options);

  /// Opens a bundle in the folder `path`; `target` is as elfatt_bundle_open has it. With `cuda`
  /// arrays are copied to that GPU and back.
  static llvm::Expected<Model> open(mlir::MLIRContext *context, const std::string &path,
                                    const char *target, Cuda *cuda);

  /// Types of the results.
  llvm::ArrayRef<mlir::RankedTensorType> getResultTypes() const { return resultTypes; }

  /// The bundle's code in use; empty where the model was compiled here.
  llvm::StringRef getBundleTarget() const;

  /// Checks and converts `arrays` (arg0, arg1, ...) to the parameters' types,
  /// and makes random ones (fixed seed) for those that are missing.
  llvm::Expected<std::vector<Array>> prepareInputs(const ArrayMap &arrays) const;

  /// Calls the function with prepared inputs.
  Results run(const std::vector<Array> &inputs) const;

  /// As run, without taking the results out.
  void runDiscarding(const std::vector<Array> &inputs) const;

  /// The kernels' launches; null where all is for the host, and for a bundle.
  Launcher *getLauncher() const { return launcher.get(); }

  /// Has the simulator count each launch on one wave of blocks and the rest: results are
  /// incomplete. Only with a simulator.
  void sampleBlocks() const { static_cast<Simulation &>(*launcher).sampleBlocks(); }

  /// What the model costs and how long its attention takes; null with kernels and for a
  /// bundle.
  Profile *getProfile() const { return profile.get(); }

  /// Weights that a call reads, in bytes.
  int64_t getConstantBytes() const { return constantBytes; }

private:
  Model();
  struct Call;
  Call call(const std::vector<Array> &inputs) const;
  void freeResult(int64_t allocated) const;

  std::unique_ptr<Launcher> launcher;
  std::unique_ptr<Profile> profile;
  std::unique_ptr<BundleFunction> bundle;
  /// Where a bundle's runDiscarding writes.
  mutable Results discarded;
  std::unique_ptr<cpu::JIT> jit;
  cpu::JIT::Entry entry = nullptr;
  std::optional<GuardedEnd> guard;
  std::vector<mlir::RankedTensorType> inputTypes, resultTypes;
  /// Those that are memrefs: what they hold after a call are results too, behind the others.
  std::vector<size_t> writtenArguments;
  int64_t constantBytes = 0;
};

} // namespace elfatt::run

#endif // ELFATT_RUN_MODEL_H
