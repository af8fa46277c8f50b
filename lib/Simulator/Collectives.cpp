// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Collectives.h"

#include <bit>
#include <cstring>

namespace elfatt::sim {

/// PTX ISA, "shfl.sync": the source lane and whether it is in the segment.
static void shuffle(CollectiveKind kind, uint32_t mask, const WarpRegisters &in,
                    WarpRegisters &out) {
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    uint32_t b = in[lane][2] & 31, clamp = in[lane][3] & 31, segment = in[lane][3] >> 8 & 31;
    uint32_t maxLane = (lane & segment) | (clamp & ~segment);
    uint32_t minLane = lane & segment;
    int64_t source = 0;
    bool inside = false;
    switch (kind) {
    case CollectiveKind::ShflUp:
      source = int64_t(lane) - b;
      inside = source >= int64_t(maxLane);
      break;
    case CollectiveKind::ShflDown:
      source = lane + b;
      inside = source <= maxLane;
      break;
    case CollectiveKind::ShflBfly:
      source = lane ^ b;
      inside = source <= maxLane;
      break;
    default:
      source = minLane | (b & ~segment);
      inside = source <= maxLane;
      break;
    }
    if (!inside)
      source = lane;
    out[lane][0] = in[source][1];
    out[lane][1] = inside;
  }
}

/// PTX ISA, "vote.sync": over the lanes of the mask alone.
static void vote(CollectiveKind kind, uint32_t mask, const WarpRegisters &in, WarpRegisters &out) {
  uint32_t ballot = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    ballot |= uint32_t((mask >> lane & 1) && (in[lane][1] & 1)) << lane;
  uint32_t result = ballot;
  if (kind == CollectiveKind::VoteAll)
    result = ballot == mask;
  else if (kind == CollectiveKind::VoteAny)
    result = ballot != 0;
  else if (kind == CollectiveKind::VoteUni)
    result = ballot == 0 || ballot == mask;
  for (Registers &lane : out)
    lane[0] = result;
}

/// PTX ISA, "match.sync": the lanes that hold the same value.
static void match(const Collective &collective, uint32_t mask, const WarpRegisters &in,
                  WarpRegisters &out) {
  auto equal = [&](int a, int b) {
    return in[a][1] == in[b][1] && (!collective.is64Bit || in[a][2] == in[b][2]);
  };
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    uint32_t same = 0;
    for (int other = 0; other < kLanes; ++other)
      same |= uint32_t((mask >> other & 1) && equal(lane, other)) << other;
    bool all = same == mask;
    if (collective.kind == CollectiveKind::MatchAny)
      out[lane][0] = same;
    else
      out[lane] = {all ? mask : 0, all};
  }
}

static uint32_t reduce(ReduxKind kind, uint32_t a, uint32_t b) {
  switch (kind) {
  case ReduxKind::Add:
    return a + b;
  case ReduxKind::Min:
    return std::min(int32_t(a), int32_t(b));
  case ReduxKind::Max:
    return std::max(int32_t(a), int32_t(b));
  case ReduxKind::UMin:
    return std::min(a, b);
  case ReduxKind::UMax:
    return std::max(a, b);
  case ReduxKind::And:
    return a & b;
  case ReduxKind::Or:
    return a | b;
  case ReduxKind::Xor:
    return a ^ b;
  }
  __builtin_unreachable();
}

static void redux(ReduxKind kind, uint32_t mask, const WarpRegisters &in, WarpRegisters &out) {
  int first = std::countr_zero(mask);
  uint32_t result = in[first][0];
  for (int lane = first + 1; lane < kLanes; ++lane)
    if (mask >> lane & 1)
      result = reduce(kind, result, in[lane][0]);
  for (Registers &lane : out)
    lane[0] = result;
}

void execute(const Collective &collective, uint32_t mask, const WarpRegisters &in,
             WarpRegisters &out) {
  switch (collective.kind) {
  case CollectiveKind::ShflIdx:
  case CollectiveKind::ShflBfly:
  case CollectiveKind::ShflUp:
  case CollectiveKind::ShflDown:
    return shuffle(collective.kind, mask, in, out);
  case CollectiveKind::VoteAll:
  case CollectiveKind::VoteAny:
  case CollectiveKind::VoteUni:
  case CollectiveKind::VoteBallot:
    return vote(collective.kind, mask, in, out);
  case CollectiveKind::MatchAny:
  case CollectiveKind::MatchAll:
    return match(collective, mask, in, out);
  case CollectiveKind::Redux:
    return redux(collective.redux, mask, in, out);
  case CollectiveKind::Mma:
    return executeMma(collective, in, out);
  case CollectiveKind::WarpSync:
  case CollectiveKind::LdMatrix:
  case CollectiveKind::StMatrix:
    return;
  }
}

/// PTX ISA, "ldmatrix": thread t holds elements 2 (t % 4) and the next of row t / 4; with
/// .trans, of the transposed matrix.
void executeLdMatrix(const Collective &collective, const std::array<char *, kLanes> &rows,
                     WarpRegisters &out) {
  for (int i = 0; i < collective.matrices; ++i)
    for (int lane = 0; lane < kLanes; ++lane)
      for (int half = 0; half < 2; ++half) {
        int row = lane / 4, column = 2 * (lane % 4) + half;
        if (collective.isTransposed)
          std::swap(row, column);
        uint16_t element;
        std::memcpy(&element, rows[8 * i + row] + 2 * column, 2);
        out[lane][i] = half ? out[lane][i] | uint32_t(element) << 16 : element;
      }
}

void executeStMatrix(const Collective &collective, const std::array<char *, kLanes> &rows,
                     const WarpRegisters &in) {
  for (int i = 0; i < collective.matrices; ++i)
    for (int lane = 0; lane < kLanes; ++lane)
      for (int half = 0; half < 2; ++half) {
        int row = lane / 4, column = 2 * (lane % 4) + half;
        if (collective.isTransposed)
          std::swap(row, column);
        uint16_t element = in[lane][2 + i] >> (16 * half);
        std::memcpy(rows[8 * i + row] + 2 * column, &element, 2);
      }
}

} // namespace elfatt::sim
