// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Block.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/ErrorHandling.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <sys/mman.h>

using namespace llvm;
using namespace elfatt::sim;
namespace ctx = boost::context::detail;

static constexpr size_t kGuardBytes = 4096;

static thread_local Block *currentBlock = nullptr;

Block *Block::current() { return currentBlock; }

Block::Block(LaunchState &launch)
    : launch(launch), sites(launch.sites), threads(launch.config.block.count()),
      order(threads.size()), random(launch.config.seed) {
  // A page that cannot be touched below each stack.
  size_t each = launch.stackBytes + kGuardBytes;
  stacksBytes = each * threads.size();
  void *memory = mmap(nullptr, stacksBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    reportFatalUsageError("out of memory for the stacks of the simulator's threads");
  stacks = static_cast<char *>(memory);
  for (auto [i, thread] : enumerate(threads)) {
    thread.stack = stacks + i * each + kGuardBytes;
    mprotect(stacks + i * each, kGuardBytes, PROT_NONE);
  }
  std::iota(order.begin(), order.end(), 0);
}

Block::~Block() { munmap(stacks, stacksBytes); }

void Block::startFiber(ctx::transfer_t transfer) {
  auto *block = static_cast<Block *>(transfer.data);
  block->scheduler = transfer.fctx;
  block->entry(block->args);
  block->exit();
}

void Block::exit() {
  threads[running].state = State::Done;
  ctx::jump_fcontext(scheduler, this);
  llvm_unreachable("a thread that has ended does not go on");
}

/// Gives the host back to the scheduler until this thread may go on.
void Block::wait(State state, uint32_t site) {
  Thread &thread = threads[running];
  thread.state = state;
  thread.site = site;
  ctx::transfer_t transfer = ctx::jump_fcontext(scheduler, this);
  scheduler = transfer.fctx;
}

std::string Block::nameThread(size_t i) const {
  const Dim3 &b = launch.config.block;
  if (b.y == 1 && b.z == 1)
    return "thread " + std::to_string(i);
  return "thread (" + std::to_string(i % b.x) + ", " + std::to_string(i / b.x % b.y) + ", " +
         std::to_string(i / b.x / b.y) + ")";
}

void Block::report(std::string text) {
  if (failure.empty())
    failure = std::move(text);
}

void Block::fail(uint32_t site, const std::string &what) {
  report(nameThread(running) + ": " + sites[site].name + what);
  exit();
}

void Block::log(uint32_t site, uint64_t value) {
  threads[running].log.events.push_back({value, site});
}

/// Before anything is looked at: what is checked must then happen at once.
void Block::makeRoom(uint32_t site) {
  if (threads[running].log.isFull())
    wait(State::Ready, site);
}

void Block::branch(uint32_t site, uint32_t where) {
  if (++threads[running].steps > launch.config.maxSteps)
    fail(site, " was still running after " + std::to_string(launch.config.maxSteps) +
                   " steps: does the kernel end?");
  makeRoom(site);
  log(site, where);
}

/// Bounds, and whether the buffer may be written; the address on the device.
uint64_t Block::checkGlobal(const Site &site, uint32_t index, const char *pointer, uint32_t bytes) {
  GlobalMemory &global = launch.global;
  int known = site.argument >= 0 ? launch.argumentBuffers[site.argument] : -1;
  int buffer = known;
  if (known < 0)
    buffer = global.find(pointer);
  if (buffer < 0)
    fail(index, global.describe(pointer, bytes));
  const Buffer &host = global.get(buffer);
  auto *data = static_cast<const char *>(host.data);
  if (pointer < data || pointer + bytes > data + host.bytes)
    fail(index, global.describe(buffer, pointer, bytes));
  if (!host.isWritable && (site.kind == SiteKind::Store || site.kind == SiteKind::Atomic))
    fail(index, " writes to '" + host.name + "', which is read-only");
  uint64_t address = global.translate(buffer, pointer);
  if (address % site.alignment)
    fail(index, " is misaligned: byte " + std::to_string(pointer - data) + " of '" + host.name +
                    "', expected a multiple of " + std::to_string(site.alignment));
  return address;
}

void Block::touch(uint32_t index, char *pointer, uint32_t bytes, const void *value) {
  makeRoom(index);
  const Site &site = sites[index];
  SharedMemory &shared = launch.shared;
  if (shared.contains(pointer)) {
    uint64_t offset = pointer - shared.getBase();
    if (offset % site.alignment)
      fail(index, " is misaligned: byte " + std::to_string(offset) +
                      " of shared memory, expected a multiple of " +
                      std::to_string(site.alignment));
    bool isAtomic = site.kind == SiteKind::Atomic;
    bool isWrite = isAtomic || site.kind == SiteKind::Store;
    if (isAtomic && site.acquires)
      shared.acquireAt(pointer, running);
    std::string error =
        shared.access(sites, index, pointer, bytes, running, isWrite, isAtomic, value);
    if (!error.empty())
      fail(index, error);
    if (shared.readPoison() && !launch.counts.poisonReads++)
      launch.counts.poisonSite = site.name;
    if (isAtomic && site.releases)
      shared.releaseAt(pointer, running);
    return log(index, offset | kSharedEvent);
  }
  const char *stack = threads[running].stack;
  if (pointer >= stack && pointer + bytes <= stack + launch.stackBytes)
    return; // local memory
  log(index, checkGlobal(site, index, pointer, bytes));
}

void Block::access(uint32_t site, char *pointer) { touch(site, pointer, sites[site].bytes); }

void Block::store(uint32_t site, char *pointer, const void *value) {
  touch(site, pointer, sites[site].bytes, value);
}

void Block::divide(uint32_t site, uint64_t divisor, bool overflows) {
  if (divisor == 0)
    fail(site, " divides by zero");
  if (overflows)
    fail(site, " divides the lowest number by -1");
}

void Block::accessRange(uint32_t site, char *pointer, uint64_t bytes) {
  for (uint64_t i = 0; i < bytes; i += sites[site].bytes)
    touch(site, pointer + i, sites[site].bytes);
}

void Block::copyAsync(uint32_t index, char *to, const char *from, uint32_t bytes) {
  makeRoom(index);
  const Site &site = sites[index];
  SharedMemory &shared = launch.shared;
  if (!shared.contains(to))
    fail(index, " writes outside of shared memory");
  if ((to - shared.getBase()) % site.bytes)
    fail(index, " is misaligned: byte " + std::to_string(to - shared.getBase()) +
                    " of shared memory, expected a multiple of " + std::to_string(site.bytes));
  if (bytes > site.bytes)
    fail(index, " reads " + std::to_string(bytes) + " bytes, expected at most " +
                    std::to_string(site.bytes));
  AsyncCopy copy{to, index, site.bytes, threads[running].groups, {}};
  if (bytes > 0) {
    log(index, checkGlobal(site, index, from, bytes));
    std::memcpy(copy.data, from, bytes);
  }
  std::string error = shared.beginAsync(sites, index, to, site.bytes, running);
  if (!error.empty())
    fail(index, error);
  log(index + 1, uint64_t(to - shared.getBase()) | kSharedEvent);
  threads[running].copies.push_back(copy);
}

void Block::commitAsync() { ++threads[running].groups; }

void Block::waitAsync(int64_t left) {
  Thread &thread = threads[running];
  auto isDue = [&](const AsyncCopy &copy) {
    return left < 0 || int64_t(copy.group) < int64_t(thread.groups) - left;
  };
  for (const AsyncCopy &copy : thread.copies)
    if (isDue(copy))
      launch.shared.land(copy.site, copy.to, copy.data, copy.bytes, running);
  erase_if(thread.copies, isDue);
}

uint32_t Block::special(Special which) const {
  const Dim3 &b = launch.config.block, &g = launch.config.grid;
  uint32_t tid = running, lane = tid % kLanes;
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
    return lane;
  case Special::WarpSize:
    return kLanes;
  case Special::WarpId:
    return tid / kLanes;
  case Special::LaneMaskEq:
    return 1u << lane;
  case Special::LaneMaskLt:
    return (1u << lane) - 1;
  case Special::LaneMaskLe:
    return (2u << lane) - 1;
  case Special::LaneMaskGt:
    return ~((2u << lane) - 1);
  case Special::LaneMaskGe:
    return ~((1u << lane) - 1);
  case Special::DynamicSharedSize:
    return launch.config.dynamicShared;
  }
  llvm_unreachable("all special registers are handled");
}

