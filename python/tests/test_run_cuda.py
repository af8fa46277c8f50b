# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``elfatt-run --target=cuda`` on a driver whose memory is the host's, and whose kernels
copy one array: what goes to the device, what comes back, and what is launched.

That kernels compute the right thing is for the simulator, and for a GPU.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, List

import bundles
import numpy as np
import pytest
from elfatt.tools import require_tool

SHAPE = (1, 2, 64, 32)
BYTES = 4 * int(np.prod(SHAPE))

# The host adds one to the queries.
MODEL = """
func.func @main(%q: TYPE, %k: TYPE, %v: TYPE) -> TYPE {
  %one = arith.constant dense<1.0> : TYPE
  %next = arith.addf %q, %one : TYPE
  %init = tensor.empty() : TYPE
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, h, i, j, d, e) -> (b, h, i, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, h, j, d)>,
         affine_map<(b, h, i, j, d, e) -> (b, h, j, e)>,
         affine_map<(b, h, i, j, d, e) -> (b, h, i, e)>]
       ins(QUERY, %k, %v : TYPE, TYPE, TYPE) outs(%init : TYPE) -> TYPE
  return %o : TYPE
}""".replace("TYPE", "tensor<1x2x64x32xf32>")


class Driver:
    """Runs commands with the driver, and reads what it wrote down."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(library),
            "FAKE_CUDA_LOG": str(self.log),
            "FAKE_CUDA_VERSION": "12060",
            "FAKE_CUDA_CHIP": "87",
            "FAKE_CUDA_ERROR": "1",
            # The first argument of a kernel are the queries, the last one the result.
            "FAKE_CUDA_COPY": f"0 3 {BYTES}",
        }
        random = np.random.default_rng(0)
        self.arrays = {
            f"arg{i}": random.standard_normal(SHAPE).astype(np.float32)
            for i in range(3)
        }
        np.savez(folder / "in.npz", **self.arrays)

    def run(self, path: str, *options: str, **environment: str) -> Any:
        self.log.write_text("")
        return subprocess.run(
            [require_tool("elfatt-run"), path, "--target=cuda", "--inputs=in.npz"]
            + list(options),
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
        )

    def calls(self, prefix: str) -> List[str]:
        lines = self.log.read_text().splitlines()
        return [line for line in lines if line.startswith(prefix)]


@pytest.fixture
def driver(fake: Path, tmp_path: Path) -> Driver:
    (tmp_path / "m.mlir").write_text(MODEL.replace("QUERY", "%next"))
    return Driver(fake, tmp_path)


def test_kernels_get_what_the_host_computed(driver: Driver) -> None:
    result = driver.run("m.mlir", "--save=out.npz", "--stats=stats.json")
    assert result.returncode == 0, result.stderr
    out = np.load(driver.folder / "out.npz")["out0"]
    np.testing.assert_array_equal(out, driver.arrays["arg0"] + 1)
    # Keys and values are arguments of the model: no kernel writes them.
    assert driver.calls("cuMemcpyHtoD") == [f"cuMemcpyHtoD {BYTES}"] * 4
    assert driver.calls("cuMemcpyDtoH") == [f"cuMemcpyDtoH {BYTES}"] * 2
    assert len(driver.calls("cuMemAlloc")) == len(driver.calls("cuMemFree")) == 4
    kernels = json.loads((driver.folder / "stats.json").read_text())["kernels"]
    assert len(kernels) == len(driver.calls("cuLaunchKernel")) == 1
    assert kernels[0]["target"] == "cuda"
    assert kernels[0]["measured_us"] == 250
    assert (kernels[0]["registers"], kernels[0]["blocks_per_sm"]) == (96, 3)
    assert kernels[0]["floor_bytes"] == 4 * BYTES
    assert kernels[0]["predicted_us"] is None


def test_benchmarks_time_kernels_on_the_device(driver: Driver) -> None:
    result = driver.run("m.mlir", "--benchmark=0.01")
    assert result.returncode == 0, result.stderr
    assert "kernel main_0: 250.0 us on the device" in result.stdout


@pytest.mark.parametrize("options", [[], ["--target=sm_80,sm_87:cuda=12.6"]])
def test_bundles_run(driver: Driver, options: List[str]) -> None:
    text = MODEL.replace("QUERY", "%q").replace("%next =", "%unused =")
    path = bundles.compile_bundle(
        require_tool("elfatt-compile"),
        text,
        driver.folder,
        *(options or ["--target=sm_87"]),
    )
    result = driver.run(str(path), "--save=out.npz")
    assert result.returncode == 0, result.stderr
    assert "the bundle's code for sm_87" in result.stdout
    out = np.load(driver.folder / "out.npz")["out0"]
    np.testing.assert_array_equal(out, driver.arrays["arg0"])


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"FAKE_CUDA_FAIL": "cuInit"}, "the CUDA driver does not start"),
        ({"FAKE_CUDA_CHIP": "52"}, "no code for sm_52 on a driver of CUDA 12.6"),
        ({"FAKE_CUDA_VERSION": "9020"}, "no code for sm_87 on a driver of CUDA 9.2"),
        (
            {"FAKE_CUDA_CHIP": "120", "FAKE_CUDA_VERSION": "11040"},
            "sm_120 needs PTX 8.7, but drivers of CUDA 11.4 load PTX up to 7.4",
        ),
        (
            {"FAKE_CUDA_FAIL": "cuMemAlloc", "FAKE_CUDA_ERROR": "2"},
            f"kernel 'main_0': cannot allocate {BYTES} bytes on the device: "
            "CUDA_ERROR_OUT_OF_MEMORY",
        ),
        ({"FAKE_CUDA_FAIL": "cuModuleLoadData"}, "cannot load the kernels"),
        ({"FAKE_CUDA_FAIL": "cuMemcpyHtoD"}, "cannot copy to the device"),
        ({"FAKE_CUDA_FAIL": "cuLaunchKernel"}, "kernel 'main_0': cannot launch"),
        ({"FAKE_CUDA_FAIL": "cuEventSynchronize"}, "kernel 'main_0': failed"),
        ({"FAKE_CUDA_FAIL": "cuMemcpyDtoH"}, "cannot copy from the device"),
    ],
)
def test_what_a_driver_refuses_is_said(
    driver: Driver, environment: Any, message: str
) -> None:
    result = driver.run("m.mlir", "--save=out.npz", **environment)
    assert result.returncode == 2, result.stdout
    assert message in result.stderr
    assert not (driver.folder / "out.npz").exists()


def test_a_device_that_is_not_known_gets_ptx_of_an_older_one(driver: Driver) -> None:
    result = driver.run("m.mlir", FAKE_CUDA_CHIP="88")
    assert result.returncode == 0, result.stderr
    assert driver.calls("cuModuleLoadData") == ["cuModuleLoadData .target sm_87"]


@pytest.mark.skipif(os.path.exists("/dev/nvidiactl"), reason="there is a driver")
def test_no_driver_is_said(driver: Driver) -> None:
    result = driver.run("m.mlir", LD_LIBRARY_PATH="")
    assert result.returncode == 2
    assert "--target=cuda: no CUDA driver" in result.stderr
