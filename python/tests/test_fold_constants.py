# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Masks that mask nothing, and what else vanishes from PyTorch's programs."""

from __future__ import annotations

from typing import Any

import elfatt
import numpy as np
import pytest
import sources
import torch
from execute import execute

# float32 against PyTorch's float32: another order of summation.
F32 = dict(rtol=1e-5, atol=1e-5)


def _ops(module: torch.nn.Module, *inputs: torch.Tensor) -> Any:
    """Names of the exported program's ops after folding."""
    from elfatt.importer.torch_export import export

    program = export(module.eval(), inputs, ())
    return [str(n.target) for n in program.graph.nodes if n.op == "call_function"]


def test_a_vit_without_a_mask_has_none() -> None:
    """transformers 5 builds one out of arange whenever it is exported."""
    from elfatt import models

    for make in (models.vit_tiny_test, models.vit_tiny_test_eager):
        ops = _ops(*(lambda m, i: (m, *i))(*make()))
        assert "aten.arange.start_step" not in ops
        assert "aten.ge.Scalar" not in ops


def test_a_padding_mask_is_read_by_a_view_and_not_gathered() -> None:
    from elfatt import models

    module, inputs = models.bert_padding_tiny()
    assert "aten.index.Tensor" not in _ops(module, *inputs)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x + torch.zeros(3, 1)).exp(),
        lambda x: (torch.zeros(2, 3, 4) + x).exp(),
        lambda x: (x * torch.ones(4)).exp(),
    ],
)
def test_neutral_operands_vanish(function: Any) -> None:
    x = torch.randn(3, 4)
    module = sources.Function(function)
    assert set(_ops(module, x)) <= {"aten.expand.default", "aten.exp.default"}
    got = execute(str(elfatt.import_torch(module, x)), [x.numpy()])[0]
    np.testing.assert_allclose(got, function(x).numpy(), **F32)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.arange(4),
        lambda x: x * torch.zeros(4),
        lambda x: x + torch.zeros(4, dtype=torch.float64),
        lambda x: torch.sub(torch.zeros(3, 4), x),
        lambda x: torch.add(torch.zeros(3, 4), x, alpha=2),
        lambda x: x[torch.arange(3)[:, None], torch.arange(4)] * 2,
        lambda x: x[torch.arange(3)[:, None], 3 - torch.arange(4)] * 2,
        lambda x: x[torch.arange(3), torch.arange(3)] * 2,
        lambda x: x[torch.arange(3), torch.arange(4)[:, None]] * 2,
        lambda x: x[torch.arange(2)[:, None], torch.arange(4)] * 2,
        lambda x: x + torch.where(torch.arange(4) > 1, 0.0, float("-inf")),
    ],
)
def test_folding_keeps_the_values(function: Any) -> None:
    x = torch.randn(3, 4)
    module = sources.Function(function).eval()
    got = execute(str(elfatt.import_torch(module, x)), [x.numpy()])[0]
    np.testing.assert_allclose(got, function(x).numpy(), **F32)
