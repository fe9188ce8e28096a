"""Idioms of a graph that become one step: norms of plain ops, activations and dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.idioms.find import DROPOUT, Found, find_idioms
from porter.graph.analysis.idioms.table import NORMS, RULES
from porter.graph.analysis.idioms.terms import Match, Term, match, op_of, parse, roots
from porter.graph.codegen.context import Context, plain
from porter.graph.codegen.ops.matrix import add_linear
from porter.graph.codegen.ops.norm import add_batch_norm
from porter.graph.codegen.ops.reduction import add_global_pool
from porter.graph.codegen.step import Literal, Weight
from porter.graph.codegen.tensor import Tensor
from porter.graph.graph import Node, Ref

RUNNING_DROPOUT = "RunningDropout"
"""The helper that stands for dropout in inference."""
_SPREAD = {
    "deviation": ("Sqrt(Add(variance, #epsilon))", "Pow(Add(variance, #epsilon), #0.5)"),
    "inverse": (
        "Rsqrt(Add(variance, #epsilon))", "Pow(Add(variance, #epsilon), #-0.5)", "Reciprocal(deviation)",
        "RealDiv(#1, deviation)",
    ),
}  # fmt: skip
"""The epsilon of torch's norms stands under the root."""
_OF_BATCH = RULES | _SPREAD
_MOVING = _OF_BATCH | {"mean": ("%mean",), "variance": ("%variance",)}
_Step = Callable[[Context, Node, Match], bool]


def _moving_norm(c: Context, node: Node, fits: Match) -> bool:
    """A batch norm under moving averages."""
    refs = [fits.tensors.get(f"%{role}") for role in ("gamma", "beta", "mean", "variance")]
    x = fits.tensors["$x"]
    channels = c.shape(x)[-1]
    for ref in refs:
        if ref is not None and (not c.vector(ref) or c.shape(ref)[-1] != channels):
            return False
    add_batch_norm(c, node, x, refs, fits.numbers["epsilon"], nodes=unique(fits.nodes))
    return True


def _norm(c: Context, node: Node, fits: Match) -> bool:
    """A norm under statistics of the input: instance norm over space, layer norm over the channels or all."""
    x, axes = fits.tensors["$x"], c.value(fits.tensors["%axes"])
    shape = c.shape(x)
    channels, rank = shape[-1], len(shape)
    if axes is None or channels is None or rank < 2:
        return False
    over = sorted(int(axis) % rank for axis in axes.reshape(-1).tolist())
    weights = _affine(c, fits, channels)
    if weights is None:
        return False
    affine, epsilon = bool(weights), fits.numbers["epsilon"]
    arguments: dict[str, Literal]
    if over == list(range(1, rank - 1)) and rank in (4, 5):
        module, arguments = f"nn.InstanceNorm{rank - 2}d", {"num_features": channels, "eps": epsilon, "affine": affine}
    elif over == list(range(1, rank)) and rank >= 3:
        module, arguments = (
            "nn.GroupNorm",
            {"num_groups": 1, "num_channels": channels, "eps": epsilon, "affine": affine},
        )
    elif over == [rank - 1]:
        module = "nn.LayerNorm"
        arguments = {"normalized_shape": channels, "eps": epsilon, "elementwise_affine": affine}
    else:
        return False
    tensor = c.last(x) if module == "nn.LayerNorm" else c.first(x)
    given = {weight.attribute for weight in weights}
    fills = {role: fill for role, fill in (("weight", 1.0), ("bias", 0.0)) if affine and role not in given}
    c.module(
        node, tensor, module, arguments, weights, first=tensor.first, what="norm", fills=fills, nodes=unique(fits.nodes)
    )
    return True


