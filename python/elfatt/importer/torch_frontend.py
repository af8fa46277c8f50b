# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PyTorch: ``torch.export``, then torch-mlir down to linalg on tensors.

Faults of torch-mlir 20261001 met here (each has a test that names it; those of its
passes are in ``lowering``):

- ``import_frozen_program`` knows neither non-persistent buffers ("Could not find
  state mapping for buffer") nor a buffer inside a list argument, so no
  ``table[index]`` ("Heterogeneous lists are not supported"). ``import_program``
  knows both, so that is what we call; it also accepts mutation, which is why
  mutation is refused here by name.
"""

from __future__ import annotations

import inspect
import re
from typing import Callable, Dict, Optional, Sequence, Tuple

import numpy
import torch
from torch_mlir import ir
from torch_mlir.dialects import torch as torch_dialect
from torch_mlir.extras.fx_importer import ContextCache, FxImporter

from elfatt.errors import Error, shown_path
from elfatt.importer.loading import describe, library_folders, user_error
from elfatt.importer.lowering import (
    ImportedModule,
    lower_torch,
)
from elfatt.importer.torch_export import check_inputs, export

TORCH_BACKEND_PIPELINE = (
    "builtin.module(func.func(torch-match-quantized-custom-ops),"
    "torchdynamo-export-to-torch-backend-pipeline{extra-library=})"
)


class _NamedLocations(ContextCache):
    """Gives every node ``loc("fx node"("file.py":12:0))``.

    The name is the node's in the exported program, before decomposition: that is
    the graph a user can print, and all parts of one ``scaled_dot_product_attention``
    then say so. The line is the innermost one outside of torch.
    """

    forward_line: Optional[Tuple[str, int]] = None
    libraries: Tuple[str, ...] = ()

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
        frames = [f for f in frames if not f[0].startswith(self.libraries)] or frames
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


def _import_program(
    program: torch.export.ExportedProgram, module: torch.nn.Module
) -> ir.Module:
    context = ir.Context()
    torch_dialect.register_dialect(context)
    importer = FxImporter(context=context)
    locations = _NamedLocations(context, py_attr_tracker=importer._py_attr_tracker)
    locations.forward_line = _forward_line(module)
    locations.libraries = library_folders()
    importer._cc = locations
    try:
        importer.import_program(program, func_name="main")
    except Exception as error:
        raise Error(
            f"torch-mlir cannot import the exported program: "
            f"{type(error).__name__}: {str(error).strip()}"
        ) from error
    return importer.module


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
        raise user_error("running the model", error) from error
    leaves = torch.utils._pytree.tree_leaves(result)
    return {f"out{i}": to_array(leaf) for i, leaf in enumerate(leaves)}


def import_module(
    module: torch.nn.Module,
    inputs: Sequence[torch.Tensor],
    *,
    dynamic: Sequence[Tuple[int, int]] = (),
    want_outputs: bool = False,
    progress: Callable[[str], None] = lambda step: None,
) -> ImportedModule:
    """Imports a module on example inputs.

    Raises:
        Error: the module cannot be exported or lowered; the text says where.
    """
    inputs = tuple(inputs)
    if not isinstance(module, torch.nn.Module):
        raise Error(f"expected a torch.nn.Module, got {describe(module)}")
    check_inputs(inputs)
    # Copies: forward may write to its inputs, and two of them may be one tensor.
    inputs = tuple(value.detach().clone() for value in inputs)
    arrays = {f"arg{i}": to_array(value.clone()) for i, value in enumerate(inputs)}
    progress("exporting")
    program = export(module, inputs, dynamic)
    outputs: Dict[str, numpy.ndarray] = {}
    if want_outputs:
        progress("running the source model")
        outputs = _run_model(module, inputs)
    progress("importing into MLIR")
    imported = _import_program(program, module)
    progress("lowering to linalg")
    lower_torch(imported, TORCH_BACKEND_PIPELINE)
    return ImportedModule(imported, arrays, outputs)
