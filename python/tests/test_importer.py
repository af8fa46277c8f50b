# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""elfatt-import: what it writes, and how it refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Tuple

import elfatt
import numpy as np
import pytest
import sources
import torch
from conftest import Run
from elfatt.importer import import_source
from execute import Executable, execute

# float32 against PyTorch's float32: another order of summation.
F32 = dict(rtol=1e-5, atol=1e-5)

HERE = str(Path(__file__).parent)


@pytest.fixture
def run(run_import: Run, tmp_path: Path) -> Run:
    """``run_import`` where ``sources`` lies in the current directory."""
    shutil.copy(Path(HERE) / "sources.py", tmp_path)
    return run_import


def check_error(result: Any, pattern: str, folder: Path) -> None:
    """Exit status 2, a message, no traceback, nothing left behind."""
    assert result.returncode == 2, result.stderr
    assert re.search(pattern, result.stderr, re.M), result.stderr
    assert "Traceback" not in result.stderr
    left = {p.name for p in folder.iterdir()} - {"sources.py", "__pycache__"}
    assert not left


# ------------------------------------------------------------------ what it writes


def test_text_inputs_and_outputs(run: Run, tmp_path: Path, mlir_opt: str) -> None:
    result = run(
        "sources:simple",
        *("-o", "m.mlir", "--inputs-out", "in.npz", "--expect-out", "out.npz"),
    )
    assert result.returncode == 0, result.stderr
    subprocess.run(
        [mlir_opt, tmp_path / "m.mlir"], check=True, stdout=subprocess.DEVNULL
    )
    inputs, outputs = np.load(tmp_path / "in.npz"), np.load(tmp_path / "out.npz")
    assert sorted(inputs) == ["arg0", "arg1"]
    assert sorted(outputs) == ["out0", "out1"]
    np.testing.assert_array_equal(outputs["out1"], inputs["arg0"] * 2)
    text = (tmp_path / "m.mlir").read_text()
    assert "func.func @main(%arg0: tensor<2x3xf32>" in text
    got = execute(text, [inputs["arg0"], inputs["arg1"]])
    np.testing.assert_allclose(got[0], outputs["out0"], **F32)


def test_progress_is_on_stderr_and_can_be_silenced(run: Run) -> None:
    """What the model itself prints goes there, too, and never into the module."""
    loud, quiet = run("sources:simple"), run("-q", "sources:prints")
    for step in ("loading", "exporting", "lowering", "writing"):
        assert re.search(rf"^elfatt-import: \[ *\d+\.\d s\] {step}", loud.stderr, re.M)
    assert quiet.stderr == "printed by the model's code\n"
    assert quiet.stdout == loud.stdout
    assert "func.func @main" in quiet.stdout


def test_bf16_goes_to_npz_as_bits(run: Run, tmp_path: Path) -> None:
    result = run("sources:half", "-o", "m.mlir", "--inputs-out", "in.npz")
    assert result.returncode == 0, result.stderr
    array = np.load(tmp_path / "in.npz")["arg0"]
    assert array.dtype == np.uint16
    assert array.tolist() == [0x3FC0, 0xC000]


