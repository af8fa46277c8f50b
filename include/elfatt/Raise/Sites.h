// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Sites: the places of a module that are, or look like, attention. What the
// recogniser decided travels on the ops as attributes and is read here.
#ifndef ELFATT_RAISE_SITES_H
#define ELFATT_RAISE_SITES_H

#include "elfatt/Dialect/Attention/IR/Attention.h"
#include "elfatt/Raise/Reasons.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/Support/JSON.h"

namespace elfatt::raise {

struct ContractionPair;

/// On a raised op: what it computes better than its source did, a list of
/// "precision" and "range". Absent where it is exact.
inline constexpr llvm::StringLiteral kExcessAttr = "attention.excess";
/// On the second contraction of a site that was left alone: `reason`, `message`,
/// and the sizes of the attention it seemed to be.
inline constexpr llvm::StringLiteral kRefusedAttr = attention::kRefusedAttrName;

/// On attention ops that are joined as those of ELFATT are, but were not made one op:
/// `reason` and `message`.
inline constexpr llvm::StringLiteral kApartAttr = "attention.apart";

void markRaised(mlir::Operation *op, bool excessPrecision, bool excessRange);
/// Marks the site that ends in `pair`'s second contraction.
/// `isLinear`: it looks like Q (K^T V).
void markRefused(const ContractionPair &pair, const Refusal &refusal, bool isLinear);

struct Site {
  mlir::Operation *op;
  bool isRaised;
  std::string message;
  llvm::json::Object record;
};

/// The sites of `module` in order.
llvm::SmallVector<Site, 0> collectSites(mlir::Operation *module);

/// Whether `op` or what is in it is one.
bool hasSites(mlir::Operation *op);

/// One remark at each site.
void emitRemarks(mlir::Operation *module);

} // namespace elfatt::raise

#endif // ELFATT_RAISE_SITES_H
