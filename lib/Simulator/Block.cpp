// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Block.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

using namespace llvm;
using namespace elfatt::sim;
namespace ctx = boost::context::detail;

/// Kernels keep their fragments in registers; compiled for the host, on the
/// stack.
static constexpr size_t kStackBytes = 512 * 1024;

static thread_local Block *currentBlock = nullptr;

Block *Block::current() { return currentBlock; }

Block::Block(const LaunchConfig &config, const SiteNames &sites, LaunchCounts &counts)
    : config(config), sites(sites), counts(counts), threads(config.block.count()),
      order(threads.size()), random(config.seed) {
  for (Thread &thread : threads)
    thread.stack = static_cast<char *>(std::aligned_alloc(64, kStackBytes));
  std::iota(order.begin(), order.end(), 0);
}

Block::~Block() {
  for (Thread &thread : threads)
    std::free(thread.stack);
}

void Block::startFiber(ctx::transfer_t transfer) {
  auto *block = static_cast<Block *>(transfer.data);
  block->scheduler = transfer.fctx;
  block->entry(block->args);
  block->threads[block->running].state = State::Done;
  ctx::jump_fcontext(block->scheduler, block);
}

/// Gives the host back to the scheduler until this thread may go on.
void Block::wait(State state, uint32_t site) {
  Thread &thread = threads[running];
  thread.state = state;
  thread.site = site;
  ctx::transfer_t transfer = ctx::jump_fcontext(scheduler, this);
  scheduler = transfer.fctx;
}

void Block::barrier(uint32_t site) { wait(State::Barrier, site); }

void Block::collective(WarpOp op, uint32_t site, const uint32_t *in, uint32_t *out) {
  Thread &thread = threads[running];
  thread.op = op;
  thread.in = in;
  thread.out = out;
  wait(State::Collective, site);
}

uint32_t Block::special(Special which) const {
  const Dim3 &b = config.block, &g = config.grid;
  uint32_t tid = running;
  switch (which) {
  case Special::TidX:
    return tid % b.x;
  case Special::TidY:
    return tid / b.x % b.y;
  case Special::TidZ:
    return tid / b.x / b.y;
  case Special::NtidX:
    return b.x;
  case Special::NtidY:
    return b.y;
  case Special::NtidZ:
    return b.z;
  case Special::CtaidX:
    return position.x;
  case Special::CtaidY:
    return position.y;
  case Special::CtaidZ:
    return position.z;
  case Special::NctaidX:
    return g.x;
  case Special::NctaidY:
    return g.y;
  case Special::NctaidZ:
    return g.z;
  case Special::LaneId:
    return tid % kLanes;
  case Special::WarpSize:
    return kLanes;
  }
  llvm_unreachable("all special registers are handled");
}

/// Runs every thread that can go on, in a new random order.
void Block::runReady() {
  std::shuffle(order.begin(), order.end(), random);
  for (size_t i : order) {
    Thread &thread = threads[i];
    if (thread.state != State::Ready)
      continue;
    running = i;
    ctx::transfer_t transfer = ctx::jump_fcontext(thread.context, this);
    thread.context = transfer.fctx;
  }
}

std::string Block::describe(size_t i) const {
  const Thread &thread = threads[i];
  std::string text = "thread " + std::to_string(i);
  if (thread.state == State::Done)
    return text + " has ended";
  return text + " is at " + sites[thread.site];
}

Error Block::divergence(size_t a, size_t b) const {
  return createStringError("block (" + Twine(position.x) + ", " + Twine(position.y) + ", " +
                           Twine(position.z) + "): threads do not meet: " + describe(a) + ", " +
                           describe(b));
}

/// The lanes of the first waiting lane's mask must all wait at its instruction.
Expected<bool> Block::meetInWarp(size_t first) {
  size_t lanes = std::min<size_t>(kLanes, threads.size() - first);
  size_t leader = 0;
  while (leader < lanes && threads[first + leader].state != State::Collective)
    ++leader;
  if (leader == lanes)
    return false;
  const Thread &head = threads[first + leader];
  bool isShuffle = head.op < WarpOp::MmaF16;
  uint32_t mask = isShuffle ? head.in[0] : ~0u;
  WarpRegisters in{}, out{};
  for (size_t lane = 0; lane < kLanes; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    if (lane >= lanes)
      return createStringError("block (" + Twine(position.x) + ", ...): " + getName(head.op) +
                               " names lane " + Twine(lane) + " of a warp of " + Twine(lanes));
    const Thread &thread = threads[first + lane];
    if (thread.state != State::Collective || thread.site != head.site ||
        (isShuffle && thread.in[0] != mask))
      return divergence(first + leader, first + lane);
    std::copy_n(thread.in, getNumOperands(head.op), in[lane].begin());
  }
  if (!(mask >> leader & 1))
    return createStringError("block (" + Twine(position.x) + ", ...): " + describe(first + leader) +
                             ", whose mask leaves it out");
  WarpOp op = head.op;
  execute(op, mask, in, out);
  ++(isShuffle ? counts.shuffles : counts.mma);
  for (size_t lane = 0; lane < lanes; ++lane)
    if (mask >> lane & 1) {
      Thread &thread = threads[first + lane];
      std::copy_n(out[lane].begin(), getNumResults(op), thread.out);
      thread.state = State::Ready;
    }
  return true;
}

Expected<bool> Block::meetInWarps() {
  bool any = false;
  for (size_t first = 0; first < threads.size(); first += kLanes) {
    Expected<bool> met = meetInWarp(first);
    if (!met)
      return met.takeError();
    any |= *met;
  }
  return any;
}

/// All threads wait at one barrier.
bool Block::meetAtBarrier() {
  for (const Thread &thread : threads)
    if (thread.state != State::Barrier || thread.site != threads.front().site)
      return false;
  ++counts.barriers;
  for (Thread &thread : threads)
    thread.state = State::Ready;
  return true;
}

Error Block::run(Entry kernel, void **kernelArgs, Dim3 where) {
  entry = kernel;
  args = kernelArgs;
  position = where;
  for (Thread &thread : threads) {
    thread.state = State::Ready;
    thread.context = ctx::make_fcontext(thread.stack + kStackBytes, kStackBytes, startFiber);
  }
  Block *outer = std::exchange(currentBlock, this);
  Error error = Error::success();
  while (true) {
    runReady();
    if (all_of(threads, [](const Thread &t) { return t.state == State::Done; }))
      break;
    Expected<bool> met = meetInWarps();
    if (!met) {
      error = joinErrors(std::move(error), met.takeError());
      break;
    }
    if (*met || meetAtBarrier())
      continue;
    // Only barriers are left, and not all threads are at the same one.
    size_t waiting = 0, other = 0;
    while (threads[waiting].state != State::Barrier)
      ++waiting;
    while (other < threads.size() && threads[other].state == State::Barrier &&
           threads[other].site == threads[waiting].site)
      ++other;
    error = joinErrors(std::move(error), divergence(waiting, other));
    break;
  }
  ++counts.blocks;
  currentBlock = outer;
  return error;
}
