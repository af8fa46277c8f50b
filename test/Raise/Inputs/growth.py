# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention with a chain beside it, each value of which is used twice in the next: as
an expression it is 2^60 long.

    growth.py constants|scores|masks|sizes
"""

import sys

LENGTH = 60
KIND = sys.argv[1]
SCORES, MASKS = "tensor<?x4xf32>", "tensor<?x4xi1>"


def chain(step):
    return "\n".join("  " + step.format(now=i + 1, last=i) for i in range(LENGTH))


def both(op, name, type_, init):
    """A chain of `op` on a value and itself."""
    return chain(
        f"%{name}{{now}} = linalg.map {{{{ {op} }}}} "
        f"ins(%{name}{{last}}, %{name}{{last}} : {type_}, {type_}) outs({init} : {type_})"
    )


BODY = {
    "constants": both("arith.addf", "k", "tensor<8x4xf32>", "%kt"),
    "scores": "  %s0 = linalg.exp ins(%s : {0}) outs(%es : {0}) -> {0}\n".format(SCORES)
    + both("arith.addf", "s", SCORES, "%es"),
    "masks": both("arith.andi", "m", MASKS, "%m0")
    + "\n  %s{0} = linalg.select ins(%m{0}, %s, %ls : {1}, {2}, {2}) outs(%es : {2}) -> {2}".format(
        LENGTH, MASKS, SCORES
    ),
    "sizes": chain("%n{now} = arith.muli %n{last}, %n{last} : index"),
}[KIND]
KEYS = f"%k{LENGTH}" if KIND == "constants" else "%kt"
LOGITS = f"%s{LENGTH}" if KIND in ("scores", "masks") else "%s"
SIZE = f"%n{LENGTH}" if KIND == "sizes" else "%n0"
BEFORE, AFTER = (BODY, "") if KIND in ("constants", "sizes") else ("", BODY)

print(f"""
func.func @main(%n0: index, %q: tensor<?x8xf32>, %kt: tensor<8x4xf32>, %v: tensor<4x8xf32>,
                %es: {SCORES}, %m0: {MASKS}) -> tensor<?x8xf32> {{
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant 0xFF800000 : f32
  %k0 = arith.constant dense<1.0> : tensor<8x4xf32>
{BEFORE}
  %eo = tensor.empty({SIZE}) : tensor<?x8xf32>
  %zs = linalg.fill ins(%zero : f32) outs(%es : {SCORES}) -> {SCORES}
  %ls = linalg.fill ins(%lowest : f32) outs(%es : {SCORES}) -> {SCORES}
  %zo = linalg.fill ins(%zero : f32) outs(%eo : tensor<?x8xf32>) -> tensor<?x8xf32>
  %s = linalg.matmul ins(%q, {KEYS} : tensor<?x8xf32>, tensor<8x4xf32>) outs(%zs : {SCORES}) -> {SCORES}
{AFTER}
  %p = linalg.softmax dimension(1) ins({LOGITS} : {SCORES}) outs(%es : {SCORES}) -> {SCORES}
  %r = linalg.matmul ins(%p, %v : {SCORES}, tensor<4x8xf32>) outs(%zo : tensor<?x8xf32>) -> tensor<?x8xf32>
  return %r : tensor<?x8xf32>
}}""")
