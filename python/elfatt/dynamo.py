# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The backend of ``torch.compile(model, backend="elfatt")``.

Dynamo traces and guards; AOTAutograd makes each graph a function without side effects,
with parameters as inputs; that is imported and compiled as any other model.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import torch
from torch._dynamo.backends.common import aot_autograd
from torch._guards import tracing
from torch._subclasses.fake_tensor import unset_fake_temporarily

from elfatt.arrays import CPU, CUDA
from elfatt.errors import Error
from elfatt.executable import Executable
from elfatt.importer.torch_frontend import import_module
from elfatt.module import Module

APPROXIMATION = ("window", "grid", "global_heads", "min_tokens", "prefix")
Compiled = Callable[[List[Any]], List[Any]]
_COMPUTED = object()
"""An output that compiled code gives; the others are constants."""


def elfatt(
    graph: torch.fx.GraphModule,
    inputs: Sequence[Any],
    *,
    options: Optional[Mapping[str, Any]] = None,
    mode: Optional[str] = None,
) -> Callable[..., Any]:
    """Compiles a graph of Dynamo, for the device that its inputs lie on.

    Args:
        graph, inputs: what ``torch.compile`` gives a backend.
        options: those of ``Module.approximate``, for ELFATT in place of exact
            attention; without ``window`` numbers stay.
        mode: of ``torch.compile``; there is but one.

    Raises:
        Error: the graph needs gradients, an option is not known, or something in the
            graph cannot be imported or compiled; the text says where.
    """
    options = dict(options or {})
    for name in options:
        if name not in APPROXIMATION:
            raise Error(
                f"unknown option '{name}' of the elfatt backend, expected one of "
                f"{', '.join(APPROXIMATION)}"
            )
    if options and "window" not in options:
        raise Error("an approximation needs the option 'window', for example (7, 7)")
    if mode is not None:
        raise Error(f"unknown mode '{mode}': the elfatt backend has none")

    def compile_inference(
        graph: torch.fx.GraphModule, inputs: Sequence[Any]
    ) -> Compiled:
        return _compile(graph, inputs, options)

    backend = aot_autograd(fw_compiler=_refuse, inference_compiler=compile_inference)
    return backend(graph, inputs)


def _refuse(graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> Compiled:
    raise Error(
        "compiled code has no gradients: call the model under torch.no_grad() or "
        "torch.inference_mode()"
    )


def _compile(
    graph: torch.fx.GraphModule, inputs: Sequence[Any], options: Dict[str, Any]
) -> Compiled:
    places = _fix_numbers(graph, inputs)
    outputs = _keep_tensors(graph)
    tensors = [inputs[i] for i in places]
    target = CUDA if any(t.device.type == CUDA for t in tensors) else CPU
    run: Optional[Executable] = None
    # Examples must be real ones, and nothing of this is part of what Dynamo traces.
    with unset_fake_temporarily(), tracing(None):
        if any(output is _COMPUTED for output in outputs):
            examples = [
                torch.zeros([int(size) for size in t.shape], dtype=t.dtype)
                for t in tensors
            ]
            module = Module(import_module(graph, examples).text())
            if options:
                module = module.approximate(**options)
            run = module.compile(target)

    def call(arguments: List[Any]) -> List[Any]:
        made: Any = run(*(arguments[i] for i in places)) if run else ()
        arguments.clear()
        tensors = iter(made if isinstance(made, tuple) else (made,))
        return [next(tensors) if o is _COMPUTED else o for o in outputs]

    # Lets the caller's inputs go before the outputs are used.
    call._boxed_call = True  # type: ignore[attr-defined]
    return call


def _fix_numbers(graph: torch.fx.GraphModule, inputs: Sequence[Any]) -> List[int]:
    """Makes constants of the inputs that are numbers, sizes of tensors above all: Dynamo
    then guards them, and compiles anew for others.

    Returns:
        Which inputs are left.
    """
    places = []
    placeholders = graph.graph.find_nodes(op="placeholder")
    for place, (node, value) in enumerate(zip(placeholders, inputs)):
        if isinstance(value, torch.Tensor):
            places.append(place)
            continue
        for user in list(node.users):
            user.replace_input_with(node, _fix_number(value))
        graph.graph.erase_node(node)
    graph.recompile()
    return places


def _fix_number(value: Any) -> Any:
    if isinstance(value, torch.SymInt):
        return int(value)
    return float(value) if isinstance(value, torch.SymFloat) else value


def _keep_tensors(graph: torch.fx.GraphModule) -> List[Any]:
    """Leaves the graph the outputs that are tensors.

    Returns:
        All outputs, ``_COMPUTED`` for those.
    """
    (result,) = graph.graph.output_node().args
    kept: List[torch.fx.Node] = []
    outputs: List[Any] = []
    for output in result:
        value = output.meta["val"] if isinstance(output, torch.fx.Node) else output
        if isinstance(value, torch.Tensor):
            kept.append(output)
            outputs.append(_COMPUTED)
        else:
            outputs.append(_fix_number(value))
    graph.graph.output_node().args = (tuple(kept),)
    graph.recompile()
    return outputs
