# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What ``pip install`` puts into the package: the component `tools` of the build."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import elfatt.tools
from elfatt.tools import require_tool

SOURCE = """
#map = affine_map<(b, m, n, d, dv) -> (b, m, d)>
#map1 = affine_map<(b, m, n, d, dv) -> (b, n, d)>
#map2 = affine_map<(b, m, n, d, dv) -> (b, n, dv)>
#map3 = affine_map<(b, m, n, d, dv) -> (b, m, dv)>
!type = tensor<2x16x8xf32>
func.func @main(%q: !type) -> !type {
  %init = tensor.empty() : !type
  %o = attention.sdpa indexing_maps = [#map, #map1, #map2, #map3]
      ins(%q, %q, %q : !type, !type, !type) outs(%init : !type) -> !type
  return %o : !type
}
"""


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    build = Path(require_tool("elfatt-opt")).parents[1]
    subprocess.run(
        ["cmake", "--install", str(build), "--component=tools", f"--prefix={folder}"],
        check=True,
        capture_output=True,
    )
    return folder


def test_installed_tools_need_no_build_tree(prefix: Path, tmp_path: Path) -> None:
    """They find the runtime, and the source of it that bundles carry, beside them."""
    (tmp_path / "m.mlir").write_text(SOURCE)
    for command in (
        ["elfatt-opt", "m.mlir", "--elfatt-decompose"],
        ["elfatt-run", "m.mlir"],
        ["elfatt-compile", "m.mlir", "--target=cpu", "-o", "bundle"],
        ["elfatt-run", "bundle"],
    ):
        subprocess.run(
            [str(prefix / "bin" / command[0]), *command[1:]],
            cwd=tmp_path,
            env={"PATH": "/nowhere"},
            check=True,
            capture_output=True,
        )
    assert (tmp_path / "bundle" / "runtime" / "build.sh").is_file()
    libraries = subprocess.run(
        ["ldd", str(prefix / "bin" / "elfatt-run")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    runtime = next(line for line in libraries.splitlines() if "elfatt_runtime" in line)
    assert str(prefix / "lib") in str(Path(runtime.split()[2]).resolve()), runtime


def test_tools_of_the_package_come_first(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ELFATT_BIN", raising=False)
    monkeypatch.setattr(elfatt.tools, "_PACKAGE", prefix)
    assert require_tool("elfatt-opt") == str(prefix / "bin" / "elfatt-opt")
    assert elfatt.tools.find_runtime() == str(prefix / "lib" / "libelfatt_runtime.so")


def call_command(name: str, *args: str, **environment: str):
    """``elfatt.tools.main`` as a script of pip calls it, from a copy of the package
    that has no tools."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pathlib, elfatt.tools\n"
            "elfatt.tools._PACKAGE = pathlib.Path('/nowhere/else/at/all')\n"
            "sys.argv = sys.argv[1:]\n"
            "elfatt.tools.main()",
            name,
            *args,
        ],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_command_becomes_the_tool() -> None:
    folder = str(Path(require_tool("elfatt-opt")).parent)
    result = call_command("/any/bin/elfatt-opt", "missing.mlir", ELFATT_BIN=folder)
    assert result.returncode == 2
    assert "cannot read 'missing.mlir'" in result.stderr


def test_command_without_a_tool_does_not_call_itself(tmp_path: Path) -> None:
    script = tmp_path / "elfatt-opt"
    script.write_text("#!/usr/bin/python3\nfrom elfatt.tools import main\nmain()\n")
    script.chmod(0o755)
    result = call_command(str(script), PATH=str(tmp_path), ELFATT_BIN="")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: found no elfatt-opt in $ELFATT_BIN")


def test_commands_of_python_are_found_in_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo calls elfatt-import so."""
    script = tmp_path / "elfatt-import"
    script.write_text("#!/usr/bin/python3\nfrom elfatt.importer import command_line\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert elfatt.tools.find_tool("elfatt-import") == str(script)
