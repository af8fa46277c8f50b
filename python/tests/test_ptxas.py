# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kernels for every chip through ptxas, the release picked by the chip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import pytest
from elfatt.tools import find_tool
from gpu_tables import ALL_CHIPS

SDPA = """
func.func @main(%q: tensor<1x1x16x16xf16>, %k: tensor<1x1x16x16xf16>, %v: tensor<1x1x16x16xf16>)
    -> tensor<1x1x16x16xf16> {
  %init = tensor.empty() : tensor<1x1x16x16xf16>
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>, affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>, affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
       ins(%q, %k, %v : tensor<1x1x16x16xf16>, tensor<1x1x16x16xf16>, tensor<1x1x16x16xf16>)
       outs(%init : tensor<1x1x16x16xf16>) -> tensor<1x1x16x16xf16>
  return %o : tensor<1x1x16x16xf16>
}
"""


def lower(options: str, **environment: str) -> subprocess.CompletedProcess:
    tool = find_tool("elfatt-opt")
    assert tool, "elfatt-opt is not built: run 'cmake --build --preset release'"
    # The packages of this Python, as in an active virtual environment.
    env: Dict[str, str] = {**os.environ, "VIRTUAL_ENV": sys.prefix, **environment}
    return subprocess.run(
        [tool, "-", f"--elfatt-to-gpu={options}"],
        input=SDPA,
        capture_output=True,
        text=True,
        timeout=120,
        env=env,
    )


@pytest.mark.parametrize("chip", ALL_CHIPS)
def test_cubin_of_every_chip(chip: str) -> None:
    done = lower(f"chip={chip} format=cubin")
    if f"no ptxas for {chip}" in done.stderr:
        pytest.skip(f"no ptxas here knows {chip}: install requirements-ptxas.txt")
    assert done.returncode == 0, done.stderr
    assert r'bin = "\7FELF' in done.stdout
    usage = re.search(
        r"main_0 = \{registers = (\d+) : i64, shared_bytes = (\d+) : i64, spill_bytes = (\d+) : i64\}",
        done.stdout,
    )
    assert usage
    registers, shared, spills = map(int, usage.groups())
    assert 16 <= registers <= 255 and shared > 0 and spills == 0


def test_fatbin_has_both(tmp_path: Path) -> None:
    done = lower("chip=sm_87 format=fatbin")
    if "no ptxas for" in done.stderr or "needs fatbinary" in done.stderr:
        pytest.skip("no fatbinary here: install requirements-ptxas.txt")
    assert done.returncode == 0, done.stderr
    # 0xBA55ED50, the magic number of a fatbin, lowest byte first.
    assert r"fatbin = \"P\EDU\BA" in done.stdout or r'"P\EDU\BA' in done.stdout


def test_without_ptxas_there_is_ptx(tmp_path: Path) -> None:
    nothing = {
        "PATH": str(tmp_path),
        "CUDA_HOME": str(tmp_path),
        "VIRTUAL_ENV": str(tmp_path),
    }
    ptx = lower("chip=sm_87 format=ptx", **nothing)
    assert ptx.returncode == 0 and ".target sm_87" in ptx.stdout
    if not Path("/usr/local/cuda/bin/ptxas").exists():
        cubin = lower("chip=sm_87 format=cubin", **nothing)
        assert cubin.returncode == 2
        assert "no ptxas for sm_87; install a CUDA Toolkit" in cubin.stderr
        assert "nvidia-cuda-nvcc-cu12; PTX needs none (format=ptx)" in cubin.stderr


def test_release_that_does_not_know_the_chip(tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "ptxas"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\necho 'Cuda compilation tools, release 13.0, V13.0.88'\n"
    )
    fake.chmod(0o755)
    done = lower(f"chip=sm_53 format=cubin cuda-path={tmp_path}")
    assert done.returncode == 2
    assert "no ptxas for sm_53 in" in done.stderr
    assert "what was found is of another release: " in done.stderr


FAKE_PTXAS = """#!/bin/sh
if [ "$1" = --version ]; then
  echo "Cuda compilation tools, release RELEASE, VRELEASE.1"
  exit
fi
printf '\\177ELF made by NAME' > "$5"
echo "ptxas info    : Compiling entry function 'main_0' for 'sm_87'"
echo "ptxas info    : Used 40 registers, 128 bytes smem"
"""


