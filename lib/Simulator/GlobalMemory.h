// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The buffers that a launch may touch, and where device memory would have them.
#ifndef ELFATT_LIB_SIMULATOR_GLOBALMEMORY_H
#define ELFATT_LIB_SIMULATOR_GLOBALMEMORY_H

#include "elfatt/Simulator/Simulator.h"

namespace elfatt::sim {

/// Where device memory has the buffers of launches that share an L2.
class Places {
public:
  /// The device address of a buffer: the one that it had, or a new one.
  uint64_t place(const Buffer &buffer);

private:
  struct Place {
    const char *data;
    uint64_t bytes, device;
  };
  std::vector<Place> places;
  uint64_t next = 0;
};

class GlobalMemory {
public:
  GlobalMemory(std::vector<Buffer> buffers, Places &places);

  /// The buffer that holds the pointer; -1 if none does.
  int find(const void *pointer);
  const Buffer &get(int i) const { return buffers[i].host; }

  /// The address on the device of a byte of a buffer.
  uint64_t translate(int i, const void *pointer) const {
    return buffers[i].device +
           (static_cast<const char *>(pointer) - static_cast<const char *>(buffers[i].host.data));
  }
  /// " is out of bounds: ..." with the nearest buffer.
  std::string describe(const void *pointer, uint32_t bytes) const;
  /// The same where the buffer is known.
  std::string describe(int i, const void *pointer, uint32_t bytes) const;

private:
  struct Placed {
    Buffer host;
    uint64_t device;
  };
  std::vector<Placed> buffers; ///< by address
  int last = 0;
};

} // namespace elfatt::sim

#endif // ELFATT_LIB_SIMULATOR_GLOBALMEMORY_H
