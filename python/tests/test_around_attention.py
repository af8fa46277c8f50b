# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What stands around attention in a model, on the CPU, against float64."""

from __future__ import annotations

import copy
import itertools
from typing import Any, Tuple

import elfatt
import numpy as np
import pytest
import torch

# A few hundred products are summed in float32; relative to the largest output.
TOLERANCE = 1e-6

CONVOLUTIONS = {
    "pointwise": ((5, 7, 1), {}),
    "pointwise, every second pixel": ((5, 7, 1), {"stride": 2}),
    "overlapping": ((5, 7, 3), {"padding": 1}),
    "overlapping, every second pixel": ((5, 7, 3), {"stride": 2, "padding": 1}),
    "dilated": ((5, 7, 3), {"padding": 2, "dilation": 2}),
    "patches": ((3, 8, 4), {"stride": 4}),
    "one line": ((5, 7, (1, 3)), {"padding": (0, 1)}),
    "depthwise": ((6, 6, 3), {"padding": 1, "groups": 6}),
    "depthwise, every second pixel": ((6, 6, 3), {"stride": 2, "groups": 6}),
    "depthwise, of 7 x 7": ((6, 6, 7), {"padding": 3, "groups": 6}),
    "depthwise, two of each": ((6, 12, 3), {"groups": 6}),
    "groups": ((6, 12, 3), {"padding": 1, "groups": 3}),
}


def check(module: torch.nn.Module, *inputs: torch.Tensor) -> None:
    executable = elfatt.import_torch(module, *inputs).compile()
    got = np.asarray(executable(*inputs))
    exact = copy.deepcopy(module).double()(*(x.double() for x in inputs))
    expected = exact.detach().numpy()
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str) -> None:
    (given, made, filter), options = CONVOLUTIONS[name]
    torch.manual_seed(0)
    module = torch.nn.Conv2d(given, made, filter, **options)
    check(module, torch.randn(2, given, 13, 17))


class Einsum(torch.nn.Module):
    def __init__(self, formula: str) -> None:
        super().__init__()
        self.formula = formula

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.einsum(self.formula, x, y)


def sizes(dims: str) -> Tuple[int, ...]:
    return tuple({"b": 2, "m": 4, "n": 6, "k": 5, "l": 3}[dim] for dim in dims)


@pytest.mark.parametrize("formula", ["mkl,kn->mn", "bmk,bnkl->bmn", "mk,nlk->nm"])
def test_products_with_a_sum_of_one_operand(formula: str) -> None:
    left, right = formula.split("->")[0].split(",")
    torch.manual_seed(0)
    check(Einsum(formula), torch.randn(sizes(left)), torch.randn(sizes(right)))


class Transposed(torch.nn.Module):
    def __init__(self, order: Tuple[int, ...]) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: torch.Tensor) -> Any:
        return x.permute(self.order).contiguous()


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:], ids=str)
def test_transpositions(order: Tuple[int, ...]) -> None:
    torch.manual_seed(0)
    check(Transposed(order), torch.randn(3, 70, 37))
    check(Transposed(order), torch.randn(2, 64, 96))
