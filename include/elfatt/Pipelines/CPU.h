// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// From attention and linalg on tensors to the LLVM dialect for the host.
#ifndef ELFATT_PIPELINES_CPU_H
#define ELFATT_PIPELINES_CPU_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace elfatt::pipelines {

/// Options of `--elfatt-to-cpu`.
struct CPUOptions : public mlir::PassPipelineOptions<CPUOptions> {
  Option<int64_t> vectorBits{*this, "vector-bits",
                             llvm::cl::desc("Width of the host's vectors, in bits (128, 256 or "
                                            "512)"),
                             llvm::cl::init(512)};
  Option<int64_t> vectorRegisters{*this, "vector-registers",
                                  llvm::cl::desc("Number of vector registers; 0: as the width of "
                                                 "the vectors has them on x86"),
                                  llvm::cl::init(0)};
  Option<bool> dotsBF16{*this, "dots-bf16",
                        llvm::cl::desc("The host has AVX512-BF16: scores of bf16 are products of "
                                       "pairs"),
                        llvm::cl::init(false)};
  Option<bool> resultsAsArguments{
      *this, "results-as-arguments",
      llvm::cl::desc("Functions write their results to buffers of the caller, which follow the "
                     "arguments"),
      llvm::cl::init(false)};
};

/// Adds the stages of `--elfatt-to-cpu`, each closed by endStage.
void buildCPUPipeline(mlir::OpPassManager &pm, const CPUOptions &options);

/// Makes `--elfatt-to-cpu` known.
void registerCPUPipelines();

} // namespace elfatt::pipelines

#endif // ELFATT_PIPELINES_CPU_H
