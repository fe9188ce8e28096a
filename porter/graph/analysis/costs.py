"""multiply_adds: the products that a convolution or matrix product computes for a graph's batch: one where it is open.

Products with padding count, as in torch.utils.flop_counter, whose FLOPs are twice the multiply-adds.
"""

from __future__ import annotations

import math

from porter.graph.graph import Node
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


_COUNTERS = {
    "Conv2D Conv3D _FusedConv2D FusedConv2D": _convolution,
    "DepthwiseConv2dNative FusedDepthwiseConv2dNative _FusedDepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed,
    "MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3 _FusedMatMul FusedMatMul": _matrix,
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