/// Runs every thread that can go on, in a new random order; false if there is none.
bool Block::runReady() {
  bool any = false;
  std::shuffle(order.begin(), order.end(), random);
  for (size_t i : order) {
    Thread &thread = threads[i];
    if (thread.state != State::Ready)
      continue;
    any = true;
    running = i;
    ctx::transfer_t transfer = ctx::jump_fcontext(thread.context, this);
    thread.context = transfer.fctx;
    if (!failure.empty())
      return true;
  }
  return any;
}

void Block::flush(size_t first, uint32_t mask, bool atEnd) {
  std::array<LaneLog *, kLanes> lanes = {};
  bool any = false;
  for (size_t lane = 0; lane < kLanes && first + lane < threads.size(); ++lane)
    if (mask >> lane & 1) {
      lanes[lane] = &threads[first + lane].log;
      any |= !lanes[lane]->events.empty();
    }
  if (any)
    launch.traffic.flush(lanes, atEnd);
}

Error Block::run(Entry kernel, void **kernelArgs, Dim3 where) {
  entry = kernel;
  args = kernelArgs;
  position = where;
  launch.shared.reset();
  arrivals.clear();
  for (Thread &thread : threads) {
    thread.state = State::Ready;
    thread.steps = thread.groups = 0;
    thread.copies.clear();
    thread.context =
        ctx::make_fcontext(thread.stack + launch.stackBytes, launch.stackBytes, startFiber);
  }
  Block *outer = std::exchange(currentBlock, this);
  while (failure.empty()) {
    bool progress = runReady();
    if (!failure.empty())
      break;
    // Logs that are full make room.
    for (size_t first = 0; first < threads.size(); first += kLanes)
      flush(first, ~0u, /*atEnd=*/false);
    if (all_of(threads, [](const Thread &t) { return t.state == State::Done; }))
      break;
    progress |= meetInWarps();
    progress |= meetAtBarriers();
    if (!progress)
      reportDeadlock();
  }
  for (size_t first = 0; first < threads.size(); first += kLanes)
    flush(first, ~0u, /*atEnd=*/true);
  ++launch.counts.blocks;
  currentBlock = outer;
  if (failure.empty())
    return Error::success();
  return createStringError("block (" + Twine(position.x) + ", " + Twine(position.y) + ", " +
                           Twine(position.z) + "), " + failure);
}