def test_bytecode_is_read_by_mlir_22(run: Run, tmp_path: Path, mlir_opt: str) -> None:
    result = run("sources:simple", "-o", "m.mlirbc")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "m.mlirbc").read_bytes()[:4] == b"ML\xefR"
    shown = subprocess.run(
        [mlir_opt, "--mlir-print-debuginfo", tmp_path / "m.mlirbc"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert 'loc("matmul"' in shown.stdout


def test_arguments_of_the_callable() -> None:
    source = "elfatt.models:elfatt_attention_only(size=4, window=2, batch=3)"
    assert "tensor<3x16x192xf32>" in import_source(source).text()


def test_an_existing_output_is_replaced_and_keeps_its_mode(
    run: Run, tmp_path: Path
) -> None:
    target = tmp_path / "m.mlir"
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "link.mlir").symlink_to(target)
    assert run("sources:simple", "-o", "link.mlir").returncode == 0
    assert (tmp_path / "link.mlir").is_symlink()
    assert "func.func" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o640


def test_every_op_has_its_fx_node_and_its_line(mlir_opt: str) -> None:
    from elfatt import models

    module, inputs = models.vit_tiny_test()
    text = str(elfatt.import_torch(module, *inputs))
    # One location an operation, with aliases spelled out.
    shown = subprocess.run(
        [mlir_opt, "--mlir-print-debuginfo", "--mlir-print-local-scope"]
        + ["--mlir-elide-resource-strings-if-larger=8"],
        input=text,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    body = [line for line in shown.splitlines() if re.match(r"\s+%.* = linalg\.", line)]
    ends = [line for line in shown.splitlines() if " -> tensor" in line]
    named = re.compile(r'loc\("\w+"\("transformers/[\w/]+\.py":\d+:0\)\)$')
    assert len(body) > 50
    unnamed = [
        line for line in ends if "func.func" not in line and not named.search(line)
    ]
    assert not unnamed, unnamed[:3]
    products = [line for line in body if "linalg.batch_matmul" in line]
    sites = {re.search(r'loc\("(\w+)"', line)[1] for line in products}  # type: ignore
    assert sites == {"scaled_dot_product_attention", "scaled_dot_product_attention_1"}


def test_no_torch_dialect_is_left() -> None:
    text = str(elfatt.import_torch(*(lambda m, i: (m, *i))(*sources.simple())))
    assert "torch." not in text
    assert "!torch" not in text


# ------------------------------------------------- faults of torch-mlir 20261001


@pytest.mark.parametrize("persistent", [True, False])
def test_buffers_in_lists_and_non_persistent_ones(persistent: bool) -> None:
    module = sources.BiasTable(persistent).eval()
    x = torch.randn(2, 4, 4)
    got = execute(str(elfatt.import_torch(module, x)), [x.numpy()])
    np.testing.assert_allclose(got[0], module(x).detach().numpy(), **F32)


@pytest.mark.parametrize(
    "dynamic", [[(0, 0)], [(0, 1)], [(0, 0), (0, 1)]], ids=["batch", "sequence", "both"]
)
def test_linear_with_dynamic_sizes(dynamic: Any) -> None:
    module = sources.Linear().eval()
    run = Executable(
        str(elfatt.import_torch(module, torch.randn(3, 5, 8), dynamic=dynamic))
    )
    sizes = [3, 5]
    for _, dim in dynamic:
        sizes[dim] += 4
    for shape in ((3, 5, 8), (*sizes, 8)):
        x = torch.randn(shape)
        np.testing.assert_allclose(run(x.numpy())[0], module(x).detach(), **F32)


def test_a_view_that_merges_two_dynamic_sizes() -> None:
    module = sources.Function(lambda x: x.flatten(0, 1) + 1).eval()
    run = Executable(
        str(elfatt.import_torch(module, torch.ones(3, 5, 8), dynamic=[(0, 0), (0, 1)]))
    )
    x = torch.randn(4, 7, 8)
    np.testing.assert_allclose(run(x.numpy())[0], module(x), **F32)


def test_a_view_that_merges_open_sizes_and_part_of_a_known_one() -> None:
    module = sources.Function(lambda x: x.reshape(-1, 4) + 1).eval()
    run = Executable(
        str(elfatt.import_torch(module, torch.ones(3, 5, 8), dynamic=[(0, 0), (0, 1)]))
    )
    x = torch.randn(4, 7, 8)
    np.testing.assert_allclose(run(x.numpy())[0], module(x), **F32)


def test_bert_with_dynamic_batch_and_sequence() -> None:
    from elfatt import models

    module, inputs = models.bert_padding_tiny()
    run = Executable(
        str(
            elfatt.import_torch(
                module, *inputs, dynamic=[(0, 0), (0, 1), (1, 0), (1, 1)]
            )
        )
    )
    ids, mask = torch.randint(5, 128, (3, 17)), torch.ones(3, 17, dtype=torch.long)
    mask[1, 9:] = 0
    for arguments in (inputs, (ids, mask)):
        got = run(*(a.numpy() for a in arguments))[0]
        np.testing.assert_allclose(got, module(*arguments).detach(), **F32)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        lambda x: torch.cumsum(x, 0),
        lambda x: torch.cumsum((x > 0).int(), dim=-1),
    ],
    ids=["gelu-tanh", "cumsum", "cumsum-of-integers"],
)
def test_ops_that_torch_mlir_gets_wrong(function: Any) -> None:
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    module = sources.Function(function).eval()
    got = execute(str(elfatt.import_torch(module, x)), [x.numpy()])[0]
    # Its own constant for sqrt(2 / pi) gives an error of 5e-5.
    np.testing.assert_allclose(got, function(x).numpy(), rtol=2e-6, atol=1e-6)


