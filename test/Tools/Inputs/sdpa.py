# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""sdpa.py FILE B H N M D DV TYPE writes @main of one attention.sdpa."""

import sys

path, batch, heads, rows, keys, channels, values, element = sys.argv[1:]
q = f"tensor<{batch}x{heads}x{rows}x{channels}x{element}>"
k = f"tensor<{batch}x{heads}x{keys}x{channels}x{element}>"
v = f"tensor<{batch}x{heads}x{keys}x{values}x{element}>"
o = f"tensor<{batch}x{heads}x{rows}x{values}x{element}>"
with open(path, "w") as file:
    file.write(f"""#q = affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>
#k = affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>
#v = affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>
#o = affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>
func.func @main(%q: {q}, %k: {k}, %v: {v}) -> {o} {{
  %init = tensor.empty() : {o}
  %0 = attention.sdpa indexing_maps = [#q, #k, #v, #o]
      ins(%q, %k, %v : {q}, {k}, {v}) outs(%init : {o}) -> {o}
  return %0 : {o}
}}
""")
