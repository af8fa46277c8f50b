# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A model as MLIR, and what the compiler does with it."""

from __future__ import annotations

import json
import operator
import os
import re
import subprocess
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, Dict, Iterable, List, Optional, Sequence, Union

from elfatt.arrays import CUDA
from elfatt.errors import Error
from elfatt.executable import Executable
from elfatt.tools import require_tool

Site = Dict[str, Any]


def _as_int(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise Error(f"{name}: expected an int, got {value!r}") from None


def _join_extents(name: str, extents: Any) -> str:
    """7x7 of (7, 7)."""
    if not isinstance(extents, Iterable) or isinstance(extents, str):
        raise Error(f"{name}: expected one int an axis, got {extents!r}")
    return "x".join(str(_as_int(name, extent)) for extent in extents)


class Module:
    """A model as MLIR. Modules do not change: each step gives a new one.

    Args:
        source: MLIR as text or bytecode, as ``elfatt-import`` and ``elfatt-opt`` write
            it; read when the first step comes.

    ``str(module)`` is its text, with locations.
    """

    def __init__(self, source: Union[str, bytes]) -> None:
        if not isinstance(source, (str, bytes)):
            raise Error(
                f"expected MLIR as str or bytes, got {type(source).__name__}; "
                "Module.read takes a path"
            )
        self._source = source

    @classmethod
    def read(cls, path: Union[str, "os.PathLike[str]"]) -> "Module":
        """A file of text or bytecode.

        Raises:
            Error: it cannot be read.
        """
        try:
            return cls(Path(path).read_bytes())
        except OSError as error:
            raise Error(f"cannot read '{os.fspath(path)}': {error.strerror}") from None

    def __str__(self) -> str:
        if isinstance(self._source, str):
            return self._source
        return self._run(["--mlir-print-debuginfo"]).decode()

    def __repr__(self) -> str:
        return f"<elfatt.Module of {len(self._source)} bytes>"

    def raise_attention(self) -> "Module":
        """Has each attention in it as one op, where a match is proven. The numbers
        that the model computes stay. ``report`` says what was found.

        Raises:
            Error: it is no MLIR; the text has the place.
        """
        return Module(self._run(["--elfatt-raise", "--emit-bytecode"]))

    def approximate(
        self,
        *,
        window: Sequence[int],
        grid: Optional[Sequence[int]] = None,
        global_heads: Optional[int] = None,
        min_tokens: Optional[int] = None,
        prefix: Optional[int] = None,
    ) -> "Module":
        """Raises, and has ELFATT in place of exact attention: numbers change.

        Args:
            window: tokens of a window along each axis of the grid.
            grid: tokens along each axis; default: a square of those behind the prefix.
            global_heads: how many heads attend to all tokens; default: half of them.
            min_tokens: fewer tokens stay exact.
            prefix: tokens before the grid, class tokens for example.

        Raises:
            Error: as ``raise_attention``; or the options do not fit each other.
        """
        options = {
            "window": _join_extents("window", window),
            "grid": None if grid is None else _join_extents("grid", grid),
        }
        for name, number in (
            ("global_heads", global_heads),
            ("min_tokens", min_tokens),
            ("prefix", prefix),
        ):
            if number is not None:
                options[name.replace("_", "-")] = str(_as_int(name, number))
        given = " ".join(f"{k}={v}" for k, v in options.items() if v is not None)
        return Module(
            self._run(
                ["--elfatt-raise", f"--elfatt-approximate={given}", "--emit-bytecode"]
            )
        )

    def report(self) -> List[Site]:
        """Each place that looks like attention: raised, or refused and why.

        Returns:
            Records as ``--elfatt-report`` writes them: ``function``, ``location``,
            ``status``, ``op``, ``reason``, ``message``, ``shape``, ``bias``, ``flops``,
            ``bytes``, ``exponentials``.

        Raises:
            Error: it is no MLIR; the text has the place.
        """
        with TemporaryDirectory() as folder:
            sites = Path(folder, "sites.json")
            self._run(
                ["--elfatt-raise", f"--elfatt-report=file={sites}", "-o", os.devnull]
            )
            found: List[Site] = json.loads(sites.read_text())
            return found

    def compile(
        self,
        target: str = "cpu",
        bundle: Optional[Union[str, "os.PathLike[str]"]] = None,
    ) -> Executable:
        """Raises what is left and compiles.

        Args:
            target: as ``elfatt-compile --target`` has it: ``cpu`` for this machine,
                ``sm_87``, several with commas; or ``cuda`` for the GPU found. Of
                several, the first is called.
            bundle: a folder for what is compiled, which other machines can run; None
                for one that goes with the result.

        Raises:
            Error: as ``raise_attention``; or the target has no code for something.
        """
        if not isinstance(target, str):
            raise Error(f"expected a target as str, got {type(target).__name__}")
        first = target.split(",")[0]
        if first.startswith("sim:"):
            raise Error(
                f"cannot call '{first}' from Python: elfatt-run --target={first} "
                "simulates kernels"
            )
        if target == CUDA:
            target = _find_chip()
        options = [f"--target={target}"]
        place: Union[str, "os.PathLike[str]", "TemporaryDirectory[str]"]
        if bundle is None:
            place = TemporaryDirectory(prefix="elfatt-")
            options += ["-o", f"{place.name}/bundle", "--no-runtime-source"]
        else:
            place = bundle
            options += ["-o", os.fspath(bundle)]
        self._run(options, "elfatt-compile")
        is_gpu = first == CUDA or first.startswith("sm_")
        return Executable(place, CUDA if is_gpu else None)

    def _run(self, options: Sequence[str], tool: str = "elfatt-opt") -> bytes:
        """What the tool prints for this module."""
        command = [require_tool(tool)]
        with NamedTemporaryFile(prefix="elfatt-", suffix=".mlir") as file:
            source = self._source
            file.write(source.encode() if isinstance(source, str) else source)
            file.flush()
            done = subprocess.run([*command, file.name, *options], capture_output=True)
            if done.returncode == 0:
                return done.stdout
            raise _make_error(done.stderr.decode(errors="replace"), file.name)


_ERROR = re.compile(
    r"^(?:(?P<file>.+?):(?P<line>\d+):(?P<column>\d+): |.*?)error: ", re.M
)


def _make_error(diagnostics: str, file: str) -> Error:
    """The first error of a tool and what follows it; remarks before it say nothing of it."""
    found = _ERROR.search(diagnostics)
    if found is None:
        return Error(diagnostics.strip())
    message = diagnostics[found.end() :].strip()
    if found["file"] is None:
        return Error(message)
    name = "<module>" if found["file"] == file else found["file"]
    return Error(message, (name, int(found["line"]), int(found["column"])))


def _find_chip() -> str:
    """``sm_XX`` of the current GPU.

    Raises:
        Error: there is no CUDA driver, or no GPU.
    """
    import ctypes

    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise Error("found no CUDA driver (libcuda.so.1)") from None
    number, device = ctypes.c_int(), ctypes.c_int()
    version = []
    # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        raise Error("found no GPU: the CUDA driver has no device")
    for attribute in (75, 76):
        if driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device):
            raise Error("the CUDA driver does not say what the GPU is")
        version.append(str(number.value))
    return "sm_" + "".join(version)
