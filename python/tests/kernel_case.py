# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention ops as compiled kernels: what they are given, what they must give.

A ``Case`` is one op on arguments of its own. ``run`` puts several into one module,
gives it to ``elfatt-run`` and returns what each computed; ``check`` holds that to
the project's bounds. Nothing here knows how kernels are built.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

import ml_dtypes
import numpy as np

Array = np.ndarray

DTYPES: Dict[str, Any] = {
    "f16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "f32": np.float32,
    "f64": np.float64,
    "i1": np.bool_,
}

# Of max|V|, for unit-normal inputs, where the computation is in f32; in f64 as many
# units in the last place.
BOUND = {np.float32: 2e-6, np.float64: 2e-6 * 2.0**-29}
# Of the error of a plain evaluation in the computation's type, for any input.
FACTOR = 4
# Of the error of PyTorch's evaluation in the same 16-bit type.
EAGER_FACTOR = 1.25


@dataclass
class Case:
    """One op, a function of `arguments` with the ops of `body` and one `result`.

    Arrays are as they are stored. `expected` is exact to far more than the
    computation's type `computed` holds, `plain` is the formula evaluated in that
    type. `scale` is what errors are relative to. A 16-bit result may be off by its
    rounding too, and by `slack`, the rounding of what it is a sum of. `eager` is what
    PyTorch makes of the formula in a 16-bit type. `destinations` are the arguments that
    the op writes.
    """

    name: str
    dtype: str = "f32"
    body: List[str] = field(default_factory=list)
    arguments: List[Tuple[Array, str]] = field(default_factory=list)
    result: Tuple[str, str] = ("", "")
    computed: Any = np.float32
    expected: Any = None
    plain: Any = None
    scale: float = 1.0
    slack: Any = 0.0
    normal: bool = True
    eager: Optional[Callable[[], Array]] = None
    destinations: List[int] = field(default_factory=list)

    def argument(
        self,
        array: Array,
        dtype: str = "",
        dynamic: Sequence[int] = (),
        sliced: bool = False,
    ) -> Tuple[str, str]:
        """Passes an array; returns its value and type. The dims in `dynamic` have an
        extent of ?. A `sliced` one lies inside of a larger one of NaN, one element
        from its edges: unaligned and with strides of its own."""
        dtype = dtype or self.dtype
        index = len(self.arguments)
        shape = ["?" if i in dynamic else n for i, n in enumerate(array.shape)]
        value, type_ = f"%a{index}", tensor(shape, dtype)
        if not sliced:
            self.arguments.append((array.astype(DTYPES[dtype]), type_))
            return value, type_
        outer = np.full([n + 3 for n in array.shape], True if dtype == "i1" else np.nan)
        outer[tuple(slice(1, 1 + n) for n in array.shape)] = array
        outer_type = tensor(outer.shape, dtype)
        self.arguments.append((outer.astype(DTYPES[dtype]), outer_type))
        ones, sizes = [1] * array.ndim, list(array.shape)
        self.body.append(
            f"{value}s = tensor.extract_slice {value}{ones} {sizes} {ones}"
            f" : {outer_type} to {type_}"
        )
        return value + "s", type_

    def function(self) -> str:
        """The case as a function, without its name: what is compiled. Cases that
        differ in values alone, or in extents that are ?, have one in common."""
        parameters = ", ".join(
            f"%a{i}: {type_}" for i, (_, type_) in enumerate(self.arguments)
        )
        value, type_ = self.result
        body = "\n".join([*self.body, f"return {value} : {type_}"])
        noinline = 'passthrough = ["noinline"]'
        return f"({parameters}) -> {type_} attributes {{{noinline}}} {{\n{body}\n}}\n"


Result = Union[Array, str]
"""What a case gave, or what elfatt-run said instead."""


def tensor(shape: Sequence[object], dtype: str) -> str:
    return "tensor<" + "".join(f"{n}x" for n in shape) + dtype + ">"


def module(
    cases: Sequence[Case], in_place: bool = True
) -> Tuple[str, Dict[str, Array]]:
    """A module whose @main calls each case, and its arguments. Cases write to copies of
    their destinations if not `in_place`."""
    arrays: Dict[str, Array] = {}
    functions: Dict[str, str] = {}
    parameters, calls, values, types = [], [], [], []
    for i, case in enumerate(cases):
        callee = functions.setdefault(case.function(), f"@kernel{len(functions)}")
        names, kinds = [], []
        for array, type_ in case.arguments:
            names.append(f"%a{len(arrays)}")
            kinds.append(type_)
            # A .npz file holds bf16 as bits.
            is_bf16 = array.dtype == ml_dtypes.bfloat16
            arrays[f"arg{len(arrays)}"] = array.view(np.uint16) if is_bf16 else array
        parameters += [f"{n}: {t}" for n, t in zip(names, kinds)]
        for at in [] if in_place else case.destinations:
            copy = f"%c{i}_{at}"
            calls.append(
                f"{copy} = bufferization.alloc_tensor() copy({names[at]}) : {kinds[at]}\n"
            )
            names[at] = copy
        values.append(f"%r{i}")
        types.append(case.result[1])
        calls.append(
            f"%r{i} = call {callee}({', '.join(names)})"
            f" : ({', '.join(kinds)}) -> {types[-1]}\n"
        )
    text = "".join(f"func.func private {f}{body}" for body, f in functions.items())
    text += (
        f"func.func @main({', '.join(parameters)}) -> ({', '.join(types)}) {{\n"
        + "".join(calls)
        + f"return {', '.join(values)} : {', '.join(types)}\n}}\n"
    )
    return text, arrays


