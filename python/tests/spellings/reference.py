# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a case means: its formula in float64, and how far rounding may lead from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from .draft import LARGEST, Attention, Case
from .operands import from_bits


@dataclass
class Expected:
    """The result as [b, g, r, i, e], and the error that is allowed at each place."""

    values: np.ndarray
    tolerance: np.ndarray


def widen(case: Case, arrays: Sequence[np.ndarray]) -> list:
    """The arguments in float64, truths as 0 and 1."""
    return [
        (from_bits(a) if argument.element == "bf16" else a).astype(np.float64)
        for argument, a in zip(case.arguments, arrays)
    ]


def _in_range(values: np.ndarray, element: str) -> np.ndarray:
    """What is past the largest number of ``element`` is infinite there."""
    return np.where(
        np.abs(values) > LARGEST[element], np.copysign(np.inf, values), values
    )


def expect(case: Case, arrays: Sequence[np.ndarray]) -> Expected:
    with np.errstate(all="ignore"):
        return _expect(case, case.meaning, widen(case, arrays))


def _expect(case: Case, meaning: Attention, arrays: list) -> Expected:
    q, k, v = (meaning.operands[name](arrays) for name in "qkv")
    element = meaning.softmax_element
    scores = meaning.scale * np.einsum(
        "bgrid,bgrjd->bgrij", q, np.broadcast_to(k, _like(k, q))
    )
    # The rounding errors of a score grow with the numbers it is made of.
    size = abs(meaning.scale) * np.einsum(
        "bgrid,bgrjd->bgrij", abs(q), np.broadcast_to(abs(k), _like(k, q))
    )
    for step in meaning.steps:
        before = scores
        scores = _in_range(step.meaning(scores, arrays), element)
        change = abs(scores - before)
        size = np.maximum(size, np.where(change < 1e30, change, 0.0))
        if step.kind == "function":
            # A function may steepen: a square, or a factor.
            size = np.maximum(size, np.where(abs(scores) < 1e30, 3 * abs(scores), 0.0))
    # The rounding of what is multiplied before is left to the tolerance, too.
    largest = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - largest)
    probabilities = weights / weights.sum(axis=-1, keepdims=True)
    if meaning.guard == "safe":
        masked = np.all(scores == -np.inf, axis=-1, keepdims=True)
        probabilities = np.where(masked, 0.0, probabilities)
    elif meaning.guard == "nan-guard":
        probabilities = np.where(np.isnan(probabilities), 0.0, probabilities)
    values = np.broadcast_to(v, _like(v, q))
    result = np.einsum("bgrij,bgrje->bgrie", probabilities, values)

    epsilon = case.types.coarsest()
    counted = np.where(probabilities > 1e-9, size, 0.0)
    relative = (
        epsilon
        * (16 + case.sizes["d"] + 4 * case.sizes["j"])
        * (1 + counted.max(axis=-1, initial=0.0))
    )
    finite = np.where(np.isfinite(values), abs(values), 0.0)
    bound = finite.max(axis=-2, initial=0.0)[..., None, :]
    return Expected(result, relative[..., None] * bound + 1e-30)


def _like(keys: np.ndarray, queries: np.ndarray) -> tuple:
    return (*queries.shape[:3], *keys.shape[3:])
