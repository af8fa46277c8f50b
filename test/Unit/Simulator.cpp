// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The simulator against values worked out by hand from the PTX ISA manual.
#include "elfatt/Simulator/Simulator.h"

#include "../../lib/Simulator/WarpOps.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "gtest/gtest.h"

#include <bit>
#include <cmath>

using namespace elfatt::sim;

namespace {
uint32_t pack(float low, float high) {
  return std::bit_cast<uint16_t>(static_cast<_Float16>(low)) |
         uint32_t(std::bit_cast<uint16_t>(static_cast<_Float16>(high))) << 16;
}

uint32_t packBF16(float low, float high) {
  return std::bit_cast<uint32_t>(low) >> 16 | (std::bit_cast<uint32_t>(high) & 0xffff0000);
}

/// Loads A (16 x 16), B (16 x 8) and C (16 x 8) into registers as the manual's
/// figures show: a0..a7, b0..b3 and c0..c3 of each thread.
template <typename Pack>
WarpRegisters load(const float (&a)[16][16], const float (&b)[16][8], const float (&c)[16][8],
                   Pack pack) {
  WarpRegisters registers{};
  for (int thread = 0; thread < 32; ++thread) {
    int g = thread / 4, t = thread % 4;
    Registers &r = registers[thread];
    r[0] = pack(a[g][2 * t], a[g][2 * t + 1]);
    r[1] = pack(a[g + 8][2 * t], a[g + 8][2 * t + 1]);
    r[2] = pack(a[g][2 * t + 8], a[g][2 * t + 9]);
    r[3] = pack(a[g + 8][2 * t + 8], a[g + 8][2 * t + 9]);
    r[4] = pack(b[2 * t][g], b[2 * t + 1][g]);
    r[5] = pack(b[2 * t + 8][g], b[2 * t + 9][g]);
    r[6] = std::bit_cast<uint32_t>(c[g][2 * t]);
    r[7] = std::bit_cast<uint32_t>(c[g][2 * t + 1]);
    r[8] = std::bit_cast<uint32_t>(c[g + 8][2 * t]);
    r[9] = std::bit_cast<uint32_t>(c[g + 8][2 * t + 1]);
  }
  return registers;
}

// One element of A and one of B at a time: the product must land at its place
// and nowhere else.
TEST(SimulatorMma, EveryElementIsAtTheManualsPlace) {
  for (bool bf16 : {false, true})
    for (int row = 0; row < 16; ++row)
      for (int k = 0; k < 16; ++k) {
        int column = (3 * row + 5 * k) % 8;
        float a[16][16] = {}, b[16][8] = {}, c[16][8] = {};
        a[row][k] = 2;
        b[k][column] = 3;
        c[row][column] = 1;
        WarpRegisters out{};
        if (bf16)
          execute(WarpOp::MmaBF16, ~0u, load(a, b, c, packBF16), out);
        else
          execute(WarpOp::MmaF16, ~0u, load(a, b, c, pack), out);
        for (int thread = 0; thread < 32; ++thread)
          for (int i = 0; i < 4; ++i) {
            bool here = thread / 4 + (i < 2 ? 0 : 8) == row && 2 * (thread % 4) + i % 2 == column;
            ASSERT_EQ(std::bit_cast<float>(out[thread][i]), here ? 7.0f : 0.0f);
          }
      }
}

TEST(SimulatorShfl, ModesFollowTheManual) {
  auto run = [](WarpOp op, uint32_t b, uint32_t clamp) {
    WarpRegisters in{}, out{};
    for (uint32_t lane = 0; lane < 32; ++lane)
      in[lane] = {~0u, 100 + lane, b, clamp};
    execute(op, ~0u, in, out);
    return out;
  };
  WarpRegisters bfly = run(WarpOp::ShflBfly, 5, 31);
  WarpRegisters idx = run(WarpOp::ShflIdx, 7, 31);
  WarpRegisters up = run(WarpOp::ShflUp, 2, 0);
  WarpRegisters down = run(WarpOp::ShflDown, 2, 31);
  // Segments of 8 lanes: width 8 is clamp 31 - 0 with segment mask 0x18.
  WarpRegisters segment = run(WarpOp::ShflIdx, 1, 0x181f);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(bfly[lane][0], 100 + (lane ^ 5));
    EXPECT_EQ(idx[lane][0], 107u);
    EXPECT_EQ(up[lane][0], lane < 2 ? 100 + lane : 98 + lane);
    EXPECT_EQ(up[lane][1], lane >= 2);
    EXPECT_EQ(down[lane][0], lane < 30 ? 102 + lane : 100 + lane);
    EXPECT_EQ(segment[lane][0], 101 + lane / 8 * 8);
  }
}

std::unique_ptr<Program> compile(llvm::StringRef body, std::string *error = nullptr) {
  auto context = std::make_unique<llvm::LLVMContext>();
  llvm::SMDiagnostic diagnostic;
  std::string text = (R"(
    target triple = "nvptx64-nvidia-cuda"
    @tile = internal addrspace(3) global [64 x float] undef, align 16
    declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
    declare i32 @llvm.nvvm.read.ptx.sreg.ctaid.x()
    declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
    declare i32 @llvm.nvvm.shfl.sync.bfly.i32(i32, i32, i32, i32)
    declare float @llvm.nvvm.ex2.approx.ftz.f32(float)
    declare i32 @llvm.nvvm.vote.ballot.sync(i32, i1)
  )" + body)
                         .str();
  auto module = llvm::parseAssemblyString(text, diagnostic, *context);
  EXPECT_TRUE(module) << diagnostic.getMessage().str();
  auto program = Program::create(std::move(context), std::move(module));
  if (program)
    return std::move(*program);
  std::string message = llvm::toString(program.takeError());
  if (error)
    *error = message;
  else
    ADD_FAILURE() << message;
  return nullptr;
}

