# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ONNX Runtime's own ops (``com.microsoft``), which its optimizer makes of a model's
layers, as functions of the standard's ops.

Formulas are those of ONNX Runtime's documentation and CPU kernels. What serves decoders
that generate (caches, ``past``) is refused. Written for opset 15 and later.

Changes numerics: no. Normalizations of f16 are computed in f32, as there.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import numpy
import onnx
from onnx import FunctionProto, NodeProto, TensorProto

from elfatt.errors import Error

DOMAIN = "com.microsoft"
OLDEST_OPSET = 15
_FIRST_HEADS = (0, 2, 1, 3)
"""[B, N, H, D] to [B, H, N, D], and back."""

Types = Mapping[str, onnx.TypeProto]


class Unknown(Exception):
    """The rank of an operand decides, and is not known yet."""


class _Body:
    """A function for one call, node by node.

    Operands are names; the call's inputs and outputs have those that its schema gives
    them, and an input that is left out is the empty one.
    """

    def __init__(self, call: NodeProto, types: Types) -> None:
        self.call = call
        self.nodes: List[NodeProto] = []
        self.inputs: List[str] = []
        self.types = types

    def takes(self, *schema: str) -> List[str]:
        """The names of the inputs, ``name?`` of those that may be left out: they are
        empty then."""
        given = [*self.call.input, *[""] * len(schema)]
        if any(given[len(schema) :]):
            self.refuse(f"with more than {len(schema)} inputs")
        self.inputs = [name.rstrip("?") for name in schema]
        for name, value in zip(schema, given):
            if not value and not name.endswith("?"):
                self.refuse(f"without its input '{name}'")
        return [name if value else "" for name, value in zip(self.inputs, given)]

    def attribute(self, name: str, default: Any) -> Any:
        for attribute in self.call.attribute:
            if attribute.name == name:
                value = onnx.helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def refuse(self, what: str) -> None:
        raise Error(
            f"op '{self.call.domain or 'ai.onnx'}.{self.call.op_type}' {what} cannot "
            f"be imported (node '{self.call.name}')"
        )

    def get_rank(self, name: str) -> int:
        type_ = self.types.get(self.call.input[self.inputs.index(name)])
        if type_ is None or not type_.tensor_type.HasField("shape"):
            raise Unknown(name)
        return len(type_.tensor_type.shape.dim)

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node, and gives its output."""
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any) -> str:
        tensor = onnx.numpy_helper.from_array(numpy.array(value, dtype))
        return self("Constant", value=tensor)

    def integers(self, *values: int) -> str:
        return self.constant(values, numpy.int64)

    def number(self, value: float, like: str) -> str:
        return self("CastLike", self.constant(value, numpy.float32), like)

    def size(self, x: str, axis: int) -> str:
        """[1], of one dimension."""
        return self("Gather", self("Shape", x), self.integers(axis))

    def sum(self, x: str) -> str:
        """Over the last axis, which stays."""
        return self("ReduceSum", x, self.integers(-1), keepdims=1)


def _centred(b: _Body, x: str, count: str) -> str:
    return b("Sub", x, b("Div", b.sum(x), count))


def _normalized(b: _Body, x: str, count: str, epsilon: float) -> str:
    """Over the last axis, of ``count`` elements; f32."""
    variance = b("Div", b.sum(b("Mul", x, x)), count)
    return b("Div", x, b("Sqrt", b("Add", variance, b.number(epsilon, variance))))


def _norm(
    b: _Body, x: str, gamma: str, beta: str, bias: str = "", centred: bool = True
) -> str:
    epsilon = b.attribute("epsilon", 1e-5 if b.call.domain == "" else 1e-12)
    count = b("Cast", b.size(x, -1), to=TensorProto.FLOAT)
    wide = b("Cast", x, to=TensorProto.FLOAT)
    wide = _centred(b, wide, count) if centred else wide
    y = b("Mul", _normalized(b, wide, count, epsilon), _wide(b, gamma))
    return b("CastLike", b("Add", y, _wide(b, beta)) if beta else y, x)


def _wide(b: _Body, x: str) -> str:
    return b("Cast", x, to=TensorProto.FLOAT)


# ------------------------------------------------------------------ attention


def _heads(b: _Body, x: str, count: int) -> str:
    """[B, N, C] to [B, H, N, D]."""
    split = b("Reshape", x, b.integers(0, 0, count, -1))
    return b("Transpose", split, perm=_FIRST_HEADS)


def _key_mask(b: _Body, name: str, scores: str) -> str:
    """What is added to scores: [B, M] are 1 where a key counts, [B] are numbers of keys."""
    rank = b.get_rank(name)
    if rank == 1:
        if _is_of_other_batch(b, name):
            b.refuse(f"with '{name}' of cumulated lengths")
        zero, one = (b.constant(i, numpy.int64) for i in (0, 1))
        keys = b("Squeeze", b.size(scores, -1), b.integers(0))
        lengths = b("Unsqueeze", name, b.integers(1))
        lengths = b("Cast", lengths, to=TensorProto.INT64)
        keep = b("Less", b("Range", zero, keys, one), lengths)
    elif rank in (2, 3):
        keep = b("Cast", name, to=TensorProto.INT32)
        keep = b("Greater", keep, b.constant(0, numpy.int32))
    else:
        b.refuse(f"with '{name}' of {rank} dimensions")
    lowest = b.number(b.attribute("mask_filter_value", -10000.0), scores)
    added = b("Where", keep, b.number(0.0, scores), lowest)
    return b("Unsqueeze", added, b.integers(1) if rank == 3 else b.integers(1, 2))


def _is_of_other_batch(b: _Body, name: str) -> bool:
    """Whether a mask [B] has not the size of the batch, as far as both are known."""
    sizes = []
    for operand in (name, b.inputs[0]):
        type_ = b.types.get(b.call.input[b.inputs.index(operand)])
        dims = type_.tensor_type.shape.dim if type_ is not None else []
        sizes.append(dims[0].dim_value if dims else 0)
    return all(sizes) and sizes[0] != sizes[1]


def _attend(b: _Body, q: str, k: str, v: str, mask: str, bias: str) -> List[str]:
    """[B, H, N, D] each, to [B, N, C]."""
    scale = b.attribute("scale", 0.0)
    if scale:
        factor = b.number(scale, q)
    else:
        root = b("Sqrt", b("Cast", b.size(q, -1), to=TensorProto.FLOAT))
        factor = b("CastLike", b("Reciprocal", root), q)
    scores = b("Mul", b("MatMul", q, b("Transpose", k, perm=(0, 1, 3, 2))), factor)
    if mask:
        scores = b("Add", scores, _key_mask(b, mask, scores))
    if bias:
        scores = b("Add", scores, bias)
    if b.attribute("unidirectional", 0):
        zero, one = (b.constant(i, numpy.int64) for i in (0, 1))
        sizes = (b("Squeeze", b.size(scores, axis), b.integers(0)) for axis in (-2, -1))
        rows, keys = (b("Range", zero, size, one) for size in sizes)
        future = b("Greater", keys, b("Unsqueeze", rows, b.integers(1)))
        scores = b("Where", future, b.number(-math.inf, scores), scores)
    y = b("MatMul", b("Softmax", scores, axis=-1), v)
    y = b("Transpose", y, perm=_FIRST_HEADS)
    return [b("Reshape", y, b.integers(0, 0, -1))]


def _thirds(b: _Body, x: str, like: str, axis: int) -> List[str]:
    """Of ``axis``: the first two as wide as ``like``, of [C], the third what is left."""
    twice = b("Add", like, like)
    ends = [b.integers(0), like, twice, b.integers(2**62)]
    axes = b.integers(axis)
    return [b("Slice", x, ends[i], ends[i + 1], axes) for i in range(3)]


def _attention(b: _Body) -> List[str]:
    x, weights, bias, mask, past, added, length = b.takes(
        *("input", "weights", "bias?", "mask?", "past?", "attention_bias?", "length?")
    )
    if past or length:
        b.refuse("with a past")
    if b.attribute("do_rotary", 0):
        b.refuse("with do_rotary")
    y = b("MatMul", x, weights)
    y = b("Add", y, bias) if bias else y
    sizes = b.attribute("qkv_hidden_sizes", None)
    if sizes:
        width = b.integers(sizes[0])
    else:
        width = b("Div", b.size(weights, -1), b.integers(3))
    heads = b.attribute("num_heads", 0)
    q, k, v = (_heads(b, part, heads) for part in _thirds(b, y, width, -1))
    return _attend(b, q, k, v, mask, added)


def _multi_head_attention(b: _Body) -> List[str]:
    q, k, v, bias, mask, added, *past = b.takes(
        *("query", "key?", "value?", "bias?", "mask?", "attention_bias?"),
        *("past_key?", "past_value?", "length?", "cache?"),
    )
    if any(past):
        b.refuse("with a past")
    heads = b.attribute("num_heads", 0)
    packed = [name for name, next_ in ((q, k), (k, v)) if name and not next_]
    if packed and bias:
        b.refuse("with a bias of packed operands")
    biases: Sequence[str] = ("", "", "")
    if bias:
        biases = _thirds(b, bias, b.size(q, -1), 0)

    def project(x: str, added: str) -> str:
        if b.get_rank(x) == 4:
            return x
        return _heads(b, b("Add", x, added) if added else x, heads)

    def unpack(x: str, part: int) -> str:
        part_ = b("Gather", x, b.constant(part, numpy.int64), axis=3)
        return b("Transpose", part_, perm=_FIRST_HEADS)

    if not k:
        operands = [unpack(q, part) for part in range(3)]
    elif not v:
        operands = [project(q, ""), unpack(k, 0), unpack(k, 1)]
    else:
        operands = [project(x, added_) for x, added_ in zip((q, k, v), biases)]
    return _attend(b, *operands, mask, added)


# ------------------------------------------------------------------ normalizations


def _skip_norm(b: _Body) -> List[str]:
    """Outputs: the normalized sum, two statistics that nobody uses, the sum."""
    simplified = "Simplified" in b.call.op_type
    beta_ = () if simplified else ("beta?",)
    x, skip, gamma, *beta, bias = b.takes("input", "skip", "gamma", *beta_, "bias?")
    x = b("Add", x, skip)
    x = b("Add", x, bias) if bias else x
    y = _norm(b, x, gamma, "".join(beta), centred=not simplified)
    return [y, "", "", x]


def _simplified_norm(b: _Body) -> List[str]:
    x, gamma = b.takes("x", "scale")
    if b.attribute("axis", -1) not in (-1, b.get_rank(x) - 1):
        b.refuse("over more than the last axis")
    return [_norm(b, x, gamma, "", centred=False)]


def _embedding_norm(b: _Body) -> List[str]:
    ids, segments, words, positions, kinds, gamma, beta, mask, places = b.takes(
        *("input_ids", "segment_ids?", "words", "positions", "segments?"),
        *("gamma", "beta", "mask?", "position_ids?"),
    )
    x = b("Gather", words, ids)
    if places:
        x = b("Add", x, b("Gather", positions, places))
    else:
        ends = (b.integers(0), b.size(ids, 1), b.integers(0))
        x = b("Add", x, b("Slice", positions, *ends))
    if segments:
        x = b("Add", x, b("Gather", kinds, segments))
    if mask:
        lengths = b("ReduceSum", mask, b.integers(1), keepdims=0)
    else:
        none = onnx.helper.make_tensor("none", TensorProto.INT32, [1], [0])
        lengths = b("ConstantOfShape", b.size(ids, 0), value=none)
    return [_norm(b, x, gamma, beta), lengths, x]


def _group_norm(b: _Body) -> List[str]:
    """Of [B, H, W, C]; outputs: the normalized sum, and the sum."""
    x, gamma, beta, skip, bias = b.takes("x", "gamma", "beta", "skip?", "bias?")
    if not b.attribute("channels_last", 1):
        b.refuse("of channels that are not last")
    if skip:
        if b.get_rank(skip) == 2:
            skip = b("Unsqueeze", skip, b.integers(1, 2))
        x = b("Add", x, skip)
    x = b("Add", x, bias) if bias else x
    first = b("Transpose", _wide(b, x), perm=(0, 3, 1, 2))
    groups = b("Reshape", first, b.integers(0, b.attribute("groups", 0), -1))
    count = b("Cast", b.size(groups, -1), to=TensorProto.FLOAT)
    y = _normalized(b, _centred(b, groups, count), count, b.attribute("epsilon", 1e-5))
    y = b("Transpose", b("Reshape", y, b("Shape", first)), perm=(0, 2, 3, 1))
    y = b("Add", b("Mul", y, _wide(b, gamma)), _wide(b, beta))
    if b.attribute("activation", 0):
        y = b("Mul", y, b("Sigmoid", y))
    return [b("CastLike", y, x), x]


# ------------------------------------------------------------------ the rest


def _gelu_of(b: _Body, x: str) -> str:
    erf = b("Erf", b("Mul", x, b.number(math.sqrt(0.5), x)))
    half = b("Mul", x, b.number(0.5, x))
    return b("Mul", half, b("Add", erf, b.number(1.0, x)))


def _gelu(b: _Body) -> List[str]:
    x, bias = b.takes("x", "bias?")
    return [_gelu_of(b, b("Add", x, bias) if bias else x)]


def _fast_gelu(b: _Body) -> List[str]:
    x, bias = b.takes("x", "bias?")
    x = b("Add", x, bias) if bias else x
    cube = b("Mul", b("Mul", b("Mul", x, x), x), b.number(0.044715, x))
    inner = b("Mul", b("Add", x, cube), b.number(math.sqrt(2 / math.pi), x))
    half = b("Mul", x, b.number(0.5, x))
    return [b("Mul", half, b("Add", b("Tanh", inner), b.number(1.0, x)))]


def _quick_gelu(b: _Body) -> List[str]:
    (x,) = b.takes("x")
    alpha = b.number(b.attribute("alpha", 1.702), x)
    return [b("Mul", x, b("Sigmoid", b("Mul", x, alpha)))]


def _bias_split_gelu(b: _Body) -> List[str]:
    x, bias = b.takes("x", "bias")
    x = b("Add", x, bias)
    half = b("Div", b.size(x, -1), b.integers(2))
    ends, axes = (b.integers(0), half, b.integers(2**62)), b.integers(-1)
    left, right = (b("Slice", x, ends[i], ends[i + 1], axes) for i in range(2))
    return [b("Mul", left, _gelu_of(b, right))]


def _bias_add(b: _Body) -> List[str]:
    x, bias, skip = b.takes("x", "bias", "skip")
    return [b("Add", b("Add", x, bias), skip)]


def _fused_matmul(b: _Body) -> List[str]:
    operands = []
    for name, letter in zip(b.takes("a", "b"), "AB"):
        rank = b.get_rank(name)
        perm = list(range(rank))
        if b.attribute(f"transBatch{letter}", 0) and rank > 2:
            # Rows come first, the batch behind them.
            perm = [*perm[1:-1], 0, rank - 1]
        if b.attribute(f"trans{letter}", 0) and rank > 1:
            perm[-2:] = perm[:-3:-1]
        if perm != list(range(rank)):
            name = b("Transpose", name, perm=perm)
        operands.append(name)
    y = b("MatMul", *operands)
    alpha = b.attribute("alpha", 1.0)
    return [y if alpha == 1.0 else b("Mul", y, b.number(alpha, y))]


def _activated(b: _Body, op: str, inputs: Sequence[str], **fixed: Any) -> str:
    """A node of the standard and the activation that was fused with it."""
    own = {"activation", "activation_params"}
    attributes = {
        a.name: onnx.helper.get_attribute_value(a)
        for a in b.call.attribute
        if a.name not in own and not a.name.startswith("activation_")
    }
    y = b(op, *inputs, **attributes, **fixed)
    activation = b.attribute("activation", "")
    parameters = b.attribute("activation_params", [])
    if activation in ("Relu", "Sigmoid", "Tanh"):
        return b(activation, y)
    if activation == "LeakyRelu":
        alpha = parameters[0] if parameters else b.attribute("activation_alpha", 0.01)
        return b("LeakyRelu", y, alpha=alpha)
    if activation == "Clip" and len(parameters) == 2:
        return b("Clip", y, *(b.number(bound, y) for bound in parameters))
    if activation:
        b.refuse(f"with the activation '{activation}'")
    return y


def _fused_conv(b: _Body) -> List[str]:
    x, weight, bias, added = b.takes("x", "w", "b?", "z?")
    if added:
        b.refuse("with a sum before its activation")
    return [_activated(b, "Conv", [x, weight, *([bias] if bias else [])])]


def _fused_gemm(b: _Body) -> List[str]:
    return [_activated(b, "Gemm", [name for name in b.takes("a", "b", "c?") if name])]


def _nhwc_conv(b: _Body) -> List[str]:
    """[B, H, W, C], and weights [O, h, w, C]."""
    x, weight, bias = b.takes("x", "w", "b?")
    first = (0, 3, 1, 2)
    operands = [b("Transpose", name, perm=first) for name in (x, weight)]
    y = _activated(b, "Conv", [*operands, *([bias] if bias else [])])
    return [b("Transpose", y, perm=(0, 2, 3, 1))]


_FUNCTIONS: Dict[str, Callable[[_Body], List[str]]] = {
    "Attention": _attention,
    "BiasAdd": _bias_add,
    "BiasGelu": _gelu,
    "BiasSplitGelu": _bias_split_gelu,
    "EmbedLayerNormalization": _embedding_norm,
    "FastGelu": _fast_gelu,
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "Gelu": _gelu,
    "GroupNorm": _group_norm,
    "MultiHeadAttention": _multi_head_attention,
    "NhwcConv": _nhwc_conv,
    "QuickGelu": _quick_gelu,
    "SimplifiedLayerNormalization": _simplified_norm,
    "SkipGroupNorm": _group_norm,
    "SkipLayerNormalization": _skip_norm,
    "SkipSimplifiedLayerNormalization": _skip_norm,
}


def is_contrib(node: NodeProto) -> bool:
    """Whether ``write_function`` knows it. One of them is in the standard's domain, where
    ONNX Runtime has put it."""
    if node.op_type == "SimplifiedLayerNormalization":
        return node.domain in ("", DOMAIN)
    return node.domain == DOMAIN and node.op_type in _FUNCTIONS


def write_function(
    call: NodeProto, types: Types, opset: int
) -> Optional[FunctionProto]:
    """What a call computes; None where types that are not known yet decide.

    Raises:
        Error: it is a form of the op that cannot be imported.
    """
    body = _Body(call, types)
    if opset < OLDEST_OPSET:
        body.refuse(f"in a model of opset {opset} (15 is needed)")
    try:
        results = _FUNCTIONS[call.op_type](body)
    except Unknown:
        return None
    outputs = []
    for i, name in enumerate(call.output):
        if name and (i >= len(results) or not results[i]):
            body.refuse(f"with its output {i} in use")
        outputs.append(results[i] if name else "")
    imports = [onnx.helper.make_opsetid("", opset)]
    return onnx.helper.make_function(
        "", call.op_type, body.inputs, outputs, body.nodes, imports
    )
