# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The ONNX package's own tests of op Attention, written out in simpler ops: imported,
raised, and (here a sample, all by scripts/check_frontends.py) run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Callable, List

import elfatt
import numpy as np
import onnx_cases
import pytest
import torch
from elfatt import models
from elfatt.importer import ImportOptions
from elfatt.importer.onnx_frontend import import_model
from onnx_cases import Case

# What each has that the others have not.
RUN = (
    "test_attention_4d_attn_mask_4d_causal_expanded",
    "test_attention_3d_diff_heads_sizes_softcap_expanded",
    "test_attention_4d_gqa_with_past_and_present_fp16_expanded",
    "test_attention_4d_attn_mask_causal_bf16_expanded",
    "test_attention_4d_causal_nonpad_negative_offset_structural_empty_expanded",
    "test_attention_24_fullymasked_qk_matmul_output_mode3_zero_expanded",
    "test_attention_local_window_gqa_rank4_mask_expanded",
)


@pytest.fixture(scope="module")
def cases() -> List[Case]:
    return onnx_cases.attention_cases()


def test_all_are_imported_and_raised(
    cases: List[Case], elfatt_opt: str, elfatt_run: str, tmp_path: Path
) -> None:
    assert len(cases) == 93
    texts = {
        case.name: import_model(case.model, ImportOptions()).text() for case in cases
    }
    # One process for all.
    result = subprocess.run(
        [elfatt_opt, "-", "--split-input-file", "--elfatt-raise", "-o", "/dev/null"],
        input="\n// -----\n".join(texts.values()),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    remarks = [line for line in result.stderr.splitlines() if "remark:" in line]
    # In the order of the cases, one each.
    wrong = [r for r in remarks if "raised to attention.sdpa" not in r]
    assert not wrong, "\n".join(wrong)
    assert len(remarks) == len(cases)
    failures = []
    for case in cases:
        if case.name in RUN:
            module = tmp_path / f"{case.name}.mlir"
            module.write_text(texts[case.name])
            failures += _run(case, module, elfatt_run)
    assert not failures, "\n".join(failures)


def _run_case(case: Case, module: Path, elfatt_run: str) -> Any:
    arrays = module.with_suffix(".npz")
    np.savez(arrays, **case.arrays())
    bound = case.tolerance()
    return subprocess.run(
        [elfatt_run, module, f"--inputs={arrays}", f"--expect={arrays}"]
        + [f"--atol={bound}", f"--rtol={bound}"],
        capture_output=True,
        text=True,
    )


def _run(case: Case, module: Path, elfatt_run: str) -> List[str]:
    result = _run_case(case, module, elfatt_run)
    return [] if result.returncode == 0 else [f"{case.name}: {result.stdout}"]


@pytest.mark.parametrize(
    "sample,op,sites",
    [
        (models.vit_tiny_test, "sdpa", 2),
        (models.bert_padding_tiny_eager, "sdpa", 2),
        (models.elfatt_tiny_test, "elfatt", 1),
    ],
    ids=["vit", "bert", "elfatt"],
)
@pytest.mark.filterwarnings("ignore")
def test_exported_models(
    sample: Callable[[], models.Sample],
    op: str,
    sites: int,
    elfatt_run: str,
    tmp_path: Path,
) -> None:
    """What torch.onnx.export writes; more of them by scripts/check_front_ends.py."""
    module, inputs = sample()
    file = str(tmp_path / "m.onnx")
    with torch.no_grad():
        torch.onnx.export(module, inputs, file, dynamo=False, opset_version=17)
        outputs = [module(*inputs).numpy()]
    (tmp_path / "m.mlir").write_text(str(elfatt.import_onnx(file)))
    case = Case("m", None, [value.numpy() for value in inputs], outputs)
    result = _run_case(case, tmp_path / "m.mlir", elfatt_run)
    assert result.returncode == 0, result.stdout + result.stderr
    remarks = re.findall(r"remark: (.*): raised to attention\.(\w+)", result.stderr)
    assert [found for _, found in remarks] == [op] * sites
    # Each at its node, which PyTorch calls after its module.
    assert all("/MatMul" in name or "/Concat" in name for name, _ in remarks), remarks


@pytest.mark.parametrize(
    "name",
    ["test_attention_4d_causal_with_past_and_present", "test_attention_3d_attn_mask"],
)
def test_the_op_itself_is_expanded(
    name: str, elfatt_opt: str, elfatt_run: str, tmp_path: Path
) -> None:
    """Opset 23 and later have it, and torch-mlir 20261001 does not know it."""
    (case,) = [c for c in onnx_cases.attention_cases("") if c.name == name]
    case.model.graph.node[0].name = "layer.0/attention"
    module = tmp_path / "m.mlir"
    module.write_text(import_model(case.model, ImportOptions()).text())
    result = subprocess.run(
        [elfatt_opt, module, "--elfatt-raise", "-o", "/dev/null"],
        capture_output=True,
        text=True,
    )
    # Its parts are called after it.
    assert 'loc("layer.0/attention/' in result.stderr
    assert "raised to attention.sdpa" in result.stderr
    assert not _run(case, module, elfatt_run)
