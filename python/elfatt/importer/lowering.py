# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What all front ends share: torch-mlir's passes, checks of what they give, the result.

Faults of torch-mlir 20261001 met here (each has a test that names it):

- A view that merges two dynamic dimensions (every ``Linear`` whose batch and
  sequence are both dynamic) is lowered to a cast from ``?x?xC`` to ``?x1xC``,
  which is wrong for any other size. Mended, see ``dynamic_views``; refused where the
  right one cannot be told.
- Passes can report an error and yet succeed, so an error diagnostic counts as a
  failure, see ``run_pipeline``.
- Constants of i1 with more than 100 elements are printed a byte for each, as LLVM 23 reads
  them; up to LLVM 22 it is a bit. Blobs are bytes in both, see ``_bits_as_blobs``.
- Scatters and sorts become ``tm_tensor``, which is no linalg, and some of them end the
  process on the way. Refused before, see ``_refuse_unstructured``.
"""

from __future__ import annotations

import re
from typing import Callable, List, Mapping, Optional, Sequence, Tuple

import numpy
from torch_mlir import ir
from torch_mlir.passmanager import PassManager

from elfatt.errors import Error
from elfatt.importer import ByteSink
from elfatt.importer.dynamic_views import is_wrong_cast, merge_views, split_dims

LINALG_PIPELINE = (
    "builtin.module(torch-backend-to-linalg-on-tensors-backend-pipeline"
    # lower-affine: dynamic sizes come as affine.apply. Then sizes are compared with 0, and
    # asserted to be none less.
    "{allow-non-finites=true},lower-affine,int-range-optimizations,canonicalize)"
)

# What an imported module may hold. cf.assert and scf come with gathers and with
# dynamic shapes.
ALLOWED_DIALECTS = frozenset(
    ("builtin", "func", "linalg", "tensor", "arith", "math", "cf", "scf")
)

_UNSTRUCTURED = re.compile(
    r"torch\.(aten\.(scatter|_?index_put|sort|topk|kthvalue|bincount)[\w.]*)"
)

Place = Tuple[str, int, int]
Describe = Callable[[str], str]
"""Says which node of the source a name in a location stands for."""


def place_in(location: ir.Location) -> Tuple[str, Optional[Place]]:
    """The node name and (file, line, column) a location holds; "" and None else."""
    name = ""
    place = None
    text = str(location)
    for found in re.finditer(r'"((?:[^"\\]|\\.)*)"(:\d)?', text):
        # The first that is no file; a fused location holds several.
        if not found[2]:
            name = found[1]
            break
    found = re.search(r'"([^"]+)":(\d+):(\d+)', text)
    if found:
        place = (found[1], int(found[2]), max(1, int(found[3])))
    return name, place


def describe_fx_node(name: str) -> str:
    return f"node '{name}'"


def _behind(text: str) -> str:
    return f" ({text})" if text else ""


def run_pipeline(
    module: ir.Module, pipeline: str, describe: Describe = describe_fx_node
) -> None:
    """Runs passes; any error they report, or that makes them fail, is raised.

    Raises:
        Error: with the node and the line it is about, where they are known.
    """
    errors: List[Tuple[str, ir.Location]] = []

    def note(diagnostic: ir.Diagnostic) -> bool:
        if diagnostic.severity == ir.DiagnosticSeverity.ERROR:
            errors.append((diagnostic.message, diagnostic.location))
        return True

    context = module.context
    # Left off, errors go into the exception and never reach the handler; and a
    # pass that reports one and yet succeeds aborts the process
    # (https://github.com/llvm/torch-mlir/issues/3506).
    context.emit_error_diagnostics = True
    handler = context.attach_diagnostic_handler(note)
    failure: Optional[Exception] = None
    try:
        with context:
            PassManager.parse(pipeline).run(module.operation)
    except Exception as error:
        failure = error
    finally:
        handler.detach()
    if not errors and failure is None:
        return
    message, location = (
        errors[0] if errors else (str(failure), ir.Location.unknown(context))
    )
    # Behind the first line, or behind a colon, stands the whole operation.
    message = re.split(r"\n|: %|:\s*\"torch\.", message.strip())[0]
    name, place = place_in(location)
    at = _behind(describe(name) if name else "")
    raise Error(f"torch-mlir cannot lower the model: {message}{at}", place)


def operations_in(operation: ir.Operation) -> Sequence[ir.Operation]:
    """All operations in ``operation``, itself among them."""
    found: List[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        found.append(op)
        return ir.WalkResult.ADVANCE

    operation.walk(visit)
    return found


def _refuse_unstructured(module: ir.Module, describe: Describe) -> None:
    for operation in operations_in(module.operation):
        found = _UNSTRUCTURED.fullmatch(operation.name)
        if found:
            name, place = place_in(operation.location)
            raise Error(
                f"'{found[1]}' has no form in linalg, tensor, arith and math"
                + _behind(describe(name) if name else ""),
                place,
            )


def lower_torch(
    module: ir.Module, to_backend: str, describe: Describe = describe_fx_node
) -> None:
    """From what torch-mlir's importers write to what later stages take; ``to_backend``
    is the pipeline to the part of the torch dialect that has a lowering.

    Raises:
        Error: with the node and the line that cannot be lowered.
    """
    run_pipeline(module, to_backend, describe)
    _refuse_unstructured(module, describe)
    merge_views(operations_in(module.operation))
    split_dims(operations_in(module.operation))
    run_pipeline(module, LINALG_PIPELINE, describe)
    check_lowered(module, describe)
    drop_attributes(module, "torch.")


def check_lowered(module: ir.Module, describe: Describe = describe_fx_node) -> None:
    """Refuses what later stages cannot take or torch-mlir is known to get wrong."""
    for operation in operations_in(module.operation):
        dialect = operation.name.split(".")[0]
        if dialect not in ALLOWED_DIALECTS:
            name, place = place_in(operation.location)
            what = (
                "the model draws random numbers (is it in training mode?)"
                if dialect == "ml_program"
                else f"'{operation.name}' is outside of linalg, tensor, arith and math"
            )
            raise Error(what + _behind(describe(name) if name else ""), place)
        if is_wrong_cast(operation):
            name, place = place_in(operation.location)
            raise Error(
                "torch-mlir 20261001 lowers a view that merges dynamic dimensions to "
                f"wrong code ({describe(name)}); make only one of them dynamic",
                place,
            )


def drop_attributes(module: ir.Module, *prefixes: str) -> None:
    """Attributes of a source's dialect mean nothing to anyone after the import."""
    for operation in (module.operation, *module.body.operations):
        for named in list(operation.attributes):
            name = str(getattr(named, "name", named))
            if name.startswith(prefixes):
                del operation.attributes[name]


