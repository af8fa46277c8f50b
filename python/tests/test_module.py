# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``elfatt.Module`` and ``elfatt.Executable``: compiled functions called from Python."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Tuple

import elfatt
import numpy as np
import pytest
import torch
from elfatt import executable

B, N, C, HEADS = 2, 196, 64, 2
F32 = dict(rtol=1e-5, atol=1e-6)


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Linear(C, 3 * C)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        scores = (q @ k.mT) * (C // HEADS) ** -0.5
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


Made = Tuple[elfatt.Module, elfatt.Executable, torch.nn.Module, torch.Tensor]


@pytest.fixture(scope="module")
def made() -> Made:
    torch.manual_seed(0)
    model, x = Attention().eval(), torch.randn(B, N, C)
    module = elfatt.import_torch(model, x)
    return module, module.compile(), model, x


class Foreign:
    """An array that speaks DLPack and is of nobody we know."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Tuple[int, int]:
        return self.array.__dlpack_device__()


def test_arrays_of_pytorch_numpy_and_others(made: Made) -> None:
    _, run, model, x = made
    want = model(x).detach()
    got = run(x)
    assert isinstance(got, torch.Tensor)
    torch.testing.assert_close(got, want, **F32)
    for other in (x.numpy(), Foreign(x), Foreign(x.numpy())):
        result = run(other)
        assert isinstance(result, np.ndarray)
        np.testing.assert_array_equal(result, got.numpy())


class Update(torch.nn.Module):
    """Puts new rows into a cache, as a decoder does."""

    def forward(self, cache: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        cache = cache.clone()
        cache[:, 2:6] = rows
        return cache


def test_inputs_are_only_read() -> None:
    cache, rows = torch.zeros(2, 8), torch.ones(2, 4)
    run = elfatt.import_torch(Update(), cache, rows).compile()
    torch.testing.assert_close(run(cache, rows), Update()(cache, rows))
    assert not cache.any()


def test_layouts_that_are_not_dense(made: Made) -> None:
    _, run, _, x = made
    want = run(x)
    wide = torch.zeros(B, N, 2 * C)
    wide[..., ::2] = x
    torch.testing.assert_close(run(wide[..., ::2]), want, rtol=0, atol=0)
    np.testing.assert_array_equal(run(wide[..., ::2].numpy()), want.numpy())
    with pytest.raises(elfatt.Error, match=r"input 0.*strides"):
        run(Foreign(wide[..., ::2]))


def test_outputs_of_the_callers(made: Made) -> None:
    _, run, _, x = made
    out = torch.full((B, N, C), float("nan"))
    result = run(x, out=[out])
    assert result == (out,)
    torch.testing.assert_close(out, run(x), rtol=0, atol=0)
    written = np.empty((B, N, C), np.float32)
    run(x, out=[written])
    np.testing.assert_array_equal(written, out.numpy())
    alone = torch.zeros(B, N, C)
    assert run(x, out=alone) is alone
    torch.testing.assert_close(alone, out, rtol=0, atol=0)


def test_what_it_takes_and_gives(made: Made) -> None:
    _, run, _, _ = made
    assert run.inputs == run.outputs == [elfatt.TensorType("f32", (B, N, C))]
    assert repr(run).startswith("<elfatt.Executable (2x196x64xf32) -> (2x196x64xf32)")


def test_steps_are_modules(made: Made, tmp_path: Path) -> None:
    module, run, _, x = made
    (site,) = module.report()
    assert (site["status"], site["op"]) == ("raised", "attention.sdpa")
    raised = module.raise_attention()
    assert "attention.sdpa" in str(raised) and "attention.sdpa" not in str(module)
    torch.testing.assert_close(raised.compile()(x), run(x), rtol=0, atol=0)

    # Text, with the places of the model.
    (tmp_path / "m.mlir").write_text(str(raised))
    (read,) = elfatt.Module.read(tmp_path / "m.mlir").report()
    assert read["location"] == site["location"] and "test_module.py" in read["location"]

    fewer = module.approximate(window=(7, 7), grid=(14, 14), global_heads=1)
    assert [site["op"] for site in fewer.report()] == ["attention.elfatt"]
    error = (fewer.compile()(x) - run(x)).abs().max()
    assert 1e-4 < error < 1

    exact = module.approximate(window=(7, 7), min_tokens=N + 1)
    (kept,) = exact.report()
    assert kept["op"] == "attention.sdpa"


def test_types_and_open_sizes() -> None:
    model = Attention().eval().bfloat16()
    module = elfatt.import_torch(
        model, torch.zeros(2, 9, C).bfloat16(), dynamic=[(0, 1)]
    )
    run = module.compile()
    assert run.inputs == [elfatt.TensorType("bf16", (2, None, C))]
    for n in (1, 50):
        x = torch.randn(2, n, C).bfloat16()
        got = run(x)
        assert got.dtype == torch.bfloat16 and got.shape == (2, n, C)
        torch.testing.assert_close(got, model(x), rtol=0.05, atol=0.02)
        bits = run(x.view(torch.uint16).numpy())
        assert bits.dtype == np.uint16
        np.testing.assert_array_equal(bits, got.view(torch.uint16).numpy())


def test_several_threads_at_once(made: Made) -> None:
    _, run, _, x = made
    inputs = [x + i for i in range(4)]
    want = [run(i) for i in inputs]
    wrong = []

    def work(i: int) -> None:
        for _ in range(20):
            if not torch.equal(run(inputs[i]), want[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_bits_do_not_depend_on_threads(made: Made) -> None:
    _, run, _, x = made
    want = run(x)
    try:
        for threads in (1, 3):
            elfatt.set_threads(threads)
            assert torch.equal(run(x), want)
    finally:
        elfatt.set_threads(0)


def test_a_bundle_that_stays(made: Made, tmp_path: Path) -> None:
    module, run, _, x = made
    module.compile(bundle=tmp_path / "kept")
    again = elfatt.Executable(tmp_path / "kept")
    assert torch.equal(again(x), run(x)) and again.target == run.target
    assert (tmp_path / "kept" / "runtime" / "build.sh").exists()


def test_a_bundle_that_goes(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = made[0].compile()
    assert len(list(tmp_path.iterdir())) == 1
    del run
    gc.collect()
    assert not list(tmp_path.iterdir())


Call = Callable[[elfatt.Module, elfatt.Executable, torch.Tensor], object]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m, f, x: f(), r"expected 1 input \(2x196x64xf32\), got 0"),
        (lambda m, f, x: f(x, x), r"expected 1 input \(2x196x64xf32\), got 2"),
        (lambda m, f, x: f(x, out=[]), r"expected 1 output \(.*\), got 0"),
        (lambda m, f, x: f(x.tolist()), "input 0: expected an array .* got list"),
        (lambda m, f, x: f(x.double()), "input 0: expected elements of type f32"),
        (lambda m, f, x: f(x.cfloat()), "input 0: expected elements .* got complex64"),
        (lambda m, f, x: f(x[:, :5]), r"input 0: expected shape \[2x196x64\]"),
        (lambda m, f, x: f(x.to("meta")), "input 0: expected a tensor on the CPU"),
        (
            lambda m, f, x: f(x.to_sparse()),
            "input 0: .* strides, got one .* sparse_coo",
        ),
        (
            lambda m, f, x: f(x, out=[x.to_sparse()]),
            "output 0: expected a tensor with s",
        ),
        (lambda m, f, x: f(x.numpy().astype(">f4")), "this machine's byte order"),
        (lambda m, f, x: f(x, out=[x]), "output 0 overlaps input 0"),
        (
            lambda m, f, x: f(x, out=[x.clone().requires_grad_()]),
            "output 0: expected an output without requires_grad",
        ),
        (
            lambda m, f, x: f(x, out=[np.broadcast_to(np.float32(0), x.shape)]),
            "output 0: .* read-only",
        ),
        (lambda m, f, x: m.approximate(window=(7, 0)), "window"),
        (lambda m, f, x: m.approximate(window=(7, 9), grid=(7, 7)), "multiples of the"),
        (
            lambda m, f, x: m.approximate(window=7),
            "window: expected one int an axis, got 7",
        ),
        (
            lambda m, f, x: m.approximate(window=(7, "a")),
            "window: expected an int, got 'a'",
        ),
        (
            lambda m, f, x: m.approximate(window=(7, 7), min_tokens="a"),
            "min_tokens: expected an int, got 'a'",
        ),
        (lambda m, f, x: m.compile(3), "expected a target as str, got int"),
        (
            lambda m, f, x: elfatt.Module(None),
            "expected MLIR as str or bytes, got None",
        ),
        (lambda m, f, x: elfatt.import_onnx(b""), "a path or a ModelProto, got bytes"),
        (lambda m, f, x: elfatt.import_stablehlo(None), "text or bytes, got NoneType"),
        (lambda m, f, x: m.compile("sm_1"), "unknown chip 'sm_1'"),
        (lambda m, f, x: m.compile("sim:sm_87"), "elfatt-run --target=sim:sm_87"),
        (lambda m, f, x: m.compile("cpu:aarch64-linux-gnu"), "no code for this proc"),
        (lambda m, f, x: elfatt.Module("x").report(), "<module>:1:1: error: .*'x'"),
        (lambda m, f, x: elfatt.Module.read("/none"), "cannot read '/none': No such"),
        (lambda m, f, x: elfatt.Executable("/none"), "cannot read '/none/manifest"),
        (lambda m, f, x: elfatt.set_threads(-1), "expected a number of threads"),
    ],
)
def test_what_is_refused(made: Made, call: Call, message: str) -> None:
    module, run, _, x = made
    with pytest.raises(elfatt.Error, match=message):
        call(module, run, x)


def test_an_array_elsewhere(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime could not tell: code of the CPU would read a GPU's address."""
    _, run, _, x = made
    monkeypatch.setattr(run, "_device", (executable.CUDA, 1))
    with pytest.raises(elfatt.Error, match="expected an array on GPU 1, got .* CPU"):
        run(x)


ON_GPU = """
import ctypes
import elfatt

class Managed(ctypes.Structure):
    # DLManagedTensor without the end, which only its deleter needs.
    _fields_ = [("data", ctypes.c_void_p), ("device", ctypes.c_int32 * 2),
                ("ndim", ctypes.c_int32), ("dtype", ctypes.c_uint8 * 2),
                ("lanes", ctypes.c_uint16), ("shape", ctypes.c_void_p),
                ("strides", ctypes.c_void_p), ("offset", ctypes.c_uint64)]

class OnGPU:
    def __init__(self, address, *shape):
        self.shape = (ctypes.c_int64 * len(shape))(*shape)
        self.managed = Managed(address, (2, 0), len(shape), (2, 16), 1,
                               ctypes.addressof(self.shape), None, 0)
    def __dlpack_device__(self):
        return 2, 0
    def __dlpack__(self, *, stream):
        print("stream", stream)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.managed), b"dltensor", None)

module = elfatt.Module('''
func.func @main(%q: tensor<2x64x32xf16>) -> tensor<2x64x32xf16> {
  %init = tensor.empty() : tensor<2x64x32xf16>
  %o = attention.sdpa indexing_maps = [
         affine_map<(b, i, j, d, e) -> (b, i, d)>, affine_map<(b, i, j, d, e) -> (b, j, d)>,
         affine_map<(b, i, j, d, e) -> (b, j, e)>, affine_map<(b, i, j, d, e) -> (b, i, e)>]
       ins(%q, %q, %q : tensor<2x64x32xf16>, tensor<2x64x32xf16>, tensor<2x64x32xf16>)
       outs(%init : tensor<2x64x32xf16>) -> tensor<2x64x32xf16>
  return %o : tensor<2x64x32xf16>
}''')
run = module.compile("cuda")
print(run)
q, o = OnGPU(0x7000000, 2, 64, 32), OnGPU(0x9000000, 2, 64, 32)
assert run(q, out=[o]) == (o,)
for call in (lambda: run(q), lambda: run(__import__("numpy").zeros((2, 64, 32), "f2"))):
    try:
        call()
    except elfatt.Error as error:
        print("error:", error)
"""


def test_arrays_on_a_gpu(fake: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(fake),
        "FAKE_CUDA_LOG": str(log),
        "FAKE_CUDA_VERSION": "13000",
        "FAKE_CUDA_CHIP": "87",
    }
    done = subprocess.run(
        [sys.executable, "-c", ON_GPU], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "for sm_87>" in done.stdout and "stream 1\n" in done.stdout
    assert "error: expected arrays for the outputs" in done.stdout
    assert (
        "error: input 0: expected an array on GPU 0, got one on the CPU" in done.stdout
    )
    (launch,) = [x for x in log.read_text().splitlines() if "cuLaunchKernel" in x]
    assert "7000000" in launch


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(made: Made) -> None:
    with pytest.raises(elfatt.Error, match="no (CUDA driver|GPU)"):
        made[0].compile("cuda")


class OfImage(torch.nn.Module):
    """Linear attention of the features of a convolution, with a scale of its values that
    only the tokens as one dim have: they are rows and columns to the op."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            y.reshape(len(x), 4, -1, x.shape[2] * x.shape[3]) for y in x.chunk(3, 1)
        )
        context = torch.einsum("bhdn,bhen->bhde", k.softmax(-1), v / v.shape[-1])
        mixed = torch.einsum("bhde,bhdn->bhen", context, q.softmax(-2))
        return mixed.reshape(len(x), -1, *x.shape[2:])


def test_linear_attention_of_an_image() -> None:
    model, x = OfImage(), torch.randn(2, 96, 5, 7)
    module = elfatt.import_torch(model, x)
    assert [site["op"] for site in module.report()] == ["attention.linear"]
    expected = model(x.double())
    got = module.compile()(x).double()
    assert (got - expected).abs().max() <= 2e-6 * expected.abs().max()
