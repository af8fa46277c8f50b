// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "elfatt/Run/Array.h"

#include "llvm/ADT/APFloat.h"

#include <cstring>

namespace elfatt::run {

template <typename T> static T load(const Array &array, int64_t i) {
  T value;
  std::memcpy(&value, &array.data[i * sizeof(T)], sizeof(T));
  return value;
}

std::string ElementType::str() const {
  if (kind == 'b')
    return "bool";
  const char *name = kind == 'f' ? "float" : kind == 'i' ? "int" : "uint";
  return name + std::to_string(bytes * 8);
}

int64_t Array::size() const {
  int64_t size = 1;
  for (int64_t dim : shape)
    size *= dim;
  return size;
}

double Array::get(int64_t i) const {
  switch (type.kind) {
  case 'f':
    if (type.bytes == 8)
      return load<double>(*this, i);
    if (type.bytes == 4)
      return load<float>(*this, i);
    return llvm::APFloat(llvm::APFloat::IEEEhalf(), llvm::APInt(16, load<uint16_t>(*this, i)))
        .convertToDouble();
  case 'i':
    return type.bytes == 8   ? double(load<int64_t>(*this, i))
           : type.bytes == 4 ? load<int32_t>(*this, i)
           : type.bytes == 2 ? load<int16_t>(*this, i)
                             : load<int8_t>(*this, i);
  default:
    return type.bytes == 8   ? double(load<uint64_t>(*this, i))
           : type.bytes == 4 ? load<uint32_t>(*this, i)
           : type.bytes == 2 ? load<uint16_t>(*this, i)
                             : load<uint8_t>(*this, i);
  }
}

} // namespace elfatt::run
