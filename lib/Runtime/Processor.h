// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What this machine's processor can do, and how much of it is ours.
#ifndef ELFATT_LIB_RUNTIME_PROCESSOR_H
#define ELFATT_LIB_RUNTIME_PROCESSOR_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace elfatt::runtime {

/// "x86_64" or "aarch64", as in a target triple.
std::string_view getArchitecture();

/// The levels of this processor, the best first: "x86-64-v4-bf16",
/// "x86-64-v4", "x86-64-v3", "x86-64-v2", or "armv8-a".
const std::vector<std::string_view> &getLevels();
bool hasLevel(std::string_view level);

/// The registers of CPUID that tell the levels of x86-64 apart.
struct CpuId {
  uint32_t leaf1c;          ///< leaf 1, ecx
  uint32_t leaf7b;          ///< leaf 7, ebx
  uint32_t leaf71a;         ///< leaf 7, part 1, eax
  uint32_t extended1c;      ///< leaf 0x80000001, ecx
  uint64_t enabledByKernel; ///< XCR0; 0 where it cannot be read
};

/// The level of such a processor, from 1 to 4 (the x86-64 psABI's table).
int getX86Level(const CpuId &id);
/// Whether one of level 4 has AVX512-BF16 too.
bool dotsBF16(const CpuId &id);

/// The cores that the process may use: its affinity, and no more than its
/// cgroup's quota gives time for.
int32_t countUsableCores();

/// The cores that a quota in the kernel's words is worth, rounded up; 0 for no
/// limit. `text` is "max 100000" or "150000 100000": microseconds of each period.
int32_t parseQuota(std::string_view text);

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_PROCESSOR_H
