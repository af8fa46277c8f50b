// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Target/Ptxas.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;
using namespace elfatt::target;

bool elfatt::target::knowsChip(int major, int minor, const Chip &chip) {
  // 13.0 dropped what is older than Turing; Thor was sm_101 before it.
  if (chip.name == "sm_53" || chip.name == "sm_72")
    return major < 13;
  if (chip.name == "sm_110")
    return major >= 13;
  for (const CudaRelease &release : getCudaReleases()) {
    int releaseMajor = 0, releaseMinor = 0;
    auto [first, second] = StringRef(release.name).split('.');
    first.getAsInteger(10, releaseMajor);
    second.getAsInteger(10, releaseMinor);
    if (release.ptx >= chip.minPtx)
      return std::pair(major, minor) >= std::pair(releaseMajor, releaseMinor) ||
             // Releases between those of the table know chips that came with them.
             (major == 12 && minor >= 8 && chip.minPtx <= PtxVersion{8, 8});
  }
  return false;
}

int elfatt::target::getFirstRelease(PtxVersion ptx) {
  switch (ptx.major) {
  case 9:
    return 13000 + ptx.minor * 10;
  case 8:
    // 12.6 brought no new version.
    return 12000 + (ptx.minor <= 5 ? ptx.minor : ptx.minor + 1) * 10;
  case 7:
    return 11000 + ptx.minor * 10;
  case 6:
    return ptx.minor >= 3 ? 10000 + (ptx.minor - 3) * 10 : 9000 + ptx.minor * 10;
  default:
    return 7000;
  }
}

int elfatt::target::getOldestDriver(const Toolkit &toolkit, const Chip &chip) {
  return std::max(toolkit.major * 1000, getFirstRelease(chip.minPtx));
}

namespace {
struct ToolOutput {
  int status;
  std::string text;
};

/// A temporary file, removed in the end.
class TemporaryFile {
public:
  static Expected<TemporaryFile> create(StringRef suffix, StringRef contents = {}) {
    TemporaryFile file;
    int fd;
    if (std::error_code code = sys::fs::createTemporaryFile("elfatt", suffix, fd, file.path))
      return createStringError("cannot make a temporary file: " + code.message());
    raw_fd_ostream os(fd, /*shouldClose=*/true);
    os << contents;
    os.flush();
    if (!os.has_error())
      return file;
    std::string message = os.error().message();
    os.clear_error();
    return createStringError("cannot write '" + file.path + "': " + message);
  }
  TemporaryFile(TemporaryFile &&other) : path(std::exchange(other.path, {})) {}
  ~TemporaryFile() {
    if (!path.empty())
      sys::fs::remove(path);
  }
  StringRef getPath() const { return path; }
  Expected<std::string> read() const {
    auto bytes = MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
    if (!bytes)
      return createStringError("cannot read '" + path + "': " + bytes.getError().message());
    return (*bytes)->getBuffer().str();
  }

private:
  TemporaryFile() = default;
  SmallString<128> path;
};

/// Runs a tool with its output in a file of its own.
Expected<ToolOutput> runTool(StringRef program, ArrayRef<StringRef> arguments) {
  Expected<TemporaryFile> log = TemporaryFile::create("log");
  if (!log)
    return log.takeError();
  SmallVector<StringRef> all{program};
  all.append(arguments.begin(), arguments.end());
  std::optional<StringRef> redirects[] = {StringRef(""), log->getPath(), log->getPath()};
  std::string message;
  int status = sys::ExecuteAndWait(program, all, std::nullopt, redirects, /*SecondsToWait=*/300,
                                   /*MemoryLimit=*/0, &message);
  if (status < 0)
    return createStringError("cannot run '" + program + "': " + message);
  Expected<std::string> text = log->read();
  if (!text)
    return text.takeError();
  return ToolOutput{status, std::move(*text)};
}

/// The folders that may hold bin/ptxas, in order.
std::vector<std::string> listRoots(StringRef cudaPath) {
  if (!cudaPath.empty())
    return {cudaPath.str()};
  std::vector<std::string> roots;
  if (auto home = sys::Process::GetEnv("CUDA_HOME"))
    roots.push_back(*home);
  if (auto found = sys::findProgramByName("ptxas"))
    roots.push_back(sys::path::parent_path(sys::path::parent_path(*found)).str());
#ifdef ELFATT_CUDA_BIN
  roots.push_back(sys::path::parent_path(ELFATT_CUDA_BIN).str());
#endif
  roots.push_back("/usr/local/cuda");
  auto venv = sys::Process::GetEnv("VIRTUAL_ENV");
  if (!venv)
    return roots;
  // VIRTUAL_ENV/lib/python3.N/site-packages/nvidia/{cuda_nvcc,cu13,...}
  std::error_code code;
  for (sys::fs::directory_iterator python(*venv + "/lib", code), end; !code && python != end;
       python.increment(code)) {
    std::error_code inner;
    for (sys::fs::directory_iterator package(python->path() + "/site-packages/nvidia", inner);
         !inner && package != end; package.increment(inner))
      roots.push_back(package->path());
  }
  return roots;
}
} // namespace

