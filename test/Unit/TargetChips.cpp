// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Target/Chip.h"
#include "elfatt/Target/Instructions.h"
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

TEST(TargetChips, TargetsNameAChipAndADriver) {
  auto parse = [](llvm::StringRef text) {
    llvm::Expected<ChipTarget> target = parseChipTarget(text);
    return target ? target->chip->name.str() + " " + target->cuda + " " + target->ptx.str()
                  : messageOf(target.takeError());
  };
  EXPECT_EQ(parse("sm_87"), "sm_87  7.4");
  EXPECT_EQ(parse("sm_87:cuda=12.6"), "sm_87 12.6 8.5");
  EXPECT_EQ(parse("sm_87:12.6"), "expected cuda=RELEASE or tf32 after the chip, got '12.6'");
  EXPECT_EQ(parse("sm_87:"), "expected cuda=RELEASE or tf32 after the chip, got ''");
  EXPECT_EQ(parse("sm_90:cuda=11.4"), ptx("sm_90", "11.4"));
  EXPECT_EQ(parse("sm_87:tf32:cuda=12.6"), "sm_87 12.6 8.5");
  EXPECT_TRUE(parseChipTarget("sm_87:tf32")->tf32);
  EXPECT_FALSE(parseChipTarget("sm_87:cuda=12.6")->tf32);
  EXPECT_EQ(parse("sm_87:tf32:tf32"), "expected cuda=RELEASE or tf32 after the chip, got 'tf32'");
  EXPECT_EQ(parse("sm_75:tf32"), "sm_75 multiplies no tf32, expected sm_80 or newer");
  EXPECT_NE(parse("sm_88").find("unknown chip 'sm_88'"), std::string::npos);
}

TEST(TargetChips, DriverTooOldForTheChip) {
  EXPECT_EQ(ptx("sm_90", "11.4"),
            "sm_90 needs PTX 7.8, but drivers of CUDA 11.4 load PTX up to 7.4");
  EXPECT_EQ(ptx("sm_80", "9.9"),
            "unknown CUDA release '9.9', expected one of 10.2, 11.4, 12.6, 13.0");
}

/// Tera-operations a second of f16 products with f32 sums, dense, from data sheets.
TEST(TargetBoards, TensorRatesAreThoseOfDataSheets) {
  for (auto [name, expected] : {std::pair("sm_72", 11.0),
                                {"sm_75", 65.0},
                                {"sm_80", 312.0},
                                {"sm_86", 71.0},
                                {"sm_87", 42.5},
                                {"sm_89", 165.2},
                                {"sm_100", 2250.0},
                                {"sm_110", 258.0},
                                {"sm_120", 209.5}}) {
    const Board &board = chip(name).reference;
    double rate = board.SMs * board.clockGHz * board.tensorF16 / 1e3;
    EXPECT_NEAR(rate / expected, 1, 0.03) << name;
  }
  // The clock of the table is the one under load, that of the data sheet 1.83 GHz.
  const Board &h100 = chip("sm_90").reference;
  EXPECT_NEAR(h100.SMs * 1.83 * h100.tensorF16 / 1e3, 989, 5);
}

TEST(TargetBoards, EveryFigureIsThere) {
  for (const Chip &c : getChips()) {
    const Board &board = c.reference;
    EXPECT_GT(board.SMs, 0) << c.name.str();
    EXPECT_TRUE(board.clockGHz > 0.5 && board.clockGHz < 3) << c.name.str();
    EXPECT_TRUE(board.bandwidthGBs > 20 && board.bandwidthGBs < 10000) << c.name.str();
    EXPECT_GE(board.l2Bytes, 256 * 1024) << c.name.str();
    EXPECT_TRUE(board.fma == 64 || board.fma == 128) << c.name.str();
    EXPECT_TRUE(board.exp2 == 16 || board.exp2 == 32) << c.name.str();
    EXPECT_EQ(board.tensorF16 > 0, c.f16 != Mma::None) << c.name.str();
    EXPECT_EQ(board.tensorTF32 > 0, c.bf16) << c.name.str();
    EXPECT_EQ(getCopyFraction(c), board.bandwidthGBs < 300 ? 0.85 : 0.9);
  }
  EXPECT_EQ(chip("sm_103").reference.exp2, 32);
}

// CUDA Occupancy Calculator: A100, 256 threads of 64 registers and 40 KiB of shared memory: four
// blocks by registers, four by shared memory.
TEST(TargetBoards, BlocksPerSM) {
  const Chip &a100 = chip("sm_80");
  EXPECT_EQ(getBlocksPerSM(a100, {256, 64, 40 * 1024}), 4);
  EXPECT_EQ(getBlocksPerSM(a100, {256, 32, 0}), 8);
  EXPECT_EQ(getBlocksPerSM(a100, {256, 0, 0}), 8);
  EXPECT_EQ(getBlocksPerSM(a100, {32, 0, 0}), 32);
  EXPECT_EQ(getBlocksPerSM(a100, {128, 168, 0}), 3);
  EXPECT_EQ(getBlocksPerSM(a100, {128, 0, 163 * 1024}), 1);
  EXPECT_EQ(getBlocksPerSM(a100, {128, 0, 164 * 1024}), 0);
  EXPECT_EQ(getBlocksPerSM(a100, {1024, 128, 0}), 0) << "more registers than a block may have";
  EXPECT_EQ(getBlocksPerSM(chip("sm_86"), {1024, 0, 0}), 1);
  EXPECT_EQ(getBlocksPerSM(chip("sm_75"), {32, 0, 0}), 16);
}

