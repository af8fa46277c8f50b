# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small SOURCES, good and bad, for the importer's tests."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch import nn


class Function(nn.Module):
    """A module out of a function."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


class BiasTable(nn.Module):
    """Swin's relative position bias: a buffer indexes a table in forward."""

    def __init__(self, persistent: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Parameter(torch.randn(9, 2))
        self.register_buffer(
            "index", torch.randint(0, 9, (4, 4)), persistent=persistent
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.table[self.index].permute(2, 0, 1)


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x + self.count


def simple() -> Any:
    return Function(lambda x, y: (x @ y, x * 2)).eval(), (
        torch.arange(6.0).reshape(2, 3),
        torch.ones(3, 4),
    )


def half() -> Any:
    x = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    return Function(lambda x: x + x).eval(), (x,)


def prints() -> Any:
    print("printed by the model's code")
    return simple()


def raises() -> Any:
    raise ValueError("no weights today")


def wrong_return() -> Any:
    return nn.Linear(2, 2)


def wrong_module() -> Any:
    return "model", (torch.ones(2),)


def wrong_input() -> Any:
    return nn.Linear(2, 2), (torch.ones(2), 3)


def fails_in_forward() -> Any:
    return Function(lambda x: x @ torch.ones(5)).eval(), (torch.ones(2, 3),)


def misfits() -> Any:
    """PyTorch logs its stack beside the exception."""
    return nn.Linear(2, 3), (torch.ones(1, 5),)


def branches_on_data() -> Any:
    return Function(lambda x: x if x.sum() > 0 else -x).eval(), (torch.ones(2),)


def not_lowered() -> Any:
    return Function(lambda x: torch.special.bessel_j0(x)).eval(), (torch.ones(2),)


def writes_a_buffer() -> Any:
    return Counter().eval(), (torch.ones(2),)


def draws_random_numbers() -> Any:
    return nn.Dropout(0.5).train(), (torch.ones(2),)


def returns_none() -> Any:
    return Function(lambda x: (x, None)).eval(), (torch.ones(2),)


def exits() -> Any:
    sys.exit(0)


def crashes() -> Any:
    print("LLVM ERROR: made up by the test", file=sys.stderr, flush=True)
    os.write(2, b"LLVM ERROR: made up by the test\n#0 a stack dump\n")
    os.abort()
