# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the ops of the attention dialect mean: ``elfatt-opt --elfatt-decompose``,
executed, against the float64 reference."""

from __future__ import annotations

import subprocess
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import pytest
import reference
from execute import execute

# Everything is f64: only the order of summation differs.
EXACT = dict(rtol=1e-11, atol=1e-11)

# Grid, window, prefix, heads, global heads.
ELFATT = [
    ((4, 6), (2, 3), 0, 2, 1),
    ((4, 4), (2, 2), 3, 4, 2),
    ((12,), (4,), 0, 2, 1),
    ((12,), (3,), 1, 3, 1),
    ((2, 4, 2), (1, 2, 2), 2, 2, 1),
    ((4, 4), (4, 4), 0, 2, 0),
    ((4, 4), (2, 2), 1, 2, 2),
    ((0, 0), (7, 7), 5, 2, 1),
    ((1, 1), (1, 1), 0, 2, 1),
]


def tensor(*shape: int, type_: str = "f64") -> str:
    return f"tensor<{'x'.join(map(str, shape))}x{type_}>"


def decomposed(elfatt_opt: str, text: str) -> str:
    made = subprocess.run(
        [elfatt_opt, "-", "--elfatt-decompose"],
        input=text,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert "attention." not in made.stdout
    return made.stdout


def function(arguments: Sequence[str], result: str, op: str) -> str:
    given = ", ".join(f"%a{i}: {t}" for i, t in enumerate(arguments))
    return (
        f"func.func @main({given}) -> {result} {{\n{op}\n  return %o : {result}\n}}\n"
    )


def maps(domain: str, *results: str) -> str:
    inner = ", ".join(f"affine_map<({domain}) -> ({r})>" for r in results)
    return f"indexing_maps = [{inner}]"


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape) * 2


def elfatt_text(
    batch: int,
    heads: int,
    dim: int,
    grid: Sequence[int],
    window: Sequence[int],
    prefix: int,
    global_heads: int,
    lepe: bool,
    attributes: str = "",
) -> Tuple[str, List[Tuple[int, ...]]]:
    """One attention.elfatt on packed qkv [B,N,3,H,D]; the text and argument shapes."""
    tokens = prefix + int(np.prod(grid))
    qkv, out = (batch, tokens, 3, heads, dim), (batch, tokens, heads, dim)
    shapes: List[Tuple[int, ...]] = [qkv, out]
    op = f"""  %o = attention.elfatt {
        maps(
            "b, h, n, d, e",
            "b, n, 0, h, d",
            "b, n, 1, h, d",
            "b, n, 2, h, e",
            "b, n, h, e",
        )
    }
    ins(%a0, %a0, %a0 : {tensor(*qkv)}, {tensor(*qkv)}, {tensor(*qkv)})