def _run_once(
    tool: str,
    folder: Path,
    cases: Sequence[Case],
    options: Sequence[str],
    seconds: Optional[float],
) -> Union[List[Array], str]:
    folder.mkdir(parents=True, exist_ok=True)
    # Models may not write to what they are given on a simulated chip.
    in_place = not any(o.startswith("--target=sim:") for o in options)
    text, arrays = module(cases, in_place)
    (folder / "m.mlir").write_text(text)
    np.savez(folder / "in.npz", **arrays)
    done = subprocess.run(
        [tool, "m.mlir", "--inputs=in.npz", "--save=out.npz", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    if done.returncode != 0:
        return f"exit status {done.returncode}: {done.stderr}"
    with np.load(folder / "out.npz") as out:
        results = [out[f"out{i}"] for i in range(len(cases))]
    return [r.view(ml_dtypes.bfloat16) if r.dtype == np.uint16 else r for r in results]


def run(
    tool: str,
    folder: Path,
    cases: Sequence[Case],
    options: Sequence[str] = (),
    at_once: int = 12,
    seconds: Optional[float] = None,
) -> Dict[str, Result]:
    """What each case gives, by name. `at_once` share a module; where one of them
    fails, each is run alone. Raises subprocess.TimeoutExpired when a module takes
    more than `seconds`."""
    functions: Dict[str, List[Case]] = {}
    for case in cases:
        functions.setdefault(case.function(), []).append(case)
    sorted_cases = [case for alike in functions.values() for case in alike]

    def run_chunk(start: int) -> Dict[str, Result]:
        chunk = sorted_cases[start : start + at_once]
        results = _run_once(tool, folder / str(start), chunk, options, seconds)
        if not isinstance(results, str):
            return {case.name: result for case, result in zip(chunk, results)}
        if len(chunk) == 1:
            return {chunk[0].name: results}
        alone = [
            _run_once(tool, folder / str(start), [case], options, seconds)
            for case in chunk
        ]
        return {
            case.name: result if isinstance(result, str) else result[0]
            for case, result in zip(chunk, alone)
        }

    names = [case.name for case in cases]
    assert len(set(names)) == len(names), "two cases of one name"
    results: Dict[str, Result] = {}
    with ThreadPoolExecutor(2) as pool:
        for part in pool.map(run_chunk, range(0, len(cases), at_once)):
            results.update(part)
    return results


def half_ulp(values: Array, dtype: str) -> Array:
    """Half a unit in the last place of `dtype` at each value."""
    info = ml_dtypes.finfo(DTYPES[dtype])
    _, exponent = np.frexp(np.abs(values))
    lowest = np.log2(float(info.tiny))
    return 0.5 * float(info.eps) * 2.0 ** np.maximum(exponent - 1, lowest)


def check_pattern(result: Array, like: Array) -> None:
    """Raises AssertionError where `result` is NaN or infinite and `like` is not so."""
    for what, test in [
        ("nan", np.isnan),
        ("inf", np.isposinf),
        ("-inf", np.isneginf),
    ]:
        wrong = np.argwhere(test(result) != test(like))
        assert wrong.size == 0, (
            f"{what}: expected {test(like).sum()} of {like.size}, got {test(result).sum()}; "
            f"first at {wrong[0].tolist()}: {result[tuple(wrong[0])]}, "
            f"plain evaluation {like[tuple(wrong[0])]}"
        )


def check(case: Case, result: Result, eager: bool = False) -> None:
    """Raises AssertionError where the result is out of bounds: another pattern of
    NaN and inf than the plain evaluation has, or too far from the exact values. With
    `eager`, 16-bit results are measured by what PyTorch makes of the formula: what
    multiplies matrices of such a type rounds the weights to it."""
    assert not isinstance(result, str), result
    assert result.dtype == DTYPES[case.dtype]
    assert result.shape == case.expected.shape
    with np.errstate(over="ignore"):
        rounded = np.asarray(case.plain).astype(DTYPES[case.dtype])
    got, like = result.astype(np.longdouble), rounded.astype(np.longdouble)
    expected = case.expected.astype(np.longdouble)
    plain = np.asarray(case.plain).astype(np.longdouble)
    check_pattern(got, like)
    finite = np.isfinite(like) & np.isfinite(expected)
    if eager and case.eager is not None:
        peer = case.eager().astype(np.longdouble)
        finite &= np.isfinite(peer)
        check_as_eager(case, got[finite], expected[finite], peer[finite])
        return
    if not finite.any():
        return
    got, expected, plain = got[finite], expected[finite], plain[finite]
    bound = BOUND[case.computed]
    plain_error = float(np.abs(plain - expected).max()) / case.scale
    if not case.normal:
        bound = max(bound, FACTOR * plain_error)
    excess = np.abs(got - expected)
    if case.dtype in ("f16", "bf16"):
        largest = np.maximum(np.abs(got), np.abs(expected))
        slack = np.broadcast_to(case.slack, like.shape)[finite]
        excess = excess - half_ulp(largest, case.dtype) - slack
    error = float(excess.max()) / case.scale
    assert error <= bound, (
        f"error {error:.2e} of max|V|, expected at most {bound:.2e} "
        f"(a plain evaluation has {plain_error:.2e})"
    )


def check_as_eager(case: Case, got: Array, expected: Array, peer: Array) -> None:
    if not got.size:
        return
    error, of_peer = (float(np.abs(x - expected).max()) for x in (got, peer))
    rounding = float(half_ulp(np.abs(expected).max(), case.dtype))
    assert error <= max(EAGER_FACTOR * of_peer, rounding), (
        f"error {error / case.scale:.2e} of max|V|, expected at most {EAGER_FACTOR} times "
        f"{of_peer / case.scale:.2e}, the error of PyTorch's {case.dtype}"
    )
