"""multiply_adds: the products that a convolution or matrix product computes for a graph's batch: one where it is open.

Products with padding count, as in torch.utils.flop_counter, whose FLOPs are twice the multiply-adds.
"""

from __future__ import annotations

import math

from porter.graph.graph import Node
from porter.graph.shapes import Shape, Shapes

CONTROL_FLOW = frozenset("While StatelessWhile If StatelessIf Case StatelessCase".split())
"""Ops that call library functions as often as the data decides, so that their cost is unknown."""

COUNTED = frozenset(
    "Conv2D DepthwiseConv2dNative Conv3D Conv2DBackpropInput MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3".split()
)


def multiply_adds(node: Node, shapes: Shapes) -> int | None:
    """Return the products that ``node`` computes: 0 for ops that are not counted, None if a shape is unknown."""
    if node.op in CONTROL_FLOW:
        return None
    if node.op not in COUNTED:
        return 0
    out = shapes.of(node.name)
    # In a damaged graph, an op may lack inputs.
    first, second, third = [*(shapes[ref] for ref in node.inputs[:3]), None, None, None][:3]
    match node.op:
        case "Conv2D" | "Conv3D":  # an output value is a dot product over the kernel and its input channels
            return _product(out, second[:-1] if second else None)
        case "DepthwiseConv2dNative":
            return _product(out, second[:2] if second else None)
        case "Conv2DBackpropInput":  # reads (sizes, HWOI kernel, values): each value meets the whole kernel
            return _product(third, second[:3] if second else None)
    transposed = node.flag("transpose_a") or node.flag("adj_x")
    return _product(out, (first[-2 if transposed else -1],) if first and len(first) > 1 else None)


def _product(*shapes: Shape) -> int | None:
    sizes: list[int] = []
    for shape in shapes:
        if shape is None or None in shape:
            return None
        sizes += [size for size in shape if size is not None]
    return math.prod(sizes)