/// Thread t writes 10 t to shared memory and reads its neighbour's element.
std::string neighbour(bool withBarrier) {
  return std::string(R"(
    define ptx_kernel void @neighbour(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %mine = getelementptr float, ptr addrspace(3) @tile, i32 %tid
      %x = mul i32 %tid, 10
      %f = sitofp i32 %x to float
      store float %f, ptr addrspace(3) %mine
  )") + (withBarrier ? "call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)" : "") +
         R"(
      %other = xor i32 %tid, 1
      %theirs = getelementptr float, ptr addrspace(3) @tile, i32 %other
      %y = load float, ptr addrspace(3) %theirs
      %to = getelementptr float, ptr %out, i32 %tid
      store float %y, ptr %to
      ret void
    })";
}

TEST(SimulatorBlock, BarrierMakesWritesVisible) {
  std::unique_ptr<Program> program = compile(neighbour(/*withBarrier=*/true));
  float out[64];
  float *pointer = out;
  void *args[] = {&pointer};
  auto counts = program->launch("neighbour", {{2}, {64}, 7}, args);
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  for (int i = 0; i < 64; ++i)
    EXPECT_EQ(out[i], 10.0f * (i ^ 1));
  EXPECT_EQ(counts->blocks, 2u);
  EXPECT_EQ(counts->barriers, 2u);
}

TEST(SimulatorBlock, MissingBarrierReadsPoison) {
  std::unique_ptr<Program> program = compile(neighbour(/*withBarrier=*/false));
  float out[64];
  float *pointer = out;
  void *args[] = {&pointer};
  auto counts = program->launch("neighbour", {{1}, {64}, 7}, args);
  ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
  EXPECT_TRUE(llvm::any_of(out, [](float x) { return std::isnan(x); }));
}

TEST(SimulatorBlock, DivergentCollectiveIsAnError) {
  std::unique_ptr<Program> program = compile(R"(
    define ptx_kernel void @divergent(ptr %out) {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %low = icmp slt i32 %tid, 5
      br i1 %low, label %then, label %end
    then:
      %x = call i32 @llvm.nvvm.shfl.sync.bfly.i32(i32 -1, i32 %tid, i32 1, i32 31)
      store i32 %x, ptr %out
      br label %end
    end:
      ret void
    })");
  int out;
  int *pointer = &out;
  void *args[] = {&pointer};
  auto counts = program->launch("divergent", {{1}, {32}}, args);
  ASSERT_FALSE(static_cast<bool>(counts));
  std::string message = llvm::toString(counts.takeError());
  EXPECT_NE(message.find("kernel 'divergent', block (0, 0, 0): threads do not meet: thread 0 is at "
                         "shfl.sync.bfly in divergent"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find("thread 5 has ended"), std::string::npos) << message;
}

TEST(SimulatorBlock, BarrierThatNotAllReachIsAnError) {
  std::unique_ptr<Program> program = compile(R"(
    define ptx_kernel void @half() {
      %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
      %low = icmp slt i32 %tid, 16
      br i1 %low, label %then, label %end
    then:
      call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
      br label %end
    end:
      ret void
    })");
  auto counts = program->launch("half", {{1}, {32}}, {});
  ASSERT_FALSE(static_cast<bool>(counts));
  EXPECT_NE(llvm::toString(counts.takeError()).find("is at bar.sync in half"), std::string::npos);
}

TEST(SimulatorBlock, Exp2FlushesSubnormals) {
  std::unique_ptr<Program> program = compile(R"(
    define ptx_kernel void @exp2(ptr %x) {
      %v = load float, ptr %x
      %e = call float @llvm.nvvm.ex2.approx.ftz.f32(float %v)
      store float %e, ptr %x
      ret void
    })");
  for (auto [x, expected] : {std::pair{3.0f, 8.0f}, {-INFINITY, 0.0f}, {-140.0f, 0.0f}}) {
    float value = x;
    float *pointer = &value;
    void *args[] = {&pointer};
    auto counts = program->launch("exp2", {{1}, {1}}, args);
    ASSERT_TRUE(static_cast<bool>(counts)) << llvm::toString(counts.takeError());
    EXPECT_EQ(value, expected);
  }
}

TEST(SimulatorProgram, UnknownInstructionIsNamed) {
  std::string error;
  compile(R"(
    define ptx_kernel void @vote() {
      %x = call i32 @llvm.nvvm.vote.ballot.sync(i32 -1, i1 true)
      ret void
    })",
          &error);
  EXPECT_EQ(error, "the simulator does not know llvm.nvvm.vote.ballot.sync (in vote)");
}

TEST(SimulatorProgram, UnknownKernelIsAnError) {
  std::unique_ptr<Program> program = compile("");
  auto counts = program->launch("none", {}, {});
  EXPECT_EQ(llvm::toString(counts.takeError()), "no kernel 'none'");
}
} // namespace
