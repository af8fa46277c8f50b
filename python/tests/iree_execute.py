# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs plain MLIR with IREE on this machine's CPU: a compiler that knows nothing of
our dialect, and so a client of what ``elfatt-decompose`` gives."""

from __future__ import annotations

from typing import List, Sequence

import numpy as np
from iree import compiler, runtime


# Without the second, IREE computes f64 as f32.
_FLAGS = ["--iree-llvmcpu-target-cpu=host", "--iree-input-demote-f64-to-f32=false"]


def execute(text: str, arguments: Sequence[np.ndarray]) -> List[np.ndarray]:
    """Compiles the text of a module and calls its ``@main`` once."""
    binary = compiler.compile_str(text, target_backends=["llvm-cpu"], extra_args=_FLAGS)
    context = runtime.SystemContext(config=runtime.Config("local-task"))
    context.add_vm_module(runtime.VmModule.copy_buffer(context.instance, binary))
    results = context.modules.module["main"](*map(np.ascontiguousarray, arguments))
    if not isinstance(results, (list, tuple)):
        results = [results]
    # Results are in the device's memory, which ends with the context.
    return [np.array(result.to_host()) for result in results]
