# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The documentation, followed line by line: commands run, what they print is what the page
shows, Python runs."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import elfatt
import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from elfatt.tools import find_tool
from onnx_cases import linear

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = re.compile(r"elfatt-\w+ |mlir-opt-22 |cc ")

# Errors of rounding, which differ by processor, and times.
ROUNDING = 1e-5
NUMBER = re.compile(r"\d+\.\d+(?:e[+-]\d+)?")

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the pages show an x86-64 machine"
)


def blocks(page: Path) -> Iterator[str]:
    """What is indented by four, blank lines within it included."""
    for found in re.finditer(
        r"(?:^ {4}.*\n(?:\s*\n(?= {4}))?)+", page.read_text(), re.M
    ):
        yield textwrap.dedent(found[0]).strip("\n")


def examples(page: Path) -> Iterator[Tuple[str, List[str]]]:
    """Commands, and the lines that are shown below them."""
    for block in blocks(page):
        if re.search(r"^\$ ", block, re.MULTILINE):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, *shown = part.strip("\n").split("\n")
                yield command, [line for line in shown if line]
        elif COMMANDS.match(block):
            yield block, []


def test_folders_of_a_stage_depend_in_one_direction() -> None:
    """The table in CONTRIBUTING.md names them, each behind those that it may include."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = re.search(r"^\| stage \| folders inside \|\n.*\n((?:\|.*\n)+)", text, re.M)
    assert table
    for row in table[1].splitlines():
        stage, *folders = re.findall(r"`(\w+)`", row)
        root = ROOT / "lib" / stage
        assert {path.name for path in root.iterdir() if path.is_dir()} == set(folders)
        for number, folder in enumerate(folders):
            for path in (root / folder).iterdir():
                for header in re.findall(r'#include "([\w/]+\.h)"', path.read_text()):
                    other = header.split("/")[0]
                    if "/" not in header:
                        assert (path.parent / header).exists(), (path, header)
                    elif other in folders:
                        assert other in folders[:number], (path, header)


def agrees(shown: str, printed: str) -> bool:
    """Whether ``printed`` holds ``shown``, with other figures of rounding and of time."""
    numbers = [float(n) for n in NUMBER.findall(shown)]
    pattern = NUMBER.sub("NUMBER", shown)
    pattern = re.escape(pattern).replace(r"\.\.\.", ".*")
    found = re.search(pattern.replace("NUMBER", rf"({NUMBER.pattern})"), printed)
    return bool(found) and all(
        got == pytest.approx(want, rel=0.05)
        for want, got in zip(numbers, map(float, found.groups()))
        if want > ROUNDING and " ms" not in shown
    )


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Linear(64, 192)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, 2, 32).permute(2, 0, 3, 1, 4)
        o = F.scaled_dot_product_attention(q, k, v)
        return o.transpose(1, 2).reshape(b, n, c)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pages stand: beside the repository's folders, with models of their names."""
    for name in ("build", "examples", "include", "python"):
        (tmp_path / name).symlink_to(ROOT / name)
    torch.manual_seed(0)
    model, x = Attention().eval(), torch.randn(1, 196, 64)
    (tmp_path / "m.mlir").write_text(str(elfatt.import_torch(model, x)))
    (tmp_path / "model.mlir").symlink_to(tmp_path / "m.mlir")
    np.savez(tmp_path / "in.npz", arg0=x.numpy())
    np.savez(tmp_path / "out.npz", out0=model(x).detach().numpy())
    onnx.save(linear(x=("batch", 48), y=("batch", 64)), tmp_path / "model.onnx")
    text = """func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
      %y = stablehlo.tanh %x : tensor<2xf32>
      return %y : tensor<2xf32>
    }"""
    (tmp_path / "model.stablehlo").write_text(text)
    return tmp_path


def environment(folder: Path) -> Dict[str, str]:
    """``elfatt-import`` is that of this interpreter."""
    bin_ = folder / "bin"
    bin_.mkdir()
    command = f'#!/bin/sh\nexec "{sys.executable}" -m elfatt.importer "$@"\n'
    (bin_ / "elfatt-import").write_text(command)
    (bin_ / "elfatt-import").chmod(0o755)
    tools = Path(find_tool("elfatt-opt")).parent
    return {**os.environ, "PATH": f"{tools}:{bin_}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    "page, count",
    [
        ("README.md", 11),
        ("docs/Bundles.md", 3),
        ("docs/Debugging.md", 3),
        ("docs/Embedding.md", 2),
        ("docs/Simulator.md", 1),
    ],
)
def test_commands(folder: Path, page: str, count: int) -> None:
    variables = environment(folder)
    found = list(examples(ROOT / page))
    assert len(found) >= count
    for command, shown in found:
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=folder,
            env=variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}"
        printed = done.stdout.split("\n")
        for line in shown:
            assert any(agrees(line, other) for other in printed), (command, line)


def run_python(code: str, names: Dict[str, Any]) -> Dict[str, Any]:
    exec(compile(code, "<documentation>", "exec"), names)
    return names


@pytest.mark.parametrize("page", ["README.md", "docs/Python.md"])
def test_python(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    model, x = Attention().eval(), torch.randn(1, 196, 64)
    with torch.no_grad():
        expected = model(x)
    names: Dict[str, Any] = {"elfatt": elfatt, "torch": torch}
    names.update(model=model, x=x, example=x)
    ran = 0
    for block in blocks(ROOT / page):
        if block.startswith(">>> "):
            block = re.sub(r"^>>> ", "", block, flags=re.MULTILINE)
        elif not re.match(r"import elfatt|fast = ", block):
            continue
        names = run_python(block, names)
        ran += 1
        # With ELFATT in its place y is another.
        if "approximate" not in block and "y = " in block:
            torch.testing.assert_close(names["y"], expected, rtol=0, atol=1e-5)
    assert ran == 2
    if page == "docs/Python.md":
        assert "raised to attention.sdpa: B=1 H=2 N=196" in capsys.readouterr().out
