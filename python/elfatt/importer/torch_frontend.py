# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch: ``torch.export``, then torch-mlir down to linalg on tensors.

Faults of torch-mlir 20261001 met here (each has a test that names it):

- ``import_frozen_program`` knows neither non-persistent buffers ("Could not find
  state mapping for buffer") nor a buffer inside a list argument, so no
  ``table[index]`` ("Heterogeneous lists are not supported"). ``import_program``
  knows both, so that is what we call; it also accepts mutation, which is why
  mutation is refused here by name.
- A view that merges two dynamic dimensions (every ``Linear`` whose batch and
  sequence are both dynamic) is lowered to a cast from ``?x?xC`` to ``?x1xC``,
  which is wrong for any other size. Refused, see ``_check_lowered``.
- Passes can report an error and yet succeed, so an error diagnostic counts as a
  failure, see ``_run_pipeline``.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
import re
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy
import torch
from torch_mlir import ir
from torch_mlir.dialects import torch as torch_dialect
from torch_mlir.extras.fx_decomp_util import get_decomposition_table
from torch_mlir.extras.fx_importer import (
    ContextCache,
    FxImporter,
)
from torch_mlir.passmanager import PassManager

from elfatt.errors import Error, place_of, shown_path
from elfatt.importer import ByteSink, ImportOptions
from elfatt.importer.fold_constants import fold_constants

TORCH_BACKEND_PIPELINE = (
    "builtin.module(func.func(torch-match-quantized-custom-ops),"
    "torchdynamo-export-to-torch-backend-pipeline{extra-library=})"
)
LINALG_PIPELINE = (
    "builtin.module(torch-backend-to-linalg-on-tensors-backend-pipeline"
    # lower-affine: dynamic sizes come as affine.apply.
    "{allow-non-finites=true},lower-affine)"
)

# What an imported module may hold. cf.assert and scf come with gathers and with
# dynamic shapes.
ALLOWED_DIALECTS = frozenset(
    ("builtin", "func", "linalg", "tensor", "arith", "math", "cf", "scf")
)

# Frames of these packages are never the user's line.
_NOT_THE_USERS = tuple(
    os.path.join(os.path.dirname(os.path.abspath(file)), "")
    for file in (torch.__file__, ir.__file__, importlib.__file__, __file__)
)


# ----------------------------------------------------------------------------
# SOURCE: package.module:callable or package.module:callable(name=value, ...)
# ----------------------------------------------------------------------------

_SOURCE = re.compile(r"^(?P<module>[\w.]+):(?P<name>\w+)(?P<arguments>\(.*\))?$", re.S)


def _parse_source(source: str) -> Tuple[str, str, Dict[str, Any]]:
    match = _SOURCE.match(source)
    if match is None:
        raise Error(f"expected package.module:callable, got '{source}'")
    arguments: Dict[str, Any] = {}
    if match["arguments"]:
        try:
            call = ast.parse("f" + match["arguments"], mode="eval").body
            assert isinstance(call, ast.Call) and not call.args
            for keyword in call.keywords:
                assert keyword.arg is not None
                arguments[keyword.arg] = ast.literal_eval(keyword.value)
        except (SyntaxError, ValueError, AssertionError):
            raise Error(
                f"expected arguments like (name=1, other='text') after the callable, "
                f"got '{match['arguments']}'"
            ) from None
    return match["module"], match["name"], arguments


def _load_callable(module_name: str, name: str) -> Callable[..., Any]:
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Tell a wrong SOURCE from a dependency that its code lacks.
        if error.name and (
            module_name == error.name or module_name.startswith(error.name + ".")
        ):
            raise Error(
                f"no module named '{error.name}' in the current directory or among "
                "the installed packages"
            ) from None
        raise _user_error(f"importing '{module_name}'", error) from error
    except SyntaxError as error:
        place = (shown_path(error.filename or "?"), error.lineno or 1, error.offset or 1)
        raise Error(f"importing '{module_name}': {error.msg}", place) from None
    except Exception as error:
        raise _user_error(f"importing '{module_name}'", error) from error
    value = getattr(module, name, None)
    if value is None:
        raise Error(f"module '{module_name}' has no callable '{name}'")
    if not callable(value):
        raise Error(
            f"expected '{module_name}:{name}' to be a callable that returns (module, "
            f"example inputs), got a {type(value).__name__}"
        )
    return value


def _user_error(doing: str, error: BaseException) -> Error:
    """An exception of the user's own code (or of torch about it) as an ``Error``."""
    # torch.export ends with advice about calls that the user did not make.
    text = str(error).split("\n\nThe error above occurred")[0]
    text = re.sub(r"\s*For more information(, run with| about this error).*", "", text)
    text = text.strip() or "no message"
    return Error(
        f"{doing}: {type(error).__name__}: {text}",
        place_of(error.__traceback__, _NOT_THE_USERS),
    )


def _load_sample(source: str) -> Tuple[torch.nn.Module, Tuple[torch.Tensor, ...]]:
    module_name, name, arguments = _parse_source(source)
    function = _load_callable(module_name, name)
    try:
        result = function(**arguments)
    except Exception as error:
        raise _user_error(f"calling '{module_name}:{name}'", error) from error
    if not (isinstance(result, tuple) and len(result) == 2):
        raise Error(
            f"expected '{module_name}:{name}' to return (torch.nn.Module, example "
            f"inputs), got {_describe(result)}"
        )
    module, inputs = result
    if not isinstance(module, torch.nn.Module):
        raise Error(
            f"expected the first value '{module_name}:{name}' returns to be a "
            f"torch.nn.Module, got {_describe(module)}"
        )
    if isinstance(inputs, torch.Tensor):
        inputs = (inputs,)
    if not isinstance(inputs, (tuple, list)):
        raise Error(
            f"expected the example inputs '{module_name}:{name}' returns to be a "
            f"tuple of tensors, got {_describe(inputs)}"
        )
    return module, tuple(inputs)


def _describe(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        kinds = ", ".join(type(v).__name__ for v in value)
        return f"a {type(value).__name__} of ({kinds})"
    return f"a {type(value).__name__}"


def import_source(source: str, options: ImportOptions) -> "ImportedTorchModule":
    """The entry point the registry calls; see ``elfatt.importer.import_source``."""
    options.progress(f"loading {source}")
    module, inputs = _load_sample(source)
    return import_module(
        module,
        inputs,
        dynamic=options.dynamic,
        want_outputs=options.want_outputs,
        progress=options.progress,
    )


# ----------------------------------------------------------------------------
# Locations
# ----------------------------------------------------------------------------


class _NamedLocations(ContextCache):
    """Gives every node ``loc("fx node"("file.py":12:0))``.

    The name is the node's in the exported program, before decomposition: that is
    the graph a user can print, and all parts of one ``scaled_dot_product_attention``
    then say so. The line is the innermost one outside of torch.
    """

    forward_line: Optional[Tuple[str, int]] = None

    def get_node_location(self, node: torch.fx.Node) -> Optional[ir.Location]:
        if node.op in ("placeholder", "output"):
            # torch-mlir takes the first placeholder's location for the function.
            if self.forward_line is None:
                return None
            file, line = self.forward_line
            return ir.Location.file(file, line, 0, context=self._c)
        frames = re.findall(
            r'File "([^"]+)", line ([0-9]+),', node.meta.get("stack_trace") or ""
        )
        # A Linear's own line is in torch; the line that calls it says which one.
        frames = [f for f in frames if not f[0].startswith(_NOT_THE_USERS)] or frames
        child = None
        if frames:
            file, line = frames[-1]
            child = ir.Location.file(shown_path(file), int(line), 0, context=self._c)
        return ir.Location.name(_exported_name(node), child, context=self._c)


def _exported_name(node: torch.fx.Node) -> str:
    sources = node.meta.get("from_node")
    name = node.name
    while sources:
        # The last entry is the newest pass; its own sources lead to the first graph.
        name = sources[-1].name or name
        sources = sources[-1].from_node
    return name


def _forward_line(module: torch.nn.Module) -> Optional[Tuple[str, int]]:
    try:
        file = inspect.getsourcefile(type(module).forward)
        _, line = inspect.getsourcelines(type(module).forward)
    except (OSError, TypeError):
        return None
    return (shown_path(file), line) if file else None


def _place(location: ir.Location) -> Tuple[str, Optional[Tuple[str, int, int]]]:
    """The FX node name and (file, line, column) a location holds; "" and None else."""
    name = ""
    place = None
    found = re.match(r'loc\("([^"]*)"\(', str(location))
    if found:
        name = found[1]
    found = re.search(r'"([^"]+)":(\d+):(\d+)', str(location))
    if found:
        place = (found[1], int(found[2]), max(1, int(found[3])))
    return name, place


# ----------------------------------------------------------------------------
# Export
# ----------------------------------------------------------------------------


def _check_inputs(inputs: Sequence[Any]) -> None:
    for i, value in enumerate(inputs):
        if not isinstance(value, torch.Tensor):
            raise Error(f"expected arg{i} to be a torch.Tensor, got {_describe(value)}")


def _dynamic_shapes(
    inputs: Sequence[torch.Tensor], dynamic: Sequence[Tuple[int, int]]
) -> Optional[torch.export.ShapesCollection]:
    if not dynamic:
        return None
    sizes: List[Dict[int, Any]] = [{} for _ in inputs]
    for argument, dim in dynamic:
        if argument >= len(inputs):
            raise Error(
                f"dynamic arg{argument}:{dim}: the module has {len(inputs)} inputs"
            )
        if dim >= inputs[argument].dim():
            raise Error(
                f"dynamic arg{argument}:{dim}: arg{argument} has "
                f"{inputs[argument].dim()} dimensions"
            )
        if inputs[argument].shape[dim] < 2:
            raise Error(
                f"dynamic arg{argument}:{dim}: torch.export takes a size of 0 or 1 for "
                f"fixed; give an example of 2 or more (arg{argument} has "
                f"{inputs[argument].shape[dim]})"
            )
        # DYNAMIC, unlike AUTO, fails when the model fixes the size.
        sizes[argument][dim] = torch.export.Dim.DYNAMIC
    # Keyed by tensor, so that it fits any signature of forward (*args among them).
    shapes = torch.export.ShapesCollection()
    for value, size in zip(inputs, sizes):
        if size:
            shapes[value] = size
    return shapes


def _linear(
    x: torch.Tensor, weight: torch.Tensor, bias: Optional[torch.Tensor] = None
) -> torch.Tensor:
    """``aten.linear`` [..., C] -> [..., O] as one product of two matrices.

    PyTorch's own decomposition looks at the strides: what comes out of an attention
    is no contiguous [B,N,C], so the projection behind it would become a batch of
    products with a broadcast (later a copied) weight.
    """
    if x.dim() == 3 and all(isinstance(s, torch.SymInt) for s in x.shape[:2]):
        # Merging two dynamic dimensions is what torch-mlir gets wrong.
        y = torch.bmm(x, weight.t().expand(x.shape[0], -1, -1))
        return y if bias is None else y + bias
    y = x.reshape(-1, x.shape[-1]) @ weight.t()
    if bias is not None:
        y = y + bias
    return y.reshape(*x.shape[:-1], weight.shape[0])


def _decompositions() -> Dict[Any, Callable[..., Any]]:
    table = dict(get_decomposition_table())
    table[torch.ops.aten.linear.default] = _linear
    return table


def _export(
    module: torch.nn.Module,
    inputs: Tuple[torch.Tensor, ...],
    dynamic: Sequence[Tuple[int, int]],
) -> torch.export.ExportedProgram:
    shapes = _dynamic_shapes(inputs, dynamic)
    try:
        with torch.no_grad():
            program = torch.export.export(
                module, inputs, dynamic_shapes=shapes, strict=False
            )
            program = program.run_decompositions(_decompositions())
    except Exception as error:
        raise _user_error("exporting the model", error) from error
    _check_exported(program, module)
    fold_constants(program)
    return program


def _check_exported(
    program: torch.export.ExportedProgram, module: torch.nn.Module
) -> None:
    signature = program.graph_signature
    written = [*signature.buffers_to_mutate.values()]
    written += [*signature.user_inputs_to_mutate.values()]
    if written:
        hint = " (it is in training mode: call .eval())" if module.training else ""
        raise Error(
            f"the model writes to '{written[0]}' in forward, which an imported "
            f"function cannot{hint}"
        )
    for i, spec in enumerate(signature.output_specs):
        if not isinstance(spec.arg, torch.export.graph_signature.TensorArgument):
            value = getattr(spec.arg, "value", spec.arg)
            raise Error(f"expected out{i} to be a tensor, got {_describe(value)}")
    if not signature.output_specs:
        raise Error("the model returns no tensor")


# ----------------------------------------------------------------------------
# Lowering
# ----------------------------------------------------------------------------


def _import_program(
    program: torch.export.ExportedProgram, module: torch.nn.Module
) -> ir.Module:
    context = ir.Context()
    torch_dialect.register_dialect(context)
    importer = FxImporter(context=context)
    locations = _NamedLocations(context, py_attr_tracker=importer._py_attr_tracker)
    locations.forward_line = _forward_line(module)
    importer._cc = locations
    try:
        importer.import_program(program, func_name="main")
    except Exception as error:
        raise Error(
            f"torch-mlir cannot import the exported program: "
            f"{type(error).__name__}: {str(error).strip()}"
        ) from error
    return importer.module


def _run_pipeline(module: ir.Module, pipeline: str) -> None:
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
    name, place = _place(location)
    at = f" (node '{name}')" if name else ""
    raise Error(f"torch-mlir cannot lower the model: {message}{at}", place)


def _operations(operation: ir.Operation) -> Sequence[ir.Operation]:
    found: List[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        found.append(op)
        return ir.WalkResult.ADVANCE

    operation.walk(visit)
    return found


def _check_lowered(module: ir.Module) -> None:
    """Refuses what later stages cannot take or torch-mlir is known to get wrong."""
    for operation in _operations(module.operation):
        dialect = operation.name.split(".")[0]
        if dialect not in ALLOWED_DIALECTS:
            name, place = _place(operation.location)
            what = (
                "the model draws random numbers (is it in training mode?)"
                if dialect == "ml_program"
                else f"'{operation.name}' is outside of linalg, tensor, arith and math"
            )
            raise Error(f"{what}" + (f" (node '{name}')" if name else ""), place)
        if operation.name == "tensor.cast" and _merges_dynamic_dims(operation):
            name, place = _place(operation.location)
            raise Error(
                "torch-mlir 20261001 lowers a view that merges two dynamic "
                "dimensions to wrong code, as in a Linear whose batch and sequence "
                f"are both dynamic (node '{name}'); make only one of them dynamic",
                place,
            )


def _merges_dynamic_dims(cast: ir.Operation) -> bool:
    source = ir.RankedTensorType(cast.operands[0].type)
    result = ir.RankedTensorType(cast.results[0].type)
    return any(
        source.is_dynamic_dim(d)
        and not result.is_dynamic_dim(d)
        and result.get_dim_size(d) == 1
        for d in range(source.rank)
    )


def _drop_torch_attributes(module: ir.Module) -> None:
    """Attributes of the torch dialect mean nothing to anyone after the import."""
    for operation in module.body.operations:
        for named in list(operation.attributes):
            name = getattr(named, "name", named)
            if str(name).startswith("torch."):
                del operation.attributes[name]


# ----------------------------------------------------------------------------
# The result
# ----------------------------------------------------------------------------


class ImportedTorchModule:
    """See ``elfatt.importer.Imported``."""

    def __init__(
        self,
        module: ir.Module,
        inputs: Mapping[str, numpy.ndarray],
        outputs: Mapping[str, numpy.ndarray],
    ) -> None:
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


def to_array(tensor: torch.Tensor) -> numpy.ndarray:
    """A tensor as it stands in an ``.npz``: bf16 becomes its bits in uint16."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.uint16).numpy()
    return tensor.numpy()


def _run_model(
    module: torch.nn.Module, inputs: Tuple[torch.Tensor, ...]
) -> Dict[str, numpy.ndarray]:
    try:
        with torch.no_grad():
            result = module(*(value.clone() for value in inputs))
    except Exception as error:
        raise _user_error("running the model", error) from error
    leaves = torch.utils._pytree.tree_leaves(result)
    return {f"out{i}": to_array(leaf) for i, leaf in enumerate(leaves)}


def import_module(
    module: torch.nn.Module,
    inputs: Sequence[torch.Tensor],
    *,
    dynamic: Sequence[Tuple[int, int]] = (),
    want_outputs: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> ImportedTorchModule:
    """Imports a module on example inputs.

    Raises:
        Error: the module cannot be exported or lowered; the text says where.
    """
    inputs = tuple(inputs)
    if not isinstance(module, torch.nn.Module):
        raise Error(f"expected a torch.nn.Module, got {_describe(module)}")
    _check_inputs(inputs)
    # Copies: forward may write to its inputs, and two of them may be one tensor.
    inputs = tuple(value.detach().clone() for value in inputs)
    arrays = {f"arg{i}": to_array(value.clone()) for i, value in enumerate(inputs)}
    progress("exporting")
    program = _export(module, inputs, dynamic)
    outputs: Dict[str, numpy.ndarray] = {}
    if want_outputs:
        progress("running the source model")
        outputs = _run_model(module, inputs)
    progress("importing into MLIR")
    imported = _import_program(program, module)
    progress("lowering to linalg")
    _run_pipeline(imported, TORCH_BACKEND_PIPELINE)
    _run_pipeline(imported, LINALG_PIPELINE)
    _check_lowered(imported)
    _drop_torch_attributes(imported)
    return ImportedTorchModule(imported, arrays, outputs)
