// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GlobalMemory.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;
using namespace elfatt::sim;

/// Device allocations are aligned so (CUDA C++ Programming Guide, "Device Memory Accesses").
static constexpr uint64_t kDeviceAlignment = 256;

uint64_t Places::place(const Buffer &buffer) {
  auto *data = static_cast<const char *>(buffer.data);
  for (const Place &known : places)
    if (data >= known.data && data + buffer.bytes <= known.data + known.bytes)
      return known.device + (data - known.data);
  next += kDeviceAlignment;
  places.push_back({data, buffer.bytes, next});
  next = alignTo(next + buffer.bytes, kDeviceAlignment) - kDeviceAlignment;
  return places.back().device;
}

GlobalMemory::GlobalMemory(std::vector<Buffer> given, Places &places) {
  // Placed in the order given, so that counts depend on nothing else.
  for (Buffer &buffer : given) {
    const uint64_t device = places.place(buffer);
    buffers.push_back({std::move(buffer), device});
  }
  llvm::sort(buffers, [](const Placed &a, const Placed &b) {
    return std::pair(a.host.data, b.host.bytes) < std::pair(b.host.data, a.host.bytes);
  });
}

int GlobalMemory::find(const void *pointer) {
  auto holds = [&](size_t i) {
    auto *data = static_cast<const char *>(buffers[i].host.data),
         *byte = static_cast<const char *>(pointer);
    return byte >= data && byte < data + buffers[i].host.bytes;
  };
  if (size_t(last) < buffers.size() && holds(last))
    return last;
  // Those that begin at or before the pointer.
  size_t end = llvm::upper_bound(buffers, pointer,
                                 [](const void *p, const Placed &b) { return p < b.host.data; }) -
               buffers.begin();
  for (size_t i = end; i-- > 0;)
    if (holds(i))
      return last = i;
  return -1;
}

std::string GlobalMemory::describe(int i, const void *pointer, uint32_t bytes) const {
  const Buffer &buffer = buffers[i].host;
  int64_t offset = static_cast<const char *>(pointer) - static_cast<const char *>(buffer.data);
  return (" is out of bounds: bytes " + Twine(offset) + " to " + Twine(offset + bytes - 1) +
          " of '" + buffer.name + "', which has " + Twine(buffer.bytes))
      .str();
}

std::string GlobalMemory::describe(const void *pointer, uint32_t bytes) const {
  auto distance = [&](const Placed &placed) -> uint64_t {
    auto *data = static_cast<const char *>(placed.host.data),
         *byte = static_cast<const char *>(pointer);
    return byte < data ? data - byte : byte - data - placed.host.bytes;
  };
  auto nearest = llvm::min_element(
      buffers, [&](const Placed &a, const Placed &b) { return distance(a) < distance(b); });
  // Far away it says nothing.
  if (nearest == buffers.end() || distance(*nearest) > (uint64_t(1) << 32))
    return " is out of bounds: the address is in no buffer";
  return describe(nearest - buffers.begin(), pointer, bytes);
}
