# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""benchmarks/gpu/static: loops and instructions of SASS, sums, and one whole case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from elfatt.tools import find_tool

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "gpu"))

import gpu_shapes  # noqa: E402
import sass  # noqa: E402
import static_table  # noqa: E402


def make_kernel(lines: str, name: str = "k") -> sass.Kernel:
    """Labels and instructions as `nvdisasm -c` prints them."""
    text = [
        f'\t.section\t.text.{name},"ax",@progbits',
        '\t.sectioninfo\t@"X"',
        f"{name}:",
    ]
    address = 0
    for line in lines.strip().splitlines():
        line = line.strip()
        if not line:
            continue
        if line.endswith(":"):
            text.append(line)
        else:
            text.append(f"        /*{address:04x}*/        {line} ;")
            address += 16
    text.append('\t.section\t.nv.info,"",@"SHT_CUDA_INFO"')
    return sass.parse("\n".join(text))[name]


def loop_addresses(kernel: sass.Kernel) -> List[List[int]]:
    flow = sass.Flow(kernel)
    return sorted([x.address for x in flow.instructions(b)] for b in flow.loops())


NESTED = """
S2R R0, SR_TID.X
.L_x_0:
HMMA.16816.F32.BF16 R4, R8, R10, R4
.L_x_1:
@!P1 LDS.128 R8, [R2]
@P0 BRA `(.L_x_1)
MUFU.EX2 R4, R4
BRA.U UP0, `(.L_x_0)
MUFU.EX2 R5, R5
EXIT
"""


def test_loops_are_found_whatever_the_jump_looks_like() -> None:
    kernel = make_kernel(NESTED)
    outer, inner = [0x10, 0x20, 0x30, 0x40, 0x50], [0x20, 0x30]
    assert loop_addresses(kernel) == [outer, inner]
    (region,) = sass.find_main_regions(kernel)
    assert region.place == "loop at 0x10" and region.inner_loops == 1
    counts = sass.count(region.code)
    assert counts["EX2"] == 1 and counts["LDS"] == 1 and counts["all"] == 5


def test_taps_of_values_that_are_not_finite_are_rare() -> None:
    """A loop of multiply-adds inside one of products, and not where there are none."""
    (region,) = sass.find_main_regions(make_kernel(NESTED))
    assert not region.rare
    taps = NESTED.replace("@!P1 LDS.128 R8, [R2]", "FFMA R5, R5, R6, R7")
    (region,) = sass.find_main_regions(make_kernel(taps))
    assert [x.opcode for x in region.rare] == ["FFMA", "BRA"]
    scalar = taps.replace("HMMA.16816.F32.BF16 R4, R8, R10, R4", "FFMA R4, R8, R10, R4")
    assert not any(
        region.rare for region in sass.find_main_regions(make_kernel(scalar))
    )


def test_code_for_parted_lanes_is_no_loop() -> None:
    kernel = make_kernel("""
        MUFU.EX2 R4, R4
        BRA.DIV UR4, `(.L_x_9)
        HMMA.16816.F32 R4, R8, R10, R4
        .L_x_1:
        EXIT
        .L_x_9:
        WARPSYNC.COLLECTIVE R3, `(.L_x_10)
        .L_x_10:
        MUFU.EX2 R4, R4
        BRA `(.L_x_1)
    """)
    assert loop_addresses(kernel) == []
    (region,) = sass.find_main_regions(kernel)
    assert (
        region.place == "straight line from 0x0" and sass.count(region.code)["EX2"] == 1
    )


def test_calls_within_a_kernel_are_jumps() -> None:
    """As ptxas writes the end of a loop for sm_80."""
    kernel = make_kernel("""
        .L_x_0:
        HMMA.1688.F32 R4, R8, R10, R4
        MUFU.EX2 R4, R4
        CALL.REL.NOINC `($__internal_1_$__cuda_sm20_rcp_rn_f32_slowpath)
        @!P6 CALL.REL.NOINC `(.L_x_1)
        BRA `(.L_x_0)
        .L_x_1:
        STG.E [R2], R4
        EXIT
    """)
    assert loop_addresses(kernel) == [[0x0, 0x10, 0x20, 0x30, 0x40]]
    assert sass.count_products(sass.find_main_regions(kernel)[0].code) == 0.5


