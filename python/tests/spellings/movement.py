# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Data movement by labels: reshape, transpose, broadcast, slice, and all of it."""

from __future__ import annotations

from typing import List

from .choices import Choices
from .emitter import Dim, Dims, Emitter, Tensor, flat, singles


def _is_unit(dim: Dim) -> bool:
    return all(label.startswith("u") for label in dim)


def _groups(fine: Dims, coarse: Dims) -> List[List[int]]:
    """Which dims of ``fine`` make each dim of ``coarse``; the flat labels agree."""
    groups: List[List[int]] = []
    position = 0
    for dim in coarse:
        group: List[int] = []
        length = 0
        while length < len(dim):
            group.append(position)
            length += len(fine[position])
            position += 1
        groups.append(group)
    return groups


def _collapse(e: Emitter, t: Tensor, dims: Dims) -> Tensor:
    if t.dims == dims:
        return t
    result = Tensor(e.fresh(), dims, t.element)
    e.line(
        f"{result.name} = tensor.collapse_shape {t.name} {_groups(t.dims, dims)} : "
        f"{e.type_of(t)} into {e.type_of(result)}"
    )
    return result


def _expand(e: Emitter, t: Tensor, dims: Dims) -> Tensor:
    if t.dims == dims:
        return t
    shape = [e.size_of(d) if e.dynamic & set(d) else str(e.extent(d)) for d in dims]
    result = Tensor(e.fresh(), dims, t.element)
    e.line(
        f"{result.name} = tensor.expand_shape {t.name} {_groups(dims, t.dims)} "
        f"output_shape [{', '.join(shape)}] : {e.type_of(t)} into {e.type_of(result)}"
    )
    return result


def _drop_units(e: Emitter, t: Tensor, keep: Dims) -> Tensor:
    """Drops unit dims that ``keep`` lacks, by a rank-reducing slice."""
    dims = tuple(d for d in t.dims if not _is_unit(d) or d in keep)
    if dims == t.dims:
        return t
    sizes = [e.size_of(d) if e.dynamic & set(d) else str(e.extent(d)) for d in t.dims]
    result = Tensor(e.fresh(), dims, t.element)
    zeros, ones = ", ".join("0" for _ in sizes), ", ".join("1" for _ in sizes)
    e.line(
        f"{result.name} = tensor.extract_slice {t.name}[{zeros}] [{', '.join(sizes)}] [{ones}] : "
        f"{e.type_of(t)} to {e.type_of(result)}"
    )
    return result


def _refines(fine: Dims, coarse: Dims) -> bool:
    """Whether every dim of ``coarse`` is whole dims of ``fine``."""
    if flat(fine) != flat(coarse):
        return False
    ends = {len(flat(fine[: i + 1])) for i in range(len(fine))}
    return all(len(flat(coarse[: i + 1])) in ends for i in range(len(coarse)))


def reshape(e: Emitter, t: Tensor, dims: Dims) -> Tensor:
    """The same elements in the same order as other dims; unit dims come and go."""
    if t.dims == dims:
        return t
    if not _refines(t.dims, dims) and not _refines(dims, t.dims):
        t = _expand(e, t, singles(*flat(t.dims)))
        t = _drop_units(e, t, singles(*flat(dims)))
        fine = singles(*flat(dims))
        if t.dims != fine:
            t = _add_units(e, t, fine)
    if _refines(dims, t.dims):
        return _expand(e, t, dims)
    return _collapse(e, t, dims)


def _add_units(e: Emitter, t: Tensor, dims: Dims) -> Tensor:
    """Expands ``t`` by the unit dims of ``dims`` that it lacks."""
    groups: List[List[int]] = []
    leading: List[int] = []
    for i, dim in enumerate(dims):
        if dim in t.dims:
            groups.append(leading + [i])
            leading = []
        elif groups:
            groups[-1].append(i)
        else:
            leading.append(i)
    shape = [e.size_of(d) if e.dynamic & set(d) else str(e.extent(d)) for d in dims]
    result = Tensor(e.fresh(), dims, t.element)
    e.line(
        f"{result.name} = tensor.expand_shape {t.name} {groups} output_shape "
        f"[{', '.join(shape)}] : {e.type_of(t)} into {e.type_of(result)}"
    )
    return result


