# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Prints a function whose result takes 64 TiB."""

TYPE = f"tensor<{2**42}x4xf32>"
print(f"""func.func @main(%x: tensor<f32>) -> {TYPE} {{
  %c = tensor.extract %x[] : tensor<f32>
  %e = tensor.empty() : {TYPE}
  %f = linalg.fill ins(%c : f32) outs(%e : {TYPE}) -> {TYPE}
  return %f : {TYPE}
}}""")
