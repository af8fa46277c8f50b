// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// ldmatrix, stmatrix, shuffles, votes, match and redux, from LLVM IR to results, against the
// PTX ISA manual and CUDA's definitions.
#include "SimulatorWarpKernel.h"

#include <functional>

using namespace elfatt::sim;

namespace {
// PTX ISA, "ldmatrix": the address of row r of matrix i comes from thread 8 i + r; thread t
// receives elements 2 (t % 4) and 2 (t % 4) + 1 of row t / 4; with .trans, of column t / 4.
TEST(SimulatorMatrix, LoadsFragments) {
  for (int matrices : {1, 2, 4})
    for (bool transposes : {false, true}) {
      WarpKernel kernel("llvm.nvvm.ldmatrix.sync.aligned.m8n8.x" + std::to_string(matrices) +
                        (transposes ? ".trans" : "") + ".b16.p3");
      // Element (r, c) of matrix i is 256 i + 16 r + c; rows lie in a strange order.
      std::vector<uint32_t> tile(WarpKernel::kTileWords);
      auto *elements = reinterpret_cast<uint16_t *>(tile.data());
      Words in(kLanes);
      for (int row = 0; row < 8 * matrices; ++row) {
        int place = (row * 5 + 3) % 32;
        in[row][0] = place * 16;
        for (int column = 0; column < 8; ++column)
          elements[place * 8 + column] = row / 8 * 256 + row % 8 * 16 + column;
      }
      Words out = kernel.run(in, &tile);
      for (int lane = 0; lane < kLanes; ++lane)
        for (int i = 0; i < matrices; ++i)
          for (int half = 0; half < 2; ++half) {
            int row = lane / 4, column = 2 * (lane % 4) + half;
            int expected = i * 256 + (transposes ? column * 16 + row : row * 16 + column);
            EXPECT_EQ(out[lane][i] >> 16 * half & 0xffff, unsigned(expected))
                << matrices << transposes << " lane " << lane;
          }
    }
}

TEST(SimulatorMatrix, StoresWhatItLoads) {
  for (int matrices : {1, 2, 4})
    for (bool transposes : {false, true}) {
      WarpKernel kernel("llvm.nvvm.stmatrix.sync.aligned.m8n8.x" + std::to_string(matrices) +
                        (transposes ? ".trans" : "") + ".b16.p3");
      std::vector<uint32_t> tile(WarpKernel::kTileWords);
      Words in(kLanes);
      for (int lane = 0; lane < kLanes; ++lane) {
        in[lane][0] = lane < 8 * matrices ? lane * 16 : 0;
        for (int i = 0; i < matrices; ++i) {
          uint32_t first = i * 256 + lane / 4 * 16 + 2 * (lane % 4);
          in[lane][1 + i] = first | (first + 1) << 16;
        }
      }
      kernel.run(in, &tile);
      auto *elements = reinterpret_cast<uint16_t *>(tile.data());
      for (int i = 0; i < matrices; ++i)
        for (int row = 0; row < 8; ++row)
          for (int column = 0; column < 8; ++column)
            EXPECT_EQ(elements[(i * 8 + row) * 8 + column],
                      i * 256 + (transposes ? column * 16 + row : row * 16 + column));
    }
}

// PTX ISA, "shfl.sync": operands are mask, value, lane, and clamp with the segments' mask.
TEST(SimulatorShuffle, AllModesInAllSegments) {
  struct Mode {
    std::string name;
    std::function<int(int lane, int by)> source;
    bool isUp;
  };
  for (const Mode &mode : {Mode{"idx", [](int lane, int by) { return by; }, false},
                           Mode{"bfly", [](int lane, int by) { return lane ^ by; }, false},
                           Mode{"down", [](int lane, int by) { return lane + by; }, false},
                           Mode{"up", [](int lane, int by) { return lane - by; }, true}})
    for (int width : {4, 16, 32})
      for (int by : {0, 1, 3, 7, 31}) {
        WarpKernel kernel("llvm.nvvm.shfl.sync." + mode.name + ".i32p");
        Words in(kLanes);
        for (int lane = 0; lane < kLanes; ++lane)
          in[lane] = {~0u, uint32_t(100 + lane), uint32_t(by),
                      uint32_t((32 - width) << 8 | (mode.isUp ? 0 : 31))};
        Words out = kernel.run(in);
        // In CUDA's terms: lanes inside of a segment of `width`, their own value outside of it.
        for (int lane = 0; lane < kLanes; ++lane) {
          int segment = lane / width * width;
          int source = mode.name == "idx" ? segment + by % width : mode.source(lane, by);
          bool inside = mode.isUp ? source >= segment : source < segment + width;
          if (mode.name == "bfly")
            inside = source < segment + width;
          EXPECT_EQ(out[lane][0], uint32_t(100 + (inside ? source : lane)))
              << mode.name << " by " << by << " width " << width << " lane " << lane;
          EXPECT_EQ(out[lane][1], uint32_t(inside));
        }
      }
}

TEST(SimulatorVote, AllKinds) {
  for (uint32_t set : {0u, ~0u, 0x00010000u, 0x0f0f0f0fu})
    for (auto [name, expected] : {std::pair("all", uint32_t(set == ~0u)),
                                  {"any", uint32_t(set != 0)},
                                  {"uni", uint32_t(set == 0 || set == ~0u)},
                                  {"ballot", set}}) {
      WarpKernel kernel(std::string("llvm.nvvm.vote.") + name + ".sync");
      Words in(kLanes);
      for (int lane = 0; lane < kLanes; ++lane)
        in[lane] = {~0u, set >> lane & 1};
      Words out = kernel.run(in);
      for (int lane = 0; lane < kLanes; ++lane)
        EXPECT_EQ(out[lane][0], expected) << name << " " << set;
    }
}

TEST(SimulatorVote, Match) {
  Words in(kLanes);
  for (int lane = 0; lane < kLanes; ++lane)
    in[lane] = {~0u, uint32_t(lane % 3), uint32_t(lane % 2)};
  for (bool is64 : {false, true}) {
    WarpKernel any(std::string("llvm.nvvm.match.any.sync.") + (is64 ? "i64" : "i32"));
    Words out = any.run(in);
    for (int lane = 0; lane < kLanes; ++lane)
      for (int other = 0; other < kLanes; ++other)
        EXPECT_EQ(out[lane][0] >> other & 1,
                  uint32_t(lane % 3 == other % 3 && (!is64 || lane % 2 == other % 2)));
  }
  WarpKernel all("llvm.nvvm.match.all.sync.i32p");
  EXPECT_EQ(all.run(in)[0][1], 0u);
  for (auto &lane : in)
    lane[1] = 7;
  EXPECT_EQ(all.run(in)[9][0], ~0u);
  EXPECT_EQ(all.run(in)[9][1], 1u);
}

TEST(SimulatorRedux, AllKinds) {
  Words in(kLanes);
  for (int lane = 0; lane < kLanes; ++lane)
    in[lane] = {uint32_t(lane * 3 - 40), ~0u};
  uint32_t exclusive = 0;
  for (auto &lane : in)
    exclusive ^= lane[0];
  for (auto [name, expected] : {std::pair("add", uint32_t(3 * 31 * 16 - 40 * 32)),
                                {"min", uint32_t(-40)},
                                {"max", 53u},
                                {"umin", 2u},
                                {"umax", uint32_t(-1)},
                                {"and", 0u},
                                {"or", ~0u},
                                {"xor", exclusive}}) {
    WarpKernel kernel(std::string("llvm.nvvm.redux.sync.") + name);
    EXPECT_EQ(kernel.run(in)[17][0], expected) << name;
  }
}
} // namespace
