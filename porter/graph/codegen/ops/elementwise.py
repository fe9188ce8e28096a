"""Elementwise ops of one or two tensors, and ops that return their input."""

from __future__ import annotations

from porter.graph.codegen.context import FLOATS, Context, Lowerings
from porter.graph.codegen.operands import Operands
from porter.graph.graph import Node, Ref

LOWERINGS = Lowerings()
_OPERATORS = {
    "Add": "+", "AddV2": "+", "BiasAdd": "+", "Sub": "-", "Mul": "*", "RealDiv": "/", "Div": "/", "Pow": "**",
    "Greater": ">", "GreaterEqual": ">=", "Less": "<", "LessEqual": "<=", "Equal": "==", "NotEqual": "!=",
    "LogicalAnd": "&", "LogicalOr": "|", "FloorDiv": "//", "FloorMod": "%",
}  # fmt: skip
_UNARY = {
    "Abs": "{0}.abs()", "Neg": "-{0}", "Exp": "{0}.exp()", "Log": "{0}.log()", "Log1p": "{0}.log1p()",
    "Sqrt": "{0}.sqrt()", "Rsqrt": "{0}.rsqrt()", "Square": "{0}.square()", "Sign": "{0}.sign()",
    "Floor": "{0}.floor()", "Ceil": "{0}.ceil()", "Round": "{0}.round()", "Rint": "{0}.round()", "Erf": "{0}.erf()",
    "Reciprocal": "{0}.reciprocal()", "Inv": "{0}.reciprocal()", "Sin": "{0}.sin()", "Cos": "{0}.cos()",
    "LogicalNot": "~{0}", "ZerosLike": "torch.zeros_like({0})", "OnesLike": "torch.ones_like({0})",
    "Expm1": "{0}.expm1()", "Erfc": "{0}.erfc()", "Tan": "{0}.tan()", "Sinh": "{0}.sinh()", "Cosh": "{0}.cosh()",
    "Asin": "{0}.asin()", "Acos": "{0}.acos()", "Atan": "{0}.atan()", "Asinh": "{0}.asinh()", "Acosh": "{0}.acosh()",
    "Atanh": "{0}.atanh()",
}  # fmt: skip


@LOWERINGS.of("Identity StopGradient PreventGradient CheckNumerics EnsureShape Snapshot PlaceholderWithDefault")
def passed(c: Context, node: Node) -> None:
    c.alias(node, c.tensor(node.inputs[0]))


@LOWERINGS.of("IdentityN")
def all_passed(c: Context, node: Node) -> None:
    for slot, ref in enumerate(node.inputs):
        c.alias(node, c.tensor(ref), slot)


@LOWERINGS.of(*_OPERATORS)
def operator(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    first = binary_layout(c, node)
    channels_first = node.op == "BiasAdd" and node.channels_first
    a, b = (operand(c, o, ref, node, first, channels_first and at == 1) for at, ref in enumerate(node.inputs[:2]))
    c.expression(node, o, f"{a} {_OPERATORS[node.op]} {b}", first=first, what=_WORDS.get(node.op, node.op.lower()))


_WORDS = {"AddV2": "add", "BiasAdd": "add", "RealDiv": "divide", "Div": "divide", "Sub": "subtract", "Mul": "multiply"}


def binary_layout(c: Context, node: Node) -> bool:
    """Tell whether an elementwise result has its channels second: where one of its operands of this rank has."""
    rank = len(c.shape(Ref(node.name)))
    tensors = [c.tensor(ref) for ref in node.inputs if c.is_data(ref)]
    return any(tensor.first and tensor.rank == rank for tensor in tensors)


def operand(c: Context, o: Operands, ref: Ref, node: Node, first: bool, channel: bool = False) -> str:
    """Return the text of an operand that is broadcast to the shape of ``node``."""
    rank = len(c.shape(Ref(node.name)))
    text = c.scalar(o, ref)
    if text:
        return text
    name = c.weight(ref) or c.vector(ref)
    if not name:
        return o.aligned(c.tensor(ref), rank, first)
    shape = tuple(size or 0 for size in c.shape(ref))
    if channel:  # BiasAdd in NCHW
        return o.weight(name, (), (*shape, *[1] * (rank - 2)), c.is_constant(name))
    return o.aligned_weight(name, shape, rank, first, c.is_constant(name))


@LOWERINGS.of("Maximum Minimum SquaredDifference")
def function(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    first = binary_layout(c, node)
    texts = [operand(c, o, ref, node, first) for ref in node.inputs]
    if node.op == "SquaredDifference":
        c.expression(node, o, f"({texts[0]} - {texts[1]}).square()", first=first)
        return
    alone = [bool(c.scalar(Operands(c.tensor), ref)) for ref in node.inputs]  # numbers, and sizes of the image
    bound = "min" if node.op == "Maximum" else "max"
    if any(alone) and not all(alone):
        other, number = texts[alone.index(False)], texts[alone.index(True)]
        c.expression(node, o, f"{other}.clamp({bound}={number})", first=first, what="clamp")
    else:
        c.expression(node, o, f"torch.{node.op.lower()}({texts[0]}, {texts[1]})", first=first)


@LOWERINGS.of("Atan2")
def angle(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    first = binary_layout(c, node)
    texts = [operand(c, o, ref, node, first) for ref in node.inputs]
    numbers = [bool(c.scalar(Operands(c.tensor), ref)) for ref in node.inputs]
    a, b = (
        f"torch.full_like({other}, {text})" if number else text
        for text, other, number in zip(texts, texts[::-1], numbers, strict=True)
    )
    c.expression(node, o, f"torch.atan2({a}, {b})", first=first, what="angle")


@LOWERINGS.of("DivNoNan")
def divide_or_zero(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    first = binary_layout(c, node)
    a, b = (operand(c, o, ref, node, first) for ref in node.inputs)
    c.expression(node, o, f"torch.where({b} == 0, 0.0, {a} / {b})", first=first, what="divide")


@LOWERINGS.of(*_UNARY)
def unary(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    o(tensor)
    c.expression(node, o, _UNARY[node.op], first=tensor.first)


@LOWERINGS.of("AddN AccumulateNV2")
def add_all(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    first = binary_layout(c, node)
    texts = [operand(c, o, ref, node, first) for ref in node.inputs]
    c.expression(node, o, " + ".join(texts), first=first, what="add")


@LOWERINGS.of("Cast")
def cast(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    source, target = (node.attr(key).type for key in ("SrcT", "DstT"))
    fed = node.inputs[0].node in c.fed
    if (source in FLOATS and target in FLOATS) or (fed and target in FLOATS):
        c.alias(node, tensor)
        return
    o = Operands(c.tensor)
    if target in FLOATS:
        text = f"{o(tensor)}.to(torch.get_default_dtype())"
    elif target == 10:
        text = f"{o(tensor)}.bool()"
    else:
        text = f"{o(tensor)}.long()"
    c.expression(node, o, text, first=tensor.first, what="cast")
