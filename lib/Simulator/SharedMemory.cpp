// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "SharedMemory.h"

#include "llvm/ADT/STLExtras.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

using namespace llvm;
using namespace elfatt::sim;

/// Bits of shared memory that nobody has written: a NaN in f16, bf16, f32 and f64.
static constexpr int kPoisonByte = 0xff;

void Clocks::reset() {
  llvm::fill(now, 1);
  llvm::fill(seen, std::make_shared<const Time>(now.size(), 0));
}

void Clocks::synchronize(ArrayRef<size_t> acquirers, ArrayRef<Time> times) {
  auto joined = std::make_shared<Time>(now.size(), 0);
  auto join = [&](const Time &time) {
    for (size_t i = 0; i < time.size(); ++i)
      (*joined)[i] = std::max((*joined)[i], time[i]);
  };
  const Time *last = nullptr;
  for (size_t thread : acquirers)
    if (seen[thread].get() != last)
      join(*(last = seen[thread].get()));
  for (const Time &time : times)
    join(time);
  for (size_t thread : acquirers)
    (*joined)[thread] = now[thread]++;
  for (size_t thread : acquirers)
    seen[thread] = joined;
}

Clocks::Time Clocks::release(size_t thread) {
  Time time = *seen[thread];
  time[thread] = now[thread]++;
  return time;
}

void Clocks::acquire(size_t thread, const Time &time) {
  auto joined = std::make_shared<Time>(*seen[thread]);
  for (size_t i = 0; i < time.size(); ++i)
    (*joined)[i] = std::max((*joined)[i], time[i]);
  seen[thread] = joined;
}

