# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GPU bundles through the C API, on a driver that only writes down its calls.

It shows what is loaded and how kernels are launched. That they compute the right
thing is for the simulator, and for a GPU.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, List, Optional

import bundles
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "cpu"))

import shapes  # noqa: E402

# Runs in a process of its own, whose libcuda.so.1 is the fake one.
SCRIPT = """
import sys
import bundles
import numpy as np

runtime = bundles.Runtime(sys.argv[1])
bundle = runtime.open(sys.argv[2], "cuda")
print("target", bundle.target)
rows = int(sys.argv[3])
data, strides, workspace, workspace_bytes = eval(sys.argv[4])
shape = [rows, 49, 3, 4, 32]
qkv = bundles.tensor(np.zeros(1, np.float16), shape=shape, data=data, strides=strides)
out = bundles.tensor(np.zeros(1, np.float16), shape=[rows, 49, 4, 32], data=0x9000000)
print("workspace", bundle.workspace([qkv]))
bundle.run_tensors([qkv], [out], workspace, workspace_bytes, stream=0x1234)
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
def bundle(tmp_path_factory: Any, elfatt_compile: str) -> Path:
    text = MODEL.replace("ROWS", "2").replace("SIZES", "")
    folder = tmp_path_factory.mktemp("static")
    return bundles.compile_bundle(
        elfatt_compile, text, folder, "--target=sm_80,sm_87:cuda=12.6"
    )


def copy_bundle(folder: Path, path: Path, oldest_driver: Optional[int]) -> Path:
    """The bundle with cubins that drivers of that CUDA release load, or without any,
    whatever ptxas is installed."""
    shutil.copytree(path, folder, dirs_exist_ok=True)
    manifest = json.loads((folder / "manifest.json").read_text())
    for code in [c for c in manifest["code"] if c["format"] == "ptx"]:
        target = code["target"]
        name = f"kernels.{target}.cubin"
        if not (folder / name).exists():
            # No ptxas here: what the fake driver takes for one.
            data = b"\x7fELF" + bytes(60)
            (folder / name).write_bytes(data)
            checksum = hashlib.sha256(data).hexdigest()
            manifest["files"][name] = {"bytes": len(data), "sha256": checksum}
            entry = {"file": name, "format": "cubin", "target": target, "kernels": {}}
            manifest["code"].append(entry)
    for code in manifest["code"]:
        if code["format"] == "cubin":
            code["cuda"] = oldest_driver
    if oldest_driver is None:
        manifest["code"] = [c for c in manifest["code"] if c["format"] == "ptx"]
    write_manifest(folder, manifest)
    return folder


def write_manifest(folder: Path, manifest: Any) -> None:
    text = json.dumps(manifest)
    (folder / "manifest.json").write_text(text)
    checksum = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json.sha256").write_text(f"{checksum}  manifest.json\n")


@pytest.fixture(scope="module")
def ptx(bundle: Path, tmp_path_factory: Any) -> Path:
    return copy_bundle(tmp_path_factory.mktemp("ptx"), bundle, None)


@pytest.fixture(scope="module")
def cubin(bundle: Path, tmp_path_factory: Any) -> Path:
    return copy_bundle(tmp_path_factory.mktemp("cubin"), bundle, 12000)


@pytest.fixture(scope="module")
def fatbin(tmp_path_factory: Any, elfatt_compile: str) -> Path:
    text = MODEL.replace("ROWS", "2").replace("SIZES", "")
    folder = tmp_path_factory.mktemp("fatbin")
    try:
        return bundles.compile_bundle(
            elfatt_compile, text, folder, "--target=sm_87", "--fatbin"
        )
    except AssertionError as failure:
        if "no ptxas" in str(failure) or "needs fatbinary" in str(failure):
            pytest.skip("no ptxas or no fatbinary: install requirements-ptxas.txt")
        raise


@pytest.fixture
def run(fake: Path, ptx: Path, tmp_path: Path, elfatt_compile: str) -> Run:
    def run(
        version: int = 12060,
        chip: int = 87,
        fail: str = "",
        error: int = 1,
        refuse: str = "",
        path: Path = ptx,
        rows: int = 2,
        data: int = 0x7000000,
        strides: Optional[List[int]] = None,
        workspace: Optional[int] = 0x100,
        workspace_bytes: int = 1 << 20,
        driver: bool = True,
        script: str = SCRIPT,
    ) -> Any:
        library = (
            Path(elfatt_compile).resolve().parents[1] / "lib" / "libelfatt_runtime.so"
        )
        log = tmp_path / "log"
        log.write_text("")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "FAKE_CUDA_LOG": str(log),
            "FAKE_CUDA_VERSION": str(version),
            "FAKE_CUDA_CHIP": str(chip),
            "FAKE_CUDA_FAIL": fail,
            "FAKE_CUDA_ERROR": str(error),
            "FAKE_CUDA_REFUSE": refuse,
        }
        if driver:
            environment["LD_LIBRARY_PATH"] = str(fake)
        arguments = repr((data, strides, workspace, workspace_bytes))
        result = subprocess.run(
            [sys.executable, "-c", script, library, path, str(rows), arguments],
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
    "chip, version, refuse, loaded",
    [
        (87, 12060, "", ["cubin"]),
        (86, 12060, "", ["cubin"]),  # sm_80's
        (87, 11040, "", [".target sm_80"]),
        (90, 12060, "", [".target sm_87"]),
        # A driver that says the cubin is not for its device.
        (87, 12060, "cubin", ["cubin", ".target sm_87"]),
    ],
)
def test_cubins_are_chosen_before_ptx(
    run: Run, cubin: Path, chip: int, version: int, refuse: str, loaded: List[str]
) -> None:
    result, calls = run(path=cubin, chip=chip, version=version, refuse=refuse)
    assert result.returncode == 0, result.stderr
    name = "cuModuleLoadData "
    assert [c[len(name) :] for c in calls if c.startswith(name)] == loaded
    retained = [c for c in calls if c.startswith("cuDevicePrimaryCtxRetain")]
    released = [c for c in calls if c.startswith("cuDevicePrimaryCtxRelease")]
    assert len(retained) == len(released), "no context is kept"


@pytest.mark.parametrize("version", [11040, 13000])
def test_fatbins_are_loaded_as_they_are(run: Run, fatbin: Path, version: int) -> None:
    """By their PTX on a driver that is older than their cubin."""
    result, calls = run(path=fatbin, version=version)
    assert result.returncode == 0, result.stderr
    assert "cuModuleLoadData fatbin" in calls
    assert any(call.startswith("cuLaunchKernel") for call in calls)
    result, _ = run(path=fatbin, version=version, refuse="fatbin")
    assert "the device takes none of the bundle's code: cannot load" in result.stderr


def test_nothing_that_loads_is_a_status(run: Run) -> None:
    result, _ = run(refuse="ptx")
    assert "the device takes none of the bundle's code: cannot load" in result.stderr
    assert f"(status {bundles.NOT_SUPPORTED})" in result.stderr


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (
            {"chip": 75},
            bundles.NOT_SUPPORTED,
            "no code for sm_75 on a driver of CUDA 12.6",
        ),
        (
            {"version": 10020},
            bundles.NOT_SUPPORTED,
            "on a driver of CUDA 10.2; it has kernels.sm_80.ptx (PTX 7.4), "
            "kernels.sm_87.ptx (PTX 8.5)",
        ),
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
        (
            {"data": 0x7000001},
            bundles.BAD_ARGUMENT,
            "input 0: the data is not aligned to its elements of 2 bytes",
        ),
        (
            {"data": 0x7000008},
            bundles.BAD_ARGUMENT,
            "input 0: the data is not aligned to 16 bytes",
        ),
        (
            {"fail": "cuModuleLoadData", "error": 2},
            bundles.NO_MEMORY,
            "cannot load 'kernels.sm_87.ptx': CUDA_ERROR_OUT_OF_MEMORY",
        ),
        ({"data": 0}, bundles.BAD_ARGUMENT, "input 0: the data is null"),
        (
            {"strides": [18816, 384, 128, 1, 4]},
            bundles.BAD_ARGUMENT,
            "input 0: expected strides [18816x384x128x32x1], got [18816x384x128x1x4]",
        ),
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


def test_launches_follow_the_extents(
    run: Run, tmp_path: Path, elfatt_compile: str
) -> None:
    text = MODEL.replace("ROWS", "?").replace("SIZES", "%rows")
    path = bundles.compile_bundle(elfatt_compile, text, tmp_path, "--target=sm_87")
    grids = []
    for rows in (1, 5):
        result, calls = run(path=path, rows=rows, version=11040)
        assert result.returncode == 0, result.stderr
        launch = [call for call in calls if call.startswith("cuLaunchKernel")][0]
        grids.append(int(launch.split()[1]))
    assert grids[1] == 5 * grids[0]


@pytest.mark.parametrize("fail", ["", "cuFuncSetAttribute"])
def test_shared_memory_is_asked_for_once(
    run: Run, ptx: Path, tmp_path: Path, fail: str
) -> None:
    """More than 48 KB; where the device has less, other code is tried."""
    path = tmp_path / "bundle"
    shutil.copytree(ptx, path)
    manifest = json.loads((path / "manifest.json").read_text())
    devices = manifest["functions"][0]["devices"]
    devices["sm_87"]["launches"][0]["dynamic_shared_bytes"] = 100_000
    write_manifest(path, manifest)
    result, calls = run(path=path, fail=fail)
    assert result.returncode == 0, result.stderr
    # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    asked = [call for call in calls if call.startswith("cuFuncSetAttribute")]
    assert asked == ["cuFuncSetAttribute 8 100000"]
    target = "sm_80" if fail else "sm_87"
    assert f"target {target}" in result.stdout
    shared = [call.split()[7] for call in calls if call.startswith("cuLaunchKernel")]
    assert shared == ["0" if fail else "100000"]


ELFATT = shapes.Elfatt(size=14, channels=64, heads=2, window=7, batch=2).mlir("f16")

WORKSPACE = """
import sys
import bundles
import numpy as np