/// fatbinary packs what others made: any release will do.
static std::string findFatbinary(StringRef preferred, ArrayRef<std::string> roots) {
  std::string own = (preferred + "/bin/fatbinary").str();
  if (sys::fs::can_execute(own))
    return own;
  for (const std::string &root : roots)
    if (sys::fs::can_execute(root + "/bin/fatbinary"))
      return root + "/bin/fatbinary";
  return {};
}

/// Better for code that drivers of release `wanted` are to load.
static bool isBetter(const Toolkit &a, const Toolkit &b, int wanted) {
  bool aLoads = a.major <= wanted, bLoads = b.major <= wanted;
  if (aLoads != bLoads)
    return aLoads;
  return aLoads ? a.major > b.major : a.major < b.major;
}

Expected<Toolkit> elfatt::target::findToolkit(const Chip &chip, StringRef cudaPath,
                                              std::optional<PtxVersion> ptx) {
  std::string found;
  std::vector<std::string> roots = listRoots(cudaPath);
  std::optional<Toolkit> best;
  int firstRelease = ptx ? getFirstRelease(*ptx) : 0;
  for (const std::string &root : roots) {
    Toolkit toolkit;
    toolkit.root = root;
    if (!sys::fs::can_execute(toolkit.ptxas()))
      continue;
    Expected<ToolOutput> output = runTool(toolkit.ptxas(), {"--version"});
    if (!output)
      return output.takeError();
    SmallVector<StringRef> groups;
    if (!Regex("release ([0-9]+)\\.([0-9]+)").match(output->text, &groups)) {
      // A tool that cannot start, or a full disk.
      found += (found.empty() ? "" : ", ") + toolkit.ptxas() + " (names no release)";
      continue;
    }
    groups[1].getAsInteger(10, toolkit.major);
    groups[2].getAsInteger(10, toolkit.minor);
    toolkit.fatbinary = findFatbinary(root, roots);
    if (knowsChip(toolkit.major, toolkit.minor, chip) &&
        toolkit.major * 1000 + toolkit.minor * 10 >= firstRelease) {
      if (!ptx)
        return toolkit;
      if (!best || isBetter(toolkit, *best, firstRelease / 1000))
        best = toolkit;
    }
    found += (found.empty() ? "" : ", ") + toolkit.ptxas() + " (" + groups[1].str() + "." +
             groups[2].str() + ")";
  }
  if (best)
    return *best;
  std::string wheel = chip.name == "sm_110" ? "nvidia-cuda-nvcc" : "nvidia-cuda-nvcc-cu12";
  std::string where = cudaPath.empty() ? "" : (" in '" + cudaPath + "'").str();
  return createStringError(
      "no ptxas for " + chip.name + where +
      (found.empty() ? std::string() : "; what was found is of another release: " + found) +
      "; install a CUDA Toolkit and name it with --cuda-path, or the Python package " + wheel +
      "; PTX needs none (format=ptx)");
}

