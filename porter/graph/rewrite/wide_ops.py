"""Pieces: what an op that TensorFlow computes in float32 alone is made of, for float64; local response norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from porter.graph.rewrite.freeze import constant

_DOUBLE, _INT32 = 2, 3


class Pieces:
    """Adds the pieces of one node to a GraphDef, under the node's scope."""

    def __init__(self, graph: Any, scope: str) -> None:
        self.graph, self.scope = graph, f"{scope}/wide"
        self.count = 0

    def __call__(self, op: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with an attribute T of float64, unless ``attributes`` states others; return its name."""
        self.count += 1
        node = self.graph.node.add(name=name or f"{self.scope}_{self.count}", op=op, input=inputs)
        for key, value in ({"T": _DOUBLE} | attributes).items():
            if value is None:
                continue
            if isinstance(value, list):
                node.attr[key].list.i.extend(value)
            elif isinstance(value, bytes):
                node.attr[key].s = value
            else:
                node.attr[key].type = value
        return str(node.name)

    def number(self, value: Any) -> str:
        """Add a constant of float64."""
        self.count += 1
        self.graph.node.append(constant(f"{self.scope}_{self.count}", np.asarray(value, np.float64)))
        return str(self.graph.node[-1].name)

    def integer(self, *values: int, shape: tuple[int, ...] = ()) -> str:
        """Add a constant of int32."""
        self.count += 1
        node = self.graph.node.add(name=f"{self.scope}_{self.count}", op="Const")
        tensor = node.attr["value"].tensor
        node.attr["dtype"].type = tensor.dtype = _INT32
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.int_val.extend(values)
        return str(node.name)

    def sums(self, x: str, axis: int) -> str:
        """Add the sums over an axis, which stays."""
        summed = self("Sum", x, self.integer(axis, shape=(1,)), Tidx=_INT32)
        self.graph.node[-1].attr["keep_dims"].b = True
        return summed

    def moments(self, x: str) -> tuple[str, str]:
        """Add the mean and the variance of every channel of NHWC maps."""
        axes = self.integer(0, 1, 2, shape=(3,))
        mean = self("Mean", x, axes, Tidx=_INT32)
        return mean, self("Mean", self("SquaredDifference", x, mean), axes, Tidx=_INT32)


def entry(add: Pieces, tensor: str, index: int) -> str:
    """Add one integer of a vector."""
    return add("GatherV2", tensor, add.integer(index), add.integer(0), T=None, Tparams=_INT32, Tindices=_INT32,
               Taxis=_INT32)  # fmt: skip


def reordered(add: Pieces, tensor: str, order: Sequence[int]) -> str:
    """Add the integers of a vector in another order."""
    return add("GatherV2", tensor, add.integer(*order, shape=(len(order),)), add.integer(0), T=None, Tparams=_INT32,
               Tindices=_INT32, Taxis=_INT32)  # fmt: skip


def open_local_response_norm(graph: Any, node: Any, bias: float, alpha: float, beta: float) -> None:
    """Add an LRN as x / (bias + alpha * sums of squares) ** beta; the sums are a pool over padded channels."""
    add = Pieces(graph, node.name)
    x = node.input[0]
    radius = node.attr["depth_radius"].i if "depth_radius" in node.attr else 5
    sums = add("Square", x)
    padded = add("Cumsum", _padded(add, sums, radius), add.integer(3), Tidx=_INT32)
    high, low = (_window(add, padded, start, 2 * radius + 1) for start in ("high", "low"))
    spread = add("Add", add("Mul", add("Sub", high, low), add.number(alpha)), add.number(bias))
    add("RealDiv", x, add("Pow", spread, add.number(beta)), name=node.name)


def _padded(add: Pieces, x: str, radius: int) -> str:
    return add("Pad", x, add.integer(*[0] * 6, radius + 1, radius, shape=(4, 2)), Tpaddings=_INT32)


def _window(add: Pieces, sums: str, end: str, size: int) -> str:
    """Add the cumulative sums at one end of every window of ``size`` channels."""
    shape = add("Shape", sums, out_type=_INT32)
    count = add("Sub", entry(add, shape, 3), add.integer(size), T=_INT32)
    start = add.integer(size if end == "high" else 0)
    index = add("Range", start, add("Add", start, count, T=_INT32), add.integer(1), T=None, Tidx=_INT32)
    return add("GatherV2", sums, index, add.integer(3), T=None, Tparams=_DOUBLE, Tindices=_INT32, Taxis=_INT32)
