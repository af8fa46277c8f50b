// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Processor.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sched.h>
#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace elfatt::runtime {
namespace {

constexpr bool hasAll(uint64_t bits, uint64_t wanted) { return (bits & wanted) == wanted; }

#if defined(__x86_64__)
CpuId readCpuId() {
  CpuId id{};
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d))
    id.leaf1c = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
    id.leaf7b = b;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
    id.leaf71a = a;
  if (__get_cpuid(0x80000001, &a, &b, &c, &d))
    id.extended1c = c;
  // Whether the kernel keeps the wide registers; bit 27 says that we may ask.
  if (id.leaf1c & (1u << 27)) {
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    id.enabledByKernel = uint64_t(high) << 32 | low;
  }
  return id;
}
#endif

std::vector<std::string_view> findLevels() {
#if defined(__x86_64__)
  constexpr std::string_view names[] = {"x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"};
  std::vector<std::string_view> levels;
  const CpuId id = readCpuId();
  if (dotsBF16(id))
    levels.push_back("x86-64-v4-bf16");
  for (int level = getX86Level(id); level > 0; --level)
    levels.push_back(names[level - 1]);
  return levels;
#elif defined(__aarch64__)
  return {"armv8-a"};
#else
  return {};
#endif
}

/// The first line of a file; empty where there is none.
std::string readLine(const std::string &path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The smallest quota of the groups from `path` up to the root of `mount`.
int32_t findQuota(const std::string &mount, std::string path, bool isVersion2) {
  int32_t smallest = 0;
  while (true) {
    std::string folder = mount + path + "/";
    std::string text = isVersion2 ? readLine(folder + "cpu.max")
                                  : readLine(folder + "cpu.cfs_quota_us") + " " +
                                        readLine(folder + "cpu.cfs_period_us");
    if (int32_t quota = parseQuota(text); quota > 0)
      smallest = smallest == 0 ? quota : std::min(smallest, quota);
    size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos)
      return smallest;
    path.resize(slash);
  }
}

int32_t getCgroupQuota() {
  std::ifstream groups("/proc/self/cgroup");
  // Lines are "0::/path" (version 2) or "4:cpu,cpuacct:/path".
  for (std::string line; std::getline(groups, line);) {
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos)
      continue;
    std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    std::string path = line.substr(second + 1);
    int32_t quota = 0;
    if (controllers == ",,")
      quota = findQuota("/sys/fs/cgroup", path, true);
    else if (controllers.find(",cpu,") != std::string::npos)
      quota = findQuota("/sys/fs/cgroup/cpu", path, false);
    if (quota > 0)
      return quota;
  }
  return 0;
}

} // namespace

std::string_view getArchitecture() {
#if defined(__x86_64__)
  return "x86_64";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "unknown";
#endif
}

int getX86Level(const CpuId &id) {
  // SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; LAHF.
  constexpr uint32_t v2 = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23;
  if (!hasAll(id.leaf1c, v2) || !(id.extended1c & 1u))
    return 1;
  // FMA, MOVBE, OSXSAVE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT; XMM and YMM kept.
  constexpr uint32_t v3 = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29;
  if (!hasAll(id.leaf1c, v3) || !hasAll(id.leaf7b, 1u << 3 | 1u << 5 | 1u << 8) ||
      !(id.extended1c & 1u << 5) || !hasAll(id.enabledByKernel, 0x6))
    return 2;
  // AVX-512 F, DQ, CD, BW, VL; ZMM and mask registers kept.
  constexpr uint32_t v4 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
  return hasAll(id.leaf7b, v4) && hasAll(id.enabledByKernel, 0xe6) ? 4 : 3;
}

bool dotsBF16(const CpuId &id) { return getX86Level(id) == 4 && hasAll(id.leaf71a, 1u << 5); }

const std::vector<std::string_view> &getLevels() {
  static const std::vector<std::string_view> levels = findLevels();
  return levels;
}

bool hasLevel(std::string_view level) {
  return std::find(getLevels().begin(), getLevels().end(), level) != getLevels().end();
}

int32_t parseQuota(std::string_view text) {
  std::string line(text);
  char *end = nullptr;
  long long quota = std::strtoll(line.c_str(), &end, 10);
  // "max", and "-1" in version 1, mean no limit.
  if (end == line.c_str() || quota <= 0)
    return 0;
  long long period = std::strtoll(end, nullptr, 10);
  if (period <= 0)
    return 0;
  return static_cast<int32_t>(std::min(quota / period + (quota % period != 0), 65536ll));
}

int32_t countUsableCores() {
  int32_t cores = std::max(1u, std::thread::hardware_concurrency());
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0)
    cores = std::max(1, CPU_COUNT(&set));
  int32_t quota = getCgroupQuota();
  return quota > 0 ? std::min(cores, quota) : cores;
}

} // namespace elfatt::runtime