Expected<std::unique_ptr<SharedMemory>> SharedMemory::create(uint64_t bytes) {
  bytes = std::max<uint64_t>(bytes, 1);
#ifdef MAP_32BIT
  void *base =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
#else
  // A wish: the kernel of other machines takes it where the place is free.
  void *base = mmap(reinterpret_cast<void *>(uintptr_t(0x40000000)), bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#endif
  if (base == MAP_FAILED)
    return createStringError("cannot map " + Twine(bytes) +
                             " bytes of shared memory: " + std::strerror(errno));
  return std::unique_ptr<SharedMemory>(new SharedMemory(static_cast<char *>(base), bytes));
}

SharedMemory::~SharedMemory() { munmap(base, arenaBytes); }

void SharedMemory::configure(ArrayRef<SharedArray> newArrays, uint32_t newGranule, size_t threads) {
  arrays.assign(newArrays.begin(), newArrays.end());
  granule = newGranule;
  uint64_t end = 0;
  for (const SharedArray &array : arrays)
    end = std::max(end, array.offset + array.bytes);
  cells.assign(end / granule + 1, Cell());
  block = 0;
  clocks = std::make_unique<Clocks>(threads);
  readClocks = std::make_unique<Clocks>(threads);
}

void SharedMemory::reset() {
  ++block;
  clocks->reset();
  readClocks->reset();
  released.clear();
  for (const SharedArray &array : arrays)
    std::memset(base + array.offset, kPoisonByte, array.bytes);
}

void SharedMemory::synchronize(ArrayRef<size_t> threads, ArrayRef<Clocks::Time> times) {
  clocks->synchronize(threads, times);
  // Who arrived without waiting has read what it read, too.
  readClocks->synchronize(threads, times);
}

SharedMemory::Cell &SharedMemory::getCell(size_t i) {
  Cell &cell = cells[i];
  if (cell.block != block) {
    cell = Cell();
    cell.block = block;
  }
  return cell;
}

std::string SharedMemory::checkBounds(const Sites &sites, uint32_t site, const char *pointer,
                                      uint32_t bytes) {
  uint64_t offset = pointer - base;
  int known = sites[site].sharedArray;
  for (auto [i, array] : enumerate(arrays)) {
    if (known >= 0 && size_t(known) != i)
      continue;
    if (offset >= array.offset && offset + bytes <= array.offset + array.bytes)
      return {};
    if (known >= 0)
      return (" is out of bounds: bytes " + Twine(static_cast<int64_t>(offset - array.offset)) +
              " to " + Twine(static_cast<int64_t>(offset - array.offset) + bytes - 1) + " of '" +
              array.name + "', which has " + Twine(array.bytes))
          .str();
  }
  return (" is out of bounds: no shared array has the " + Twine(bytes) + " bytes at offset " +
          Twine(offset))
      .str();
}

std::string SharedMemory::describeRace(const Sites &sites, const Touch &before, bool wasWrite,
                                       bool isWrite, uint32_t site, const char *pointer) const {
  uint64_t offset = pointer - base;
  std::string where = "byte " + std::to_string(offset) + " of shared memory";
  for (const SharedArray &array : arrays)
    if (offset >= array.offset && offset < array.offset + array.bytes)
      where = "byte " + std::to_string(offset - array.offset) + " of '" + array.name + "'";
  return std::string(isWrite ? " writes " : " reads ") + where + ", which thread " +
         std::to_string(before.thread) + (wasWrite ? " wrote" : " read") + " (" +
         sites[before.site].name + ") with no barrier between: a race";
}

void SharedMemory::markRead(Cell &cell, Touch touch) {
  auto isPast = [&](const Touch &old) {
    return !old || readClocks->isOrdered(old.thread, old.time, touch.thread);
  };
  for (Touch &old : cell.reads)
    if (isPast(old)) {
      // Two entries of one thread would hide another.
      Touch &other = &old == &cell.reads[0] ? cell.reads[1] : cell.reads[0];
      (other && other.thread == touch.thread ? other : old) = touch;
      return;
    }
  auto warp = [](const Touch &t) { return t.thread / kLanes; };
  if (warp(cell.reads[0]) == warp(cell.reads[1]) && warp(touch) != warp(cell.reads[0]))
    cell.reads[1] = touch;
}

std::string SharedMemory::access(const Sites &sites, uint32_t site, const char *pointer,
                                 uint32_t bytes, size_t thread, bool isWrite, bool isAtomic,
                                 const void *value) {
  poison = false;
  if (std::string error = checkBounds(sites, site, pointer, bytes); !error.empty())
    return error;
  uint64_t offset = pointer - base;
  auto id = static_cast<uint16_t>(thread);
  Touch write{clocks->get(thread), site, id, isAtomic};
  Touch read{readClocks->get(thread), site, id, isAtomic};
  bool isSame = value && !std::memcmp(pointer, value, bytes);
  for (uint64_t i = offset / granule; i <= (offset + bytes - 1) / granule; ++i) {
    Cell &cell = getCell(i);
    const char *place = base + std::max(offset, i * granule);
    if (cell.pending)
      return std::string(isWrite ? " writes" : " reads") +
             " what cp.async has not delivered: no wait since " + sites[cell.pendingSite].name;
    auto isRace = [&](const Touch &before, const Clocks &order) {
      return before && !(before.isAtomic && isAtomic) &&
             !order.isOrdered(before.thread, before.time, thread);
    };
    if (!isSame && isRace(cell.write, *clocks))
      return describeRace(sites, cell.write, /*wasWrite=*/true, isWrite, site, place);
    if (isWrite) {
      for (const Touch &before : cell.reads)
        if (!isSame && isRace(before, *readClocks))
          return describeRace(sites, before, /*wasWrite=*/false, isWrite, site, place);
      if (isAtomic && !cell.write)
        poison = true;
      cell.write = write;
    } else {
      poison |= !cell.write;
      markRead(cell, read);
    }
  }
  return {};
}

std::string SharedMemory::beginAsync(const Sites &sites, uint32_t site, char *pointer,
                                     uint32_t bytes, size_t thread) {
  std::string error =
      access(sites, site, pointer, bytes, thread, /*isWrite=*/true, /*isAtomic=*/false);
  if (!error.empty())
    return error;
  std::memset(pointer, kPoisonByte, bytes);
  uint64_t offset = pointer - base;
  for (uint64_t i = offset / granule; i <= (offset + bytes - 1) / granule; ++i) {
    Cell &cell = getCell(i);
    ++cell.pending;
    cell.pendingSite = site;
  }
  return {};
}

void SharedMemory::land(uint32_t site, char *pointer, const char *data, uint32_t bytes,
                        size_t thread) {
  std::memcpy(pointer, data, bytes);
  uint64_t offset = pointer - base;
  for (uint64_t i = offset / granule; i <= (offset + bytes - 1) / granule; ++i) {
    Cell &cell = getCell(i);
    --cell.pending;
    // Written now: who reads it needs a barrier behind the wait.
    cell.write = {clocks->get(thread), site, static_cast<uint16_t>(thread), false};
  }
}

void SharedMemory::acquireAt(const char *pointer, size_t thread) {
  auto it = released.find(pointer);
  if (it != released.end())
    clocks->acquire(thread, it->second);
}

void SharedMemory::releaseAt(const char *pointer, size_t thread) {
  Clocks::Time time = clocks->release(thread);
  auto [it, isNew] = released.try_emplace(pointer, time);
  if (!isNew)
    for (size_t i = 0; i < time.size(); ++i)
      it->second[i] = std::max(it->second[i], time[i]);
}
