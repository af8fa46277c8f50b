# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""SOURCE as ``package.module:callable`` or ``package.module:callable(name=value, ...)``."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import sys
from typing import Any, Callable, Dict, Tuple

from elfatt.errors import Error, place_of, shown_path

# Frames of these packages are never the user's line.
_LIBRARIES = ("torch", "torch_mlir.ir", "jax", "jaxlib", "importlib", __package__)

_SOURCE = re.compile(r"^(?P<module>[\w.]+):(?P<name>\w+)(?P<arguments>\(.*\))?$", re.S)


def parse_source(source: str) -> Tuple[str, str, Dict[str, Any]]:
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


def load_callable(module_name: str, name: str) -> Callable[..., Any]:
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
        raise user_error(f"importing '{module_name}'", error) from error
    except SyntaxError as error:
        place = (
            shown_path(error.filename or "?"),
            error.lineno or 1,
            error.offset or 1,
        )
        raise Error(f"importing '{module_name}': {error.msg}", place) from None
    except Exception as error:
        raise user_error(f"importing '{module_name}'", error) from error
    value = getattr(module, name, None)
    if value is None:
        raise Error(f"module '{module_name}' has no callable '{name}'")
    if not callable(value):
        raise Error(
            f"expected '{module_name}:{name}' to be a callable that returns (model, "
            f"example inputs), got {describe(value)}"
        )
    return value


def library_folders() -> Tuple[str, ...]:
    """Folders whose code is not the user's, of what is loaded so far."""
    modules = (sys.modules.get(name) for name in _LIBRARIES)
    files = (getattr(module, "__file__", None) for module in modules)
    return tuple(
        os.path.join(os.path.dirname(os.path.abspath(file)), "")
        for file in files
        if file
    )


def user_error(doing: str, error: BaseException) -> Error:
    """An exception of the user's own code (or of a framework about it) as an ``Error``."""
    # torch.export ends with advice about calls that the user did not make.
    text = str(error).split("\n\nThe error above occurred")[0]
    text = re.sub(r"\s*For more information(, run with| about this error).*", "", text)
    text = text.strip() or "no message"
    return Error(
        f"{doing}: {type(error).__name__}: {text}",
        place_of(error.__traceback__, library_folders()),
    )


def load_sample(source: str) -> Tuple[Any, Tuple[Any, ...]]:
    """Calls what SOURCE names; returns the model and its example inputs.

    Raises:
        Error: there is no such callable, it fails, or it returns something else.
    """
    module_name, name, arguments = parse_source(source)
    function = load_callable(module_name, name)
    try:
        result = function(**arguments)
    except Exception as error:
        raise user_error(f"calling '{module_name}:{name}'", error) from error
    if not (isinstance(result, tuple) and len(result) == 2):
        raise Error(
            f"expected '{module_name}:{name}' to return (torch.nn.Module, example "
            f"inputs) or (a function that JAX can trace, example inputs), got "
            f"{describe(result)}"
        )
    model, inputs = result
    if not callable(model):
        raise Error(
            f"expected the first value '{module_name}:{name}' returns to be a "
            f"torch.nn.Module or a function that JAX can trace, got {describe(model)}"
        )
    if not isinstance(inputs, (tuple, list)):
        inputs = (inputs,)
    return model, tuple(inputs)


def describe(value: Any) -> str:
    """What a value is, for messages."""
    if isinstance(value, (tuple, list)):
        kinds = ", ".join(type(v).__name__ for v in value)
        return f"a {type(value).__name__} of ({kinds})"
    return f"a {type(value).__name__}"