"""
    if lepe:
        taps = (3,) * len(grid)
        for name, h in (("global", global_heads), ("local", heads - global_heads)):
            if h == 0:
                continue
            n = len(shapes)
            shapes += [(*taps, h, dim), (h, dim)]
            op += (
                f"    {name}_lepe(%a{n}, %a{n + 1} : {tensor(*shapes[n])}, "
                f"{tensor(*shapes[n + 1])})\n"
            )
    op += f"""    outs(%a1 : {tensor(*out)}) global_heads = {global_heads} {attributes}
    grid = [{", ".join(map(str, grid))}] window = [{", ".join(map(str, window))}]
    {f"prefix = {prefix}" if prefix else ""} -> {tensor(*out)}"""
    return function([tensor(*s) for s in shapes], tensor(*out), op), shapes


def expected_elfatt(
    arguments: Sequence[np.ndarray],
    grid: Any,
    window: Any,
    prefix: int,
    global_heads: int,
    lepe: bool,
) -> np.ndarray:
    """[B,N,H,D]"""
    q, k, v = arguments[0].transpose(2, 0, 3, 1, 4)
    lepes: Dict[str, Optional[reference.Lepe]] = {}
    rest = list(arguments[2:])
    if lepe and global_heads:
        lepes["global_lepe"] = (rest.pop(0), rest.pop(0))
    if lepe and global_heads < q.shape[1]:
        lepes["local_lepe"] = (rest.pop(0), rest.pop(0))
    out = reference.elfatt(q, k, v, grid, window, global_heads, prefix, **lepes)
    return out.transpose(0, 2, 1, 3)


@pytest.mark.parametrize("lepe", [False, True], ids=["plain", "lepe"])
@pytest.mark.parametrize("grid,window,prefix,heads,global_heads", ELFATT, ids=str)
def test_elfatt(
    elfatt_opt: str,
    grid: Any,
    window: Any,
    prefix: int,
    heads: int,
    global_heads: int,
    lepe: bool,
) -> None:
    text, shapes = elfatt_text(2, heads, 4, grid, window, prefix, global_heads, lepe)
    arguments = [random(i, *shape) for i, shape in enumerate(shapes)]
    got = execute(decomposed(elfatt_opt, text), arguments)[0]
    expected = expected_elfatt(arguments, grid, window, prefix, global_heads, lepe)
    np.testing.assert_allclose(got, expected, **EXACT)


def test_elfatt_with_local_heads_first(elfatt_opt: str) -> None:
    text, shapes = elfatt_text(1, 3, 4, (4, 4), (2, 2), 1, 1, False, "local_first")
    arguments = [random(i, *shape) for i, shape in enumerate(shapes)]
    got = execute(decomposed(elfatt_opt, text), arguments)[0]
    # The formula with its heads turned: the last one is the global one.
    turned = [np.roll(arguments[0], 1, axis=3), arguments[1]]
    expected = expected_elfatt(turned, (4, 4), (2, 2), 1, 1, False)
    np.testing.assert_allclose(got, np.roll(expected, -1, axis=2), **EXACT)


@pytest.mark.parametrize(
    "change",
    ["window = [2, 2]", "global_heads = 1", "b, n, 1, h, d", "prefix = 1", "lepe taps"],
)
def test_a_mutated_elfatt_is_seen(elfatt_opt: str, change: str) -> None:
    """This comparison must fail when the formula is broken on purpose."""
    case: Tuple[Any, ...] = ((4, 4), (2, 2), 1, 1, True)
    text, shapes = elfatt_text(1, 2, 4, *case)
    arguments = [random(i, *shape) for i, shape in enumerate(shapes)]
    expected = expected_elfatt(arguments, *case)
    wrong = {
        "window = [2, 2]": "window = [4, 4]",
        "global_heads = 1": "global_heads = 1 local_first",
        "b, n, 1, h, d": "b, n, 0, h, d",
        "prefix = 1": "",
    }.get(change)
    if wrong is None:
        arguments[2] = arguments[2].swapaxes(0, 1)
    elif wrong == "":
        # The prefix token taken for an ordinary one: the grid is one row longer.
        text = text.replace("prefix = 1", "").replace("grid = [4, 4]", "grid = [17]")
        text = text.replace("window = [2, 2]", "window = [17]")
        text = text.replace("tensor<3x3x1x4xf64>", "tensor<3x1x4xf64>")
        arguments[2], arguments[4] = arguments[2][1], arguments[4][1]
    else:
        assert change in text
        text = text.replace(change, wrong)
    got = execute(decomposed(elfatt_opt, text), arguments)[0]
    assert np.abs(got - expected).max() > 1e-2


def sdpa_text(
    n: int, m: int, bias: Sequence[Tuple[str, str]] = (), attributes: str = ""
) -> str:
    """attention.sdpa on [2,n,4], [2,m,4], [2,m,3]; bias: (type, map results)."""
    q, k, v, out = (2, n, 4), (2, m, 4), (2, m, 3), (2, n, 3)
    types = [tensor(*q), tensor(*k), tensor(*v), *(t for t, _ in bias)]
    names = ", ".join(f"%a{i}" for i in range(3, len(types)))
    given = f"    bias({names} : {', '.join(types[3:])})\n" if bias else ""
    op = f"""  %init = tensor.empty() : {tensor(*out)}
  %o = attention.sdpa {
        maps(
            "b, i, j, d, e",
            "b, i, d",
            "b, j, d",
            "b, j, e",
            *(r for _, r in bias),
            "b, i, e",
        )
    }
    ins(%a0, %a1, %a2 : {", ".join(types[:3])})
{given}    outs(%init : {tensor(*out)}) {attributes} -> {tensor(*out)}"""
    return function(types, tensor(*out), op)


@pytest.mark.parametrize("n,m", [(7, 7), (5, 9), (1, 1), (9, 1)])
@pytest.mark.parametrize("kind", ["plain", "causal", "bias", "mask"])
def test_sdpa(elfatt_opt: str, n: int, m: int, kind: str) -> None:
    q, k, v = random(0, 2, n, 4), random(1, 2, m, 4), random(2, 2, m, 3)
    extra: List[np.ndarray] = []
    bias: List[Tuple[str, str]] = []
    keywords: Dict[str, Any] = {}
    if kind == "bias":
        extra = [random(3, n, m)]
        bias = [(tensor(n, m), "i, j")]
        keywords["bias"] = extra[0]
    elif kind == "mask":
        # One whole row is masked.
        mask = np.random.default_rng(3).random((n, m)) < 0.7
        mask[0] = False
        extra = [mask]
        bias = [(tensor(n, m, type_="i1"), "i, j")]
        keywords["bias"] = np.where(mask, 0.0, -np.inf)
    elif kind == "causal":
        keywords["causal"] = True
    attributes = "causal" if kind == "causal" else ""
    text = decomposed(elfatt_opt, sdpa_text(n, m, bias, attributes))
    got = execute(text, [q, k, v, *extra])[0]
    expected = reference.sdpa(q[:, None], k[:, None], v[:, None], **keywords)[:, 0]
    np.testing.assert_allclose(got, expected, **EXACT)


def test_sdpa_row_masked_everywhere_gives_nan_where_asked(elfatt_opt: str) -> None:
    text = sdpa_text(3, 3, [(tensor(3, 3), "i, j")], "masked_rows = nan")
    bias = np.zeros((3, 3))
    bias[1] = -np.inf
    q, k, v = random(0, 2, 3, 4), random(1, 2, 3, 4), random(2, 2, 3, 3)
    got = execute(decomposed(elfatt_opt, text), [q, k, v, bias])[0]
    assert np.isnan(got[:, 1]).all()
    assert not np.isnan(got[:, [0, 2]]).any()


@pytest.mark.parametrize("n,m", [(7, 9), (1, 1)])
def test_linear(elfatt_opt: str, n: int, m: int) -> None:
    q, k, v = random(0, 2, n, 4), random(1, 2, m, 4), random(2, 2, m, 3)
    types = [tensor(*a.shape) for a in (q, k, v)]
    out = tensor(2, n, 3)
    op = f"""  %init = tensor.empty() : {out}
  %o = attention.linear {
        maps("b, i, j, d, e", "b, i, d", "b, j, d", "b, j, e", "b, i, e")
    }
    ins(%a0, %a1, %a2 : {", ".join(types)}) outs(%init : {out}) -> {out}"""
    got = execute(decomposed(elfatt_opt, function(types, out, op)), [q, k, v])[0]
    expected = reference.linear(q[:, None], k[:, None], v[:, None])[:, 0]
    np.testing.assert_allclose(got, expected, **EXACT)
