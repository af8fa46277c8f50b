// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Writes out every linalg.softmax, as MLIR itself does it.
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%module: !transform.any_op {transform.readonly}) {
    %softmaxes = transform.structured.match ops{["linalg.softmax"]} in %module : (!transform.any_op) -> !transform.any_op
    %parts = transform.structured.decompose_interface %softmaxes : (!transform.any_op) -> !transform.any_op
    transform.yield
  }
}
