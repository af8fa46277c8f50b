// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Raise/Passes.h"

#include "elfatt/Raise/Sites.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace elfatt::raise {
#define GEN_PASS_DEF_REPORTPASS
#include "elfatt/Raise/Passes.h.inc"
} // namespace elfatt::raise

using namespace mlir;
using namespace elfatt;

namespace {
/// Writes all of a file or nothing: a temporary one is renamed once it is on disk. What is no plain
/// file (a device, a pipe) cannot be replaced and is written as it is.
llvm::Error write(StringRef path, StringRef text) {
  llvm::sys::fs::file_status status;
  bool isSpecial = !llvm::sys::fs::status(path, status) && llvm::sys::fs::exists(status) &&
                   !llvm::sys::fs::is_regular_file(status) && !llvm::sys::fs::is_directory(status);
  if (!isSpecial)
    return llvm::writeToOutput(path, [&](llvm::raw_ostream &os) {
      os << text;
      return llvm::Error::success();
    });
  std::error_code code;
  llvm::raw_fd_ostream os(path, code, llvm::sys::fs::CD_OpenExisting);
  if (!code) {
    os << text;
    os.close();
    code = os.error();
    os.clear_error();
  }
  return llvm::errorCodeToError(code);
}

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
    std::string text = llvm::formatv("{0:2}\n", llvm::json::Value(std::move(records))).str();
    if (llvm::Error error = write(file, text)) {
      emitError(getOperation()->getLoc())
          << "cannot write sites to '" << file << "': " << llvm::toString(std::move(error));
      signalPassFailure();
    }
  }
};
} // namespace