TEST(TargetBoards, SchedulersHaveRegistersOfTheirOwn) {
  // Fourteen warps of 144 registers would be less than all, but three are what a scheduler holds.
  EXPECT_EQ(getBlocksPerSM(chip("sm_87"), {224, 144, 0}), 1);
  EXPECT_EQ(getBlocksPerSM(chip("sm_87"), {224, 128, 0}), 2);
  EXPECT_EQ(getMostRegisters(chip("sm_87"), 7, 2), 128);
  EXPECT_EQ(getMostRegisters(chip("sm_87"), 4, 3), 168);
  EXPECT_EQ(getMostRegisters(chip("sm_87"), 4, 1), 255);
  // A block is refused as if each scheduler had as many of its warps.
  EXPECT_EQ(getBlocksPerSM(chip("sm_53"), {192, 168, 0}), 0);
  EXPECT_EQ(getBlocksPerSM(chip("sm_53"), {192, 128, 0}), 2);
  EXPECT_EQ(getMostRegisters(chip("sm_53"), 6, 1), 128);
  EXPECT_EQ(getMostRegisters(chip("sm_53"), 4, 2), 255);
}

TEST(TargetChips, WrongPairsAreErrors) {
  EXPECT_EQ(messageOf(checkPtxVersion(chip("sm_80"), {6, 5})), "sm_80 needs PTX 7.0, got 6.5");
  EXPECT_EQ(messageOf(checkPtxVersion(chip("sm_87"), {7, 0})), "sm_87 needs PTX 7.4, got 7.0");
  EXPECT_EQ(messageOf(checkPtxVersion(chip("sm_87"), {9, 3})),
            "expected PTX 9.0 or older, got 9.3");
  EXPECT_FALSE(static_cast<bool>(checkPtxVersion(chip("sm_87"), {7, 4})));
  EXPECT_EQ(parsePtxFeature("+ptx74")->str(), "7.4");
  EXPECT_EQ(parsePtxFeature("+sm_80, +ptx80")->str(), "8.0");
  EXPECT_FALSE(parsePtxFeature("").has_value());
  EXPECT_FALSE(parsePtxFeature("+ptxas").has_value());
}

std::string refusal(llvm::StringRef name, PtxVersion version, llvm::StringRef intrinsic) {
  return messageOf(checkIntrinsic(chip(name), version, intrinsic));
}

TEST(TargetInstructions, CachePolicies) {
  auto refused = [](llvm::StringRef name, PtxVersion version, llvm::StringRef text) {
    return messageOf(checkAssembly(chip(name), version, text));
  };
  EXPECT_EQ(refused("sm_87", {7, 4}, kCopyEvictFirst), "");
  EXPECT_EQ(refused("sm_80", {7, 3}, kCopyEvictFirst),
            "sm_80 with PTX 7.3 has no cp.async with a cache policy (it needs PTX 7.4); there is: "
            "cp.async");
  EXPECT_EQ(refused("sm_75", {8, 5}, kCopyEvictFirst),
            "sm_75 with PTX 8.5 has no cp.async with a cache policy (it needs sm_80); there is: "
            "cp.async");
  EXPECT_EQ(refused("sm_53", {6, 5}, kStoreEvictFirst), "");
  EXPECT_TRUE(hasEvictFirst(chip("sm_90"), {8, 0}));
  EXPECT_FALSE(hasEvictFirst(chip("sm_75"), {8, 0}));
}

TEST(TargetInstructions, ProductsOfEachChip) {
  auto count = [](llvm::StringRef name, PtxVersion version) {
    return getMmaShapes(chip(name), version).size();
  };
  EXPECT_EQ(count("sm_53", {6, 5}), 0u);
  EXPECT_EQ(count("sm_72", {6, 5}), 1u);
  EXPECT_EQ(count("sm_75", {6, 5}), 4u);
  EXPECT_EQ(count("sm_75", {6, 4}), 1u) << "m16n8k8 came with PTX 6.5";
  for (const Chip &c : getChips())
    if (c.bf16) {
      EXPECT_EQ(count(c.name, {9, 0}), getMmaShapes().size()) << c.name.str();
    }
}

