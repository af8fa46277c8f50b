# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Values for the arguments of a case: random ones, and such as break things."""

from __future__ import annotations

from typing import Callable, Dict, List

import numpy as np

from .draft import Argument, Case
from .operands import to_bits

_DTYPES = {
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "i1": np.bool_,
    "i64": np.int64,
}


def as_element(values: np.ndarray, element: str) -> np.ndarray:
    if element == "bf16":
        return to_bits(np.asarray(values, np.float32))
    return np.asarray(values).astype(_DTYPES[element])


def _plain(random: np.random.Generator, kind: str, shape: tuple) -> np.ndarray:
    if kind == "mask":
        return random.random(shape) > 0.3
    if kind == "slopes":
        return random.choice([0.5, 0.25, 1.0], shape)
    return random.standard_normal(shape)


def _large(random: np.random.Generator, kind: str, shape: tuple) -> np.ndarray:
    """Scores of +-1e4, many of them equal."""
    if kind in ("operand", "values"):
        return random.choice([-64.0, 0.0, 64.0, 1.0], shape)
    if kind == "bias":
        return random.choice([-1e4, 0.0, 1e4, 1.0], shape)
    return _plain(random, kind, shape)


def _masked(random: np.random.Generator, kind: str, shape: tuple) -> np.ndarray:
    """Whole rows without a key, infinite biases, and ties."""
    if kind == "mask":
        values = random.random(shape) > 0.5
        if values.ndim and values.size:
            values[random.integers(values.shape[0])] = False
        return values
    if kind == "bias":
        values = np.where(random.random(shape) > 0.5, -np.inf, 1.0)
        if values.ndim and values.size:
            values[random.integers(values.shape[0])] = -np.inf
        return values
    if kind in ("operand", "values"):
        return random.integers(-2, 3, shape).astype(np.float64)
    return _plain(random, kind, shape)


def _broken(random: np.random.Generator, kind: str, shape: tuple) -> np.ndarray:
    """A NaN or an infinity somewhere."""
    values = np.asarray(_plain(random, kind, shape))
    odd = {"operand": [np.nan, np.nan, np.inf, -np.inf], "values": [np.nan]}
    odd["bias"] = odd["operand"]
    if kind in odd and values.size and random.random() < 0.6:
        place = tuple(random.integers(extent) for extent in shape)
        values[place] = random.choice(odd[kind])
    return values


KINDS: Dict[str, Callable[[np.random.Generator, str, tuple], np.ndarray]] = {
    "random": _plain,
    "large": _large,
    "masked": _masked,
    "broken": _broken,
}


def make(case: Case, kind: str, start: int) -> List[np.ndarray]:
    """Arrays for the arguments of ``case``."""
    random = np.random.default_rng(start)
    return [_make_one(case, a, kind, random) for a in case.arguments]


def _make_one(
    case: Case, argument: Argument, kind: str, random: np.random.Generator
) -> np.ndarray:
    shape = tuple(int(np.prod([case.sizes[x] for x in dim])) for dim in argument.dims)
    if argument.kind == "scalar":
        return as_element(np.full(shape, argument.value), argument.element)
    if kind == "large" and "f16" in vars(case.types).values():
        # 1e4 squared is past the numbers of f16.
        kind = "random"
    return as_element(KINDS[kind](random, argument.kind, shape), argument.element)
