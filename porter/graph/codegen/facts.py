"""Facts: which sizes and values of a graph are fixed, whatever the batch and the free sides of the images.

Shapes are inferred for two batches and, where the graph leaves them open, two heights and widths. What differs is free.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from tensorboard.compat.proto.node_def_pb2 import NodeDef

from porter.graph.codegen.step import Free
from porter.graph.graph import Graph, Node, Ref
from porter.graph.shape_inference import infer_node
from porter.graph.shapes import Shape, Shapes

_BATCHES = (19, 23, 29)
_SIDES = ((448, 576), (704, 832), (449, 579))
"""Open heights and widths of the runs: two of multiples of 64, which most networks' strides divide, and an odd one."""
_OTHERS = (11, 13, 17)


class Facts:
    """The fixed sizes and values of ``graph``'s tensors; ``inputs`` and their open sizes are given.

    ``batches`` are the two runs' batches.
    """

    def __init__(self, graph: Graph, inputs: Mapping[str, Free]) -> None:
        self.graph = graph
        self.inputs = inputs
        self.runs = [_run(graph, inputs, run) for run in (0, 1)]

    @cached_property
    def odd(self) -> Shapes:
        """A third run, of sides that strides do not divide: a relation of sizes may hold in the other two by chance."""
        return _run(self.graph, self.inputs, 2)

    def shape(self, ref: Ref) -> Free | None:
        """Return a tensor's shape with None for free sizes; None for an unknown rank."""
        first, second = (run[ref] for run in self.runs)
        if first is None or second is None or len(first) != len(second):
            return None
        return tuple(a if a == b else None for a, b in zip(first, second, strict=True))

    def same_shape(self, first: Ref, second: Ref) -> bool:
        """Tell whether two tensors have the same shape for every input."""
        return all(run[first] is not None and run[first] == run[second] for run in self.runs)

    def value(self, ref: Ref) -> np.ndarray | None:
        """Return the value of a small tensor that no input changes, or None."""
        first, second = (run.values.get(ref) for run in self.runs)
        if first is None or second is None or first.dtype == object or not np.array_equal(first, second):
            return None
        return first

    def sample(self, ref: Ref) -> Shape:
        """Return a tensor's shape in the first run."""
        return self.runs[0][ref]


def _run(graph: Graph, inputs: Mapping[str, Free], run: int) -> Shapes:
    """Infer the shapes of one run."""
    given = {name: _sizes(shape, run) for name, shape in inputs.items()}
    nodes = {name: _fed(node, given[name]) if name in given else node for name, node in graph.nodes.items()}
    shapes = Shapes(replace(graph, nodes=nodes))
    batches = {shape[0]: given[name][0] for name, shape in _stated(graph, inputs).items() if shape and shape[0]}
    for name in graph.order:
        infer_node(shapes, nodes[name])
        if nodes[name].op == "Reshape":
            _free_batch(shapes, nodes[name], batches)
    return shapes


def _sizes(shape: Free, run: int) -> tuple[int, ...]:
    """Return an input's sizes in a run: its batch is always free."""
    sides = iter(_SIDES[run])
    filled = [_BATCHES[run] if shape else 0]
    for size in shape[1:]:
        filled.append(size if size is not None else next(sides, _OTHERS[run]))
    return tuple(filled[: len(shape)])


def _fed(node: Node, sizes: Iterable[int]) -> Node:
    proto = NodeDef(name=node.name, op="Placeholder")
    for size in sizes:
        proto.attr["shape"].shape.dim.add(size=size)
    return Node(node.name, "Placeholder", [], [], proto)


def _stated(graph: Graph, inputs: Mapping[str, Free]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of inputs as the graph states them, with -1 for an open size."""
    found = {}
    for name in inputs:
        stated = graph.nodes[name].attr("shape") if name in graph.nodes else None
        found[name] = tuple(dim.size if dim.size > 0 else 0 for dim in stated.shape.dim) if stated is not None else ()
    return found


def _free_batch(shapes: Shapes, node: Node, batches: Mapping[int, int]) -> None:
    """Free the first size of a Reshape to a constant shape where it is the graph's fixed batch."""
    before, after = shapes.input(node), shapes.of(node.name)
    if not before or not after or None in before or after[0] not in batches:
        return
    count: Any = math.prod(size or 0 for size in before)
    rest: Any = math.prod(size or 0 for size in after[1:])
    if None not in after and count != rest * (after[0] or 0) and rest and count % rest == 0:
        shapes.set(node, (count // rest, *after[1:]))
