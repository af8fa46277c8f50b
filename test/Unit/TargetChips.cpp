// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Target/Chip.h"
#include "elfatt/Target/Ptxas.h"

#include "gtest/gtest.h"

using namespace elfatt::target;

namespace {
const Chip &chip(llvm::StringRef name) {
  llvm::Expected<const Chip *> found = findChip(name);
  EXPECT_TRUE(static_cast<bool>(found)) << name.str();
  return **found;
}

std::string messageOf(llvm::Error error) { return llvm::toString(std::move(error)); }

std::string ptx(llvm::StringRef name, llvm::StringRef cuda) {
  llvm::Expected<PtxVersion> version = getPtxVersion(chip(name), cuda);
  return version ? version->str() : messageOf(version.takeError());
}

TEST(TargetChips, HasEveryBoardOfTheProject) {
  for (const char *name : {"sm_53", "sm_72", "sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90",
                           "sm_100", "sm_103", "sm_110", "sm_120", "sm_121"})
    EXPECT_EQ(chip(name).name.str(), name);
  EXPECT_EQ(getChips().size(), 13u);
}

TEST(TargetChips, UnknownChipListsKnownOnes) {
  llvm::Expected<const Chip *> found = findChip("sm_88");
  ASSERT_FALSE(static_cast<bool>(found));
  std::string message = messageOf(found.takeError());
  EXPECT_NE(message.find("unknown chip 'sm_88', expected one of sm_53, "), std::string::npos);
  EXPECT_NE(message.find("sm_121"), std::string::npos);
}

TEST(TargetChips, EveryDefaultDriverKnowsItsChip) {
  for (const Chip &c : getChips()) {
    llvm::Expected<PtxVersion> version = getPtxVersion(c, "");
    ASSERT_TRUE(static_cast<bool>(version)) << c.name.str();
    EXPECT_GE(*version, c.minPtx) << c.name.str();
  }
}

TEST(TargetChips, LimitsAreConsistent) {
  for (const Chip &c : getChips()) {
    EXPECT_LE(c.sharedPerBlock, c.sharedPerSM);
    EXPECT_GE(c.sharedPerBlock, kStaticSharedPerBlock);
    EXPECT_LE(c.registersPerBlock, c.registersPerSM);
    EXPECT_EQ(c.bf16, c.f16 == Mma::M16N8K16) << "bf16 came with m16n8k16";
  }
}

TEST(TargetChips, PtxFollowsTheDriver) {
  EXPECT_EQ(ptx("sm_87", ""), "7.4");
  EXPECT_EQ(ptx("sm_87", "12.6"), "8.5");
  EXPECT_EQ(ptx("sm_53", "10.2"), "6.5");
  EXPECT_EQ(ptx("sm_110", ""), "9.0");
  EXPECT_EQ(getPtxVersion(chip("sm_87"), "12.6")->feature(), "+ptx85");
}

TEST(TargetChips, DriverTooOldForTheChip) {
  EXPECT_EQ(ptx("sm_90", "11.4"),
            "sm_90 needs PTX 7.8, but drivers of CUDA 11.4 load PTX up to 7.4");
  EXPECT_EQ(ptx("sm_80", "9.9"),
            "unknown CUDA release '9.9', expected one of 10.2, 11.4, 12.6, 13.0");
}

TEST(TargetPtxas, ReleasesKnowTheirChips) {
  EXPECT_TRUE(knowsChip(12, 9, chip("sm_53")));
  EXPECT_FALSE(knowsChip(13, 0, chip("sm_72")));
  EXPECT_FALSE(knowsChip(12, 9, chip("sm_110")));
  EXPECT_TRUE(knowsChip(13, 0, chip("sm_110")));
  EXPECT_TRUE(knowsChip(12, 9, chip("sm_120")));
  EXPECT_TRUE(knowsChip(11, 4, chip("sm_87")));
  EXPECT_FALSE(knowsChip(11, 4, chip("sm_90")));
}

TEST(TargetPtxas, MissingToolkitSaysWhatToDo) {
  llvm::Expected<Toolkit> toolkit = findToolkit(chip("sm_87"), "/nonexistent");
  ASSERT_FALSE(static_cast<bool>(toolkit));
  std::string message = messageOf(toolkit.takeError());
  EXPECT_NE(message.find("no ptxas for sm_87 in '/nonexistent'"), std::string::npos);
  EXPECT_NE(message.find("nvidia-cuda-nvcc-cu12"), std::string::npos);
  EXPECT_NE(message.find("format=ptx"), std::string::npos);
}

TEST(TargetPtxas, ParsesUsage) {
  std::vector<KernelUsage> kernels = parseUsage(R"(
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'main_1' for 'sm_87'
ptxas info    : Function properties for main_1
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 75 registers, used 1 barriers, 9216 bytes smem, 384 bytes cmem[0]
ptxas info    : Compiling entry function 'main_0' for 'sm_87'
ptxas info    : Function properties for main_0
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 110 registers
)");
  ASSERT_EQ(kernels.size(), 2u);
  EXPECT_EQ(kernels[0].name, "main_1");
  EXPECT_EQ(kernels[0].registers, 75);
  EXPECT_EQ(kernels[0].sharedBytes, 9216);
  EXPECT_EQ(kernels[0].spillStoreBytes, 8);
  EXPECT_EQ(kernels[0].spillLoadBytes, 12);
  EXPECT_EQ(kernels[1].registers, 110);
  EXPECT_EQ(kernels[1].sharedBytes, 0);
}
} // namespace