def _indexed(x: torch.Tensor) -> torch.Tensor:
    out = x.clone()
    out[:, torch.tensor([4, -1])] = x[:, :2]
    out[x > 1] = -torch.inf
    out[(x > 0.5).all(1)] = 3.0
    return out.index_copy(0, torch.tensor([2]), x[:1])


@pytest.mark.parametrize(
    "function",
    [
        _indexed,
        lambda x: (x[:0].flatten() + 1, x.unflatten(0, (1, 5))[:, :, 1:1].flatten(1)),
        lambda x: torch.nn.functional.linear(x[5:], x[:, :]),
    ],
    ids=["assignments", "views of nothing", "product of nothing"],
)
def test_scatters_and_tensors_without_elements(function: Any) -> None:
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    module = sources.Function(function).eval()
    results = execute(str(elfatt.import_torch(module, x)), [x.numpy()])
    wanted = function(x)
    for got, want in zip(
        results, wanted if isinstance(wanted, tuple) else (wanted,), strict=True
    ):
        np.testing.assert_array_equal(got, want.numpy())


@pytest.mark.parametrize(
    "function, op",
    [
        (lambda x: x.topk(2).values, "aten.sort|aten.topk"),
        (lambda x: x.sort().values, "aten.sort"),
        (lambda x: x.scatter(1, x.argmax(1, True), 0.0), "aten.scatter"),
        (lambda x: x.index_add(0, x.argmax(0)[:5], x), "aten.index_put"),
    ],
    ids=["topk", "sort", "scatter", "index_add"],
)
def test_other_scatters_and_sorts_are_refused(function: Any, op: str) -> None:
    module = sources.Function(function).eval()
    with pytest.raises(elfatt.Error, match=f"'({op}).* has no form") as caught:
        elfatt.import_torch(module, torch.randn(5, 7))
    assert caught.value.location is not None


def _assigned(x: torch.Tensor) -> torch.Tensor:
    out = torch.zeros_like(x)
    out[:, 1] = x[:, 0]
    return out


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.nn.functional.unfold(x, (2, 3), stride=(2, 3)),
        lambda x: torch.nn.functional.fold(
            x.reshape(2, 12, 6), (4, 9), (2, 3), stride=(2, 3)
        ),
        _assigned,
    ],
    ids=["unfold", "fold", "assignment"],
)
def test_tilings_and_assignments_are_views(function: Any) -> None:
    """torch-mlir would gather, compare with every position, or refuse."""
    x = torch.randn(2, 2, 4, 9, generator=torch.Generator().manual_seed(0))
    text = str(elfatt.import_torch(sources.Function(function).eval(), x))
    assert not re.search(r"tensor\.extract |linalg\.index|arith\.select", text)
    np.testing.assert_array_equal(execute(text, [x.numpy()])[0], function(x).numpy())


def test_overlapping_windows_are_gathered() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.unfold(x, 3, padding=1, stride=2)

    x = torch.randn(2, 2, 4, 9, generator=torch.Generator().manual_seed(0))
    text = str(elfatt.import_torch(sources.Function(function).eval(), x))
    np.testing.assert_array_equal(execute(text, [x.numpy()])[0], function(x).numpy())


