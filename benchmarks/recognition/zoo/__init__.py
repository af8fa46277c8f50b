# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small models of real families: the libraries' own code and configs, random weights.

Each module of this package holds a table ``FAMILIES`` of one library's families. The
number of attentions a family has is counted in the library's source, never taken from
what the compiler says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence, Tuple

import torch
from torch import nn

Sample = Tuple[nn.Module, Tuple[torch.Tensor, ...]]
SEED = 20250106


@dataclass(frozen=True)
class Family:
    """One row of the table, or one a spelling of its attention.

    Attributes:
        name: the family, and in words what of it is built when that is not all.
        build: makes the model with an attention implementation, and its inputs.
        attentions: softmax attentions over tokens or channels that one call computes.
        implementations: the spellings that the library has.
        frontends: the ways it can be imported.
        refused: other places that look like attention, by the reason they are left as
            they are.
        dynamic: (argument, dimension) pairs that stay open in the import.
        note: what a reader should know, such as a config that is not the default.
    """

    name: str
    build: Callable[[str], Sample]
    attentions: int
    implementations: Sequence[str] = ("eager",)
    frontends: Sequence[str] = ("torch", "onnx", "onnx (TorchScript)")
    refused: Mapping[str, int] = field(default_factory=dict)
    dynamic: Sequence[Tuple[int, int]] = ()
    note: str = ""


class Call(nn.Module):
    """A model as a function of tensors to tensors."""

    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(self.model, *inputs)


def randomise(model: nn.Module) -> nn.Module:
    """Draws every parameter anew, so that every part of an attention shows.

    Libraries start bias tables at zero, layer scales near zero and projections so small
    that every softmax is flat; an error there would not reach the output.
    """
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(
                parameter.dtype
            )
            if parameter.dim() >= 2:
                parameter.copy_(noise / math.sqrt(max(parameter[0].numel(), 1)))
            else:
                parameter.add_(0.1 * noise)
    return model.eval()


def image(size: int = 32, batch: int = 1, channels: int = 3) -> torch.Tensor:
    return torch.randn(batch, channels, size, size, generator=_generator())


def values(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=_generator())


def ids(batch: int = 2, tokens: int = 10, vocabulary: int = 64) -> torch.Tensor:
    return torch.randint(5, vocabulary, (batch, tokens), generator=_generator())


def padding(batch: int = 2, tokens: int = 10, left: bool = False) -> torch.Tensor:
    """[B,N] int64, 1 valid and 0 padding; each row a little shorter than the last."""
    lengths = tokens - 1 - 2 * torch.arange(batch)
    mask = (torch.arange(tokens)[None] < lengths[:, None]).long()
    return mask.flip(1) if left else mask


def accept_torchvision() -> None:
    """Lets `timm` and `transformers` load a torchvision that was built for another torch.

    PyPI's torchvision is for PyPI's torch; beside a torch for CPUs alone its operators are
    missing, and the import fails at the first two that it describes. No family uses them.
    """
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError:
        return
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor"
            )


accept_torchvision()


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(SEED + 1)