TEST(TargetInstructions, ProductsAreFoundByName) {
  auto name = [](llvm::StringRef intrinsic) {
    const MmaShape *shape = findMma(intrinsic);
    return shape ? shape->str() : "none";
  };
  EXPECT_EQ(name("llvm.nvvm.mma.m16n8k16.row.col.f32.f32"), "m16n8k16 f16");
  EXPECT_EQ(name("llvm.nvvm.mma.m16n8k16.row.col.bf16"), "m16n8k16 bf16");
  EXPECT_EQ(name("llvm.nvvm.mma.m16n8k4.row.col.tf32"), "m16n8k4 tf32");
  EXPECT_EQ(name("llvm.nvvm.mma.m8n8k4.col.row.f32.f16"), "m8n8k4 f16");
  EXPECT_EQ(name("llvm.nvvm.mma.m16n8k32.row.col.satfinite.u8.s8"), "m16n8k32 u8");
  EXPECT_EQ(name("llvm.nvvm.mma.m16n8k16.row.col.f32.e4m3.e4m3.f32"), "none");
  EXPECT_EQ(name("llvm.nvvm.mma.m8n8k4.row.col.f64"), "none");
  EXPECT_EQ(name("llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3"), "none");
}

TEST(TargetInstructions, WhatAChipLacksIsNamed) {
  EXPECT_EQ(refusal("sm_75", {6, 5}, "llvm.nvvm.mma.m16n8k16.row.col.bf16"),
            "sm_75 with PTX 6.5 has no mma.sync of m16n8k16 bf16 (it needs sm_80); there is: "
            "mma.sync of m8n8k4 f16, m16n8k8 f16, m8n8k16 s8, m8n8k16 u8");
  EXPECT_EQ(refusal("sm_53", {6, 5}, "llvm.nvvm.mma.m8n8k4.row.col.f32.f32"),
            "sm_53 with PTX 6.5 has no mma.sync of m8n8k4 f16 (it needs sm_70); there is: fma");
  EXPECT_EQ(refusal("sm_75", {6, 5}, "llvm.nvvm.cp.async.cg.shared.global.16"),
            "sm_75 with PTX 6.5 has no cp.async (it needs sm_80); there is: a load and a store");
  EXPECT_EQ(refusal("sm_72", {6, 5}, "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3"),
            "sm_72 with PTX 6.5 has no ldmatrix (it needs sm_75); there is: loads from shared "
            "memory");
  EXPECT_EQ(refusal("sm_75", {6, 5}, "llvm.nvvm.ex2.approx.f16"),
            "sm_75 with PTX 6.5 has no ex2 of f16 (it needs PTX 7.0); there is: ex2 of f32");
  EXPECT_EQ(
      refusal("sm_90", {8, 5}, "llvm.nvvm.mma.m8n8k4.row.col.f64")
          .find("'llvm.nvvm.mma.m8n8k4.row.col.f64' is not in the table of products; there is: "),
      0u);
  EXPECT_EQ(refusal("sm_75", {6, 5}, "llvm.nvvm.ex2.approx.ftz.f32"), "");
  EXPECT_EQ(refusal("sm_80", {7, 0}, "llvm.nvvm.cp.async.wait.group"), "");
  EXPECT_EQ(refusal("sm_53", {6, 5}, "llvm.fma.f32"), "");
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

// PTX ISA manual, "Release Notes".
TEST(TargetPtxas, ReleasesReadPtxFromAVersionOn) {
  EXPECT_EQ(getFirstRelease({4, 2}), 7000);
  EXPECT_EQ(getFirstRelease({6, 1}), 9010);
  EXPECT_EQ(getFirstRelease({6, 5}), 10020);
  EXPECT_EQ(getFirstRelease({7, 4}), 11040);
  EXPECT_EQ(getFirstRelease({8, 5}), 12050);
  EXPECT_EQ(getFirstRelease({8, 7}), 12080);
  EXPECT_EQ(getFirstRelease({9, 0}), 13000);
}

TEST(TargetPtxas, CubinsLoadOnDriversOfTheirMajorRelease) {
  Toolkit toolkit;
  toolkit.major = 12;
  toolkit.minor = 9;
  EXPECT_EQ(getOldestDriver(toolkit, chip("sm_87")), 12000);
  EXPECT_EQ(getOldestDriver(toolkit, chip("sm_120")), 12080);
  toolkit.major = 13;
  EXPECT_EQ(getOldestDriver(toolkit, chip("sm_87")), 13000);
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

TEST(TargetPtxas, KernelsThatSpillLeaveRoomForOneBlockLess) {
  // Two blocks of 8 warps have 128 registers a thread, one has all that a thread can have.
  EXPECT_EQ(getRegistersOfFewerBlocks(chip("sm_87"), 256, 128), 255);
  // Four blocks of 4 warps, then three, two and one.
  EXPECT_EQ(getRegistersOfFewerBlocks(chip("sm_87"), 128, 128), 168);
  EXPECT_EQ(getRegistersOfFewerBlocks(chip("sm_87"), 128, 168), 255);
  EXPECT_EQ(getRegistersOfFewerBlocks(chip("sm_87"), 128, 255), 255);
  // Half of sm_53's registers are a block's.
  EXPECT_EQ(getRegistersOfFewerBlocks(chip("sm_53"), 256, 128), 128);
  EXPECT_EQ(getRegistersOfFewerBlocks(chip("sm_53"), 192, 128), 128);
  EXPECT_EQ(getRegistersOfFewerBlocks(chip("sm_53"), 128, 128), 168);
}
} // namespace