def test_a_view_behind_an_attention() -> None:
    """As in GPT-2: the decomposed attention has other strides than the traced one."""

    def function(q: torch.Tensor) -> torch.Tensor:
        o = torch.nn.functional.scaled_dot_product_attention(q, q, q).transpose(1, 2)
        return o.reshape(2, 5, 12).contiguous().view(-1, 12)

    q = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    module = sources.Function(function).eval()
    got = execute(str(elfatt.import_torch(module, q)), [q.numpy()])[0]
    np.testing.assert_allclose(got, function(q).numpy(), **F32)


def test_a_cache_of_open_length() -> None:
    """Decoding: positions are the cache's length and more, a number that is not known."""

    def function(q: torch.Tensor, past: torch.Tensor) -> torch.Tensor:
        keys = torch.cat((past, q), 1)
        known = torch.arange(q.shape[1])[:, None] + past.shape[1]
        mask = torch.arange(keys.shape[1]) <= known
        scores = (q @ keys.mT).masked_fill(~mask, -torch.inf)
        return scores.softmax(-1) @ keys

    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 3, 4, generator=generator)
    module = sources.Function(function).eval()
    run = Executable(str(elfatt.import_torch(module, q, q, dynamic=[(1, 1)])))
    for n in (1, 7):
        past = torch.randn(2, n, 4, generator=generator)
        got = run(q.numpy(), past.numpy())[0]
        np.testing.assert_allclose(got, function(q, past).numpy(), **F32)


# ------------------------------------------------------------------ how it refuses


@pytest.mark.parametrize(
    "source,pattern",
    [
        ("nowhere:f", r"no module named 'nowhere'"),
        ("sources.deeper:f", r"no module named 'sources.deeper'"),
        ("sources:nothing", r"module 'sources' has no callable 'nothing'"),
        ("sources:HERE", r"no callable 'HERE'"),
        ("sources", r"expected SOURCE to be"),
        ("sources:simple(", r"expected package.module:callable"),
        ("sources:simple(1)", r"expected arguments like"),
        ("sources:simple(x=2)", r"calling .*unexpected keyword"),
        (
            "sources:raises",
            r"sources.py:\d+:\d+: error: .*ValueError: no weights today",
        ),
        (
            "sources:wrong_return",
            r"expected 'sources:wrong_return' to return .*a Linear",
        ),
        (
            "sources:wrong_module",
            r"to be a torch.nn.Module or a function .*, got a str",
        ),
        ("sources:wrong_input", r"expected arg1 to be a torch.Tensor, got a int"),
        ("sources:fails_in_forward", r"sources.py:\d+:\d+: error: exporting the model"),
        ("sources:branches_on_data", r"exporting the model"),
        ("sources:not_lowered", r"sources.py:\d+:\d+: error: torch-mlir cannot lower"),
        ("sources:writes_a_buffer", r"the model writes to 'count' in forward"),
        ("sources:draws_random_numbers", r"the model draws random numbers"),
        ("sources:returns_none", r"expected out1 to be a tensor, got a NoneType"),
        ("model.onnx", r"cannot read 'model.onnx': No such file"),
        ("model.stablehlo", r"cannot read 'model.stablehlo': No such file"),
        ("model.mlir", r"cannot read 'model.mlir': No such file"),
    ],
)
def test_bad_sources(source: str, pattern: str) -> None:
    with pytest.raises(elfatt.Error) as caught:
        import_source(source)
    assert re.search(pattern, str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    "source,pattern",
    [
        ("nowhere:f", r"^elfatt-import: error: no module named 'nowhere'"),
        (
            "sources:raises",
            r"^sources.py:\d+:\d+: error: .*ValueError: no weights today",
        ),
        (
            "sources:misfits",
            r"^elfatt-import: error: exporting the model: RuntimeError",
        ),
        ("sources:exits", r"^elfatt-import: error: the source's own code called"),
        ("model.onnx", r"^elfatt-import: error: cannot read 'model.onnx'"),
        ("model.mlir", r"^elfatt-import: error: cannot read 'model.mlir'"),
    ],
)
def test_bad_sources_give_status_2(
    run: Run, tmp_path: Path, source: str, pattern: str
) -> None:
    check_error(run(source, "-o", "m.mlir"), pattern, tmp_path)


