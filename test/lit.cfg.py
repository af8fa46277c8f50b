# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How lit runs the suite. CMake fills the values in through lit.site.cfg.py.in.

Features a test may require: torch, numpy, ptxas, cuda, x86-64, debian-mlir-opt, cmake,
asan, and
tool-NAME for each executable in build/bin.
"""

import glob
import importlib.util
import os
import shutil

import lit.formats

config.name = "ELFATT"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "Unit", "lit.cfg.py", "lit.site.cfg.py"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(config.elfatt_build_dir, "test")

venv = os.path.join(config.elfatt_source_dir, ".venv")
venv_python = os.path.join(venv, "bin", "python")
python = venv_python if os.path.exists(venv_python) else config.python_executable

config.environment["PATH"] = os.pathsep.join(
    [
        os.path.join(config.elfatt_build_dir, "bin"),
        os.path.join(venv, "bin"),
        config.llvm_tools_dir,
        config.environment["PATH"],
    ]
)
config.environment["PYTHONPATH"] = os.pathsep.join(
    [os.path.join(config.elfatt_source_dir, "python"), os.environ.get("PYTHONPATH", "")]
)
if os.path.isdir(venv):
    # Where ptxas of a Python package is looked for.
    config.environment["VIRTUAL_ENV"] = venv
for name in ("HOME", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "LSAN_OPTIONS", "CUDA_HOME"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

config.substitutions.append(("%python", python))
# `%exits 2 COMMAND`: the command must end with this very status.
config.substitutions.append(
    ("%exits", python + " " + os.path.join(config.test_source_root, "exits.py"))
)
config.substitutions.append(
    ("%elfatt_bin", os.path.join(config.elfatt_build_dir, "bin"))
)
config.substitutions.append(
    ("%elfatt_lib", os.path.join(config.elfatt_build_dir, "lib"))
)
config.substitutions.append(("%elfatt_build", config.elfatt_build_dir))
config.substitutions.append(("%cxx", config.cxx_compiler))
# Programs that use the runtime are linked with what it is checked by.
sanitize = " -fsanitize=" + config.sanitizers if config.sanitizers else ""
config.substitutions.append(("%cc", config.c_compiler + sanitize))
config.substitutions.append(("%mlir_include", config.mlir_include_dir))
config.substitutions.append(("%elfatt_src", config.elfatt_source_dir))

# The whole suite once more, every input printed, parsed and compared:
# ELFATT_VERIFY_ROUNDTRIP=1 or --param verify_roundtrip=1.
if (
    lit_config.params.get(
        "verify_roundtrip", os.environ.get("ELFATT_VERIFY_ROUNDTRIP", "0")
    )
    == "1"
):
    config.available_features.add("verify-roundtrip")
    config.substitutions.append(
        (r"(?<![\w./-])elfatt-opt(?![\w.-])", "elfatt-opt --verify-roundtrip")
    )


def has_module(name):
    """Whether `python` above can import `name`, without the seconds an import takes."""
    found = glob.glob(os.path.join(venv, "lib", "python3*", "site-packages", name))
    return bool(found) or (
        python != venv_python and importlib.util.find_spec(name) is not None
    )


def has_cuda_tool(name):
    """An installed CUDA Toolkit's, or the one of a Python package."""
    roots = [os.environ.get("CUDA_HOME", "/usr/local/cuda"), "/usr/local/cuda"]
    wheels = glob.glob(
        os.path.join(venv, "lib", "python3*", "site-packages", "nvidia", "*", "bin")
    )
    paths = [os.path.join(root, "bin") for root in roots] + wheels
    return bool(shutil.which(name, path=os.pathsep.join(paths + [os.environ["PATH"]])))


if has_module("torch"):
    config.available_features.add("torch")
if has_module("numpy"):
    config.available_features.add("numpy")
for tool in ("ptxas", "fatbinary"):
    if has_cuda_tool(tool):
        config.available_features.add(tool)
if os.path.exists("/dev/nvidiactl"):
    config.available_features.add("cuda")
if os.uname().machine == "x86_64":
    config.available_features.add("x86-64")
if shutil.which("mlir-opt-22"):
    config.available_features.add("debian-mlir-opt")
if shutil.which("cmake") and shutil.which("ninja") and not config.sanitizers:
    config.available_features.add("cmake")
if config.sanitizers:
    config.available_features.add("asan")
    # LLVM's and lld's code is not instrumented: what its allocators take from ours is no
    # fault, and what it never frees no leak of ours.
    config.environment.setdefault(
        "ASAN_OPTIONS", "detect_leaks=0:allow_user_poisoning=0"
    )
if os.path.exists(
    os.path.join(config.elfatt_build_dir, "test/Unit/elfatt-fuzz-manifest")
):
    config.available_features.add("fuzz-manifest")
for tool in os.listdir(os.path.join(config.elfatt_build_dir, "bin")):
    config.available_features.add("tool-" + tool)
