# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Python side of ELFATT-MLIR: models go in, MLIR modules come out.

Importing this package is cheap: torch and torch-mlir are loaded only by the
function that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence, Tuple

from elfatt.errors import Error

if TYPE_CHECKING:
    import torch

__all__ = ["Error", "import_onnx", "import_stablehlo", "import_torch"]
__version__ = "0.1.0"


def import_torch(
    module: "torch.nn.Module",
    *args: "torch.Tensor",
    dynamic: Sequence[Tuple[int, int]] = (),
) -> str:
    """Imports a PyTorch module as MLIR text.

    Args:
        module: the module; call ``.eval()`` on it first.
        args: example inputs, one tensor for each positional argument of
            ``module.forward``. Their shapes and dtypes become the signature.
        dynamic: pairs (argument, dimension) whose size stays open.

    Returns:
        The text of a module with one ``func.func @main`` on tensors in
        linalg/tensor/arith/math; weights are in it as ``dense_resource`` blobs,
        and every operation has its location.

    Raises:
        Error: the module cannot be exported or lowered; the text says where.
    """
    from elfatt.importer.torch_frontend import import_module

    return import_module(module, args, dynamic=dynamic).text()


def import_onnx(path: str) -> str:
    """Imports an ONNX file. Not built yet: raises ``Error``."""
    from elfatt.importer import import_source

    return import_source(path, kind="onnx").text()


def import_stablehlo(path: str) -> str:
    """Imports StableHLO text or bytecode. Not built yet: raises ``Error``."""
    from elfatt.importer import import_source

    return import_source(path, kind="stablehlo").text()
