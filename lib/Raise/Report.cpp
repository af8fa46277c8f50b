// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "elfatt/Raise/Sites.h"
#include "llvm/Support/raw_ostream.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_REPORTPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;

namespace {
struct ReportPass : raise::impl::ReportPassBase<ReportPass> {
  using Base::Base;

  void runOnOperation() override {
    if (file.empty()) {
      raise::emitRemarks(getOperation());
      return;
    }
    llvm::json::Array records;
    for (raise::Site &site : raise::collectSites(getOperation()))
      records.push_back(std::move(site.record));
    // A temporary file is renamed once all of it is on disk.
    llvm::Error error = llvm::writeToOutput(file, [&](llvm::raw_ostream &os) -> llvm::Error {
      os << llvm::formatv("{0:2}", llvm::json::Value(std::move(records))) << "\n";
      return llvm::Error::success();
    });
    if (error) {
      getOperation()->emitError() << "cannot write sites to '" << file
                                  << "': " << llvm::toString(std::move(error));
      signalPassFailure();
    }
  }
};
} // namespace
