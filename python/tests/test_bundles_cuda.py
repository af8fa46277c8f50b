# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GPU bundles through the C API, on a driver that only writes down its calls.

It shows what is loaded and how kernels are launched. That they compute the right
thing is for the simulator, and for a GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import bundles
import pytest
from elfatt.tools import find_tool

# Runs in a process of its own, whose libcuda.so.1 is the fake one.
SCRIPT = """
import sys
import bundles
import numpy as np

runtime = bundles.Runtime(sys.argv[1])
bundle = runtime.open(sys.argv[2], "cuda")
print("target", bundle.target)
rows = int(sys.argv[3])
qkv = bundles.tensor(np.zeros(1, np.float16), shape=[rows, 49, 3, 4, 32], data=0x7000000)
out = bundles.tensor(np.zeros(1, np.float16), shape=[rows, 49, 4, 32], data=0x9000000)
workspace = int(sys.argv[4], 16)
bundle.run_tensors([qkv], [out], workspace, 1 << 20, stream=0x1234)
bundle.close()
"""

MODEL = """
func.func @main(%qkv: tensor<ROWSx49x3x4x32xf16>) -> tensor<ROWSx49x4x32xf16> {
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %qkv, %c0 : tensor<ROWSx49x3x4x32xf16>
  %init = tensor.empty(SIZES) : tensor<ROWSx49x4x32xf16>
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, i, 0, h, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, j, 1, h, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, j, 2, h, e)>,
         affine_map<(b, h, i, j, d, e) -> (b, i, h, e)>]
       ins(%qkv, %qkv, %qkv : tensor<ROWSx49x3x4x32xf16>, tensor<ROWSx49x3x4x32xf16>,
           tensor<ROWSx49x3x4x32xf16>)
       outs(%init : tensor<ROWSx49x4x32xf16>) -> tensor<ROWSx49x4x32xf16>
  return %o : tensor<ROWSx49x4x32xf16>
}"""

Run = Callable[..., "tuple[subprocess.CompletedProcess[str], list[str]]"]


@pytest.fixture(scope="module")
def fake(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("cuda")
    source = Path(__file__).parent / "data" / "fake_cuda.c"
    command = ["cc", "-shared", "-fPIC", source, "-o", folder / "libcuda.so.1"]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: Any) -> Path:
    tool = find_tool("elfatt-compile")
    assert tool, "elfatt-compile is not built: run 'cmake --build --preset release'"
    text = MODEL.replace("ROWS", "2").replace("SIZES", "")
    folder = tmp_path_factory.mktemp("static")
    return bundles.compile_bundle(tool, text, folder, "--target=sm_80,sm_87:cuda=12.6")


@pytest.fixture
def run(fake: Path, bundle: Path, tmp_path: Path) -> Run:
    def run(
        version: int = 12060,
        chip: int = 87,
        fail: str = "",
        path: Path = bundle,
        rows: int = 2,
        workspace: str = "100",
        driver: bool = True,
    ) -> Any:
        tool = find_tool("elfatt-compile")
        assert tool
        library = Path(tool).resolve().parents[1] / "lib" / "libelfatt_runtime.so"
        log = tmp_path / "log"
        log.write_text("")
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "FAKE_CUDA_LOG": str(log),
            "FAKE_CUDA_VERSION": str(version),
            "FAKE_CUDA_CHIP": str(chip),
            "FAKE_CUDA_FAIL": fail,
        }
        if driver:
            environment["LD_LIBRARY_PATH"] = str(fake)
        result = subprocess.run(
            [sys.executable, "-c", SCRIPT, library, path, str(rows), workspace],
            env=environment,
            capture_output=True,
            text=True,
        )
        return result, log.read_text().splitlines()

    return run


def test_kernels_are_launched_on_the_stream(run: Run) -> None:
    result, calls = run()
    assert result.returncode == 0, result.stderr
    assert "target sm_87" in result.stdout
    assert calls[0] == "cuInit 0"
    assert calls[1] == "cuDevicePrimaryCtxRetain 0"
    assert calls[2] == "cuModuleLoadData .target sm_87"
    assert calls[3].startswith("cuModuleGetFunction 1 main")
    launches = [call.split() for call in calls if call.startswith("cuLaunchKernel")]
    assert len(launches) == 1
    grid, block, stream = launches[0][1:4], launches[0][4:7], launches[0][8]
    assert all(int(extent) > 0 for extent in grid + block)
    assert stream == "1234"
    assert launches[0][9] in ("7000000", "9000000"), "the first array's pointer"
    assert calls[-2:] == ["cuModuleUnload 1", "cuDevicePrimaryCtxRelease 0"]


@pytest.mark.parametrize(
    "chip, version, target",
    [(80, 11040, "sm_80"), (87, 11040, "sm_80"), (120, 13000, "sm_87")],
)
def test_code_is_chosen_by_chip_and_driver(
    run: Run, chip: int, version: int, target: str
) -> None:
    result, _ = run(chip=chip, version=version)
    assert result.returncode == 0, result.stderr
    assert f"target {target}" in result.stdout


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (
            {"chip": 75},
            bundles.NOT_SUPPORTED,
            "no code for sm_75 on a driver of CUDA 12.6",
        ),
        ({"version": 10020}, bundles.NOT_SUPPORTED, "on a driver of CUDA 10.2"),
        ({"fail": "cuInit"}, bundles.NO_DEVICE, "the CUDA driver does not start"),
        (
            {"fail": "cuModuleLoadData"},
            bundles.DEVICE_ERROR,
            "cannot load 'kernels.sm_87.ptx': CUDA_ERROR_INVALID_VALUE",
        ),
        (
            {"fail": "cuLaunchKernel"},
            bundles.DEVICE_ERROR,
            "cannot launch kernel 'main_0': CUDA_ERROR_INVALID_VALUE",
        ),
        ({"rows": 3}, bundles.BAD_ARGUMENT, "input 0: expected shape"),
    ],
)
def test_faults_are_statuses(
    run: Run, arguments: Any, status: int, message: str
) -> None:
    result, _ = run(**arguments)
    assert result.returncode == 1
    assert f"{message}" in result.stderr
    assert f"(status {status})" in result.stderr


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="there is a driver")
def test_no_driver_is_a_status(run: Run) -> None:
    result, _ = run(driver=False)
    assert "no CUDA driver" in result.stderr
    assert f"(status {bundles.NO_DEVICE})" in result.stderr


def test_launches_follow_the_extents(run: Run, tmp_path: Path) -> None:
    tool = find_tool("elfatt-compile")
    assert tool
    text = MODEL.replace("ROWS", "?").replace("SIZES", "%rows")
    path = bundles.compile_bundle(tool, text, tmp_path, "--target=sm_87")
    grids = []
    for rows in (1, 5):
        result, calls = run(path=path, rows=rows, version=11040)
        assert result.returncode == 0, result.stderr
        launch = [call for call in calls if call.startswith("cuLaunchKernel")][0]
        grids.append(int(launch.split()[1]))
    assert grids[1] == 5 * grids[0]
