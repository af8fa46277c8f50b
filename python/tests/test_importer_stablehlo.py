# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""elfatt-import on StableHLO: what it writes, and how it refuses.

The modules in ``data`` were written by JAX (jax_cases.py); where JAX is installed, all
of its cases are imported from it, too.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import elfatt
import numpy as np
import pytest
from conftest import Run
from elfatt.importer import ImportOptions
from elfatt.importer import stablehlo_frontend as front_end
from elfatt.importer import stablehlo_run
from execute import execute

F32 = dict(rtol=1e-5, atol=1e-5)
DATA = Path(__file__).parent / "data"
KEPT = sorted(path.stem for path in DATA.glob("*.stablehlo"))

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None or importlib.util.find_spec("flax") is None,
    reason="JAX and Flax are not installed: pip install -r requirements-front-ends.txt",
)


def _unary(op: str, kind: str = "tensor<2x3xf32>") -> str:
    return f"""func.func @main(%x: {kind}) -> {kind} {{
  %0 = {op}
  return %0 : {kind}
}}"""


EXP = _unary("stablehlo.exponential %x : tensor<2x3xf32>")


def _attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, kept: Any) -> np.ndarray:
    """In float64, [B, T, H, D]; keys and values may have fewer heads."""
    repeat = q.shape[2] // k.shape[2]
    q, k, v = (a.astype(np.float64) for a in (q, k, v))
    k, v = np.repeat(k, repeat, axis=2), np.repeat(v, repeat, axis=2)
    s = np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(q.shape[-1])
    s = np.where(kept, s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    return np.einsum("bhnm,bmhd->bnhd", p / p.sum(-1, keepdims=True), v)


# ------------------------------------------------------------------ what it writes


def test_kept_attention_is_right_by_another_reference() -> None:
    """Neither JAX nor its interpreter: NumPy in float64."""
    i, j = np.arange(6)[:, None], np.arange(7)
    for name, kept in (
        ("plain", True),
        ("causal", i >= j),
        ("grouped-causal", i >= j),
        ("window", abs(i - j) <= 2),
    ):
        options = ImportOptions(want_inputs=True)
        imported = front_end.import_source(str(DATA / f"{name}.stablehlo"), options)
        inputs = [imported.inputs[f"arg{n}"] for n in range(3)]
        got = execute(imported.text(), inputs)[0]
        np.testing.assert_allclose(got, _attention(*inputs, kept), **F32)


@pytest.mark.parametrize("name", KEPT)
def test_kept_modules_are_raised_and_right(
    name: str, tmp_path: Path, elfatt_opt: str, elfatt_run: str
) -> None:
    options = ImportOptions(want_outputs=True)
    imported = front_end.import_source(str(DATA / f"{name}.stablehlo"), options)
    module, arrays = tmp_path / "m.mlir", tmp_path / "m.npz"
    module.write_text(imported.text())
    np.savez(arrays, **imported.inputs, **imported.outputs)
    bound = 2e-2 if name == "bf16" else 1e-5
    result = subprocess.run(
        [elfatt_run, module, f"--inputs={arrays}", f"--expect={arrays}"]
        + [f"--atol={bound}", f"--rtol={bound}"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    remarks = re.findall(r"remark: .*", result.stderr)
    op = "elfatt" if name == "elfatt" else "sdpa"
    assert remarks and all(f"raised to attention.{op}" in r for r in remarks)
    # At its line in the text, which has no other locations.
    assert re.search(rf"{name}\.stablehlo:\d+:\d+: remark", result.stderr)


@pytest.mark.parametrize("kind", ["f32", "bf16", "i1", "i32", "ui32"])
def test_concatenations(kind: str) -> None:
    """Those of signed numbers are movements of data, which recognition looks through."""
    text = f"""
func.func @main(%a: tensor<2x3x{kind}>, %b: tensor<2x1x{kind}>) -> tensor<2x7x{kind}> {{
  %r = stablehlo.concatenate %a, %b, %a, dim = 1
      : (tensor<2x3x{kind}>, tensor<2x1x{kind}>, tensor<2x3x{kind}>) -> tensor<2x7x{kind}>
  return %r : tensor<2x7x{kind}>
}}"""
    imported = front_end.import_stablehlo(text, ImportOptions(want_outputs=True))
    lowered = imported.text()
    assert ("tensor.concat dim(1)" in lowered) == (kind != "ui32")
    if kind in ("f32", "i32"):
        inputs = [imported.inputs[f"arg{n}"] for n in range(2)]
        expected = np.concatenate([inputs[0], inputs[1], inputs[0]], 1)
        np.testing.assert_array_equal(
            elfatt.Module(lowered).compile()(*inputs), expected
        )


CONTROL_FLOW = """
func.func @main(%x: tensor<3xf32>, %n: tensor<i32>, %which: tensor<i32>)
    -> (tensor<3xf32>, tensor<i32>) {
  %one = stablehlo.constant dense<1> : tensor<i32>
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %0:2 = stablehlo.while(%i = %zero, %y = %x) : tensor<i32>, tensor<3xf32> cond {
    %more = stablehlo.compare LT, %i, %n : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %more : tensor<i1>
  } do {
    %next = stablehlo.add %i, %one : tensor<i32>
    %isOne = stablehlo.compare EQ, %i, %one : (tensor<i32>, tensor<i32>) -> tensor<i1>
    %z = "stablehlo.if"(%isOne) ({
      %twice = stablehlo.add %y, %y : tensor<3xf32>
      stablehlo.return %twice : tensor<3xf32>
    }, {
      %more = stablehlo.add %y, %x : tensor<3xf32>
      stablehlo.return %more : tensor<3xf32>
    }) : (tensor<i1>) -> tensor<3xf32>
    stablehlo.return %next, %z : tensor<i32>, tensor<3xf32>
  }
  %1 = "stablehlo.case"(%which) ({
    stablehlo.return %0#1 : tensor<3xf32>
  }, {
    %r = stablehlo.negate %0#1 : tensor<3xf32>
    stablehlo.return %r : tensor<3xf32>
  }, {
    stablehlo.return %x : tensor<3xf32>
  }) : (tensor<i32>) -> tensor<3xf32>
  return %1, %0#0 : tensor<3xf32>, tensor<i32>
}"""


@pytest.mark.parametrize("count", [-1, 0, 3])
@pytest.mark.parametrize("which", [-5, 0, 1, 2, 9])
def test_control_flow(count: int, which: int) -> None:
    """An index that no branch has takes the last one."""
    x = np.array([1, -2, 3], np.float32)
    y = x
    for i in range(count):
        y = y + y if i == 1 else y + x
    run = elfatt.import_stablehlo(CONTROL_FLOW).compile()
    got, turns = run(x, np.array(count, np.int32), np.array(which, np.int32))
    np.testing.assert_array_equal(got, {0: y, 1: -y}.get(which, x))
    assert turns == max(count, 0)
    np.testing.assert_array_equal(x, [1, -2, 3])


def test_text_inputs_and_outputs(run_import: Run, tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_text(EXP)
    result = run_import(
        "m.mlir", *("-o", "o.mlir", "--inputs-out", "in.npz", "--expect-out", "out.npz")
    )
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "o.mlir").read_text()
    assert "func.func @main(%arg0: tensor<2x3xf32>" in text
    assert 'loc("m.mlir":2:8)' in text
    inputs, outputs = np.load(tmp_path / "in.npz"), np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(outputs["out0"], np.exp(inputs["arg0"]), **F32)
    np.savez(tmp_path / "given.npz", arg0=np.zeros((2, 3), np.float32))
    result = run_import("m.mlir", "--inputs", "given.npz", "--expect-out", "out.npz")
    assert result.returncode == 0, result.stderr
    assert np.load(tmp_path / "out.npz")["out0"].tolist() == [[1, 1, 1]] * 2


def test_bytecode_and_portable_artifacts() -> None:
    from torch_mlir import ir
    from torch_mlir._mlir_libs import _stablehlo

    context = front_end._context()
    module = ir.Module.parse(EXP, context=context)
    written: list = []
    sink = type("Sink", (), {"write": lambda self, data: written.append(data)})()
    module.operation.write_bytecode(sink)
    # Changes the module.
    artifact = _stablehlo.serialize_portable_artifact(
        module, _stablehlo.get_minimum_version()
    )
    x = np.float32([[0, 1, 2], [3, 4, 5]])
    for source in (EXP, EXP.encode(), artifact, b"".join(written)):
        got = execute(str(elfatt.import_stablehlo(source)), [x])[0]
        np.testing.assert_allclose(got, np.exp(x), **F32)


def test_reductions_are_scalar_and_calls_are_inlined() -> None:
    text = str(elfatt.import_stablehlo((DATA / "causal.stablehlo").read_text()))
    assert text.count("func.func") == 1
    for leftover in ("from_elements", "stablehlo", "mhlo", "jax."):
        assert leftover not in text


def test_outputs_by_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs the source model where JAX is not installed."""
    monkeypatch.setattr(stablehlo_run, "_run_with_jax", lambda *ignored: None)
    i, j = np.arange(6)[:, None], np.arange(7)
    options = ImportOptions(want_outputs=True)
    imported = front_end.import_source(str(DATA / "causal.stablehlo"), options)
    inputs = [imported.inputs[f"arg{n}"] for n in range(3)]
    np.testing.assert_allclose(
        imported.outputs["out0"], _attention(*inputs, i >= j), **F32
    )
    imported = front_end.import_source(str(DATA / "bf16.stablehlo"), options)
    assert imported.inputs["arg0"].dtype == np.uint16
    assert imported.outputs["out0"].dtype == np.uint16


# ------------------------------------------------- faults of torch-mlir 20261001


def test_chlo_ops() -> None:
    text = str(
        elfatt.import_stablehlo(
            _unary("chlo.square %x : tensor<2x3xf32> -> tensor<2x3xf32>")
        )
    )
    x = np.float32([[0, 1, 2], [3, 4, 5]])
    np.testing.assert_allclose(execute(text, [x])[0], x * x, **F32)


def _product(result: str, more: str = "") -> str:
    return f"""func.func @main(%x: tensor<2x256xbf16>, %y: tensor<256x2xbf16>) -> tensor<2x2x{result}> {{
  %0 = stablehlo.dot_general %x, %y, contracting_dims = [1] x [0]{more} : (tensor<2x256xbf16>, tensor<256x2xbf16>) -> tensor<2x2x{result}>
  return %0 : tensor<2x2x{result}>
}}"""


ALGORITHM = (
    ", algorithm = <lhs_precision_type = bf16, rhs_precision_type = bf16, "
    "accumulation_type = {}, lhs_component_count = 1, rhs_component_count = 1, "
    "num_primitive_operations = 1, allow_imprecise_accumulation = false>"
)


def test_products_with_an_algorithm() -> None:
    """Left as they are by stablehlo-legalize-to-linalg."""
    text = str(elfatt.import_stablehlo(_product("f32", ALGORITHM.format("f32"))))
    assert re.search(r"linalg\.matmul .* -> tensor<2x2xf32>", text)
    with pytest.raises(
        elfatt.Error, match="a product of bf16 to f32 by .* cannot"
    ) as e:
        elfatt.import_stablehlo(_product("f32", ALGORITHM.format("bf16")))
    assert e.value.location == ("-", 2, 8)


def test_products_of_bf16_are_summed_in_f32() -> None:
    """As XLA does; a sum in bf16 stops growing at 256."""
    text = str(elfatt.import_stablehlo(_product("bf16")))
    assert re.search(r"linalg\.matmul .* -> tensor<2x2xf32>", text)
    assert text.count("arith.truncf") == 1


# ------------------------------------------------------------------ JAX itself


@needs_jax
def test_functions_for_jax(run_import: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import jax, jax.numpy as jnp\n"
        "def make(size=4):\n"
        "    return lambda x: {'y': jnp.sin(x)}, (jnp.ones((2, size)),)\n"
        "def jitted():\n"
        "    return jax.jit(jnp.cos), jnp.ones(3)\n"
        "def fails():\n"
        "    return lambda x: x @ x, (jnp.ones((2, 3)),)\n"
    )
    result = run_import("mine:make(size=5)", "-o", "m.mlir", "--expect-out", "o.npz")
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "m.mlir").read_text()
    assert "%arg0: tensor<2x5xf32>" in text
    # The user's line, below the current directory, and JAX's name of the op.
    assert re.search(r'"mine.py":3:\d+', text)
    np.testing.assert_allclose(
        np.load(tmp_path / "o.npz")["out0"], np.sin(np.ones((2, 5))), **F32
    )
    assert run_import("mine:jitted").returncode == 0
    result = run_import("mine:fails")
    assert result.returncode == 2
    assert re.search(
        r"(?m)^mine.py:7:\d+: error: lowering the function by", result.stderr
    )
    result = run_import("mine:jitted", "--dynamic", "arg0:0")
    assert "--dynamic is not for a function for JAX" in result.stderr


@needs_jax
def test_kept_modules_are_what_jax_writes() -> None:
    import jax
    import jax_cases

    assert set(jax_cases.KEPT) == set(KEPT)
    if jax.__version__ not in (DATA / "plain.stablehlo").read_text().splitlines()[0]:
        pytest.skip(f"the modules in data are not of jax {jax.__version__}")
    for name in KEPT:
        kept = (DATA / f"{name}.stablehlo").read_text().split("\n", 1)[1]
        assert kept == jax_cases.text_of(jax_cases.cases()[name])


# ------------------------------------------------------------------ how it refuses


@pytest.mark.parametrize(
    "source,pattern",
    [
        ("", r"'-' is empty"),
        (b"ML\xefR\rStableHLO_v99.0.0\x00rest", r"is bytecode that this StableHLO"),
        (
            b"ML\xefR\rMLIR99\x00rest",
            r"'-' is (bytecode|no StableHLO)|this is no Stable",
        ),
        (b"\x08\x00\x00\x00\0\0\0\0", r"neither text nor MLIR bytecode.*mlir_module_"),
        (b"\xff\xfe\xfd", r"'-' is no text"),
        ("module {", r"^-:1:\d+: error: this is no StableHLO: "),
        ("module { mhlo.x }\n", r"^-:1:\d+: error: this is no StableHLO: "),
        (
            "func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {\n"
            "  return %x : tensor<2xf32>\n}",
            r"'-' holds no StableHLO op; linalg needs no import",
        ),
        (
            EXP.replace("@main", "@a") + "\n" + EXP.replace("@main", "@b"),
            r"expected a function @main, got @a, @b",
        ),
        (
            _unary(
                "stablehlo.custom_call @foo(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>"
            ),
            r"^-:2:8: error: 'stablehlo.custom_call' is outside of linalg",
        ),
        (
            EXP.replace("f32", "complex<f32>"),
            r"'complex\.\w+' is outside of linalg|complex",
        ),
    ],
)
def test_bad_modules(source: Any, pattern: str) -> None:
    with pytest.raises(elfatt.Error) as caught:
        front_end.import_stablehlo(source, ImportOptions())
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert "\n" not in message


def test_a_module_with_another_name_for_main() -> None:
    assert "@main(" in str(elfatt.import_stablehlo(EXP.replace("@main", "@forward")))


def test_bad_files(run_import: Run, tmp_path: Path) -> None:
    (tmp_path / "m.mlir").write_text("module {\n  func.func @main(\n")
    result = run_import("m.mlir", "-o", "o.mlir")
    assert result.returncode == 2
    assert re.search(r"(?m)^m.mlir:\d+:\d+: error: this is no StableHLO", result.stderr)
    (tmp_path / "m.mlir").write_text(EXP)
    result = run_import("m.mlir", "--dim", "x=2")
    assert "--dim is not for StableHLO" in result.stderr
    assert not (tmp_path / "o.mlir").exists()
