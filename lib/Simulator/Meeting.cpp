// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where threads meet: collective instructions of a warp, barriers of a block.
#include "Block.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/ErrorHandling.h"

#include <bit>

using namespace llvm;
using namespace elfatt::sim;

void Block::collective(uint32_t site, const uint32_t *in, uint32_t *out) {
  Thread &thread = threads[running];
  thread.site = site;
  thread.in = in;
  thread.out = out;
  size_t lane = running % kLanes;
  if (!(maskOf(thread) >> lane & 1))
    fail(site, " has a mask that leaves the thread out");
  wait(State::Collective, site);
}

uint32_t Block::maskOf(const Thread &thread) const {
  int operand = sites[thread.site].collective.maskOperand;
  return operand < 0 ? ~0u : thread.in[operand];
}

bool Block::canMeet(size_t first, uint32_t mask, uint32_t site) const {
  for (size_t lane = 0; lane < kLanes; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    if (first + lane >= threads.size())
      return false;
    const Thread &thread = threads[first + lane];
    if (thread.state != State::Collective || thread.site != site || maskOf(thread) != mask)
      return false;
  }
  return true;
}

bool Block::meetInWarps() {
  bool any = false;
  for (size_t i = 0; i < threads.size() && failure.empty(); ++i) {
    const Thread &thread = threads[i];
    size_t first = i / kLanes * kLanes;
    if (thread.state != State::Collective)
      continue;
    uint32_t mask = maskOf(thread);
    if (!canMeet(first, mask, thread.site))
      continue;
    perform(first, mask, thread.site);
    any = true;
  }
  return any;
}

/// ldmatrix and stmatrix: lane 8 i + r has the address of row r of matrix i.
void Block::moveMatrices(size_t first, const Site &site, uint32_t index, const WarpRegisters &in,
                         WarpRegisters &out) {
  const Collective &collective = site.collective;
  SharedMemory &shared = launch.shared;
  bool isStore = collective.kind == CollectiveKind::StMatrix;
  std::array<char *, kLanes> rows = {};
  std::array<uint64_t, kLanes> offsets = {};
  for (int lane = 0; lane < 8 * collective.matrices; ++lane) {
    char *row = reinterpret_cast<char *>(uintptr_t(in[lane][0]) | uintptr_t(in[lane][1]) << 32);
    std::string error;
    if (!shared.contains(row))
      error = " takes an address outside of shared memory";
    else if ((row - shared.getBase()) % 16)
      error = " is misaligned: byte " + std::to_string(row - shared.getBase()) +
              " of shared memory, expected a multiple of 16";
    else
      error = shared.access(sites, index, row, 16, first + lane, isStore, /*isAtomic=*/false);
    if (!error.empty())
      return report(nameThread(first + lane) + ": " + site.name + error);
    if (!isStore && shared.readPoison() && !launch.counts.poisonReads++)
      launch.counts.poisonSite = site.name;
    rows[lane] = row;
    offsets[lane] = row - shared.getBase();
  }
  if (isStore)
    executeStMatrix(collective, rows, in);
  else
    executeLdMatrix(collective, rows, out);
  for (int i = 0; i < collective.matrices; ++i)
    launch.traffic.countMatrix(ArrayRef(offsets).slice(8 * i, 8));
}

/// All lanes of the mask are there.
void Block::perform(size_t first, uint32_t mask, uint32_t index) {
  const Site &site = sites[index];
  const Collective &collective = site.collective;
  WarpRegisters in, out = {};
  SmallVector<size_t, kLanes> lanes;
  for (size_t lane = 0; lane < kLanes; ++lane)
    if (mask >> lane & 1) {
      lanes.push_back(first + lane);
      std::copy_n(threads[first + lane].in, collective.numOperands, in[lane].begin());
    }
  flush(first, mask, /*atEnd=*/true);
  LaunchCounts &counts = launch.counts;
  if (collective.kind != CollectiveKind::WarpSync)
    launch.shared.finishReads(lanes);
  switch (collective.kind) {
  case CollectiveKind::LdMatrix:
  case CollectiveKind::StMatrix:
    moveMatrices(first, site, index, in, out);
    break;
  case CollectiveKind::WarpSync:
    launch.shared.synchronize(lanes);
    break;
  case CollectiveKind::Mma: {
    execute(collective, mask, in, out);
    const target::MmaShape &shape = *collective.shape;
    bool isQuad = shape.k == 4 && shape.type == target::MmaType::F16;
    int kind = getBits(shape.type) == 8                     ? 3
               : getBits(shape.type) == 32                  ? 2
               : collective.sumsF16 && collective.resultF16 ? 1
                                                            : 0;
    ++counts.mma;
    counts.tensorOps[kind] += uint64_t(2) * shape.m * shape.n * shape.k * (isQuad ? 4 : 1);
    break;
  }
  default:
    execute(collective, mask, in, out);
    ++counts.shuffles;
  }
  for (size_t i : lanes) {
    Thread &thread = threads[i];
    std::copy_n(out[i - first].begin(), collective.numResults, thread.out);
    thread.state = State::Ready;
  }
}

