# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Example inputs of sources that bring none."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import ml_dtypes
import numpy

from elfatt.errors import Error

SEED = 0

Spec = Tuple[str, numpy.dtype, Sequence[Optional[int]]]
"""Name, element type and sizes of an input; None for a size that is open."""


def to_npz(arrays: Sequence[numpy.ndarray], prefix: str) -> Dict[str, numpy.ndarray]:
    """Arrays as they stand in an ``.npz``: bf16 becomes its bits in uint16."""
    return {
        f"{prefix}{i}": a.view(numpy.uint16) if a.dtype == ml_dtypes.bfloat16 else a
        for i, a in enumerate(arrays)
    }


def make_inputs(
    specs: Sequence[Spec], given: Mapping[str, numpy.ndarray] = {}
) -> List[numpy.ndarray]:
    """One array an input: what is given, else random numbers, always the same.

    Random integers are 0 or 1, which are valid as token, as index and as mask.

    Args:
        specs: the inputs.
        given: arrays by ``argN`` or by the input's name.

    Raises:
        Error: an array does not fit, or a size that is open is needed.
    """
    names = {f"arg{i}" for i in range(len(specs))} | {name for name, _, _ in specs}
    for name in given:
        # A file of inputs may hold outputs, too.
        if name not in names and not name.startswith("out"):
            raise Error(
                f"there is no input '{name}'; the model has {len(specs)} inputs"
            )
    generator = numpy.random.default_rng(SEED)
    return [_make_input(i, spec, given, generator) for i, spec in enumerate(specs)]


def _make_input(
    i: int,
    spec: Spec,
    given: Mapping[str, numpy.ndarray],
    generator: numpy.random.Generator,
) -> numpy.ndarray:
    name, dtype, sizes = spec
    value = given.get(f"arg{i}", given.get(name))
    if value is not None:
        return _checked(
            f"arg{i} ('{name}')" if name else f"arg{i}", value, dtype, sizes
        )
    if None in sizes:
        raise Error(
            f"an example of arg{i} ('{name}') needs sizes, and that of dimension "
            f"{list(sizes).index(None)} is open; give an example by --inputs, or all "
            "sizes by --dim"
        )
    shape = tuple(size for size in sizes if size is not None)
    if dtype == numpy.bool_ or numpy.issubdtype(dtype, numpy.integer):
        return generator.integers(0, 2, shape).astype(dtype)
    if numpy.issubdtype(dtype, numpy.complexfloating):
        raise Error(f"expected the type of arg{i} to be real, got {dtype}")
    return generator.standard_normal(shape, numpy.float32).astype(dtype)


def _checked(
    name: str, value: numpy.ndarray, dtype: numpy.dtype, sizes: Sequence[Optional[int]]
) -> numpy.ndarray:
    fits = len(value.shape) == len(sizes) and all(
        size in (None, given) for size, given in zip(sizes, value.shape)
    )
    if not fits:
        shown = "x".join("?" if size is None else str(size) for size in sizes)
        got = "x".join(map(str, value.shape))
        raise Error(
            f"expected {name} to be {shown or 'a scalar'}, got {got or 'a scalar'}"
        )
    if dtype == ml_dtypes.bfloat16 and value.dtype == numpy.uint16:
        return value.view(dtype)
    if dtype in (ml_dtypes.bfloat16, numpy.float16) and value.dtype == numpy.float32:
        return value.astype(dtype)
    if value.dtype != dtype:
        raise Error(f"expected {name} to be {dtype}, got {value.dtype}")
    return value