def test_instructions_of_maxwell_are_read_two_at_a_time() -> None:
    """As nvdisasm prints them for sm_53: pairs in braces, and jumps to where lanes that
    have parted meet again, which do not close a loop."""
    lines = [
        '\t.section\t.text.k,"ax",@progbits',
        ".L_x_0:",
        "        /*0008*/         {         FFMA32I R2, R2, 0x6, R3 ;",
        "        /*0010*/                   SSY `(.L_x_2)         }",
        "        /*0018*/         {    @!P2 IADD.X R49, R14, R47 ;",
        "        /*0028*/              @!P2 LDS.U.128 R44, [R44+0x80]         }",
        '        /*0030*/               @P0 SYNC                 (*"BRANCH_TARGETS .L_x_2"*);',
        "        /*0038*/                   RRO.EX2 R5, R4 ;",
        '        /*0048*/                   SYNC                 (*"BRANCH_TARGETS .L_x_2"*);',
        ".L_x_2:",
        "        /*0050*/                   MUFU.EX2 R4, R5 ;",
        "        /*0058*/              @!P1 BRA `(.L_x_0) ;",
        "        /*0068*/                   EXIT ;",
    ]
    kernel = sass.parse("\n".join(lines))["k"]
    assert [x.opcode.split(".")[0] for x in kernel.code] == [
        "FFMA32I", "SSY", "IADD", "LDS", "SYNC", "RRO", "SYNC", "MUFU", "BRA", "EXIT",
    ]  # fmt: skip
    assert kernel.code[3].predicated and not kernel.code[1].predicated
    assert loop_addresses(kernel) == [[x.address for x in kernel.code[:-1]]]
    (region,) = sass.find_main_regions(kernel)
    counts = sass.count(region.code)
    assert counts["FFMA/FMUL"] == counts["EX2"] == counts["LDS"] == 1


def test_another_nvdisasm_is_asked_where_one_does_not_know_the_chip(
    tmp_path: Path,
) -> None:
    def make(name: str, *lines: str) -> str:
        path = tmp_path / name
        path.write_text("\n".join(["#!/bin/sh", *lines]))
        path.chmod(0o755)
        return str(path)

    new = make("new", "echo 'CUDA architecture SM53 is deprecated' >&2", "exit 1")
    old = make("old", "printf '\\t.section\\t.text.k,\\n /*0000*/ EXIT ;\\n'")
    cubin = tmp_path / "k.cubin"
    assert list(sass.disassemble([new, old], cubin)) == ["k"]
    with pytest.raises(RuntimeError, match="SM53 is deprecated"):
        sass.disassemble([new, new], cubin)


def test_disjoint_main_loops_and_what_lies_outside() -> None:
    loop = """
        .L_x_{0}:
        HMMA.16816.F32 R4, R8, R10, R4
        MUFU.EX2 R4, R4
        @P0 BRA `(.L_x_{0})
    """
    code = loop.format(1) + "HMMA.16816.F32 R4, R8, R10, R4\nMUFU.EX2 R4, R4"
    kernel = make_kernel(code + loop.format(2) + "EXIT")
    places = [region.place for region in sass.find_main_regions(kernel)]
    assert places == ["loop at 0x0", "loop at 0x50", "outside of loops from 0x30"]


def test_parts_of_a_merged_kernel_are_apart() -> None:
    """Blocks take one of two ways; on the second a loop comes before a tail."""
    body = "HMMA.16816.F32 R4, R8, R10, R4\nMUFU.EX2 R4, R4\n"
    kernel = make_kernel(f"""
        S2R R0, SR_CTAID.X
        @P0 BRA `(.L_x_2)
        {body}
        BRA `(.L_x_9)
        .L_x_2:
        IADD3 R0, R0, 1, RZ
        .L_x_3:
        {body}
        @P1 BRA `(.L_x_3)
        {body}
        .L_x_9:
        EXIT
    """)
    places = [region.place for region in sass.find_main_regions(kernel)]
    assert places == [
        "straight line from 0x20",
        "loop at 0x60",
        "outside of loops from 0x50",
    ]


