// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ConstantTables.h"

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/bit.h"

#include <cmath>
#include <cstring>

using namespace mlir;
using namespace elfatt::raise;

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

static std::optional<int64_t> getInteger(const APInt &value) {
  if (value.getBitWidth() == 1)
    return value.getZExtValue();
  return value.getSignificantBits() <= 60 ? std::optional(value.getSExtValue()) : std::nullopt;
}

static std::optional<int64_t> getInteger(APFloat value) {
  bool losesInfo;
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
  double number = value.convertToDouble();
  return std::abs(number) < double(kMaxExactInFloat) && number == std::floor(number)
             ? std::optional(int64_t(number))
             : std::nullopt;
}

std::optional<int64_t> elfatt::raise::getInteger(Attribute attr) {
  if (auto integer = dyn_cast_or_null<IntegerAttr>(attr))
    return ::getInteger(integer.getValue());
  if (auto number = dyn_cast_or_null<FloatAttr>(attr))
    return ::getInteger(number.getValue());
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

namespace {
/// The elements of a constant as bits, without an attribute for each.
class Elements {
public:
  static std::optional<Elements> get(ElementsAttr attr);

  uint64_t getBits(int64_t flat) const {
    if (splat)
      return *splat;
    if (bytes.empty())
      return *(bools.value_begin<bool>() + flat);
    uint64_t bits = 0;
    std::memcpy(&bits, bytes.data() + flat * size, size);
    return bits;
  }
  TypedAttr getValue(int64_t flat) const {
    APInt bits(type.getIntOrFloatBitWidth(), getBits(flat), false, /*implicitTrunc=*/true);
    if (auto number = dyn_cast<FloatType>(type))
      return FloatAttr::get(type, APFloat(number.getFloatSemantics(), bits));
    return IntegerAttr::get(type, bits);
  }
  std::optional<int64_t> getInteger(int64_t flat) const {
    APInt bits(type.getIntOrFloatBitWidth(), getBits(flat), false, /*implicitTrunc=*/true);
    if (auto number = dyn_cast<FloatType>(type))
      return ::getInteger(APFloat(number.getFloatSemantics(), bits));
    return ::getInteger(bits);
  }
  bool isSplat() const { return splat.has_value(); }

private:
  Type type;
  std::optional<uint64_t> splat;
  ArrayRef<char> bytes;
  size_t size = 0;
  /// Of i1, which an attribute packs as it likes.
  DenseElementsAttr bools;
};
} // namespace

std::optional<Elements> Elements::get(ElementsAttr attr) {
  Elements elements;
  elements.type = attr.getElementType();
  if (!elements.type.isIntOrFloat() || elements.type.getIntOrFloatBitWidth() > 64 ||
      attr.getNumElements() == 0 || llvm::endianness::native != llvm::endianness::little)
    return std::nullopt;
  elements.size = llvm::divideCeil(elements.type.getIntOrFloatBitWidth(), 8);
  if (auto dense = dyn_cast<DenseIntOrFPElementsAttr>(attr)) {
    if (dense.isSplat()) {
      Attribute value = dense.getSplatValue<Attribute>();
      APInt bits = isa<FloatAttr>(value) ? cast<FloatAttr>(value).getValue().bitcastToAPInt()
                                         : cast<IntegerAttr>(value).getValue();
      elements.splat = bits.getZExtValue();
      return elements;
    }
    if (elements.type.isInteger(1))
      elements.bools = dense;
    else
      elements.bytes = dense.getRawData();
    return elements;
  }
  auto resource = dyn_cast<DenseResourceElementsAttr>(attr);
  if (!resource)
    return std::nullopt;
  AsmResourceBlob *blob = resource.getRawHandle().getBlob();
  if (!blob)
    return std::nullopt;
  elements.bytes = blob->getData();
  // Elided blobs hold less.
  auto count = static_cast<size_t>(attr.getNumElements());
  if (elements.bytes.empty() || elements.bytes.size() / elements.size != count ||
      elements.bytes.size() % elements.size != 0)
    return std::nullopt;
  return elements;
}

bool ConstantTables::isReadable(ElementsAttr attr) { return Elements::get(attr).has_value(); }

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

static std::optional<Triangle> findTriangle(const Elements &elements, const TableRegion &region) {
  TypedAttr origin = elements.getValue(region.base);
  if (region.strides.empty() || elements.isSplat())
    return Triangle{origin, origin, 0};
  if (region.strides.size() != 2)
    return std::nullopt;
  auto getBits = [&](int64_t row, int64_t column) {
    return elements.getBits(region.base + row * region.strides[0] + column * region.strides[1]);
  };
  int64_t rows = region.extents[0], columns = region.extents[1];
  // Where the value first changes, along the first row or the first column, is the
  // diagonal.
  uint64_t first = getBits(0, 0);
  int64_t column = 1, row = 1;
  while (column < columns && getBits(0, column) == first)
    ++column;
  while (column == columns && row < rows && getBits(row, 0) == first)
    ++row;
  bool isFirstBelow = column < columns;
  if (!isFirstBelow && row == rows)
    return std::nullopt;
  int64_t changedRow = isFirstBelow ? 0 : row, changedColumn = isFirstBelow ? column : 0;
  uint64_t change = getBits(changedRow, changedColumn);
  TypedAttr other = elements.getValue(region.base + changedRow * region.strides[0] +
                                      changedColumn * region.strides[1]);
  int64_t diagonal = isFirstBelow ? column - 1 : -row;
  for (row = 0; row < rows; ++row)
    for (column = 0; column < columns; ++column)
      if (getBits(row, column) != ((row + diagonal >= column) == isFirstBelow ? first : change))
        return std::nullopt;
  return Triangle{isFirstBelow ? origin : other, isFirstBelow ? other : origin, diagonal};
}

static std::optional<Ramp> findRamp(const Elements &elements, const TableRegion &region) {
  size_t rank = region.strides.size();
  std::optional<int64_t> origin = elements.getInteger(region.base);
  if (!origin || rank > 2)
    return std::nullopt;
  Ramp ramp{*origin, SmallVector<int64_t>(rank, 0)};
  if (elements.isSplat())
    return ramp;
  for (size_t dim = 0; dim < rank; ++dim) {
    if (region.extents[dim] == 1)
      continue;
    std::optional<int64_t> next = elements.getInteger(region.base + region.strides[dim]);
    if (!next)
      return std::nullopt;
    ramp.slopes[dim] = *next - *origin;
  }
  int64_t rows = rank > 0 ? region.extents[0] : 1, columns = rank > 1 ? region.extents[1] : 1;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column) {
      int64_t position[] = {row, column}, flat = region.base;
      __int128 expected = *origin;
      for (size_t dim = 0; dim < rank; ++dim) {
        flat += region.strides[dim] * position[dim];
        expected += __int128(ramp.slopes[dim]) * position[dim];
      }
      std::optional<int64_t> value = elements.getInteger(flat);
      if (!value || *value != expected)
        return std::nullopt;
    }
  return ramp;
}

const std::optional<Triangle> &ConstantTables::getTriangle(ElementsAttr attr,
                                                           const TableRegion &region) {
  auto [entry, isNew] = triangles.try_emplace({attr.getAsOpaquePointer(), region});
  if (isNew)
    entry->second = findTriangle(*Elements::get(attr), region);
  return entry->second;
}

const std::optional<Ramp> &ConstantTables::getRamp(ElementsAttr attr, const TableRegion &region) {
  auto [entry, isNew] = ramps.try_emplace({attr.getAsOpaquePointer(), region});
  if (isNew)
    entry->second = findRamp(*Elements::get(attr), region);
  return entry->second;
}
