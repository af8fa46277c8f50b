// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the values of dense constants are: triangles of two values, and integers that
// grow evenly. A mask of 4096 x 4096 is shared by all layers of a model and asked for
// several times in each, so each question is answered once.
#ifndef ELFATT_LIB_RAISE_ANALYSIS_CONSTANTTABLES_H
#define ELFATT_LIB_RAISE_ANALYSIS_CONSTANTTABLES_H

#include "mlir/IR/BuiltinAttributes.h"

#include <map>
#include <optional>

namespace elfatt::raise {

/// Whole numbers in floats count up to here, whatever the type: 24 bits are exact.
inline constexpr int64_t kMaxExactInFloat = int64_t(1) << 24;

/// The integer that a number is.
std::optional<int64_t> getInteger(mlir::Attribute attr);

/// The part of a constant that is looked at: the values at base + sum of stride *
/// position, over as many dims as there are strides.
struct TableRegion {
  int64_t base = 0;
  llvm::SmallVector<int64_t> strides, extents;

  bool operator<(const TableRegion &other) const {
    return std::tie(base, strides, extents) < std::tie(other.base, other.strides, other.extents);
  }
};

/// `below` where row + diagonal >= column, `above` elsewhere; `below` alone where all
/// are equal.
struct Triangle {
  mlir::TypedAttr below, above;
  int64_t diagonal = 0;
};

/// origin + sum of slope * position.
struct Ramp {
  int64_t origin = 0;
  llvm::SmallVector<int64_t> slopes;
};

class ConstantTables {
public:
  /// Whether `attr` can be looked at: its elements are integers or floats of at most
  /// 64 bits, and they are here.
  static bool isReadable(mlir::ElementsAttr attr);

  /// Of `isReadable` constants; regions lie inside of them.
  const std::optional<Triangle> &getTriangle(mlir::ElementsAttr attr, const TableRegion &region);
  const std::optional<Ramp> &getRamp(mlir::ElementsAttr attr, const TableRegion &region);

private:
  using Key = std::pair<const void *, TableRegion>;
  std::map<Key, std::optional<Triangle>> triangles;
  std::map<Key, std::optional<Ramp>> ramps;
};

} // namespace elfatt::raise

#endif // ELFATT_LIB_RAISE_ANALYSIS_CONSTANTTABLES_H
