# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs StableHLO: by JAX where it is installed, else by StableHLO's own interpreter,
which is right but does a few million operations a second."""

from __future__ import annotations

import importlib.util
from typing import Any, List, Optional, Sequence

import ml_dtypes
import numpy
from torch_mlir import ir
from torch_mlir._mlir_libs import _stablehlo

from elfatt.errors import Error

_DTYPES = {
    "f64": numpy.float64,
    "f32": numpy.float32,
    "f16": numpy.float16,
    "bf16": ml_dtypes.bfloat16,
    "i1": numpy.bool_,
    "i8": numpy.int8,
    "i16": numpy.int16,
    "i32": numpy.int32,
    "i64": numpy.int64,
    "ui8": numpy.uint8,
    "ui16": numpy.uint16,
    "ui32": numpy.uint32,
    "ui64": numpy.uint64,
}


def dtype_of(type_: ir.Type, name: str) -> numpy.dtype:
    """NumPy's type for an MLIR element type; ``name`` is whose it is, for messages."""
    if str(type_) not in _DTYPES:
        raise Error(f"the element type of {name}, {type_}, cannot be imported")
    return numpy.dtype(_DTYPES[str(type_)])


def run_module(
    module: ir.Module, inputs: Sequence[numpy.ndarray]
) -> List[numpy.ndarray]:
    """The results of ``@main``, a StableHLO function, on ``inputs``.

    Raises:
        Error: it cannot be run; the text says what is missing.
    """
    results = _run_with_jax(module, inputs)
    return _interpret(module, inputs) if results is None else results


def _run_with_jax(
    module: ir.Module, inputs: Sequence[numpy.ndarray]
) -> Optional[List[numpy.ndarray]]:
    if importlib.util.find_spec("jax") is None:
        return None
    try:
        import jax
        from jax.extend.backend import get_backend

        backend = get_backend("cpu")
        text = module.operation.get_asm(large_elements_limit=None)
        program = backend.compile_and_load(text, backend.local_devices()[:1])
        with jax.enable_x64(True):
            device = backend.local_devices()[0]
            buffers = [jax.device_put(value, device) for value in inputs]
        results = program.execute_sharded(
            buffers
        ).disassemble_into_single_device_arrays()
        return [numpy.asarray(shards[0]) for shards in results]
    except Exception:  # noqa: BLE001 - another version of JAX may differ in anything
        return None


def _interpret(
    module: ir.Module, inputs: Sequence[numpy.ndarray]
) -> List[numpy.ndarray]:
    with module.context, ir.Location.unknown():
        types = [ir.RankedTensorType(t) for t in _main_of(module).type.results]
        module = ir.Module.parse(module.operation.get_asm())
        _widen_results(module)
        arguments = [
            ir.DenseElementsAttr.get(numpy.ascontiguousarray(value), type=type_)
            for value, type_ in zip(inputs, _main_of(module).type.inputs)
        ]
        try:
            results = _stablehlo.eval_module(module, arguments)
        except Exception as error:
            raise Error(
                "StableHLO's interpreter cannot run the model, and JAX, which might, is "
                f"not installed: {error}"
            ) from None
        return [
            numpy.array(ir.DenseElementsAttr(value))
            .astype(dtype_of(type_.element_type, f"out{i}"))
            .reshape(type_.shape)
            for i, (value, type_) in enumerate(zip(results, types))
        ]


def _main_of(module: ir.Module) -> Any:
    return module.body.operations[0]


def _widen_results(module: ir.Module) -> None:
    """Results of bf16 become f32: the bindings cannot look into an array of it."""
    main = _main_of(module)
    block = main.entry_block
    end = block.operations[len(block.operations) - 1]
    types = []
    for i, value in enumerate(end.operands):
        type_ = ir.RankedTensorType(value.type)
        if str(type_.element_type) == "bf16":
            type_ = ir.RankedTensorType.get(type_.shape, ir.F32Type.get())
            with ir.InsertionPoint(end):
                wide = ir.Operation.create("stablehlo.convert", [type_], [value])
            end.operation.operands[i] = wide.result
        types.append(type_)
    signature = ir.FunctionType.get(main.type.inputs, types)
    main.attributes["function_type"] = ir.TypeAttr.get(signature)
