# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs plain MLIR (linalg, tensor, arith, math, scf, cf) through torch-mlir's JIT.

Shares nothing with our compiler, so that what the importer writes, and what
``elfatt-decompose`` gives back, can be checked without it. Plain loops: for tests,
not for speed.

    python python/tests/execute.py module.mlir in.npz [--expect out.npz]
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import List, Sequence

import numpy as np
from torch_mlir import ir, runtime
from torch_mlir.dialects import torch as torch_dialect
from torch_mlir.execution_engine import ExecutionEngine
from torch_mlir.passmanager import PassManager

# The C wrapper is asked for before math-to-libm declares functions, which have none.
PIPELINE = """builtin.module(
  canonicalize,
  func.func(llvm-request-c-wrappers),
  func.func(linalg-generalize-named-ops),
  one-shot-bufferize{bufferize-function-boundaries
    function-boundary-type-conversion=identity-layout-map
    copy-before-write=0},
  func.func(convert-linalg-to-loops),
  canonicalize, cse,
  expand-strided-metadata, lower-affine, convert-scf-to-cf,
  convert-math-to-llvm, convert-math-to-libm,
  expand-strided-metadata, lower-affine,
  finalize-memref-to-llvm,
  convert-func-to-llvm, convert-index-to-llvm, convert-arith-to-llvm,
  convert-cf-to-llvm, reconcile-unrealized-casts)"""

# memref.copy between strided buffers is a call into this library.
_RUNNER_UTILS = "/usr/lib/llvm-22/lib/libmlir_c_runner_utils.so"

_DTYPES = {
    "f64": np.float64,
    "f32": np.float32,
    "f16": np.float16,
    "bf16": np.uint16,  # Its bits.
    "i64": np.int64,
    "i32": np.int32,
    "i1": np.bool_,
}


class Executable:
    """A module whose functions can be called with NumPy arrays."""

    def __init__(self, text: str) -> None:
        context = ir.Context()
        torch_dialect.register_dialect(context)
        with context:
            module = ir.Module.parse(text)
            self._results = {
                function.name.value: [
                    ir.RankedTensorType(t) for t in function.type.results
                ]
                for function in module.body.operations
                if function.operation.name == "func.func"
            }
            PassManager.parse(PIPELINE).run(module.operation)
            # LLVM's optimizer takes longer than it saves on shapes of a test.
            self._engine = ExecutionEngine(
                module, opt_level=0, shared_libs=[_RUNNER_UTILS]
            )

    def __call__(self, *arguments: np.ndarray) -> List[np.ndarray]:
        return self.call("main", *arguments)

    def call(self, name: str, *arguments: np.ndarray) -> List[np.ndarray]:
        types = self._results[name]

        class Results(ctypes.Structure):
            _fields_ = [(f"out{i}", self._descriptor(t)) for i, t in enumerate(types)]

        results = Results()
        kept = [np.ascontiguousarray(a) for a in arguments]
        pointers = [ctypes.pointer(ctypes.pointer(results))]
        for array in kept:
            descriptor = runtime.get_ranked_memref_descriptor(array)
            pointers.append(ctypes.pointer(ctypes.pointer(descriptor)))
        self._engine.invoke(name, *pointers)
        return [
            runtime.ranked_memref_to_numpy(
                ctypes.pointer(getattr(results, f"out{i}"))
            ).copy()
            for i in range(len(types))
        ]

    @staticmethod
    def _descriptor(type_: ir.RankedTensorType) -> type:
        dtype = _DTYPES[str(type_.element_type)]
        kind = runtime.as_ctype(np.dtype(dtype))
        if type_.rank == 0:
            return runtime.make_zero_d_memref_descriptor(kind)
        return runtime.make_nd_memref_descriptor(type_.rank, kind)


def execute(text: str, arguments: Sequence[np.ndarray]) -> List[np.ndarray]:
    """Compiles the text of a module and calls its ``@main`` once."""
    return Executable(text)(*arguments)


def _command() -> int:
    module, inputs = sys.argv[1:3]
    given = np.load(inputs)
    names = sorted((n for n in given if n.startswith("arg")), key=lambda n: int(n[3:]))
    results = execute(Path(module).read_text(), [given[n] for n in names])
    for i, result in enumerate(results):
        print(f"out{i}: {result.dtype}{list(result.shape)}")
    expected = np.load(sys.argv[4]) if "--expect" in sys.argv else given
    for i, result in enumerate(results):
        if f"out{i}" in expected:
            want = expected[f"out{i}"]
            error = np.abs(result - want).max() / max(np.abs(want).max(), 1e-30)
            print(f"out{i}: max error {error:.2e} of the largest output")
    return 0


if __name__ == "__main__":
    sys.exit(_command())
