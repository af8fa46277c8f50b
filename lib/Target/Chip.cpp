// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sources. Shared memory, registers, warps and blocks: CUDA C++ Programming
// Guide, "Technical Specifications per Compute Capability". First PTX version of
// a chip: PTX ISA manual, "Release Notes" table. Products: PTX ISA manual,
// "mma", target ISA notes. PTX version of a CUDA release: PTX ISA manual,
// "PTX ISA Version and Corresponding CUDA Release". Drivers of boards: NVIDIA's
// JetPack release notes (4.6: CUDA 10.2; 5: 11.4; 6: 12.2 to 12.6; 7: 13.0).
#include "elfatt/Target/Chip.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

using namespace llvm;
using namespace elfatt::target;

namespace {
constexpr int64_t kKiB = 1024;

// clang-format off
constexpr Chip kChips[] = {
  // name     board                      min PTX default  shared/SM  /block     regs/SM  /block  warps blocks f16            bf16   cp.async
  {"sm_53",  "Jetson Nano",              {4, 2}, "10.2",  64 * kKiB,  48 * kKiB, 65536, 32768, 64, 32, Mma::None,     false, false},
  {"sm_72",  "Jetson Xavier",            {6, 1}, "10.2",  96 * kKiB,  96 * kKiB, 65536, 65536, 64, 32, Mma::M8N8K4,   false, false},
  {"sm_75",  "Turing, T4",               {6, 3}, "10.2",  64 * kKiB,  64 * kKiB, 65536, 65536, 32, 16, Mma::M16N8K8,  false, false},
  {"sm_80",  "A100",                     {7, 0}, "11.4", 164 * kKiB, 163 * kKiB, 65536, 65536, 64, 32, Mma::M16N8K16, true,  true},
  {"sm_86",  "GeForce RTX 30",           {7, 1}, "11.4", 100 * kKiB,  99 * kKiB, 65536, 65536, 48, 16, Mma::M16N8K16, true,  true},
  {"sm_87",  "Jetson Orin",              {7, 4}, "11.4", 164 * kKiB, 163 * kKiB, 65536, 65536, 48, 16, Mma::M16N8K16, true,  true},
  {"sm_89",  "GeForce RTX 40, L4",       {7, 8}, "12.6", 100 * kKiB,  99 * kKiB, 65536, 65536, 48, 24, Mma::M16N8K16, true,  true},
  {"sm_90",  "H100, H200",               {7, 8}, "12.6", 228 * kKiB, 227 * kKiB, 65536, 65536, 64, 32, Mma::M16N8K16, true,  true},
  {"sm_100", "B200",                     {8, 6}, "13.0", 228 * kKiB, 227 * kKiB, 65536, 65536, 64, 32, Mma::M16N8K16, true,  true},
  {"sm_103", "B300",                     {8, 8}, "13.0", 228 * kKiB, 227 * kKiB, 65536, 65536, 64, 32, Mma::M16N8K16, true,  true},
  {"sm_110", "Jetson Thor",              {9, 0}, "13.0", 228 * kKiB, 227 * kKiB, 65536, 65536, 48, 24, Mma::M16N8K16, true,  true},
  {"sm_120", "GeForce RTX 50",           {8, 7}, "13.0", 100 * kKiB,  99 * kKiB, 65536, 65536, 48, 24, Mma::M16N8K16, true,  true},
  {"sm_121", "DGX Spark",                {8, 8}, "13.0", 100 * kKiB,  99 * kKiB, 65536, 65536, 48, 24, Mma::M16N8K16, true,  true},
};
// clang-format on

constexpr CudaRelease kCudaReleases[] = {
    {"10.2", {6, 5}}, {"11.4", {7, 4}}, {"12.6", {8, 5}}, {"13.0", {9, 0}}};
} // namespace

std::string PtxVersion::str() const { return (Twine(major) + "." + Twine(minor)).str(); }

std::string PtxVersion::feature() const { return ("+ptx" + Twine(major) + Twine(minor)).str(); }

ArrayRef<Chip> elfatt::target::getChips() { return kChips; }

ArrayRef<CudaRelease> elfatt::target::getCudaReleases() { return kCudaReleases; }

template <typename T> static std::string listNames(ArrayRef<T> table) {
  return join(map_range(table, [](const T &entry) { return entry.name.str(); }), ", ");
}

Expected<const Chip *> elfatt::target::findChip(StringRef name) {
  for (const Chip &chip : kChips)
    if (name == chip.name)
      return &chip;
  return createStringError("unknown chip '" + name + "', expected one of " + listNames(getChips()));
}

Expected<PtxVersion> elfatt::target::getPtxVersion(const Chip &chip, StringRef cuda) {
  StringRef wanted = cuda.empty() ? StringRef(chip.defaultCuda) : cuda;
  const CudaRelease *release =
      find_if(kCudaReleases, [&](const CudaRelease &r) { return wanted == r.name; });
  if (release == std::end(kCudaReleases))
    return createStringError("unknown CUDA release '" + wanted + "', expected one of " +
                             listNames(getCudaReleases()));
  if (release->ptx < chip.minPtx)
    return createStringError(chip.name + " needs PTX " + chip.minPtx.str() +
                             ", but drivers of CUDA " + wanted + " load PTX up to " +
                             release->ptx.str());
  return release->ptx;
}
