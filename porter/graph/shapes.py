"""Shapes of a graph's tensors, and the registry of rules that compute them.

A shape is a tuple of sizes; an unknown size is None. A tensor of unknown rank has the shape None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from porter.graph.graph import Graph, Node, Ref

Shape = tuple[int | None, ...] | None

LARGEST_VALUE = 64
"""Constants with more elements are not evaluated: no tensor has that many axes."""
MOST_OUTPUTS = 4096
"""An op that claims more outputs is damaged."""


class Shapes:
    """The shapes of ``graph``'s tensors for a batch of one, and the values of its small integer constants.

    ``size`` replaces the image height and width where the graph leaves them open; ``assumed`` lists those nodes.
    """

    def __init__(self, graph: Graph, size: int | None = None) -> None:
        self.graph = graph
        self.size = size
        self.shapes: dict[Ref, Shape] = {}
        self.values: dict[Ref, np.ndarray] = {}
        self.assumed: list[str] = []

    def __getitem__(self, ref: Ref) -> Shape:
        return self.shapes.get(ref)

    def of(self, name: str) -> Shape:
        """Return the shape of a node's first output."""
        return self.shapes.get(Ref(name))

    def input(self, node: Node, index: int = 0) -> Shape:
        """Return an input's shape. Raises IndexError if the node has fewer inputs."""
        return self.shapes.get(node.inputs[index])

    def known(self, node: Node, index: int = 0) -> tuple[int | None, ...]:
        """Return an input's shape. Raises TypeError if its rank is unknown, IndexError if there is no such input."""
        shape = self.input(node, index)
        if shape is None:
            raise TypeError
        return shape

    def value(self, node: Node, index: int) -> np.ndarray:
        """Return an input's value. Raises KeyError if it is unknown, IndexError if there is no such input."""
        return self.values[node.inputs[index]]

    def value_or_none(self, node: Node, index: int = 0) -> np.ndarray | None:
        """Return an input's value, or None if it is unknown. Raises IndexError if there is no such input."""
        return self.values.get(node.inputs[index])

    def ints(self, node: Node, index: int) -> list[int]:
        """Return an input's value as integers. Raises as ``value`` does, and TypeError if an integer is unknown."""
        return [int(number) for number in np.atleast_1d(self.value(node, index)).tolist()]

    def pairs(self, node: Node, index: int) -> list[list[int]]:
        """Return an input's value as pairs of integers, such as the pads before and after each axis."""
        return np.asarray(self.value(node, index)).reshape(-1, 2).tolist()  # type: ignore[no-any-return]

    def set(self, node: Node, shape: Sequence[int | None] | None, index: int = 0) -> None:
        """Set the shape of a node's output."""
        self.shapes[Ref(node.name, index)] = None if shape is None else tuple(shape)

    def set_value(self, node: Node, value: Any) -> None:
        """Set the value of a node's first output, and its shape."""
        array = np.asarray(value)
        if array.dtype.kind not in "US":
            self.values[Ref(node.name)] = array
        self.set(node, array.shape)

    def recorded(self, node: Node) -> Shape:
        """Return the shape that TensorFlow stored for a node's first output in ``_output_shapes``, or None.

        An open first axis is the batch of images; of other tensors, it may count steps or words too, and stays open.
        """
        stored = node.attr("_output_shapes")
        shape = proto_shape(stored.list.shape[0]) if stored is not None and stored.list.shape else None
        return batch_of_one(shape) if shape is not None and len(shape) >= 4 else shape


Rule = Callable[[Shapes, Node], None]


class Rules(dict[str, Rule]):
    """Shape rules by op.

    A rule sets the shapes of its node's outputs. It may raise TypeError, ValueError, IndexError or KeyError if an
    input is missing or unknown.
    """

    def of(self, *ops: str) -> Callable[[Rule], Rule]:
        """Register the decorated function for ``ops``: strings of names with spaces between them."""

        def register(rule: Rule) -> Rule:
            self.update(dict.fromkeys(" ".join(ops).split(), rule))
            return rule

        return register


def proto_shape(proto: Any) -> Shape:
    """Return a TensorShapeProto as a shape."""
    if proto is None or proto.unknown_rank:
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in proto.dim)


def batch_of_one(shape: Shape) -> Shape:
    """Return the shape with an open first axis, the batch, set to 1."""
    return (1, *shape[1:]) if shape and shape[0] is None else shape


def broadcast(a: Shape, b: Shape) -> Shape:
    """Return the shape of an elementwise result of two shapes."""
    if a is None or b is None:
        return None
    length = max(len(a), len(b))
    a, b = (1,) * (length - len(a)) + a, (1,) * (length - len(b)) + b
    return tuple(_broadcast_size(x, y) for x, y in zip(a, b, strict=True))


def _broadcast_size(x: int | None, y: int | None) -> int | None:
    if y == 1 or x == y:
        return x
    # An unknown size must be 1 or equal to a known one, so the known size is the result.
    return x if y is None and x != 1 else y


def size_text(sizes: Sequence[int | None]) -> str:
    """Return sizes as ``3x3``, with ? for an unknown one."""
    return "x".join("?" if size is None else str(size) for size in sizes)


def shape_text(shape: Shape, unknown: str = "unknown") -> str:
    """Return a whole shape, batch included, as ``1x7x7x1024``; ``unknown`` stands for an unknown rank."""
    return unknown if shape is None else size_text(shape) or "scalar"
