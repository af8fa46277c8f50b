// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Shared memory of one block, and who touched which of its bytes when.
#ifndef ELFATT_LIB_SIMULATOR_SHAREDMEMORY_H
#define ELFATT_LIB_SIMULATOR_SHAREDMEMORY_H

#include "Sites.h"

#include "llvm/Support/Error.h"

#include <memory>
#include <unordered_map>

namespace elfatt::sim {

/// What each thread knows of the others' progress: vector clocks. Two accesses are ordered if
/// a barrier lies between them.
class Clocks {
public:
  using Time = std::vector<uint32_t>;

  explicit Clocks(size_t threads) : now(threads), seen(threads) {}
  /// A new block begins.
  void reset();
  uint32_t get(size_t thread) const { return now[thread]; }
  /// True if `thread` comes after what `other` did at `time`.
  bool isOrdered(size_t other, uint32_t time, size_t thread) const {
    return other == thread || (*seen[thread])[other] >= time;
  }
  /// Each of `acquirers` comes after all that the others of them and `released` did.
  void synchronize(llvm::ArrayRef<size_t> acquirers, llvm::ArrayRef<Time> released = {});
  /// What others know who come after all that `thread` did until now.
  Time release(size_t thread);
  void acquire(size_t thread, const Time &time);

private:
  Time now;
  /// Threads that met know the same.
  std::vector<std::shared_ptr<const Time>> seen;
};

class SharedMemory {
public:
  /// The arena of a program: at an address below 2^31, so that addresses of 32 bits, which
  /// kernels take of it, are whole.
  static llvm::Expected<std::unique_ptr<SharedMemory>> create(uint64_t bytes);
  ~SharedMemory();
  char *getBase() const { return base; }

  /// Sets what is checked: arrays with their bytes of this launch, the unit of bookkeeping
  /// (no access is smaller or lies across), and the number of threads.
  void configure(llvm::ArrayRef<SharedArray> arrays, uint32_t granule, size_t threads);
  /// A new block begins: poison everywhere.
  void reset();

  bool contains(const void *pointer) const {
    return static_cast<const char *>(pointer) >= base &&
           static_cast<const char *>(pointer) < base + arenaBytes;
  }

  /// Marks an access by a thread. The result says what is wrong, or is empty. `value`: what a
  /// store will write, where known; threads that write the same are no race.
  std::string access(const Sites &sites, uint32_t site, const char *pointer, uint32_t bytes,
                     size_t thread, bool isWrite, bool isAtomic, const void *value = nullptr);
  /// The same for what cp.async will write: poison until it lands.
  std::string beginAsync(const Sites &sites, uint32_t site, char *pointer, uint32_t bytes,
                         size_t thread);
  void land(uint32_t site, char *pointer, const char *data, uint32_t bytes, size_t thread);

  /// Atomic operations that order memory.
  void acquireAt(const char *pointer, size_t thread);
  void releaseAt(const char *pointer, size_t thread);

  Clocks &getClocks() { return *clocks; }
  /// Threads that met at a barrier: what each did before it comes before what all do after it.
  void synchronize(llvm::ArrayRef<size_t> threads, llvm::ArrayRef<Clocks::Time> released = {});
  /// Lanes that met at a collective: what they read before it they have. What they wrote before
  /// it others need not see.
  void finishReads(llvm::ArrayRef<size_t> threads) { readClocks->synchronize(threads); }
  /// True if the last access read a byte that nobody had written.
  bool readPoison() const { return poison; }

private:
  SharedMemory(char *base, uint64_t bytes) : base(base), arenaBytes(bytes) {}

  struct Touch {
    uint32_t time = 0, site = 0;
    uint16_t thread = 0;
    bool isAtomic = false;
    explicit operator bool() const { return time != 0; }
  };
  /// Two readers are enough to see every race of a later writer: they are of two threads, and
  /// of two warps if any two are.
  struct Cell {
    uint32_t block = 0; ///< of another block: nobody has touched it
    uint16_t pending = 0;
    uint32_t pendingSite = 0;
    Touch write, reads[2];
  };
  Cell &getCell(size_t i);
  void markRead(Cell &cell, Touch touch);
  std::string describeRace(const Sites &sites, const Touch &before, bool wasWrite, bool isWrite,
                           uint32_t site, const char *pointer) const;
  std::string checkBounds(const Sites &sites, uint32_t site, const char *pointer, uint32_t bytes);

  char *base;
  uint64_t arenaBytes;
  std::vector<SharedArray> arrays;
  uint32_t granule = 4;
  std::vector<Cell> cells;
  uint32_t block = 0;
  bool poison = false;
  std::unique_ptr<Clocks> clocks, readClocks;
  std::unordered_map<const char *, Clocks::Time> released;
};

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_SHAREDMEMORY_H
