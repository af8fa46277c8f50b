// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Expression.h"

#include "Error.h"

namespace elfatt::runtime {

/// Rounds down, as affine expressions do.
static int64_t floorDivide(int64_t a, int64_t b) { return a / b - (a % b < 0); }

int64_t Expression::evaluate(const std::vector<int64_t> &dims) const {
  std::vector<int64_t> values;
  values.reserve(nodes.size());
  for (const Node &node : nodes) {
    if (node.kind == Kind::Constant || node.kind == Kind::Dim) {
      values.push_back(node.kind == Kind::Constant ? node.value : dims.at(node.value));
      continue;
    }
    int64_t a = values.at(node.lhs), b = values.at(node.rhs), result = 0;
    bool valid = true;
    if (node.kind == Kind::Add)
      valid = !__builtin_add_overflow(a, b, &result);
    else if (node.kind == Kind::Mul)
      valid = !__builtin_mul_overflow(a, b, &result);
    else if (b <= 0)
      valid = false;
    else if (node.kind == Kind::FloorDiv)
      result = floorDivide(a, b);
    else if (node.kind == Kind::CeilDiv)
      result = floorDivide(a, b) + (a % b != 0);
    else
      result = a - floorDivide(a, b) * b;
    if (!valid)
      throw Error(ELFATT_BAD_ARGUMENT, "the shapes are too large");
    values.push_back(result);
  }
  return values.back();
}

} // namespace elfatt::runtime
