// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef ELFATT_LIB_RUNTIME_EXPRESSION_H
#define ELFATT_LIB_RUNTIME_EXPRESSION_H

#include <cstdint>
#include <string>
#include <vector>

namespace elfatt::runtime {

/// An affine expression over a function's named dims, as manifests have them:
/// a number, a dim's name, or [op, a, b] with + * floordiv ceildiv mod.
class Expression {
public:
  enum class Kind : uint8_t { Constant, Dim, Add, Mul, FloorDiv, CeilDiv, Mod };
  struct Node {
    Kind kind;
    int64_t value;     ///< of a constant; the number of a dim
    uint32_t lhs, rhs; ///< earlier nodes
  };

  /// The last node is the whole.
  std::vector<Node> nodes;

  bool isConstant() const { return nodes.size() == 1 && nodes[0].kind == Kind::Constant; }

  /// Its value. Throws ELFATT_BAD_ARGUMENT where it overflows 64 bits or divides
  /// by less than 1.
  int64_t evaluate(const std::vector<int64_t> &dims) const;
};

} // namespace elfatt::runtime

#endif // ELFATT_LIB_RUNTIME_EXPRESSION_H