bundle = bundles.Runtime(sys.argv[1]).open(sys.argv[2], "cuda")
shapes = [[2, 196, 192], [3, 3, 1, 32], [1, 32], [3, 3, 1, 32], [1, 32]]
one = np.zeros(1, np.float16)
inputs = [bundles.tensor(one, shape=s, data=0x1000000 * (i + 1)) for i, s in enumerate(shapes)]
output = bundles.tensor(one, shape=[2, 196, 64], data=0x9000000)
bytes = bundle.workspace(inputs)
print("workspace", bytes)
for workspace, size in ((0, bytes), (0x20, bytes), (0x100, bytes - 1), (0x100, bytes)):
    try:
        bundle.run_tensors(inputs, [output], workspace, size)
        print("ran")
    except AssertionError as failure:
        print(failure)
"""


def test_the_workspace_is_the_callers(
    fake: Path, run: Run, tmp_path: Path, elfatt_compile: str
) -> None:
    path = bundles.compile_bundle(elfatt_compile, ELFATT, tmp_path, "--target=sm_87")
    devices = json.loads((path / "manifest.json").read_text())["functions"][0][
        "devices"
    ]
    if not devices["sm_87"]["workspaces"]:
        pytest.skip("ELFATT needs no workspace here")
    result, calls = run(path=path, script=WORKSPACE)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    needed = int(lines[0].split()[1])
    assert needed > 0 and needed % 256 == 0
    assert lines[1].startswith(f"the workspace is null, expected {needed} bytes")
    assert lines[2].startswith("the workspace is not aligned to 256 bytes")
    assert lines[3].startswith(f"a workspace of {needed - 1} bytes, expected {needed}")
    assert lines[4] == "ran"
    launches = len([call for call in calls if call.startswith("cuLaunchKernel")])
    assert launches == len(devices["sm_87"]["launches"])
    # What a CUDA graph cannot capture, or what waits.
    assert {call.split()[0] for call in calls} <= {
        "cuInit",
        "cuDevicePrimaryCtxRetain",
        "cuModuleLoadData",
        "cuModuleGetFunction",
        "cuFuncSetAttribute",
        "cuLaunchKernel",
        "cuModuleUnload",
        "cuDevicePrimaryCtxRelease",
    }


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on the path")
def test_the_example_builds_with_nvcc(
    fake: Path, ptx: Path, tmp_path: Path, elfatt_compile: str
) -> None:
    root = Path(__file__).parents[2]
    library = Path(elfatt_compile).resolve().parents[1] / "lib"
    program = tmp_path / "run_bundle"
    command = ["nvcc", "-DUSE_CUDA", "-Xcompiler=-Wall,-Wextra,-Werror"]
    command += [
        "-I",
        root / "include",
        root / "examples" / "run_bundle.c",
        "-o",
        program,
    ]
    command += ["-L", library, "-lelfatt_runtime", f"-Xlinker=-rpath={library}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(fake),
        "FAKE_CUDA_LOG": str(tmp_path / "log"),
        "FAKE_CUDA_VERSION": "12060",
        "FAKE_CUDA_CHIP": "87",
    }
    command = [str(program), str(ptx), "cuda"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    # The runtime opens the bundle; CUDA's own library asks more of a driver than the
    # fake one has, which is a message and a status.
    assert "code for sm_87" in done.stdout
    assert done.returncode == 2 and done.stderr.startswith("error: ")
