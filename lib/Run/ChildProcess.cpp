// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ChildProcess.h"

#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>
#ifdef __linux__
#include <sys/prctl.h>
#endif

using namespace elfatt::run;

namespace {
struct Child {
  size_t number;
  pid_t process;
  int pipe;
  std::string text;
};

[[noreturn]] void runBody(int pipe, size_t number, llvm::function_ref<std::string(size_t)> body) {
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    std::signal(signal, SIG_DFL);
  std::string text = body(number);
  for (size_t at = 0; at < text.size();) {
    ssize_t written = ::write(pipe, text.data() + at, text.size() - at);
    if (written < 0 && errno != EINTR)
      ::_exit(2);
    at += std::max<ssize_t>(written, 0);
  }
  ::_exit(0);
}

llvm::Error start(std::vector<Child> &children, size_t number,
                  llvm::function_ref<std::string(size_t)> body) {
  auto fail = [] {
    return llvm::createStringError(std::string("cannot start a process: ") + strerror(errno));
  };
  // What is buffered would be printed by both.
  llvm::outs().flush();
  llvm::errs().flush();
  int ends[2];
  if (::pipe(ends) != 0)
    return fail();
  pid_t process = ::fork();
  if (process == 0) {
    ::close(ends[0]);
    runBody(ends[1], number, body);
  }
  ::close(ends[1]);
  if (process < 0) {
    ::close(ends[0]);
    return fail();
  }
  children.push_back({number, process, ends[0], {}});
  return llvm::Error::success();
}

/// Waits for the process, which has closed its end of the pipe.
ChildResult finish(Child &child) {
  ::close(child.pipe);
  int status = 0;
  while (::waitpid(child.process, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status))
    return {{}, std::string("crashed (") + strsignal(WTERMSIG(status)) + ")"};
  if (WEXITSTATUS(status) != 0)
    return {{}, "ended with status " + std::to_string(WEXITSTATUS(status))};
  return {std::move(child.text), "done"};
}

void stop(std::vector<Child> &children) {
  for (Child &child : children) {
    ::kill(child.process, SIGKILL);
    finish(child);
  }
}
} // namespace

llvm::Error elfatt::run::runInChildren(size_t count, int jobs,
                                       llvm::function_ref<std::string(size_t)> body,
                                       llvm::function_ref<void(size_t, const ChildResult &)> done) {
  std::vector<Child> children;
  for (size_t next = 0; next < count || !children.empty();) {
    for (; next < count && children.size() < static_cast<size_t>(std::max(jobs, 1)); ++next)
      if (llvm::Error error = start(children, next, body)) {
        stop(children);
        return error;
      }
    std::vector<pollfd> polled;
    for (const Child &child : children)
      polled.push_back({child.pipe, POLLIN, 0});
    if (::poll(polled.data(), polled.size(), -1) < 0)
      continue;
    for (size_t i = children.size(); i-- > 0;) {
      if (!polled[i].revents)
        continue;
      char buffer[65536];
      ssize_t bytes = ::read(children[i].pipe, buffer, sizeof(buffer));
      if (bytes > 0) {
        children[i].text.append(buffer, bytes);
      } else if (bytes == 0 || errno != EINTR) {
        done(children[i].number, finish(children[i]));
        children.erase(children.begin() + i);
      }
    }
  }
  return llvm::Error::success();
}