def make_toolkit(folder: Path, release: str) -> Path:
    """A folder like a CUDA Toolkit's, whose ptxas writes its folder's name."""
    tool = folder / "bin" / "ptxas"
    tool.parent.mkdir(parents=True)
    text = FAKE_PTXAS.replace("RELEASE", release).replace("NAME", folder.name)
    tool.write_text(text)
    tool.chmod(0o755)
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., str]:
    """Toolkits of the releases given by where they are found; which one assembles."""

    def choose(options: str, **releases: str) -> str:
        nvidia = "wheels/lib/python3.11/site-packages/nvidia"
        places = {
            "named": "named",
            "home": "home",
            "path": "path",
            "wheel12": f"{nvidia}/cuda_nvcc",
            "wheel13": f"{nvidia}/cu13",
        }
        names = {}
        for place, release in releases.items():
            toolkit = make_toolkit(tmp_path / places[place], release)
            names[toolkit.name] = place
        environment = {
            "CUDA_HOME": str(tmp_path / "home"),
            "PATH": str(tmp_path / "path/bin"),
            "VIRTUAL_ENV": str(tmp_path / "wheels"),
        }
        if "named" in releases:
            options += f" cuda-path={tmp_path / 'named'}"
        done = lower(f"format=cubin {options}", **environment)
        if done.returncode:
            return re.search(r"error: (.*)", done.stderr)[1]
        made = re.search(r"made by (\w+)", done.stdout)
        return names[made[1]] if made else "this machine's"

    return choose


def test_a_toolkit_without_libdevice_is_no_error(tmp_path: Path) -> None:
    for home in (tmp_path, tmp_path / "nowhere"):
        done = lower("chip=sm_87 format=ptx", CUDA_HOME=str(home))
        assert done.returncode == 0 and not done.stderr


# A Toolkit of this machine is looked for where CMake found it, whatever the environment.
bare = pytest.mark.skipif(
    Path("/usr/local/cuda/bin/ptxas").exists(), reason="this machine has a Toolkit"
)


def test_the_named_toolkit_comes_first(machine: Any) -> None:
    everywhere = {"home": "12.9", "path": "12.9", "wheel12": "12.9", "wheel13": "13.0"}
    assert machine("chip=sm_87", named="12.6", **everywhere) == "named"


def test_the_named_toolkit_alone_is_looked_at(machine: Any) -> None:
    message = machine("chip=sm_53", named="13.0", wheel12="12.9")
    assert "no ptxas for sm_53 in" in message and "(13.0)" in message


@pytest.mark.parametrize(
    "releases, chosen",
    [
        ({"home": "12.9", "path": "12.9", "wheel12": "12.9"}, "home"),
        ({"path": "12.9", "wheel12": "12.9"}, "path"),
        ({"wheel12": "12.9", "wheel13": "13.0"}, "wheel12"),
    ],
)
def test_a_toolkit_comes_before_the_packages(
    machine: Any, releases: Dict[str, str], chosen: str
) -> None:
    assert machine("chip=sm_53", **releases) == chosen


@pytest.mark.parametrize(
    "options, chosen",
    [
        # 13.0 does not know them.
        ("chip=sm_53", "wheel12"),
        ("chip=sm_72", "wheel12"),
        # Drivers of CUDA 12.6 load no cubin of 13.0.
        ("chip=sm_87 cuda=12.6", "wheel12"),
        ("chip=sm_90", "wheel12"),
        # 12.9 does not know it.
        ("chip=sm_110", "wheel13"),
        # PTX 9.0 is not for 12.9.
        ("chip=sm_120", "wheel13"),
    ],
)
def test_the_package_is_picked_by_chip_and_driver(
    machine: Any, options: str, chosen: str
) -> None:
    # A Toolkit of this machine may be there too; it does not take the older one's place.
    taken = machine(options, wheel12="12.9", wheel13="13.0")
    assert taken == chosen or (taken, chosen) == ("this machine's", "wheel13")


def test_a_tool_that_says_nothing_is_named(tmp_path: Path) -> None:
    make_toolkit(tmp_path / "mute", "12.9").joinpath("bin/ptxas").write_text(
        "#!/bin/sh\n"
    )
    done = lower(f"chip=sm_87 format=cubin cuda-path={tmp_path}/mute")
    assert done.returncode == 2 and "bin/ptxas (names no release)" in done.stderr


@bare
def test_what_is_missing_is_said(machine: Any) -> None:
    assert "no ptxas for sm_110; install a CUDA Toolkit" in machine("chip=sm_110")
    message = machine("chip=sm_110", wheel12="12.9")
    assert "what was found is of another release" in message
    assert "the Python package nvidia-cuda-nvcc; PTX needs none" in message


def test_fatbinary_may_be_of_another_toolkit_but_must_be_there(
    tmp_path: Path,
) -> None:
    toolkit = make_toolkit(tmp_path / "toolkit", "12.9")
    done = lower(f"chip=sm_87 format=fatbin cuda-path={toolkit}")
    assert done.returncode == 2
    assert "a fatbin needs fatbinary, which was not found beside" in done.stderr


