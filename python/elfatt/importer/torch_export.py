# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``torch.export`` as the importer wants it.

Faults of torch-mlir 20261001 met by decompositions (each has a test that names it):

- ``gelu`` with ``approximate="tanh"`` is lowered with 0.797724 for sqrt(2 / pi), which
  is 0.797885: an error of 5e-5.
- ``cumsum`` ends as ``tm_tensor.scan``, which is no linalg.
- A ``view`` behind an attention fails in the decompositions, see ``_free_strides``.
- A ``Linear`` on what is not contiguous becomes a batch of products, see ``_linear``.
- A view of a tensor without elements divides by its size, see ``_fill_empty``.
"""

from __future__ import annotations

import logging
import math
import warnings
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch_mlir.extras.fx_decomp_util import get_decomposition_table

from elfatt.errors import Error
from elfatt.importer import torch_fused, torch_open_views, torch_views
from elfatt.importer.fold_constants import fold_constants
from elfatt.importer.loading import describe, user_error


def check_inputs(inputs: Sequence[Any]) -> None:
    """Refuses example inputs that are no tensors."""
    for i, value in enumerate(inputs):
        if not isinstance(value, torch.Tensor):
            raise Error(f"expected arg{i} to be a torch.Tensor, got {describe(value)}")


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


def _gelu(x: torch.Tensor, *, approximate: str = "none") -> torch.Tensor:
    if approximate != "tanh":
        return NotImplemented
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * (wide * wide * wide))
    return (0.5 * wide * (1 + torch.tanh(inner))).to(x.dtype)


def _isfinite(x: torch.Tensor) -> torch.Tensor:
    """NaN is not less than anything. torch-mlir has no lowering for the op."""
    if not x.dtype.is_floating_point:
        return torch.ones_like(x, dtype=torch.bool)
    return x.abs() < math.inf


def _cumsum(
    x: torch.Tensor, dim: int, *, dtype: Optional[torch.dtype] = None
) -> torch.Tensor:
    """The sum of what a triangle of ones keeps: quadratic in the size of ``dim``, which
    is that of a sequence."""
    if dtype is None:
        dtype = torch.int64 if not x.dtype.is_floating_point else x.dtype
    if x.dim() == 0:
        return x.to(dtype)
    x = x.to(dtype).movedim(dim, -1)
    i = torch.arange(x.shape[-1], device=x.device)
    kept = torch.where(i <= i[:, None], x[..., None, :], 0)
    return kept.sum(-1, dtype=dtype).movedim(-1, dim)


def _free_strides(graph: torch.fx.Graph) -> None:
    """A decomposed attention has other strides than the op that was traced, so that a
    ``view`` of it may need the copy of a ``reshape``. Tensors here have no strides."""
    for node in graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default


def _fill_empty(program: torch.export.ExportedProgram) -> None:
    """What has no elements does not depend on anything: torch-mlir ends the process at
    some ops that make such tensors."""
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op != "call_function" or not isinstance(value, torch.Tensor):
            continue
        shape = list(value.shape)
        if 0 in shape and all(isinstance(size, int) for size in shape):
            node.target = torch.ops.aten.full.default
            node.args, node.kwargs = (shape, 0), {"dtype": value.dtype}


def _decompositions() -> Dict[Any, Callable[..., Any]]:
    table = dict(get_decomposition_table())
    table[torch.ops.aten.linear.default] = _linear
    table[torch.ops.aten.gelu.default] = _gelu
    table[torch.ops.aten.isfinite.default] = _isfinite
    table[torch.ops.aten.cumsum.default] = _cumsum
    table.update(torch_views.DECOMPOSITIONS)
    table.update(torch_fused.DECOMPOSITIONS)
    return table


def export(
    module: torch.nn.Module,
    inputs: Tuple[torch.Tensor, ...],
    dynamic: Sequence[Tuple[int, int]],
) -> torch.export.ExportedProgram:
    """Exports a module, decomposed and with its constant masks folded.

    Raises:
        Error: the module cannot be exported, or does what a function cannot.
    """
    shapes = _dynamic_shapes(inputs, dynamic)
    # What it logs with its stack comes as an exception, too.
    log = logging.getLogger("torch._subclasses.fake_tensor")
    was_disabled, log.disabled = log.disabled, True
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Its own code calls what it has deprecated.
            warnings.filterwarnings("ignore", category=FutureWarning, module="copyreg")
            program = torch.export.export(
                module, inputs, dynamic_shapes=shapes, strict=False
            )
            _free_strides(program.graph)
            program = program.run_decompositions(_decompositions())
    except Exception as error:
        raise user_error("exporting the model", error) from error
    finally:
        log.disabled = was_disabled
    _check_exported(program, module)
    fold_constants(program)
    _fill_empty(program)
    torch_open_views.split_views(program)
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
            raise Error(f"expected out{i} to be a tensor, got {describe(value)}")
    if not signature.output_specs:
        raise Error("the model returns no tensor")