def transpose(e: Emitter, c: Choices, name: str, t: Tensor, dims: Dims) -> Tensor:
    """``t`` with its dims in the order of ``dims``."""
    if t.dims == dims:
        return t
    init = e.empty(dims, t.element)
    if c(f"{name}.transpose", ["named", "generic"]) == "generic":
        return e.generic([t], [init], lambda xs, _: xs)[0]
    order = [t.dims.index(dim) for dim in dims]
    return e.named("linalg.transpose", [t], init, f"permutation = {order}")


def broadcast(e: Emitter, c: Choices, name: str, t: Tensor, dims: Dims) -> Tensor:
    """``t`` repeated along the dims that it lacks; its own keep their order."""
    if t.dims == dims:
        return t
    init = e.empty(dims, t.element)
    if c(f"{name}.broadcast", ["generic", "named"]) == "generic":
        return e.generic([t], [init], lambda xs, _: xs)[0]
    added = [i for i, dim in enumerate(dims) if dim not in t.dims]
    return e.named("linalg.broadcast", [t], init, f"dimensions = {added}")


def conform(e: Emitter, c: Choices, name: str, t: Tensor, dims: Dims) -> Tensor:
    """``t`` with exactly ``dims``, whatever that takes. Without ``u`` labels in
    ``dims``, those of ``t`` are dropped."""
    if t.dims == dims:
        return t
    if set(t.dims) == set(dims):
        return transpose(e, c, name, t, dims)
    own = [label for label in flat(t.dims) if not label.startswith("u")]
    wanted = [label for label in flat(dims) if not label.startswith("u")]
    if own == wanted:
        return reshape(e, t, dims)
    assert set(own) <= set(wanted), f"{t.dims} does not fit {dims}"
    t = reshape(e, t, singles(*own))
    t = transpose(e, c, name, t, singles(*(label for label in wanted if label in own)))
    t = broadcast(e, c, name, t, singles(*wanted))
    return reshape(e, t, dims)


def fit(e: Emitter, c: Choices, name: str, t: Tensor, dims: Dims) -> Tensor:
    """``t`` so that it can be read beside a tensor with ``dims``: dims of it that
    ``t`` has no label of stay away."""
    labels = set(flat(t.dims))
    if all(dim in dims or _is_unit(dim) for dim in t.dims):
        return t
    return conform(e, c, name, t, tuple(dim for dim in dims if labels & set(dim)))


def take(e: Emitter, t: Tensor, label: str, position: int) -> Tensor:
    """``t`` at one position of ``label``, which goes."""
    dim = next(d for d in t.dims if label in d)
    at = t.dims.index(dim)
    if dim[0] != label:
        t = reshape(e, t, t.dims[:at] + singles(*dim) + t.dims[at + 1 :])
        return take(e, t, label, position)
    rest = e.extent(dim[1:])
    offsets = ["0"] * len(t.dims)
    offsets[at] = str(position * rest)
    kept = t.dims[:at] + ((dim[1:],) if dim[1:] else ()) + t.dims[at + 1 :]
    sizes = [e.size_of(d) if e.dynamic & set(d) else str(e.extent(d)) for d in t.dims]
    sizes[at] = str(rest)
    return _slice(e, t, offsets, sizes, kept)


def cut(e: Emitter, t: Tensor, wide: str, label: str, offset: int) -> Tensor:
    """``label`` out of the wider ``wide``, a dim of its own."""
    at = t.dims.index((wide,))
    dims = t.dims[:at] + ((label,),) + t.dims[at + 1 :]
    offsets = ["0"] * len(dims)
    offsets[at] = str(offset)
    sizes = [e.size_of(d) if e.dynamic & set(d) else str(e.extent(d)) for d in dims]
    return _slice(e, t, offsets, sizes, dims)


def _slice(
    e: Emitter, t: Tensor, offsets: List[str], sizes: List[str], dims: Dims
) -> Tensor:
    result = Tensor(e.fresh(), dims, t.element)
    ones = ", ".join("1" for _ in sizes)
    e.line(
        f"{result.name} = tensor.extract_slice {t.name}[{', '.join(offsets)}] "
        f"[{', '.join(sizes)}] [{ones}] : {e.type_of(t)} to {e.type_of(result)}"
    )
    return result


def rename(t: Tensor, **labels: str) -> Tensor:
    """The same value with labels of its own."""
    dims = tuple(tuple(labels.get(label, label) for label in dim) for dim in t.dims)
    return Tensor(t.name, dims, t.element)
