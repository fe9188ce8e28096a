"""multiply_adds: the products that a convolution or matrix product computes for a graph's batch: one where it is open.

Products with padding count, as in torch.utils.flop_counter, whose FLOPs are twice the multiply-adds.
"""

from __future__ import annotations

import math

from porter.graph.graph import VARIABLE_OPS, Node
from porter.graph.shape_inference import RULES
from porter.graph.shapes import Shape, Shapes

CONTROL_FLOW = frozenset("While StatelessWhile If StatelessIf Case StatelessCase".split())
"""Ops that call library functions as often as the data decides, so that their cost is unknown."""


def is_known(op: str) -> bool:
    """Tell whether porter knows what ``op`` costs: it counts it, or knows it as an op without products."""
    return op in COUNTED or op in RULES or op in CONTROL_FLOW


def multiply_adds(node: Node, shapes: Shapes) -> int | None:
    """Return the products that ``node`` computes: 0 for ops that are not counted, None if a shape is unknown."""
    if node.op in CONTROL_FLOW:
        return None
    return COUNTED[node.op](node, shapes) if node.op in COUNTED else 0


def _input(node: Node, shapes: Shapes, index: int) -> Shape:
    """Return an input's shape, None if it is unknown or missing, as it may be in a damaged graph."""
    return shapes[node.inputs[index]] if len(node.inputs) > index else None


def _convolution(node: Node, shapes: Shapes) -> int | None:
    kernel = _input(node, shapes, 1)  # an output value is a dot product over the kernel and its input channels
    return _product(shapes.of(node.name), kernel[:-1] if kernel else None)


def _depthwise(node: Node, shapes: Shapes) -> int | None:
    kernel = _input(node, shapes, 1)
    return _product(shapes.of(node.name), kernel[:2] if kernel else None)


def _transposed(node: Node, shapes: Shapes) -> int | None:
    kernel = _input(node, shapes, 1)  # reads (sizes, HWOI kernel, values): each value meets the whole kernel
    return _product(_input(node, shapes, 2), kernel[:3] if kernel else None)


def _matrix(node: Node, shapes: Shapes) -> int | None:
    first = _input(node, shapes, 0)
    transposed = node.flag("transpose_a") or node.flag("adj_x")
    inner = (first[-2 if transposed else -1],) if first and len(first) > 1 else None
    return _product(shapes.of(node.name), inner)


def _einsum(node: Node, shapes: Shapes) -> int | None:
    """Return a product for each combination of indices; an equation with an ellipsis leaves them open."""
    terms = node.text("equation").partition("->")[0].split(",")
    sizes: dict[str, int | None] = {}
    for index, term in enumerate(terms):
        shape = _input(node, shapes, index)
        if shape is None or len(shape) != len(term) or "." in term:
            return None
        sizes |= dict(zip(term, shape, strict=True))
    return _product(tuple(sizes.values())) if len(terms) > 1 else 0


def _recurrent(node: Node, shapes: Shapes) -> int | None:
    """Return the products of a whole recurrent layer: each of its matrices meets each step.

    A Keras config tells the products ``each`` step has; a bias of two rows is no matrix.
    """
    steps = _product((_input(node, shapes, 0) or (None,))[:-1])
    if steps is None or node.integer("each"):
        return None if steps is None else steps * node.integer("each")
    each = [_product(shape) for shape in _weights(node, shapes) if shape is None or len(shape) == 2]
    return None if None in each else steps * sum(count or 0 for count in each)


def _attention(node: Node, shapes: Shapes) -> int | None:
    """Return the products of a Keras MultiHeadAttention: its projections, its scores, and the sum that these weigh."""
    query, value = _input(node, shapes, 0), _input(node, shapes, 1)
    if query is None or value is None or len(query) != 3 or query != value:
        return None
    each = [_product(query[:-1], shape) for shape in _weights(node, shapes) if shape is None or len(shape) == 3]
    scores = _product((query[0], query[1], query[1], node.integer("heads"), node.integer("each")))
    return None if None in each or scores is None else sum(count or 0 for count in each) + scores


def _weights(node: Node, shapes: Shapes) -> list[Shape]:
    nodes = shapes.graph.nodes
    return [shapes[ref] for ref in node.inputs if ref.node in nodes and nodes[ref.node].op in _STORED]


_STORED = VARIABLE_OPS | {"Const"}
RECURRENT = frozenset(
    "LSTM GRU SimpleRNN UNIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN "
    "BIDIRECTIONAL_SEQUENCE_RNN RNN".split()
)
"""Whole recurrent layers: those of Keras and TensorFlow Lite."""
_COUNTERS = {
    "Conv2D Conv3D _FusedConv2D FusedConv2D": _convolution,
    "DepthwiseConv2dNative FusedDepthwiseConv2dNative _FusedDepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed,
    "MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3 _FusedMatMul FusedMatMul": _matrix,
    "Einsum": _einsum,
    " ".join(RECURRENT): _recurrent,
    "MultiHeadAttention": _attention,
}
COUNTED = {op: counter for ops, counter in _COUNTERS.items() for op in ops.split()}
"""How the products of each op are counted. Optimizers write _Fused ops; TensorFlow.js writes them without the _."""


def _product(*shapes: Shape) -> int | None:
    sizes: list[int] = []
    for shape in shapes:
        if shape is None or None in shape:
            return None
        sizes += [size for size in shape if size is not None]
    return math.prod(sizes)
