# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""StableHLO, as JAX writes it, down to linalg on tensors.

Taken are the text that ``jax.jit(f).lower(...).as_text()`` gives (with
``debug_info=True`` every op keeps its place in the user's code), MLIR bytecode,
portable artifacts (``jax.export.export(...)(...).mlir_module_serialized``), and
functions that JAX can lower.

Faults of torch-mlir 20261001 met here (each has a test that names it):

- ``stablehlo-legalize-to-linalg`` leaves what it does not know, without an error:
  ``check_lowered`` names it.
- It knows no ``dot_general`` with an ``algorithm``, which is what JAX writes for bf16.
  One that asks for what linalg does anyway is dropped, see ``_plain_products``.
- It sums a product of f16 or bf16 in that type, which rounds at every step. XLA sums
  in f32 and rounds once; so do we.
- It knows no control flow, see ``elfatt.importer.stablehlo_control``.
- It knows no ``chlo`` op (``erf``, ``top_k``, ...); ``chlo-legalize-to-stablehlo`` does.
  The bindings do not even load that dialect, see ``_context``.

Changes numerics: sums of f16 and bf16 products are rounded once, as by XLA.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Iterator, List, Sequence, Union

import numpy
from torch_mlir import ir
from torch_mlir._mlir_libs import _stablehlo
from torch_mlir.dialects import torch as torch_dialect
from torch_mlir.passmanager import PassManager

from elfatt.errors import Error
from elfatt.importer import ImportOptions
from elfatt.importer.examples import Spec, make_inputs, to_npz
from elfatt.importer.loading import user_error
from elfatt.importer.lowering import (
    ImportedModule,
    check_lowered,
    drop_attributes,
    operations_in,
    place_in,
    run_pipeline,
)
from elfatt.importer.stablehlo_control import lower_control_flow
from elfatt.importer.stablehlo_run import dtype_of, run_module

TO_STABLEHLO_PIPELINE = (
    "builtin.module(func.func(stablehlo-legalize-composite-to-call),inline,symbol-dce,"
    "func.func(chlo-legalize-to-stablehlo,shape-legalize-to-stablehlo,"
    "stablehlo-legalize-deprecated-ops),canonicalize)"
)
LINALG_PIPELINE = "builtin.module(stablehlo-legalize-to-linalg,canonicalize,cse)"

_BYTECODE = b"ML\xefR"

_stablehlo.register_stablehlo_passes()


def import_source(source: str, options: ImportOptions) -> ImportedModule:
    """The entry point the registry calls; see ``elfatt.importer.import_source``."""
    options.refuse(
        "StableHLO, whose sizes are as it says", "dynamic", "sizes", "static"
    )
    options.progress(f"loading {source}")
    try:
        with open(source, "rb") as file:
            data = file.read()
    except OSError as error:
        raise Error(f"cannot read '{source}': {error.strerror}") from None
    return import_stablehlo(data, options, source)


def import_function(
    function: Any, inputs: Sequence[Any], options: ImportOptions
) -> ImportedModule:
    """Imports what ``jax.jit`` makes of a function (or what has ``lower`` itself).

    Raises:
        Error: JAX cannot trace the function, or the result cannot be lowered.
    """
    import jax

    options.progress("lowering by JAX")
    try:
        jitted = function if hasattr(function, "lower") else jax.jit(function)
        with _short_locations():
            text = jitted.lower(*inputs).as_text(debug_info=True)
    except Exception as error:
        raise user_error("lowering the function by JAX", error) from error
    results: List[numpy.ndarray] = []
    if options.want_outputs:
        options.progress("running the source model")
        try:
            leaves = jax.tree_util.tree_leaves(jitted(*inputs))
        except Exception as error:
            raise user_error("running the function by JAX", error) from error
        results = [numpy.asarray(leaf) for leaf in leaves]
    leaves = jax.tree_util.tree_leaves(inputs)
    arrays = {f"arg{i}": numpy.asarray(leaf) for i, leaf in enumerate(leaves)}
    options = ImportOptions(inputs=arrays, want_inputs=True, progress=options.progress)
    imported = import_stablehlo(text, options)
    imported.outputs = to_npz(results, "out")
    return imported


@contextlib.contextmanager
def _short_locations() -> Iterator[None]:
    """One line of the user's code an op, in a file as ``shown_path`` would name it."""
    import jax

    strip = rf"^.*/(site|dist)-packages/|^{re.escape(os.getcwd())}/"
    wanted = {
        "jax_traceback_in_locations_limit": 1,
        "jax_hlo_source_file_canonicalization_regex": strip,
    }
    before = {name: jax.config._read(name) for name in wanted}
    try:
        for name, value in wanted.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def import_stablehlo(
    source: Union[str, bytes], options: ImportOptions, name: str = "-"
) -> ImportedModule:
    """Imports a module: text, MLIR bytecode or a portable artifact.

    Args:
        source: the module itself.
        options: what to do beside.
        name: what to call it in messages.

    Raises:
        Error: it is no StableHLO, or holds what cannot be lowered.
    """
    options.progress("reading StableHLO")
    module = _parse(source, name)
    _check_is_stablehlo(module, name)
    _name_main(module)
    run_pipeline(module, TO_STABLEHLO_PIPELINE, _describe)
    main = _main_of(module, name)
    inputs: List[numpy.ndarray] = []
    outputs: List[numpy.ndarray] = []
    if options.want_inputs or options.want_outputs:
        inputs = make_inputs(_specs(main), options.inputs)
    if options.want_outputs:
        options.progress("running the source model")
        outputs = run_module(module, inputs)
    options.progress("lowering to linalg")
    _plain_products(module)
    _plain_concatenations(module)
    lower_control_flow(module)
    run_pipeline(module, LINALG_PIPELINE, _describe)
    check_lowered(module, _describe)
    drop_attributes(module, "mhlo.", "jax.", "sym_visibility", "arg_attrs", "res_attrs")
    return ImportedModule(module, to_npz(inputs, "arg"), to_npz(outputs, "out"))


def _describe(name: str) -> str:
    return f"'{name}'"


# ------------------------------------------------------------------ reading


def _parse(source: Union[str, bytes], name: str) -> ir.Module:
    context = _context()
    data = source.encode() if isinstance(source, str) else source
    if not data.strip():
        raise Error(f"'{name}' is empty")
    if data.startswith(_BYTECODE):
        return _parse_bytecode(data, name, context)
    if b"\0" in data[:4096]:
        raise Error(
            f"'{name}' is neither text nor MLIR bytecode; what jax.export serializes "
            "holds the latter in its mlir_module_serialized"
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Error(f"'{name}' is no text: {error}") from None
    try:
        # Locations are places in the text, unless it says otherwise.
        if os.path.isfile(name):
            return ir.Module.parseFile(name, context=context)
        return ir.Module.parse(text, context=context)
    except ir.MLIRError as error:
        raise _parse_error(error, name) from None


def _context() -> ir.Context:
    context = ir.Context()
    torch_dialect.register_dialect(context)
    _stablehlo.register_dialect(context)
    with context:
        # A pass loads the dialects that it may write, and this one may write chlo.
        empty = ir.Module.parse("")
        load = PassManager.parse(
            "builtin.module(func.func(convert-torch-to-stablehlo))"
        )
        load.run(empty.operation)
    return context


def _parse_bytecode(data: bytes, name: str, context: ir.Context) -> ir.Module:
    try:
        if b"StableHLO_v" in data[:32]:
            return _stablehlo.deserialize_portable_artifact(context, data)
        return ir.Module.parse(data, context=context)
    except ir.MLIRError as error:
        raise _parse_error(error, name) from None
    except Exception:
        raise Error(
            f"'{name}' is bytecode that this StableHLO "
            f"({_stablehlo.get_current_version()}) cannot read; give the text "
            "(as_text()) instead"
        ) from None


def _parse_error(error: ir.MLIRError, name: str) -> Error:
    for diagnostic in error.error_diagnostics:
        _, place = place_in(diagnostic.location)
        where = (name, place[1], place[2]) if place else None
        return Error(f"this is no StableHLO: {diagnostic.message}", where)
    return Error(f"'{name}' is no StableHLO")


def _check_is_stablehlo(module: ir.Module, name: str) -> None:
    dialects = {op.name.split(".")[0] for op in operations_in(module.operation)}
    if not dialects & {"stablehlo", "chlo"}:
        held = ", ".join(sorted(dialects - {"builtin", "func"}))
        raise Error(
            f"'{name}' holds no StableHLO op{held and f' but {held}'}; linalg needs no "
            "import, elfatt-opt and elfatt-run take it as it is"
        )


def _functions(module: ir.Module) -> List[ir.Operation]:
    return [op for op in module.body.operations if op.operation.name == "func.func"]


def _is_private(function: Any) -> bool:
    attributes = function.attributes
    return (
        "sym_visibility" in attributes
        and ir.StringAttr(attributes["sym_visibility"]).value == "private"
    )


def _name_main(module: ir.Module) -> None:
    """The entry point is called main; a single public function is it, too."""
    functions = _functions(module)
    if any(function.name.value == "main" for function in functions):
        for function in functions:
            if function.name.value != "main":
                function.attributes["sym_visibility"] = ir.StringAttr.get(
                    "private", module.context
                )
        return
    public = [function for function in functions if not _is_private(function)]
    if len(public) == 1 and len(functions) == 1:
        public[0].attributes["sym_name"] = ir.StringAttr.get("main", module.context)
        return
    names = ", ".join(f"@{function.name.value}" for function in functions) or "none"
    raise Error(f"expected a function @main, got {names}")


def _main_of(module: ir.Module, name: str) -> Any:
    functions = _functions(module)
    for function in functions:
        if function.name.value != "main":
            raise Error(
                f"cannot inline function @{function.name.value} (is it recursive?)",
                place_in(function.operation.location)[1],
            )
        if function.is_external:
            raise Error(f"function @main of '{name}' has no body")
    return functions[0]


def _specs(main: Any) -> List[Spec]:
    specs: List[Spec] = []
    for i, type_ in enumerate(main.type.inputs):
        if not isinstance(type_, ir.RankedTensorType):
            raise Error(f"expected arg{i} to be a ranked tensor, got {type_}")
        sizes = [
            None if type_.is_dynamic_dim(d) else type_.get_dim_size(d)
            for d in range(type_.rank)
        ]
        specs.append(("", dtype_of(type_.element_type, f"arg{i}"), sizes))
    return specs


# ------------------------------------------------------------------ products

_SHORT = ("f16", "bf16")


def _plain_products(module: ir.Module) -> None:
    """Products as linalg does them: no ``algorithm``, sums in f32."""
    for operation in operations_in(module.operation):
        if operation.name == "stablehlo.dot_general":
            _drop_algorithm(operation)
        if operation.name in ("stablehlo.dot_general", "stablehlo.convolution"):
            _sum_in_f32(operation)


def _drop_algorithm(product: ir.Operation) -> None:
    if "algorithm" not in product.attributes:
        return
    text = str(product.attributes["algorithm"])
    result = ir.RankedTensorType(product.results[0].type).element_type
    operands = {
        str(ir.RankedTensorType(operand.type).element_type)
        for operand in product.operands
    }
    # As precise as linalg's own, or less: tf32, or several products of bf16.
    sums_as_result = f"accumulation_type = {result}" in text
    if not (sums_as_result and operands <= {"f16", "bf16", "f32", "f64"}):
        raise Error(
            f"a product of {' and '.join(sorted(operands))} to {result} by {text} "
            "cannot be imported",
            place_in(product.location)[1],
        )
    del product.attributes["algorithm"]


def _sum_in_f32(product: ir.Operation) -> None:
    type_ = ir.RankedTensorType(product.results[0].type)
    if str(type_.element_type) not in _SHORT:
        return
    with product.context, product.location, ir.InsertionPoint(product):
        wide = ir.RankedTensorType.get(type_.shape, ir.F32Type.get(), type_.encoding)
        attributes = {named: product.attributes[named] for named in product.attributes}
        sums = ir.Operation.create(
            product.name, [wide], list(product.operands), attributes
        )
        rounded = ir.Operation.create("stablehlo.convert", [type_], [sums.result])
        product.results[0].replace_all_uses_with(rounded.result)
    product.erase()


# ------------------------------------------------------------------ concatenations


def _plain_concatenations(module: ir.Module) -> None:
    """``tensor.concat``: the legalization chooses an operand at each element, in code
    that nothing knows to be a movement of data."""
    for operation in operations_in(module.operation):
        if operation.name != "stablehlo.concatenate":
            continue
        type_ = ir.RankedTensorType(operation.results[0].type)
        # Numbers without a sign get other types only with the rest.
        if str(type_.element_type).startswith("ui"):
            continue
        with operation.context, operation.location, ir.InsertionPoint(operation):
            joined = ir.Operation.create(
                "tensor.concat",
                [type_],
                list(operation.operands),
                {"dim": operation.attributes["dimension"]},
            )
        operation.results[0].replace_all_uses_with(joined.result)
        operation.erase()