_PRINTED_ONE_BY_ONE = 100


def _bits_as_blobs(module: ir.Module) -> None:
    i1 = ir.IntegerType.get_signless(1, module.context)
    for i, operation in enumerate(operations_in(module.operation)):
        if operation.name != "arith.constant":
            continue
        value = operation.attributes["value"]
        if not isinstance(value, ir.DenseElementsAttr) or value.is_splat:
            continue
        type_ = ir.RankedTensorType(value.type)
        if type_.element_type == i1 and len(value) > _PRINTED_ONE_BY_ONE:
            operation.attributes["value"] = (
                ir.DenseResourceElementsAttr.get_from_buffer(
                    numpy.array(value).astype(numpy.uint8),
                    f"bits_{i}",
                    type_,
                    alignment=64,
                    context=module.context,
                )
            )


class ImportedModule:
    """See ``elfatt.importer.Imported``."""

    def __init__(
        self,
        module: ir.Module,
        inputs: Mapping[str, numpy.ndarray],
        outputs: Mapping[str, numpy.ndarray],
    ) -> None:
        _bits_as_blobs(module)
        self.module = module
        self.inputs = inputs
        self.outputs = outputs

    def text(self) -> str:
        return self.module.operation.get_asm(enable_debug_info=True)

    def write(self, sink: ByteSink) -> None:
        # An exception must not travel through the printer's C++ frames: keep the
        # first one, swallow the rest of the text, raise it afterwards.
        guard = _GuardedSink(sink)
        self.module.operation.print(file=guard, binary=True, enable_debug_info=True)
        if guard.failure is not None:
            raise guard.failure


class _GuardedSink:
    def __init__(self, sink: ByteSink) -> None:
        self.sink = sink
        self.failure: Optional[BaseException] = None

    def write(self, data: bytes) -> None:
        if self.failure is None:
            try:
                self.sink.write(data)
            except BaseException as error:
                self.failure = error
