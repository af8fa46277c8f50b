# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Our plain linalg in another compiler: models and ops, raised, approximated and
decomposed, are compiled and run by IREE and compared with PyTorch, or with the
float64 reference.

Whole modules of tests run under IREE as well, for a look at all of it:

    cd python/tests
    python -c "import sys, pytest, iree_execute, test_dialect_numerics as t;
    t.execute = iree_execute.execute; sys.exit(pytest.main([t.__file__]))"
"""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np
import pytest
import reference
import test_dialect_numerics as ops
import test_raise_numerics as raising
import torch
import torch.nn.functional as F
from elfatt import import_torch, models

pytest.importorskip(
    "iree.compiler", reason="iree-base-compiler is not installed: run scripts/setup.sh"
)
pytest.importorskip(
    "iree.runtime", reason="iree-base-runtime is not installed: run scripts/setup.sh"
)
import iree_execute  # noqa: E402


@pytest.fixture(autouse=True)
def run_with_iree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks of the other modules, with IREE as the compiler."""
    monkeypatch.setattr(ops, "execute", iree_execute.execute)
    monkeypatch.setattr(raising, "execute", iree_execute.execute)


@pytest.mark.parametrize(
    "make, sites",
    [
        (models.vit_tiny_test, {"sdpa": 2}),
        (models.elfatt_tiny_test, {"elfatt": 1}),
        (models.elfatt_attention_no_lepe_test, {"elfatt": 1}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_models(make: Callable[[], models.Sample], sites: Dict[str, int]) -> None:
    module, inputs = make()
    raising.check(module, inputs, sites)


def test_refused_site_with_its_attribute() -> None:
    raising.test_spellings("relu_linear")


def test_causal_model() -> None:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    raising.check(
        raising.Spelling(attend),
        [raising.heads(5, 8, s) for s in (1, 2, 3)],
        {"sdpa": 1},
    )


def test_approximated_model() -> None:
    # A class token and 14 x 14 tokens; two of three heads are local.
    q, k, v = (
        torch.from_numpy(x).float() for x in ops.random(5, *[(2, 3, 197, 16)] * 3)
    )
    text = str(import_torch(raising.Spelling(F.scaled_dot_product_attention), q, k, v))
    plain, sites = raising.raise_text(
        text, "--elfatt-approximate=window=7x7 global-heads=1", "--elfatt-decompose"
    )
    assert dict(sites) == {"sdpa": 1} and "attention." not in plain
    (got,) = iree_execute.execute(plain, [x.numpy() for x in (q, k, v)])
    expected = reference.elfatt(q, k, v, (14, 14), (7, 7), global_heads=1, prefix=1)
    # The approximation, not the exact attention, is what was compiled.
    exact = reference.sdpa(q, k, v)
    assert np.abs(expected - exact).max() > 0.1 * np.abs(exact).max()
    ops.check(got, expected, "f32")


def test_score_region() -> None:
    ops.test_sdpa_score_region_sees_scores_and_indices(ops.random(1, *ops.SHAPES))


def test_masked_rows_of_nan() -> None:
    ops.test_sdpa_mask_keeps_where_true(ops.random(1, *ops.SHAPES), "nan")


def test_f16_and_dynamic_sizes() -> None:
    ops.test_sdpa(ops.random(1, *ops.SHAPES), "f16", dynamic=True)


def test_prefix_and_lepe_on_a_line_of_tokens() -> None:
    ops.test_elfatt_with_lepe((12,), (4,), prefix=5, global_heads=1)


def test_local_heads_first() -> None:
    ops.test_elfatt_local_heads_first()
