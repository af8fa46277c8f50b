# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Python side of ELFATT-MLIR: models go in, compiled functions come out.

    module = elfatt.import_torch(model, example)
    fast = module.compile()
    y = fast(x)

Importing this package is cheap: torch, onnx and torch-mlir are loaded only by the
function that needs them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Mapping, Sequence, Tuple, Union

from elfatt.errors import Error
from elfatt.executable import Executable
from elfatt.module import Module
from elfatt.runtime import TensorType, set_threads

if TYPE_CHECKING:
    import onnx
    import torch

__all__ = [
    "Error",
    "Executable",
    "Module",
    "TensorType",
    "import_onnx",
    "import_stablehlo",
    "import_torch",
    "set_threads",
]
__version__ = "0.1.0"


def import_torch(
    module: "torch.nn.Module",
    *args: "torch.Tensor",
    dynamic: Sequence[Tuple[int, int]] = (),
) -> Module:
    """Imports a PyTorch module.

    Args:
        module: the module; call ``.eval()`` on it first.
        args: example inputs, one tensor for each positional argument of
            ``module.forward``. Their shapes and dtypes become the signature.
        dynamic: pairs (argument, dimension) whose size stays open.

    Returns:
        A module with one ``func.func @main`` on tensors in
        linalg/tensor/arith/math; weights are in it as ``dense_resource`` blobs,
        and every operation has its location.

    Raises:
        Error: the module cannot be exported or lowered; the text says where.
    """
    from elfatt.importer.torch_frontend import import_module

    return Module(import_module(module, args, dynamic=dynamic).text())


def import_onnx(
    model: Union[str, "os.PathLike[str]", "onnx.ModelProto"],
    *,
    sizes: Mapping[str, int] = {},
    static: bool = False,
) -> Module:
    """Imports an ONNX model.

    Args:
        model: a file, beside which its external data lies, or a model with its data.
        sizes: sizes of dimensions that the model leaves open, by their name in it or
            as ``input:dimension``. What is not named stays open.
        static: refuse a model with an open dimension.

    Returns:
        As ``import_torch``; locations are names of nodes.

    Raises:
        Error: the model is bad or cannot be lowered; the text names the node.
    """
    from elfatt.importer import ImportOptions
    from elfatt.importer.onnx_frontend import import_model, import_source

    options = ImportOptions(sizes=sizes, static=static)
    if isinstance(model, (str, os.PathLike)):
        return Module(import_source(os.fspath(model), options).text())
    if not hasattr(model, "graph"):
        raise Error(f"expected a path or a ModelProto, got {type(model).__name__}")
    return Module(import_model(model, options).text())


def import_stablehlo(source: Union[str, bytes, "os.PathLike[str]"]) -> Module:
    """Imports StableHLO.

    Args:
        source: text, MLIR bytecode, a portable artifact, or a file with one of them.

    Returns:
        As ``import_torch``; locations are those that the source has, or places in it.

    Raises:
        Error: the source is no StableHLO or cannot be lowered; the text says where.
    """
    from elfatt.importer import ImportOptions
    from elfatt.importer import stablehlo_frontend as front_end

    if not isinstance(source, (str, bytes, os.PathLike)):
        raise Error(f"expected a path, text or bytes, got {type(source).__name__}")
    is_file = isinstance(source, os.PathLike) or (
        isinstance(source, str) and "\n" not in source and "(" not in source
    )
    if is_file:
        return Module(
            front_end.import_source(os.fspath(source), ImportOptions()).text()
        )
    return Module(front_end.import_stablehlo(source, ImportOptions()).text())
