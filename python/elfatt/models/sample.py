# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What all models share: their form as a SOURCE, one seed, and weights like trained ones."""

from __future__ import annotations

from typing import Tuple

import torch
from torch import nn

Sample = Tuple[nn.Module, Tuple[torch.Tensor, ...]]
"""A module in eval mode and its example inputs."""

SEED = 20250106
"""One seed for all models: the order of the draws is then fixed as well."""

SHARPEN = 3.0
"""Factor of query and key weights. Transformers initialises with std 0.02, which leaves
scores so close to zero that every softmax is flat and a wrong scale or a wrong axis
hardly shows. Larger weights give scores with a standard deviation near 1, as trained
models have."""
