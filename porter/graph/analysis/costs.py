"""Multiply-adds: one for each product that a convolution or matrix product computes, for a batch of one.

Products with padding count, as they do in torch.utils.flop_counter, whose FLOPs are twice these.
"""

from __future__ import annotations

import math

from porter.graph.graph import Node
from porter.graph.shapes import Shape, Shapes

CONTROL_FLOW = frozenset("While StatelessWhile If StatelessIf Case StatelessCase".split())
"""Ops that run functions of the graph's library as often as the data says: what these compute is not known."""

COUNTED = frozenset(
    "Conv2D DepthwiseConv2dNative Conv3D Conv2DBackpropInput MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3".split()
)


def multiply_adds(node: Node, shapes: Shapes) -> int | None:
    """Return how many products ``node`` computes: 0 for an op that is not counted, None where that is unknown."""
    if node.op in CONTROL_FLOW:
        return None
    if node.op not in COUNTED:
        return 0
    out = shapes.of(node.name)
    # A damaged graph may have ops that lack inputs.
    first, second, third = [*(shapes.shapes.get(ref) for ref in node.inputs[:3]), None, None, None][:3]
    match node.op:
        case "Conv2D" | "Conv3D":  # each output value is a dot product over the kernel and its input channels
            return _product(out, second[:-1] if second else None)
        case "DepthwiseConv2dNative":
            return _product(out, second[:2] if second else None)
        case "Conv2DBackpropInput":  # (sizes, filter HWOI, values): each input value meets the whole kernel
            return _product(third, first_of(second, 3))
    transposed = any(flag is not None and flag.b for flag in (node.attr("transpose_a"), node.attr("adj_x")))
    return _product(out, (first[-2 if transposed else -1],) if first and len(first) > 1 else None)


def first_of(shape: Shape, count: int) -> Shape:
    """Return a shape's first axes."""
    return shape[:count] if shape is not None else None


def _product(*shapes: Shape) -> int | None:
    sizes: list[int] = []
    for shape in shapes:
        if shape is None or None in shape:
            return None
        sizes += [size for size in shape if size is not None]
    return math.prod(sizes)
