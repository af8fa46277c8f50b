// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sources. Shared memory, registers, warps and blocks: CUDA C++ Programming
// Guide, "Technical Specifications per Compute Capability". First PTX version of
// a chip: PTX ISA manual, "Release Notes" table. Products: PTX ISA manual,
// "mma", target ISA notes. PTX version of a CUDA release: PTX ISA manual,
// "PTX ISA Version and Corresponding CUDA Release". Drivers of boards: NVIDIA's
// JetPack release notes (4.6: CUDA 10.2; 5: 11.4; 6: 12.2 to 12.6; 7: 13.0).
//
// Reference boards: docs/Chips.md names the source of each figure. Tensor rates are
// what data sheets give for dense products, by SMs and boost clock.
#include "elfatt/Target/Chip.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;
using namespace elfatt::target;

namespace {
constexpr int64_t kKiB = 1024;

// clang-format off
constexpr Chip kChips[] = {
  // name     board                      min PTX default  shared/SM  /block     regs/SM  /block  warps blocks f16            bf16   cp.async
  //         the reference: name, SMs, GHz, GB/s, L2, fma, exp2, tensor f16, f16 sums, tf32, s8
  {"sm_53",  "Jetson Nano",              {4, 2}, "10.2",  64 * kKiB,  48 * kKiB, 65536, 32768, 64, 32, Mma::None,     false, false,
   {"Jetson Nano 4GB", 1, 0.9216, 25.6, 256 * kKiB, 128, 32, 0, 0, 0, 0}},
  {"sm_72",  "Jetson Xavier",            {6, 1}, "10.2",  96 * kKiB,  96 * kKiB, 65536, 65536, 64, 32, Mma::M8N8K4,   false, false,
   {"Jetson AGX Xavier 32GB", 8, 1.377, 136.5, 512 * kKiB, 64, 16, 1024, 1024, 0, 2048}},
  {"sm_75",  "Turing, T4",               {6, 3}, "10.2",  64 * kKiB,  64 * kKiB, 65536, 65536, 32, 16, Mma::M16N8K8,  false, false,
   {"T4", 40, 1.59, 320, 4096 * kKiB, 64, 16, 1024, 1024, 0, 2048}},
  {"sm_80",  "A100",                     {7, 0}, "11.4", 164 * kKiB, 163 * kKiB, 65536, 65536, 64, 32, Mma::M16N8K16, true,  true,
   {"A100 SXM4 40GB", 108, 1.41, 1555, 40960 * kKiB, 64, 16, 2048, 2048, 1024, 4096}},
  {"sm_86",  "GeForce RTX 30",           {7, 1}, "11.4", 100 * kKiB,  99 * kKiB, 65536, 65536, 48, 16, Mma::M16N8K16, true,  true,
   {"GeForce RTX 3090", 82, 1.695, 936, 6144 * kKiB, 128, 16, 512, 1024, 256, 2048}},
  {"sm_87",  "Jetson Orin",              {7, 4}, "11.4", 164 * kKiB, 163 * kKiB, 65536, 65536, 48, 16, Mma::M16N8K16, true,  true,
   {"Jetson AGX Orin 64GB", 16, 1.3, 204.8, 4096 * kKiB, 128, 16, 2048, 2048, 1024, 4096}},
  {"sm_89",  "GeForce RTX 40, L4",       {7, 8}, "12.6", 100 * kKiB,  99 * kKiB, 65536, 65536, 48, 24, Mma::M16N8K16, true,  true,
   {"GeForce RTX 4090", 128, 2.52, 1008, 73728 * kKiB, 128, 16, 512, 1024, 256, 2048}},
  {"sm_90",  "H100, H200",               {7, 8}, "12.6", 228 * kKiB, 227 * kKiB, 65536, 65536, 64, 32, Mma::M16N8K16, true,  true,
   {"H100 SXM5 80GB", 132, 1.755, 3352, 51200 * kKiB, 128, 16, 4096, 4096, 2048, 8192}},
  {"sm_100", "B200",                     {8, 6}, "13.0", 228 * kKiB, 227 * kKiB, 65536, 65536, 64, 32, Mma::M16N8K16, true,  true,
   {"B200", 148, 1.85, 7700, 129024 * kKiB, 128, 16, 8192, 8192, 4096, 16384}},
  {"sm_103", "B300",                     {8, 8}, "13.0", 228 * kKiB, 227 * kKiB, 65536, 65536, 64, 32, Mma::M16N8K16, true,  true,
   {"B300", 148, 1.92, 7700, 129024 * kKiB, 128, 32, 8192, 8192, 4096, 512}},
  {"sm_110", "Jetson Thor",              {9, 0}, "13.0", 228 * kKiB, 227 * kKiB, 65536, 65536, 48, 24, Mma::M16N8K16, true,  true,
   {"Jetson AGX Thor", 20, 1.575, 273, 32768 * kKiB, 128, 16, 8192, 8192, 4096, 16384}},
  {"sm_120", "GeForce RTX 50",           {8, 7}, "13.0", 100 * kKiB,  99 * kKiB, 65536, 65536, 48, 24, Mma::M16N8K16, true,  true,
   {"GeForce RTX 5090", 170, 2.407, 1792, 98304 * kKiB, 128, 16, 512, 1024, 256, 2048}},
  {"sm_121", "DGX Spark",                {8, 8}, "13.0", 100 * kKiB,  99 * kKiB, 65536, 65536, 48, 24, Mma::M16N8K16, true,  true,
   {"DGX Spark", 48, 2.525, 273, 24576 * kKiB, 128, 16, 512, 1024, 256, 2048}},
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

int Chip::version() const {
  int number = 0;
  StringRef(name).drop_front(3).getAsInteger(10, number);
  return number;
}

Error elfatt::target::checkTF32(const Chip &chip) {
  if (chip.version() >= 80)
    return Error::success();
  return createStringError(chip.name + " multiplies no tf32, expected sm_80 or newer");
}

Expected<ChipTarget> elfatt::target::parseChipTarget(StringRef text) {
  SmallVector<StringRef> parts;
  text.split(parts, ':');
  Expected<const Chip *> chip = findChip(parts.front());
  if (!chip)
    return chip.takeError();
  ChipTarget target{*chip, "", {}};
  for (StringRef part : ArrayRef(parts).drop_front()) {
    StringRef cuda = part;
    if (part == "tf32" && !target.tf32)
      target.tf32 = true;
    else if (cuda.consume_front("cuda=") && !cuda.empty() && target.cuda.empty())
      target.cuda = cuda.str();
    else
      return createStringError("expected cuda=RELEASE or tf32 after the chip, got '" + part + "'");
  }
  if (target.tf32)
    if (Error error = checkTF32(**chip))
      return std::move(error);
  Expected<PtxVersion> ptx = getPtxVersion(**chip, target.cuda);
  if (!ptx)
    return ptx.takeError();
  target.ptx = *ptx;
  return target;
}

double elfatt::target::getCopyFraction(const Chip &chip) {
  // Boards share their memory with the CPU; it is LPDDR.
  return chip.reference.bandwidthGBs < 300 ? 0.85 : 0.9;
}

std::optional<PtxVersion> elfatt::target::parsePtxFeature(StringRef features) {
  SmallVector<StringRef> parts;
  features.split(parts, ',');
  for (StringRef part : parts) {
    StringRef digits = part.trim();
    int number = 0;
    if (digits.consume_front("+ptx") && !digits.getAsInteger(10, number))
      return PtxVersion{number / 10, number % 10};
  }
  return std::nullopt;
}

Error elfatt::target::checkPtxVersion(const Chip &chip, PtxVersion ptx) {
  if (ptx < chip.minPtx)
    return createStringError(chip.name + " needs PTX " + chip.minPtx.str() + ", got " + ptx.str());
  PtxVersion newest = std::end(kCudaReleases)[-1].ptx;
  if (ptx > newest)
    return createStringError("expected PTX " + newest.str() + " or older, got " + ptx.str());
  return Error::success();
}

/// CUDA C++ Programming Guide, "Multiprocessor Level"; registers go to warps in granules.
int64_t elfatt::target::getBlocksPerSM(const Chip &chip, const BlockUsage &usage) {
  int64_t warps = divideCeil(std::max<int64_t>(usage.threads, 1), 32);
  int64_t blocks = std::min(chip.blocksPerSM, chip.warpsPerSM / warps);
  if (usage.sharedBytes > chip.sharedPerBlock || usage.threads > kThreadsPerBlock)
    return 0;
  int64_t reserved = chip.version() >= 80 ? kReservedSharedPerBlock : 0;
  if (int64_t shared = usage.sharedBytes + reserved)
    blocks = std::min(blocks, chip.sharedPerSM / shared);
  if (usage.registersPerThread) {
    int64_t perWarp = alignTo(usage.registersPerThread * 32, kRegisterGranule);
    if (perWarp * alignTo(warps, kSchedulersPerSM) > chip.registersPerBlock)
      return 0;
    int64_t ofScheduler = chip.registersPerSM / kSchedulersPerSM / perWarp;
    blocks = std::min(blocks, ofScheduler * kSchedulersPerSM / warps);
  }
  return blocks;
}

int64_t elfatt::target::getMostRegisters(const Chip &chip, int64_t warps, int64_t blocks) {
  // They come in eights: 256 of them are a granule's 32 times 8.
  auto ofThread = [](int64_t registers, int64_t warpsOfScheduler) {
    return registers / kSchedulersPerSM / (warpsOfScheduler * kRegisterGranule) *
           (kRegisterGranule / 32);
  };
  return std::min({ofThread(chip.registersPerBlock, divideCeil(warps, kSchedulersPerSM)),
                   ofThread(chip.registersPerSM, divideCeil(warps * blocks, kSchedulersPerSM)),
                   kRegistersPerThread});
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