def _affine(c: Context, fits: Match, channels: int) -> list[Weight] | None:
    """Return a norm's weight and bias; None where one is not a weight for each channel."""
    found = []
    for role, attribute in (("%gamma", "weight"), ("%beta", "bias")):
        ref = fits.tensors.get(role)
        if ref is None:
            continue
        if not c.vector(ref) or c.shape(ref)[-1] != channels:
            return None
        found.append(Weight(c.vector(ref), attribute, (), (channels,)))
    return found


def _dense(c: Context, node: Node, fits: Match) -> bool:
    """A layer of Linear on the last axis, for which tf.tensordot joins all other axes and parts them again."""
    x, order = fits.tensors["$x"], fits.tensors.get("&order")
    kernel, shape = fits.tensors["%kernel"], c.shape(x)
    axes = c.value(order) if order is not None else np.arange(len(shape))
    before, after = ([run[ref] for run in c.facts.runs] for ref in (x, Ref(node.name)))
    apart = any(a is None or b is None or a[:-1] != b[:-1] for a, b in zip(before, after, strict=True))
    if len(shape) < 3 or axes is None or axes.tolist() != [*range(len(shape))] or apart:
        return False
    product = next(c.graph.nodes[name] for name in fits.nodes if c.graph.nodes[name].op == "MatMul")
    if c.shape(kernel)[-1 if product.flag("transpose_b") else 0] != shape[-1]:
        return False  # it joins more axes than the last
    return add_linear(c, product, c.last(x), node, kernel, unique(fits.nodes))


def _pooled(c: Context, node: Node, fits: Match) -> bool:
    """A global average of each channel as a map of 1x1: squeeze-and-excitation's, as Keras writes it."""
    x, axes, shape = fits.tensors["$x"], c.value(fits.tensors["%axes"]), c.shape(Ref(node.name))
    tensor = c.tensor(x)
    if axes is None or tensor.rank != 4 or not tensor.first or sorted(axes.ravel() % 4) != [1, 2]:
        return False
    if shape != (tensor.shape[0], 1, 1, tensor.shape[-1]):
        return False
    add_global_pool(c, node, tensor, unique(fits.nodes))
    return True


def _activation(module: str, **numbers: str) -> _Step:
    """Return what adds the step of an activation; ``numbers`` maps its arguments to the pattern's constants."""

    def add(c: Context, node: Node, fits: Match) -> bool:
        tensor = c.tensor(fits.tensors["$x"])
        arguments: dict[str, Literal] = {}
        for argument, name in numbers.items():
            value = c.value(fits.tensors[name])
            if value is None or value.size != 1:
                return False
            arguments[argument] = plain(value)
        slope = arguments.get("negative_slope", 0.5)
        if not isinstance(slope, float) or not 0 < slope < 1:
            return False
        c.module(node, tensor, module, arguments, first=tensor.first, nodes=unique(fits.nodes), what=module[3:].lower())
        return True

    return add


def _prelu(c: Context, node: Node, fits: Match) -> bool:
    """A slope for each channel; one for each pixel too stays as it is."""
    x, slope = fits.tensors["$x"], fits.tensors["%slope"]
    channels = c.shape(x)[-1]
    if channels is None or len(c.shape(x)) < 2 or not c.vector(slope) or c.shape(slope)[-1] != channels:
        return False
    tensor = c.first(x)
    weights = [Weight(c.vector(slope), "weight", (), (channels,))]
    arguments: dict[str, Literal] = {"num_parameters": channels}
    c.module(node, tensor, "nn.PReLU", arguments, weights, first=tensor.first, nodes=unique(fits.nodes), what="prelu")
    return True