std::vector<KernelUsage> elfatt::target::parseUsage(StringRef output) {
  std::vector<KernelUsage> kernels;
  SmallVector<StringRef> lines, groups;
  output.split(lines, '\n');
  Regex entry("Compiling entry function '([^']+)'");
  Regex spills("([0-9]+) bytes spill stores, ([0-9]+) bytes spill loads");
  Regex registers("Used ([0-9]+) registers");
  Regex shared("([0-9]+) bytes smem");
  for (StringRef line : lines) {
    if (entry.match(line, &groups))
      kernels.emplace_back().name = groups[1].str();
    if (kernels.empty())
      continue;
    KernelUsage &kernel = kernels.back();
    if (spills.match(line, &groups)) {
      groups[1].getAsInteger(10, kernel.spillStoreBytes);
      groups[2].getAsInteger(10, kernel.spillLoadBytes);
    }
    if (registers.match(line, &groups))
      groups[1].getAsInteger(10, kernel.registers);
    if (shared.match(line, &groups))
      groups[1].getAsInteger(10, kernel.sharedBytes);
  }
  return kernels;
}

int64_t elfatt::target::getRegistersOfFewerBlocks(const Chip &chip, int64_t threads,
                                                  int64_t registers) {
  const int64_t blocks = getBlocksPerSM(chip, {threads, registers, /*sharedBytes=*/0});
  return getMostRegisters(chip, divideCeil(threads, 32), std::max<int64_t>(blocks - 1, 1));
}

Expected<std::vector<KernelUsage>> elfatt::target::assemble(const Toolkit &toolkit,
                                                            const Chip &chip, StringRef ptx,
                                                            std::string *cubin) {
  Expected<TemporaryFile> input = TemporaryFile::create("ptx", ptx);
  if (!input)
    return input.takeError();
  Expected<TemporaryFile> output = TemporaryFile::create("cubin");
  if (!output)
    return output.takeError();
  std::string arch = ("-arch=" + chip.name).str();
  Expected<ToolOutput> result =
      runTool(toolkit.ptxas(), {"-v", arch, input->getPath(), "-o", output->getPath()});
  if (!result)
    return result.takeError();
  if (result->status != 0)
    return createStringError("ptxas of CUDA " + Twine(toolkit.major) + "." + Twine(toolkit.minor) +
                             " refused a kernel for " + chip.name + ": " +
                             StringRef(result->text).trim());
  if (cubin) {
    Expected<std::string> bytes = output->read();
    if (!bytes)
      return bytes.takeError();
    *cubin = std::move(*bytes);
  }
  return parseUsage(result->text);
}

Expected<std::string> elfatt::target::makeFatbin(const Toolkit &toolkit, const Chip &chip,
                                                 StringRef ptx, StringRef cubin) {
  if (toolkit.fatbinary.empty())
    return createStringError("a fatbin needs fatbinary, which was not found beside '" +
                             toolkit.ptxas() +
                             "' or elsewhere; install a CUDA Toolkit and name it with --cuda-path, "
                             "or the Python package nvidia-cuda-nvcc, or use cubin and PTX");
  Expected<TemporaryFile> elf = TemporaryFile::create("cubin", cubin);
  if (!elf)
    return elf.takeError();
  Expected<TemporaryFile> text = TemporaryFile::create("ptx", ptx);
  if (!text)
    return text.takeError();
  Expected<TemporaryFile> output = TemporaryFile::create("fatbin");
  if (!output)
    return output.takeError();
  std::string sm = chip.name.drop_front(3).str();
  std::string elfImage = "--image3=kind=elf,sm=" + sm + ",file=" + elf->getPath().str();
  std::string ptxImage = "--image3=kind=ptx,sm=" + sm + ",file=" + text->getPath().str();
  std::string create = "--create=" + output->getPath().str();
  // What newer releases compress with, older drivers do not read.
  Expected<ToolOutput> result =
      runTool(toolkit.fatbinary, {"-64", "--compress=false", elfImage, ptxImage, create});
  if (!result)
    return result.takeError();
  if (result->status != 0)
    return createStringError("fatbinary failed: " + StringRef(result->text).trim());
  return output->read();
}
