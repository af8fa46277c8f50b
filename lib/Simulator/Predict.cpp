// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A roofline: no overlap is lost, no latency shows. It says which resource a kernel cannot get
// below, and which of two kernels is better; not how long one takes.
#include "elfatt/Simulator/Simulator.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>

using namespace elfatt::sim;

/// Bytes of L2 that an SM reads in a clock (Nsight Compute, "Memory Tables": two sectors).
static constexpr double kL2BytesPerClock = 64;

Prediction elfatt::sim::predict(const target::Chip &chip, const LaunchCounts &counts) {
  const target::Board &board = chip.reference;
  // The SM with the most blocks is the last: a grid that does not divide leaves others idle.
  double SMs = board.SMs, blocks = std::max<double>(counts.blocks, 1);
  double perSM = std::ceil(blocks / SMs) * SMs / blocks;
  double clocksPerUs = SMs * board.clockGHz * 1e3 / perSM;
  auto clocks = [&](double work, double rate) { return work / rate / clocksPerUs; };
  double tensor = 0;
  const int64_t rates[] = {board.tensorF16, board.tensorF16F16, board.tensorTF32, board.tensorS8};
  for (auto [operations, rate] : llvm::zip_equal(counts.tensorOps, rates))
    if (operations && rate)
      tensor += clocks(operations, rate);
  Prediction result;
  double bytes = counts.dramRead + counts.dramWritten;
  result.terms = {
      {"bytes", bytes / (board.bandwidthGBs * 1e3 * getCopyFraction(chip))},
      {"l2", clocks(counts.globalRead + counts.globalWritten, kL2BytesPerClock)},
      {"shared", clocks(counts.sharedWavefronts, 1)},
      {"tensor", tensor},
      {"ex2", clocks(counts.exp2 + counts.special, board.exp2)},
      {"fma", clocks(counts.floats * 32.0, board.fma)},
      {"issue", clocks(counts.issueSlots, target::kSchedulersPerSM)},
  };
  auto largest = llvm::max_element(
      result.terms, [](const auto &a, const auto &b) { return a.second < b.second; });
  result.us = largest->second;
  result.limitedBy = largest->first;
  return result;
}