_TABLE: tuple[tuple[tuple[str, ...], _Step, dict[str, tuple[str, ...]]], ...] = (
    (("Reshape(Mean($x, %axes), ?)",), _pooled, RULES),
    (NORMS, _moving_norm, _MOVING),
    (NORMS, _norm, _OF_BATCH),
    (
        (
            "Reshape(MatMul(Reshape(Transpose($x, &order), ?), %kernel), ?)",
            "Reshape(MatMul(Reshape($x, ?), %kernel), ?)",
        ),
        _dense,
        RULES,
    ),
    (
        ("Minimum(Maximum($x, #0), #6)", "Maximum(Minimum($x, #6), #0)", "Minimum(Relu($x), #6)"),
        _activation("nn.ReLU6"),
        RULES,
    ),
    (("RealDiv(Mul($x, shifted($x)), #6)", "Mul($x, RealDiv(shifted($x), #6))"), _activation("nn.Hardswish"), RULES),
    (("RealDiv(shifted($x), #6)",), _activation("nn.Hardsigmoid"), RULES),
    (("Mul($x, Sigmoid($x))", "Mul($x, Sigmoid(Mul($x, #1)))"), _activation("nn.SiLU"), RULES),
    (("Maximum($x, Mul($x, &slope))",), _activation("nn.LeakyReLU", negative_slope="&slope"), RULES),
    (("Sub(Relu($x), Mul(Relu(Neg($x)), &slope))",), _activation("nn.LeakyReLU", negative_slope="&slope"), RULES),
    (("Mul($x, Tanh(Softplus($x)))",), _activation("nn.Mish"), RULES),
    (
        (
            "Add(Maximum($x, #0), Mul(Minimum($x, #0), %slope))",
            "Add(Relu($x), Mul(Mul(Sub($x, Abs($x)), %slope), #0.5))",
            "Add(Relu($x), Mul(Mul(%slope, Sub($x, Abs($x))), #0.5))",
        ),
        _prelu,
        RULES,
    ),
)
_BY_ROOT: dict[str, list[tuple[Term, _Step]]] = {}
for _patterns, _step, _rules in _TABLE:
    for _pattern in _patterns:
        _term = parse(_pattern, _rules)
        for _op in sorted(roots(_term)):
            _BY_ROOT.setdefault(_op, []).append((_term, _step))


class Idioms:
    """The idioms of the data path by their last node. What they stand for has steps too, until `live_steps`."""

    def __init__(self, data: DataPath, context: Context, keeps: bool) -> None:
        self.data, self.context, self.keeps = data, context, keeps
        readers = dict(data.readers)
        self.dropouts = {name: idiom for name, idiom in find_idioms(data).items() if idiom.kind == DROPOUT}
        data.readers.update(readers)

    def lower(self, node: Node) -> bool:
        """Add the step of an idiom that ends with ``node``; tell whether one does."""
        dropout = self.dropouts.get(node.name)
        if dropout is not None:
            _dropout(self.context, node, dropout, self.keeps)
            return True
        for term, step in _BY_ROOT.get(op_of(node), ()):
            fits = match(self.data, term, Ref(node.name))
            if fits is not None and step(self.context, node, fits):
                return True
        return False


def unique(nodes: Iterable[str]) -> tuple[str, ...]:
    """Return the nodes of a match, each once, in the order of the graph as far as a match tells."""
    return tuple(reversed(dict.fromkeys(nodes)))


def _dropout(c: Context, node: Node, idiom: Found, keeps: bool) -> None:
    """Dropout: nn.Dropout, which rests in inference. Where its rate is a constant, the graph keeps it running.

    ``keeps`` writes that as a module which runs in inference too.
    """
    rate = idiom.numbers.get("rate", 0.5)
    tensor: Tensor = c.tensor(Ref(idiom.x))
    if rate == 0:
        c.alias(node, tensor)
        return
    nodes = unique(idiom.nodes)
    random = len(nodes) > 1 and "rate" in idiom.numbers
    module, helpers = (RUNNING_DROPOUT, {RUNNING_DROPOUT}) if random and keeps else ("nn.Dropout", set())
    c.module(node, tensor, module, {"p": rate}, first=tensor.first, what="dropout", nodes=nodes, helpers=helpers)
    c.steps[-1].random, c.steps[-1].masked = random, idiom.x if len(nodes) > 1 else ""
