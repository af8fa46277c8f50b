// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Arrays on the host, as .npz files hold them and compiled code takes them.
#ifndef ELFATT_RUN_ARRAY_H
#define ELFATT_RUN_ARRAY_H

#include "llvm/Support/Error.h"

#include <cstdint>
#include <map>
#include <new>
#include <string>
#include <vector>

namespace elfatt::run {

/// The kind and size of an element, as NumPy spells them: 'f' 4 is float32.
/// bf16 has no name there; its bits travel as 'u' 2.
struct ElementType {
  char kind = 'f'; ///< f, i, u or b
  int bytes = 4;   ///< 1, 2, 4 or 8

  bool operator==(const ElementType &) const = default;
  std::string str() const; ///< float32, int64, bool, ...
};

/// Where arrays lie, as tensors of a framework do: no register of a row is in two lines of
/// the cache.
template <typename T> struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};

  LineAllocator() = default;
  template <typename U> LineAllocator(const LineAllocator<U> &) {}
  T *allocate(size_t count) {
    return static_cast<T *>(::operator new(count * sizeof(T), kAlignment));
  }
  void deallocate(T *data, size_t) { ::operator delete(data, kAlignment); }
  bool operator==(const LineAllocator &) const = default;
};
using Bytes = std::vector<char, LineAllocator<char>>;

/// A dense row-major array.
struct Array {
  ElementType type;
  std::vector<int64_t> shape;
  Bytes data;

  int64_t size() const;
  /// The i-th element as a number.
  double get(int64_t i) const;
};

/// The results of a call.
using Results = std::vector<Array>;

/// Arrays by name.
using ArrayMap = std::map<std::string, Array>;

/// The array that a .npy file holds. Little-endian numbers and booleans, in C
/// or Fortran order (turned to C order).
llvm::Expected<Array> parseNpy(llvm::ArrayRef<char> bytes);

/// The array as a .npy file, version 1.0.
std::vector<char> formatNpy(const Array &array);

/// Every array of a .npz file. The error names the file and the entry.
llvm::Expected<ArrayMap> readNpz(const std::string &path);

/// The arrays as a .npz file.
llvm::Expected<std::vector<char>> formatNpz(const ArrayMap &arrays);

} // namespace elfatt::run

#endif // ELFATT_RUN_ARRAY_H