def test_instructions_are_counted_by_class() -> None:
    kernel = make_kernel("""
        LDG.E.128 R0, [R2]
        LDGSTS.E.BYPASS.128 [R0], [R2]
        LDSM.16.MT88.4 R0, [R2]
        LDS.64 R0, [R2]
        STL [R1], R0
        LDL R0, [R1]
        F2FP.BF16.F32.PACK_AB R0, R1, R2
        F2F.F32.F16 R0, R1
        FMNMX3 R0, R1, R2, R3
        FFMA2 R0, R1, R2, R3
        MUFU.RCP R0, R1
        NOP
    """)
    assert sass.count(kernel.code) == {
        "LDG": 1, "LDGSTS": 1, "LDSM": 1, "LDS": 1, "spills": 2, "F2F": 2,
        "FMNMX": 1, "FFMA/FMUL": 1, "all": 11,
    }  # fmt: skip


@pytest.mark.parametrize(
    "D, products, exponentials, expected",
    [
        # 64 x 16 scores of a window: D = 32 takes 2 x 2 + 4 products for 16 x 16.
        (32, 32, 32, ("scores", 1024)),
        # Channels padded: 40 is 48 for S and 40 for P V.
        (40, 11, 9, ("scores", 256)),
        # 64 x 16 of them with a product of half the depth for the last 8 channels.
        (40, 40, 32, ("scores", 1024)),
        (64, 16, 10, ("scores", 256)),
        # ctx of 16 tokens x 64 channels: 4 products for 16 x 16.
        (32, 16, 34, ("channels", 1024)),
        # Sums by a product with ones: 64 x 16 and 16 x 64 with states of 4 x 32.
        (32, 36, 32, ("scores", 1024)),
        (32, 20, 36, ("channels", 1024)),
        # 32 x 32 of Q with what rounding leaves of the context and LePE's diagonals.
        (32, 72, 32, ("more", 1024)),
    ],
)
def test_elements_follow_from_the_products(
    D: int, products: int, exponentials: int, expected: Any
) -> None:
    lines = ["HMMA.16816.F32 R4, R8, R10, R4"] * products
    lines += ["MUFU.EX2 R4, R4"] * exponentials
    kernel = make_kernel("\n".join(lines))
    assert static_table.tile_elements(kernel.code, D) == expected


def test_conversions_bound_the_elements() -> None:
    """16 tokens of 32 channels with a state: 8 products with V, 2 with ones, as many as 20 tokens
    of 32 channels would take."""
    words = {"HMMA.16816.F32.BF16 R4, R8, R10, R4": 10, "MUFU.EX2 R4, R4": 20}
    words["F2FP.BF16.PACK_AB R0, R0, R1"] = 8
    kernel = make_kernel("\n".join(w for word, n in words.items() for w in [word] * n))
    assert static_table.tile_elements(kernel.code, 32) == ("channels", 512)


def test_a_loop_that_does_what_the_formula_says() -> None:
    words = {"FFMA R0, R0, R1, R2": 8, "FMNMX R0, R0, R1, !PT": 8, "MUFU.EX2 R0, R0": 8}
    words |= {"FADD R0, R0, R1": 8, "F2FP.BF16.PACK_AB R0, R0, R1": 4}
    words |= {"HMMA.16816.F32 R4, R8, R10, R4": 8}
    kernel = make_kernel("\n".join(w for word, n in words.items() for w in [word] * n))
    shape = gpu_shapes.Exact("x", 1, 1, 64, 64, 32)
    record = static_table.describe_region(sass.find_main_regions(kernel)[0], shape)
    assert record["kind"] == "scores" and record["elements"] == 256
    assert record["over_formula"] == 1
    assert record["per_element"]["EX2"] == 1 and record["per_element"]["F2F"] == 0.5


def test_lepe_is_what_the_formula_needs() -> None:
    shape = gpu_shapes.Elfatt(56, 64, 2, 7, 1)
    assert static_table.count_lepe("scores", shape) == pytest.approx(9 * 32 / 49)
    assert static_table.count_lepe("channels", shape) == 9
    with_prefix = gpu_shapes.Elfatt(14, 384, 6, 7, 1, prefix=1)
    assert static_table.count_lepe("scores", with_prefix) == 0


