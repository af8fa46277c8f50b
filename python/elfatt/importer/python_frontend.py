# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``package.module:callable``: a PyTorch module or a function for JAX, by what it returns."""

from __future__ import annotations

import sys
from typing import Any, Sequence

from elfatt.importer import Imported, ImportOptions
from elfatt.importer.loading import load_sample


def _is_for_jax(model: Any, inputs: Sequence[Any]) -> bool:
    # Whoever made one of either has imported its package.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return False
    if torch is not None and any(isinstance(value, torch.Tensor) for value in inputs):
        return False
    return "jax" in sys.modules or hasattr(model, "lower")


def import_source(source: str, options: ImportOptions) -> Imported:
    """The entry point the registry calls; see ``elfatt.importer.import_source``."""
    options.refuse(
        "package.module:callable, which brings its inputs", "sizes", "static", "inputs"
    )
    options.progress(f"loading {source}")
    model, inputs = load_sample(source)
    if _is_for_jax(model, inputs):
        options.refuse("a function for JAX", "dynamic")
        from elfatt.importer.stablehlo_frontend import import_function

        return import_function(model, inputs, options)
    from elfatt.importer.torch_frontend import import_module

    return import_module(
        model,
        inputs,
        dynamic=options.dynamic,
        want_outputs=options.want_outputs,
        progress=options.progress,
    )
