// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Tools/Tool.h"

#include "ToolState.h"

#include "mlir/IR/Operation.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassInstrumentation.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

#include <unistd.h>

using namespace elfatt;

int Tool::error(const llvm::Twine &message) const {
  llvm::errs() << name << ": error: " << message << "\n";
  return kBadInput;
}

bool Tool::parseCommandLine(int argc, char **argv, llvm::StringRef overview) const {
  std::string text;
  llvm::raw_string_ostream errors(text);
  if (llvm::cl::ParseCommandLineOptions(argc, argv, overview, &errors))
    return true;
  // Each line starts with the path the program was called by.
  llvm::SmallVector<llvm::StringRef> lines;
  llvm::StringRef(text).split(lines, '\n', -1, /*KeepEmpty=*/false);
  for (llvm::StringRef line : lines) {
    line.consume_front(llvm::StringRef(argv[0]).rsplit('/').second);
    line.consume_front(argv[0]);
    line.consume_front(": ");
    error(line);
  }
  return false;
}

std::unique_ptr<llvm::MemoryBuffer> Tool::readInput(llvm::StringRef path) {
  setActivity("reading '" + path + "'");
  llvm::ErrorOr<std::unique_ptr<llvm::MemoryBuffer>> buffer =
      path != "-"                   ? llvm::MemoryBuffer::getFile(path)
      : state && state->reproducing ? state->copyOfStdin()
                                    : llvm::MemoryBuffer::getSTDIN();
  if (!buffer) {
    error("cannot read '" + (path == "-" ? "<stdin>" : path) + "': " + buffer.getError().message());
    return nullptr;
  }
  if (path == "-" && state && !state->reproducing)
    state->keepStdin((*buffer)->getBuffer());
  setActivity("parsing '" + path + "'");
  return std::move(*buffer);
}

std::unique_ptr<OutputFile> Tool::openOutput(llvm::StringRef path) {
  llvm::Expected<std::unique_ptr<OutputFile>> file = OutputFile::open(path, this);
  if (file)
    return std::move(*file);
  error(llvm::toString(file.takeError()));
  return nullptr;
}

int Tool::keepOutput(OutputFile &output) const {
  int status = kDone;
  llvm::handleAllErrors(output.keep(), [&](const llvm::ErrorInfoBase &failure) {
    status = kBadInput;
    // A reader that has seen enough, as `head` has, needs no message.
    if (failure.convertToErrorCode() != std::errc::broken_pipe)
      error(failure.message());
  });
  return status;
}

void Tool::rememberTemporary(llvm::StringRef path) {
  if (state)
    state->rememberTemporary(path);
}

void Tool::forgetTemporary(llvm::StringRef path) {
  if (state)
    state->forgetTemporary(path);
}

void Tool::setActivity(const llvm::Twine &activity) {
  if (state)
    state->setActivity(activity.str());
}

namespace {

struct FollowPasses : mlir::PassInstrumentation {
  explicit FollowPasses(ToolState &state) : state(state) {}

  void runBeforePass(mlir::Pass *pass, mlir::Operation *op) final {
    // Adaptors only hold other passes.
    if (!pass->getArgument().empty())
      state.setActivity(("pass '" + pass->getArgument() + "'").str());
  }

  ToolState &state;
};

} // namespace

void Tool::followCompilation(mlir::PassManager &pm) {
#ifdef NDEBUG
  pm.enableVerifier(false);
#endif
  follow(pm);
}

void Tool::follow(mlir::PassManager &pm) {
  if (!state)
    return;
  setActivity("setting up passes");
  pm.addInstrumentation(std::make_unique<FollowPasses>(*state));
  if (state->reproducing)
    pm.enableCrashReproducerGeneration(getReproducerPath(name));
}