def test_a_crash_in_native_code_is_one_line(run: Run, tmp_path: Path) -> None:
    result = run("sources:crashes", "-q", "-o", "m.mlir")
    check_error(result, "crashed in native code: LLVM ERROR: made up", tmp_path)
    assert "stack dump" not in result.stderr


def test_a_module_with_a_syntax_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n")
    result = run("broken:f", "-o", "m.mlir")
    (tmp_path / "broken.py").unlink()
    check_error(result, r"^broken.py:2:\d+: error: importing 'broken'", tmp_path)


@pytest.mark.parametrize("option", ["-o", "--inputs-out", "--expect-out"])
def test_unwritable_output(run: Run, tmp_path: Path, option: str) -> None:
    result = run("sources:simple", option, "no/such/folder/x")
    check_error(result, "error: cannot write 'no/such/folder/x'", tmp_path)
    # Known before the long steps.
    assert "exporting" not in result.stderr


def test_output_is_a_folder(run: Run, tmp_path: Path) -> None:
    check_error(run("sources:simple", "-o", "/"), "cannot write '/'", tmp_path)


def test_inputs_that_nothing_is_made_of(run: Run, tmp_path: Path) -> None:
    result = run("m.onnx", "-o", "m.mlir", "--inputs", "in.npz")
    check_error(result, "--inputs is for --inputs-out and --expect-out", tmp_path)


@pytest.mark.parametrize("option", ["-o", "--inputs-out"])
def test_full_disk(run: Run, tmp_path: Path, option: str) -> None:
    result = run("sources:simple", option, "/dev/full")
    check_error(result, "cannot write '/dev/full': No space left", tmp_path)


def test_full_disk_keeps_the_old_file(run: Run, tmp_path: Path) -> None:
    """A limit on file size stands for a disk that fills up half way."""
    (tmp_path / "m.mlir").write_text("old")
    result = subprocess.run(
        ["bash", "-c", 'ulimit -f 8; trap "" XFSZ; exec "$@"', "bash"]
        + [
            shutil.which("python3", path=os.path.dirname(os.sys.executable))
            or "python3"
        ]
        + ["-m", "elfatt.importer", "elfatt.models:elfatt_tiny_test", "-o", "m.mlir"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2, result.stderr
    assert "cannot write 'm.mlir'" in result.stderr
    assert (tmp_path / "m.mlir").read_text() == "old"
    assert len(list(tmp_path.glob(".*"))) == 0


@pytest.mark.parametrize(
    "dynamic,pattern",
    [
        ("arg0", r"expected argN:DIM"),
        ("arg7:0", r"dynamic arg7:0: the module has 2 inputs"),
        ("arg0:2", r"dynamic arg0:2: arg0 has 2 dimensions"),
    ],
)
def test_bad_dynamic(run: Run, tmp_path: Path, dynamic: str, pattern: str) -> None:
    result = run("sources:simple", "-o", "m.mlir", "--dynamic", dynamic)
    check_error(result, pattern, tmp_path)


def test_dynamic_size_of_one_is_refused() -> None:
    module = sources.Function(lambda x: x + 1).eval()
    with pytest.raises(elfatt.Error, match="give an example of 2 or more"):
        elfatt.import_torch(module, torch.ones(1, 4), dynamic=[(0, 0)])


@pytest.mark.parametrize("arguments", [(), ("a", "b"), ("--nope", "sources:simple")])
def test_bad_usage(run: Run, arguments: Tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "elfatt-import: error:" in result.stderr


def test_python_errors() -> None:
    with pytest.raises(elfatt.Error, match="expected a torch.nn.Module, got a str"):
        elfatt.import_torch("model")  # type: ignore[arg-type]
    with pytest.raises(elfatt.Error, match="cannot read 'm.onnx'"):
        elfatt.import_onnx("m.onnx")
    with pytest.raises(elfatt.Error, match="cannot read 'm.mlir'"):
        elfatt.import_stablehlo("m.mlir")