SPILLING_PTXAS = """#!/bin/sh
[ "$1" = --version ] && exec echo "release 12.9, V12.9.1"
: > "$5"
echo run >> "$0.runs"
awk '/\\.entry/ { name = $0; sub(/.*entry /, "", name); sub(/[^a-z_].*/, "", name); limit = "" }
     /^\\.maxnreg|^\\.minnctapersm/ { limit = limit $0 }
     /^{/ { spills = 8
       if (name == "fits" || limit ~ /168/ && name != "hopeless") spills = 0
       if (name == "unlimited" && limit ~ /minnctapersm 1/) spills = 4
       takes = 100
       if (name ~ /large|tight|wasteful/) {
         takes = limit ~ /maxnreg/ ? 128 : 153
         spills = name == "tight" && limit ~ /maxnreg/ || name == "wasteful" && limit == "" ? 8 : 0
       }
       print "ptxas info : Compiling entry function '\\''" name "'\\'' for '\\''sm_87'\\''"
       print spills " bytes stack frame, " spills " bytes spill stores, " spills " bytes spill loads"
       print "ptxas info : Used " takes " registers" }' "$3"
"""


def serialize(
    folder: Path, limits: Dict[str, int], options: str
) -> Tuple[subprocess.CompletedProcess, int]:
    """Kernels of 128 threads with these limits of registers, and how often ptxas ran."""
    ptxas = folder / "bin" / "ptxas"
    ptxas.parent.mkdir()
    ptxas.write_text(SPILLING_PTXAS)
    ptxas.chmod(0o755)
    kernels = "".join(
        f"llvm.func @{name}() attributes {{gpu.kernel, nvvm.kernel, "
        f"{f'nvvm.maxnreg = {limit} : i32, ' if limit else 'elfatt.blocks = 4 : i64, '}"
        f"nvvm.maxntid = array<i32: 128, 1, 1>}} {{ llvm.return }}\n"
        for name, limit in limits.items()
    )
    tool = find_tool("elfatt-opt")
    assert tool
    done = subprocess.run(
        [tool, "-", f"--elfatt-gpu-serialize=cuda-path={folder} {options}"],
        input='gpu.module @kernels [#nvvm.target<chip = "sm_87", features = "+ptx74">]'
        f" {{\n{kernels}}}",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    runs = folder / "bin" / "ptxas.runs"
    return done, len(runs.read_text().split()) if runs.exists() else 0


def test_kernels_that_spill_get_the_registers_of_a_block_less(tmp_path: Path) -> None:
    limits = {"fits": 128, "spills": 128, "hopeless": 128, "unlimited": 0}
    done, _ = serialize(tmp_path, limits, "fit-registers=true")
    found = dict(re.findall(r"\.entry (\w+)\(.*?\)(.*?)\{", done.stdout))
    assert ".maxnreg 128" in found["fits"] and "minnctapersm" not in found["fits"]
    assert ".maxnreg 168" in found["spills"]
    # More registers save it nothing: it keeps what it had.
    assert ".maxnreg 128" in found["hopeless"]
    assert ".minnctapersm 1" in found["unlimited"]
    assert "maxnreg" not in found["unlimited"]


def test_kernels_that_need_fewer_registers_leave_them_to_another_block(
    tmp_path: Path,
) -> None:
    # Three blocks of 153 registers, four of 128: one does with these, one spills, and one
    # spilled before it was told how many there are.
    limits = {"large": 0, "tight": 0, "wasteful": 0}
    done, runs = serialize(tmp_path, limits, "fit-registers=true")
    found = dict(re.findall(r"\.entry (\w+)\(.*?\)(.*?)\{", done.stdout))
    assert ".maxnreg 128" in found["large"]
    assert "maxnreg" not in found["tight"] and "minnctapersm" not in found["tight"]
    assert (
        ".maxnreg 128" in found["wasteful"] and "minnctapersm" not in found["wasteful"]
    )
    assert runs <= 4


@pytest.mark.parametrize("form", ["ptx", "cubin"])
def test_ptxas_runs_once_for_kernels_that_fit(tmp_path: Path, form: str) -> None:
    options = f"fit-registers=true format={form}"
    assert serialize(tmp_path, {"fits": 128}, options)[1] == 1


def test_ptxas_runs_again_for_kernels_that_spill(tmp_path: Path) -> None:
    done, runs = serialize(tmp_path, {"spills": 128}, "fit-registers=true format=cubin")
    assert runs == 2 and "spill_bytes = 0" in done.stdout
