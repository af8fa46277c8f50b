// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The parent and child processes of a command.
#include "elfatt/Tools/Tool.h"

#include "ToolState.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

using namespace elfatt;

namespace {

/// The child that signals to the parent are passed on to.
volatile sig_atomic_t runningChild = 0;

void passOn(int signal) {
  if (runningChild > 0)
    ::kill(runningChild, signal);
}

void onFatalError(void *state, const char *reason, bool) {
  if (state)
    static_cast<ToolState *>(state)->setReason(reason);
  else
    llvm::errs() << "error: " << reason << "\n";
  std::abort();
}

/// Memory that is not there is no bug of ours: no exception, which nothing catches.
ToolState *stateOfNew = nullptr;
[[noreturn]] void onNoMemory() {
  onFatalError(stateOfNew, "not enough memory", false);
  std::abort();
}

/// A file opened as number 0 to 2 would receive our messages or results.
void occupyClosedStreams() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor)
    if (::fcntl(descriptor, F_GETFD) < 0 && ::open("/dev/null", O_RDONLY) < 0)
      return;
}

int runBody(llvm::StringRef name, llvm::function_ref<int(Tool &)> body, ToolState *state) {
  llvm::install_fatal_error_handler(onFatalError, state);
  stateOfNew = state;
  std::set_new_handler(onNoMemory);
  Tool tool(name, state);
  int status = body(tool);
  // Left alone, an unwritable stdout ends in an abort at exit.
  llvm::outs().flush();
  if (std::error_code code = llvm::outs().error()) {
    llvm::outs().clear_error();
    status = tool.error("cannot write '<stdout>': " + code.message());
  }
  if (state)
    state->status = status;
  return status;
}

void becomeChild(const ToolState &state) {
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  rlimit noCore = {0, 0};
  ::setrlimit(RLIMIT_CORE, &noCore);
  std::signal(SIGPIPE, SIG_IGN);
  if (!state.reproducing)
    return;
  // All that this one says was said before.
  int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(null, STDERR_FILENO);
}

/// What waitpid says of the child, with signals to us passed on meanwhile.
int waitFor(pid_t child) {
  runningChild = child;
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    std::signal(signal, passOn);
  int result = 0;
  while (::waitpid(child, &result, 0) < 0 && errno == EINTR) {
  }
  runningChild = 0;
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    std::signal(signal, SIG_DFL);
  return result;
}

/// Runs `name` again to have the crash reproduced; the path of the file, or
/// empty.
std::string writeReproducer(llvm::StringRef name, llvm::function_ref<int(Tool &)> body,
                            ToolState &state) {
  // Only passes can be reproduced.
  if (!llvm::StringRef(state.activity).starts_with("pass "))
    return {};
  std::string path = getReproducerPath(name);
  llvm::sys::fs::remove(path);
  state.reproducing = true;
  pid_t child = ::fork();
  if (child == 0) {
    becomeChild(state);
    std::_Exit(runBody(name, body, &state));
  }
  if (child > 0)
    waitFor(child);
  return llvm::sys::fs::exists(path) ? path : std::string();
}

int reportCrash(llvm::StringRef name, llvm::function_ref<int(Tool &)> body, ToolState &state,
                const llvm::Twine &how) {
  // What a second run would overwrite.
  std::string activity = state.activity;
  std::string reason = state.reason;
  // A reader that has seen enough, as `head` has, needs no message.
  if (llvm::StringRef(reason).ends_with(strerror(EPIPE)))
    return kBadInput;
  std::string reproducer = writeReproducer(name, body, state);
  state.removeTemporaries();
  llvm::errs() << name << ": error: " << (reason.empty() ? how : "fatal error");
  if (!activity.empty())
    llvm::errs() << " in " << activity;
  if (!reason.empty())
    llvm::errs() << ": " << reason;
  llvm::errs() << "\n";
  if (!reproducer.empty())
    llvm::errs() << name << ": note: reproducer in '" << reproducer << "'\n";
  return kBadInput;
}

} // namespace

int elfatt::runTool(llvm::StringRef name, llvm::function_ref<int(Tool &)> body) {
  occupyClosedStreams();
  if (std::getenv("ELFATT_IN_PROCESS"))
    return runBody(name, body, nullptr);

  void *memory =
      ::mmap(nullptr, sizeof(ToolState), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return runBody(name, body, nullptr);
  auto &state = *new (memory) ToolState;
  state.stdinCopy = ::memfd_create("stdin", MFD_CLOEXEC);

  pid_t child = ::fork();
  if (child < 0)
    return Tool(name, nullptr).error(std::string("cannot start a process: ") + strerror(errno));
  if (child == 0) {
    becomeChild(state);
    return runBody(name, body, &state);
  }
  int result = waitFor(child);

  // The work was done and its files kept; what went wrong after is of no account.
  if (state.status >= 0)
    return state.status;
  if (WIFEXITED(result) && WEXITSTATUS(result) == 0)
    return kDone; // --help and --version exit.
  if (WIFEXITED(result)) {
    // Something in the body exits after it has printed an error.
    state.removeTemporaries();
    return kBadInput;
  }
  int signal = WTERMSIG(result);
  if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP) {
    state.removeTemporaries();
    std::raise(signal);
  }
  if (signal == SIGKILL)
    return reportCrash(name, [](Tool &) { return 0; }, state, "killed (out of memory?)");
  return reportCrash(name, body, state, llvm::Twine("crashed (") + strsignal(signal) + ")");
}
