# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""CPU bundles through the C API: right numbers, and the same bits on any threads."""

from __future__ import annotations

import platform
import threading
from pathlib import Path
from typing import Any, Iterator

import bundles
import numpy as np
import pytest
from bundles import Failure, Runtime, tensor
from cpu_bundles import DENSE, DIM, HEADS, TOKENS, WEIGHTS, Make
from cpu_bundles import attention, attention_in_float64, packed_input

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the bundles are for x86-64"
)

LEVELS = ["x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"]


@pytest.fixture(autouse=True)
def own_threads(runtime: Runtime) -> Iterator[None]:
    yield
    runtime.library.elfatt_set_parallel_for(None, None)
    runtime.library.elfatt_set_threads(0)


def open_or_skip(runtime: Runtime, path: Path, level: str) -> bundles.Bundle:
    try:
        return runtime.open(path, level)
    except Failure as failure:
        assert failure.status == bundles.NOT_SUPPORTED
        assert "this processor cannot run" in failure.message
        pytest.skip(failure.message)


# Relative to the largest value. f32: the bound of the CPU kernels, twice that
# without fused multiply-adds. 16 bits: one rounding of the result.
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "element, bound", [("f32", 4e-6), ("f16", 2.0**-11), ("bf16", 2.0**-8)]
)
def test_attention_is_right(
    runtime: Runtime, make_bundle: Make, level: str, element: str, bound: float
) -> None:
    path = make_bundle(attention(element))
    if level.endswith("bf16") and element != "bf16":
        assert not (path / f"code.{level}.so").exists()
        return
    bundle = open_or_skip(runtime, path, level)
    assert bundle.target == level
    values = packed_input()
    if element == "bf16":
        bits = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        stored, output = bits, np.zeros((TOKENS, HEADS, DIM), np.uint16)
        values = (bits.astype(np.uint32) << 16).view(np.float32)
    else:
        stored = values.astype(np.float32 if element == "f32" else np.float16)
        output, values = np.zeros((TOKENS, HEADS, DIM), stored.dtype), stored
    bundle.run([stored], output)
    if element == "bf16":
        output = (output.astype(np.uint32) << 16).view(np.float32)
    expected = attention_in_float64(values)
    error = np.abs(output.astype(np.float64) - expected).max()
    assert error <= bound * np.abs(values[:, 2].astype(np.float64)).max()
    bundle.close()


@pytest.mark.parametrize("rows", [0, 1, 7, 1000])
def test_extents_are_bound_by_the_inputs(
    runtime: Runtime, make_bundle: Make, rows: int
) -> None:
    bundle = runtime.open(make_bundle(DENSE))
    x = np.random.default_rng(2).standard_normal((rows, 24)).astype(np.float32)
    index = np.arange(5, dtype=np.int64) % max(rows, 1)
    assert bundle.output_shape([tensor(x), tensor(index)], 0) == [rows, 40]
    y, picked = np.full((rows, 40), np.nan, np.float32), np.zeros((5, 24), np.float32)
    if rows == 0:
        with pytest.raises(Failure, match="row index out of range"):
            bundle.run([x, index], y, picked)
    else:
        bundle.run([x, index], y, picked)
        expected = x.astype(np.float64) @ WEIGHTS
        assert np.abs(y - expected).max() <= 1e-5
        assert np.array_equal(picked, x[index])
    bundle.close()


def parallel_for_backwards(context: Any, count: int, body: Any, data: Any) -> None:
    """Two threads, single steps, the last first."""

    def work(first: int) -> None:
        for i in reversed(range(first, count, 2)):
            body(data, i, i + 1)

    threads = [threading.Thread(target=work, args=[i]) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_bits_do_not_depend_on_threads(runtime: Runtime, make_bundle: Make) -> None:
    heads, dense = (
        runtime.open(make_bundle(attention("f32"))),
        runtime.open(make_bundle(DENSE)),
    )
    x = np.random.default_rng(3).standard_normal((900, 24)).astype(np.float32)
    index = np.arange(5, dtype=np.int64)
    results = []

    def collect() -> None:
        output = np.zeros((TOKENS, HEADS, DIM), np.float32)
        y, picked = np.zeros((900, 40), np.float32), np.zeros((5, 24), np.float32)
        heads.run([packed_input().astype(np.float32)], output)
        dense.run([x, index], y, picked)
        results.append(output.tobytes() + y.tobytes())

    for threads in (1, 2, 3, 7):
        runtime.library.elfatt_set_threads(threads)
        assert runtime.library.elfatt_get_threads() == threads
        collect()
    own = bundles.PARALLEL_FOR(parallel_for_backwards)
    runtime.library.elfatt_set_parallel_for(own, None)
    collect()
    assert len(set(results)) == 1


def test_runs_on_several_threads_at_once(runtime: Runtime, make_bundle: Make) -> None:
    bundle = runtime.open(make_bundle(attention("f32")))
    inputs = [
        np.random.default_rng(i).standard_normal((TOKENS, 3, HEADS, DIM), np.float32)
        for i in range(4)
    ]
    outputs = [np.zeros((TOKENS, HEADS, DIM), np.float32) for _ in inputs]

    def work(i: int) -> None:
        for _ in range(20):
            bundle.run([inputs[i]], outputs[i])

    threads = [threading.Thread(target=work, args=[i]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for given, output in zip(inputs, outputs):
        assert np.abs(output - attention_in_float64(given)).max() < 1e-5


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failing_run_ends_with_a_status(
    runtime: Runtime, make_bundle: Make, threads: int
) -> None:
    runtime.library.elfatt_set_threads(threads)
    bundle = runtime.open(make_bundle(DENSE))
    x = np.ones((6, 24), np.float32)
    y, picked = np.zeros((6, 40), np.float32), np.zeros((5, 24), np.float32)
    for _ in range(3):
        with pytest.raises(Failure, match="row index out of range") as failure:
            bundle.run([x, np.full(5, 6, np.int64)], y, picked)
        assert failure.value.status == bundles.RUN_FAILED
        bundle.run([x, np.full(5, 5, np.int64)], y, picked)
        assert np.array_equal(picked, np.ones((5, 24)))


def test_bundles_of_one_folder_are_apart(runtime: Runtime, make_bundle: Make) -> None:
    first, second = runtime.open(make_bundle(DENSE)), runtime.open(make_bundle(DENSE))
    first.close()
    x, index = np.eye(24, dtype=np.float32), np.arange(5, dtype=np.int64)
    y, picked = np.zeros((24, 40), np.float32), np.zeros((5, 24), np.float32)
    second.run([x, index], y, picked)
    assert np.array_equal(y, WEIGHTS)
    second.close()