uint32_t Block::barrier(uint32_t index, uint32_t id, uint32_t count, uint32_t value) {
  const Site &site = sites[index];
  Thread &thread = threads[running];
  if (id > 15)
    fail(index, " names barrier " + std::to_string(id) + ", expected 0 to 15");
  if (count % kLanes || count > (threads.size() + kLanes - 1) / kLanes * kLanes)
    fail(index, " expects " + std::to_string(count) +
                    " threads, which is no multiple of 32 or more than the block has");
  if (!site.barrier.waits) {
    Arrivals &arrived = arrivals[id];
    ++arrived.count;
    arrived.expected = count;
    arrived.times.push_back(launch.shared.getClocks().release(running));
    return 0;
  }
  thread.barrier = id;
  thread.count = count;
  thread.value = value;
  wait(State::Barrier, index);
  return thread.value;
}

bool Block::meetAtBarriers() {
  uint32_t ids = 0;
  for (const Thread &thread : threads)
    if (thread.state == State::Barrier)
      ids |= 1u << thread.barrier;
  bool any = false;
  for (uint32_t id = 0; id < 16 && failure.empty(); ++id)
    if (ids >> id & 1)
      any |= meetAtBarrier(id);
  return any;
}

/// True if as many threads came as the barrier expects. Those that wait for the whole block
/// must wait at the same instruction; with a count, those of a warp must.
bool Block::meetAtBarrier(uint32_t id) {
  SmallVector<size_t> waiting;
  for (auto [i, thread] : enumerate(threads))
    if (thread.state == State::Barrier && thread.barrier == id)
      waiting.push_back(i);
  const Thread &head = threads[waiting.front()];
  const Arrivals &arrived = arrivals[id];
  size_t expected = head.count ? head.count : threads.size();
  for (size_t i : waiting) {
    const Thread &thread = threads[i];
    bool isSameWarp = i / kLanes == waiting.front() / kLanes;
    if (thread.count != head.count || (thread.site != head.site && (!head.count || isSameWarp)))
      return false;
  }
  if (arrived.count && arrived.expected != head.count) {
    report(describe(waiting.front()) + ", where it expects " + std::to_string(expected) +
           " threads, but others arrived that expect " + std::to_string(arrived.expected));
    return false;
  }
  size_t present = arrived.count + waiting.size();
  if (head.count) {
    // Warps come as a whole, and one that is not full counts as a full one.
    size_t warps = 0;
    for (size_t first = 0; first < threads.size(); first += kLanes) {
      size_t size = std::min<size_t>(kLanes, threads.size() - first);
      size_t came = count_if(waiting, [&](size_t i) { return i / kLanes == first / kLanes; });
      if (came && came < size)
        return false;
      warps += came > 0;
    }
    present = arrived.count + warps * kLanes;
  }
  if (present < expected)
    return false;
  if (present > expected) {
    report(describe(waiting.front()) + ", which expects " + std::to_string(expected) +
           " threads, but " + std::to_string(present) + " came");
    return false;
  }
  release(id, waiting);
  return true;
}

void Block::release(uint32_t id, ArrayRef<size_t> waiting) {
  for (size_t first = 0; first < threads.size(); first += kLanes) {
    uint32_t mask = 0;
    for (size_t i : waiting)
      if (i / kLanes == first / kLanes)
        mask |= 1u << i % kLanes;
    flush(first, mask, /*atEnd=*/true);
  }
  launch.shared.synchronize(waiting, arrivals[id].times);
  arrivals.erase(id);
  ++launch.counts.barriers;
  uint32_t count = 0;
  for (size_t i : waiting)
    count += threads[i].value & 1;
  for (size_t i : waiting) {
    Thread &thread = threads[i];
    thread.state = State::Ready;
    switch (sites[thread.site].barrier.reduces) {
    case BarrierKind::None:
      break;
    case BarrierKind::And:
      thread.value = count == waiting.size();
      break;
    case BarrierKind::Or:
      thread.value = count != 0;
      break;
    case BarrierKind::Popc:
      thread.value = count;
      break;
    }
  }
}

std::string Block::describe(size_t i) const {
  const Thread &thread = threads[i];
  if (thread.state == State::Done)
    return nameThread(i) + " has ended";
  return nameThread(i) + " is at " + sites[thread.site].name;
}

/// Nobody can go on: names one thread that waits, and one that it waits for.
void Block::reportDeadlock() {
  for (size_t i = 0; i < threads.size(); ++i) {
    const Thread &thread = threads[i];
    if (thread.state != State::Collective)
      continue;
    uint32_t mask = maskOf(thread);
    size_t first = i / kLanes * kLanes;
    for (size_t lane = 0; lane < kLanes; ++lane) {
      if (!(mask >> lane & 1))
        continue;
      if (first + lane >= threads.size())
        return report(describe(i) + ", which needs lane " + std::to_string(lane) +
                      ", but its warp has " + std::to_string(threads.size() - first));
      const Thread &other = threads[first + lane];
      if (other.state == State::Collective && other.site == thread.site) {
        if (maskOf(other) != mask)
          return report("threads do not meet: " + describe(i) + ", " + describe(first + lane) +
                        " with another mask");
        continue;
      }
      return report("threads do not meet: " + describe(i) + ", " + describe(first + lane));
    }
  }
  auto waits = [](const Thread &t) { return t.state == State::Barrier; };
  size_t i = find_if(threads, waits) - threads.begin();
  for (size_t other = 0; other < threads.size(); ++other)
    if (!waits(threads[other]) || threads[other].site != threads[i].site)
      return report("threads do not meet: " + describe(i) + ", " + describe(other));
  report(describe(i) + ", where too few threads came");
}