def make_counts(**changes: Any) -> Dict[str, Any]:
    return {
        "name": "main_0", "block": [128, 1, 1], "blocks_per_sm": 4, "mma": 0,
        "floor_bytes": 1000, "global_bytes_read": 1500, "global_bytes_written": 500,
        "dram_bytes_read": 600, "dram_bytes_written": 150, "sector_efficiency": 0.5,
        "bank_conflicts": 3, "predicted_us": 2.0, "limited_by": "bytes",
        "registers": 32, "shared_bytes": 0, "spill_bytes": 0, "terms_us": {"bytes": 1.5},
        **changes,
    }  # fmt: skip


def test_sums_of_the_kernels_of_an_op() -> None:
    second = make_counts(
        sector_efficiency=1.0, predicted_us=5.0, limited_by="l2", spill_bytes=16
    )
    sums = static_table.add_up([make_counts(), second])
    assert sums["behind_l2"] == 1.5 and sums["no_cache"] == 4.0
    assert sums["sector_efficiency"] == 0.75 and sums["bank_conflicts"] == 6
    # 1500 bytes in 3 us: the floor's 1000 take 2.
    assert sums["floor_us"] == pytest.approx(2.0) and sums["over_floor"] == 3.5
    assert sums["limited_by"] == "l2" and sums["spill_bytes"] == 16
    assert static_table.count_warps(make_counts()) == 16


def test_a_case_as_a_whole(monkeypatch: Any) -> None:
    tool = find_tool("elfatt-run")
    assert tool, "elfatt-run is not built: run 'cmake --build --preset release'"
    monkeypatch.setenv("PATH", f"{Path(tool).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    shape = gpu_shapes.Exact("x", 2, 2, 49, 49, 32)
    nvdisasms = sass.find_nvdisasms()
    case = static_table.Case(shape, "bf16", "sm_87")
    record = static_table.measure(case, nvdisasms)
    assert "failed" not in record
    assert record["sums"]["no_cache"] >= 1 and record["sums"]["predicted_us"] > 0
    bad = static_table.measure(static_table.Case(shape, "bf16", "sm_88"), nvdisasms)
    assert "unknown chip 'sm_88'" in bad["failed"]
    page = static_table.make_page(
        {"date": "2025-01-01", "revision": "a", "command": "c", "cases": [record, bad]}
    )
    assert "failed: " in page and "No figure here is a time of a GPU" in page
    if not nvdisasms or record["sass_note"]:
        pytest.skip("no nvdisasm or ptxas: install requirements-sass.txt")
    (loop,) = record["kernels"][0]["loops"]
    assert loop["kind"] == "scores" and loop["per_element"]["EX2"] >= 1
    assert static_table.padding(record, record["kernels"][0]) >= 56 * 49 / 49**2


def test_registers_are_those_of_the_code_that_is_shipped(tmp_path: Path) -> None:
    """The simulator's kernels know places in the source, a bundle's do not."""
    run, compiler = find_tool("elfatt-run"), find_tool("elfatt-compile")
    assert run and compiler, "not built: run 'cmake --build --preset release'"
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    (tmp_path / "op.mlir").write_text(gpu_shapes.Elfatt(14, 64, 2, 7, 1).mlir("bf16"))
    for words in (
        [compiler, "op.mlir", "--target=sm_87", "--no-runtime-source", "-o", "bundle"],
        [run, "op.mlir", "--target=sim:sm_87", "--stats=stats.json"],
    ):
        subprocess.run(words, cwd=tmp_path, env=environment, check=True)
    code = json.loads((tmp_path / "bundle/manifest.json").read_text())["code"]
    if not (cubins := [c for c in code if c["format"] == "cubin"]):
        pytest.skip("no ptxas here: install requirements-ptxas.txt")
    keys = ("registers", "spill_bytes")
    stats = json.loads((tmp_path / "stats.json").read_text())["kernels"]
    counted = {k["name"]: [k[key] for key in keys] for k in stats}
    usage = cubins[0]["kernels"]
    assert counted == {name: [usage[name][key] for key in keys] for name in usage}
