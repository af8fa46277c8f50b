# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Changes to attention that mostly still parse: fuzz_opt.py --mode=raise.

The text stays MLIR as elfatt-opt prints it; a change goes by what stands there:
values of one type for each other, ops of one kind for each other, maps, constants,
sizes everywhere at once, an op taken out and its operand put in its place.
"""

from __future__ import annotations

import random
import re
from typing import Callable, Dict, List

TYPE = r"(?:tensor<[^>]*>|f\d+|bf16|i\d+|index)"
# A definition up to its result's type, which is last in the line, or in the line that
# ends the region.
DEFINITION = re.compile(
    rf"^( +)(%\w+) = ([\w.]+)(.*?(?:\n\1\}}.*?)?(?:->|:) ({TYPE}))$",
    re.MULTILINE | re.DOTALL,
)
KINDS = [
    ["arith.addf", "arith.subf", "arith.mulf", "arith.divf", "arith.maximumf",
     "arith.minimumf", "arith.maxnumf"],
    ["math.exp", "math.exp2", "math.log", "math.tanh", "math.sqrt", "arith.negf"],
    ["arith.andi", "arith.ori", "arith.xori"],
    ["arith.addi", "arith.subi", "arith.muli"],
    ["sgt", "sge", "slt", "sle", "eq", "ne", "ult"],
    ["ogt", "oge", "olt", "une", "oeq", "uno"],
]  # fmt: skip
FLOATS = ["0.000000e+00", "1.000000e+00", "-1.000000e+00", "0xFF800000", "0x7F800000",
          "0x7FC00000", "-3.40282347E+38", "0.353553385", "1.44269502", "-0.000000e+00"]  # fmt: skip
SIZES = ["0", "1", "2", "3", "7", "64", "?", "1048576", "9223372036854775807"]


def _types(text: str) -> Dict[str, str]:
    """Of the values at the level of functions."""
    types = {name: type_ for _, name, _, _, type_ in DEFINITION.findall(text)}
    types.update(re.findall(rf"(%\w+): ({TYPE})", text))
    return types


def _replace_at(text: str, match: "re.Match[str]", new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


def _pick(rng: random.Random, pattern: str, text: str) -> "re.Match[str] | None":
    found = list(re.finditer(pattern, text))
    return rng.choice(found) if found else None


def other_value(rng: random.Random, text: str) -> str:
    """A use of a value becomes one of another of its type."""
    types = _types(text)
    use = _pick(rng, r"(?<=[(, ])%\w+(?=[,) ])(?! =)", text)
    if not use or use[0] not in types:
        return text
    same = [name for name, type_ in types.items() if type_ == types[use[0]]]
    return _replace_at(text, use, rng.choice(same))


def swap_operands(rng: random.Random, text: str) -> str:
    pair = _pick(rng, r"(%\w+), (%\w+)(?= *[:)]| : )", text)
    return _replace_at(text, pair, f"{pair[2]}, {pair[1]}") if pair else text


def other_op(rng: random.Random, text: str) -> str:
    kind = rng.choice(KINDS)
    op = _pick(
        rng, r"(?<![\w.])(?:" + "|".join(map(re.escape, kind)) + r")(?![\w.])", text
    )
    return _replace_at(text, op, rng.choice(kind)) if op else text


def other_constant(rng: random.Random, text: str) -> str:
    constant = _pick(
        rng, r"(?<=arith\.constant )(?:dense<)?(-?\d[\w.+-]*)(?=>? : )", text
    )
    if not constant:
        return text
    numbers = (
        FLOATS if re.search(r"[.xeE]", constant[1]) else ["0", "1", "-1", "2", "5"]
    )
    head = "dense<" if constant[0].startswith("dense") else ""
    return _replace_at(text, constant, head + rng.choice(numbers))


def other_map(rng: random.Random, text: str) -> str:
    """An alias for another with as many dims, or results of one in another order."""
    if rng.random() < 0.5:
        maps = re.findall(r"^(#\w+) = affine_map<\(([^)]*)\)", text, re.MULTILINE)
        use = _pick(rng, r"(?<=[\[ ])#map\w*(?=[,\]])", text)
        dims = dict(maps)
        if not use or use[0] not in dims:
            return text
        return _replace_at(
            text, use, rng.choice([n for n, d in maps if d == dims[use[0]]])
        )
    results = _pick(rng, r"(?<=-> \()[d\d, ]+(?=\)>)", text)
    if not results:
        return text
    parts = results[0].split(", ")
    rng.shuffle(parts)
    if rng.random() < 0.3:
        parts[rng.randrange(len(parts))] = "0"
    return _replace_at(text, results, ", ".join(parts))


def other_iterator(rng: random.Random, text: str) -> str:
    word = _pick(rng, r'"(?:parallel|reduction)"', text)
    if not word:
        return text
    return _replace_at(text, word, '"parallel"' if "red" in word[0] else '"reduction"')


def other_size(rng: random.Random, text: str) -> str:
    """A size, everywhere it stands."""
    sizes = re.findall(r"(?<=[<x])\d+(?=x)", text)
    if not sizes:
        return text
    old, new = rng.choice(sizes), rng.choice(SIZES)
    return re.sub(rf"(?<=[<x]){old}(?=x)", new, text)


def other_element(rng: random.Random, text: str) -> str:
    """An element type, everywhere or from one place on."""
    old, new = "f32", rng.choice(["f16", "bf16", "f64", "f8E4M3FN", "f128", "i32"])
    start = 0 if rng.random() < 0.6 else rng.randrange(len(text))
    return text[:start] + re.sub(rf"\b(x?){old}\b", rf"\g<1>{new}", text[start:])


def drop_op(rng: random.Random, text: str) -> str:
    """An op out, what it was made of in its place."""
    definition = _pick(
        rng, DEFINITION.pattern.replace("^", "(?m:^)", 1).replace("$", "(?m:$)"), text
    )
    if not definition:
        return text
    types = _types(text)
    inputs = [
        v for v in re.findall(r"%\w+", definition[4]) if types.get(v) == definition[5]
    ]
    if not inputs:
        return text
    text = _replace_at(text, definition, "")
    return re.sub(re.escape(definition[2]) + r"(?!\w)", rng.choice(inputs), text)


def unknown_op(rng: random.Random, text: str) -> str:
    """An op that nobody knows, behind another."""
    definition = _pick(
        rng, DEFINITION.pattern.replace("^", "(?m:^)", 1).replace("$", "(?m:$)"), text
    )
    if not definition:
        return text
    name, type_ = definition[2], definition[5]
    line = f'\n{definition[1]}{name}_u = "foreign.op"({name}) : ({type_}) -> {type_}'
    rest = re.sub(re.escape(name) + r"(?!\w)", name + "_u", text[definition.end() :])
    return text[: definition.end()] + line + rest


def move_into_region(rng: random.Random, text: str) -> str:
    """The last ops of a function into a loop of one step."""
    found = re.search(rf"\n    return (%\w+) : ({TYPE})\n", text)
    lines = text[: found.start()].split("\n") if found else []
    starts = [i for i, line in enumerate(lines) if re.match(r"    %\w+ = ", line)]
    if not starts:
        return text
    at = rng.choice(starts)
    loop = f"""    %lo = arith.constant 0 : index
    %hi = arith.constant 1 : index
    %loop = scf.for %iv = %lo to %hi step %hi iter_args(%it = %init) -> {found[2]} {{"""
    init = f"    %init = tensor.empty() : {found[2]}"
    body = [
        *lines[:at],
        init,
        loop,
        *lines[at:],
        f"    scf.yield {found[1]} : {found[2]}",
        "    }",
    ]
    return "\n".join(body) + f"\n    return %loop : {found[2]}\n" + text[found.end() :]


CHANGES: List[Callable[[random.Random, str], str]] = [
    other_value, other_value, swap_operands, swap_operands, other_op, other_op,
    other_constant, other_map, other_map, other_iterator, other_size, other_size,
    other_element, drop_op, drop_op, unknown_op, move_into_region,
]  # fmt: skip


def mutate(rng: random.Random, text: str) -> str:
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        text = rng.choice(CHANGES)(rng, text)
    return text


PIPELINES = [
    ["elfatt-raise"],
    ["elfatt-raise", "elfatt-report"],
    ["elfatt-raise=strict", "elfatt-report"],
    ["elfatt-raise", "elfatt-decompose"],
    ["elfatt-raise", "elfatt-approximate=window=2x2", "elfatt-decompose"],
    ["elfatt-raise", "canonicalize", "cse", "elfatt-raise"],
    ["linalg-fuse-elementwise-ops", "elfatt-raise"],
]
