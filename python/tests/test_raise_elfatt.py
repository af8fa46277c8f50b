# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ELFATT in every spelling of ``elfatt_spellings``, imported, raised, decomposed
again and run by another compiler, against PyTorch in float64."""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import Callable, Iterator, List, Tuple

import elfatt
import elfatt_joins
import elfatt_lepe
import elfatt_neighbours
import elfatt_spellings
import numpy as np
import pytest
import torch
from elfatt import models
from elfatt_spellings import B, C, N
from execute import execute
from test_raise_numerics import TOLERANCE, raise_text

SPELLINGS = {
    **elfatt_spellings.SPELLINGS,
    **elfatt_joins.SPELLINGS,
    **elfatt_lepe.SPELLINGS,
    **elfatt_neighbours.SPELLINGS,
}

# So many spellings are imported as one module: an import costs half a second.
GROUP = 8


class Several(torch.nn.Module):
    """Several modules on one input, one output each."""

    def __init__(self, modules: List[torch.nn.Module]) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(modules)

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        return tuple(part(x) for part in self.parts)


def groups() -> Iterator[List[str]]:
    names = list(SPELLINGS)
    for first in range(0, len(names), GROUP):
        yield names[first : first + GROUP]


@pytest.mark.parametrize("names", list(groups()), ids=lambda names: names[0])
def test_spellings(names: List[str]) -> None:
    torch.manual_seed(1)
    module = Several([SPELLINGS[name][0]() for name in names]).eval()
    x = torch.randn(B, N, C)
    raised, remarks = raise_text(
        str(elfatt.import_torch(module, x)), "--elfatt-decompose"
    )
    expected: Counter[str] = Counter()
    for name in names:
        expected.update(SPELLINGS[name][1])
    assert remarks == expected
    with torch.no_grad():
        references = copy.deepcopy(module).double()(x.double())
    for name, got, reference in zip(names, execute(raised, [x.numpy()]), references):
        want = reference.numpy()
        assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max(), name


@pytest.mark.parametrize("make", [models.elfatt_attention_only, models.elfatt_stage])
def test_dynamic_batch(make: Callable[..., models.Sample]) -> None:
    shape = dict(size=14, channels=32, heads=2, batch=3)
    if make is models.elfatt_stage:
        shape["blocks"] = 1
    module, (x,) = make(**shape)
    text = str(elfatt.import_torch(module, x[:2], dynamic=[(0, 0)]))
    raised, remarks = raise_text(text, "--elfatt-decompose")
    assert remarks == {"elfatt": 1}
    with torch.no_grad():
        want = copy.deepcopy(module).double()(x.double()).numpy()
    (got,) = execute(raised, [x.numpy()])
    assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrow_types(dtype: torch.dtype) -> None:
    """Convolutions that sum in f32 and round are LePE too; that is reported."""
    module, (x,) = models.elfatt_attention_only(
        size=14, channels=32, heads=2, window=7, batch=1
    )
    source = str(elfatt.import_torch(module.to(dtype), x.to(dtype)))
    raised, _ = raise_text(source)
    assert "global_lepe(" in raised and "local_lepe(" in raised
    assert "depthwise_conv" not in raised
    assert re.search(r"attention.excess = \[\"precision\"\]", raised)
