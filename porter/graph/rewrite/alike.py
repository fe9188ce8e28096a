"""find_alike: the nodes of a graph that compute what nodes of the recorded graph compute, whatever their names.

Each node that depends on the images gets a number from its op, its kernel's shape and the numbers of its inputs. Nodes
of two graphs with the same number have the same place. Steps that optimizers fold, move or drop (a batch norm, a bias,
a reshape, an Identity) share the number of their input; the value of a place is the one behind them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from porter.graph.graph import Graph, Node, Ref
from porter.graph.rewrite.entry import LAYERS, PASSING
from porter.graph.shape_inference import infer_shapes
from porter.graph.shapes import Shapes

_SAME_VALUES = PASSING | {"Reshape", "Squeeze", "Transpose", "ExpandDims", "PlaceholderWithDefault"}
_AFFINE = frozenset(
    "Add AddV2 BiasAdd BiasAddV1 Div FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 Mul RealDiv Sub".split()
)
_SILENT = frozenset({"Pad", "PadV2", "Shape"})
"""Ops that have no place of their own: their values belong to the next layer."""
_LINEAR_PARTS = frozenset({"BiasAdd", "FusedBatchNorm", "BatchNorm"})
_COMMUTATIVE = frozenset({"Add", "AddV2", "AddN", "Mul", "Maximum", "Minimum"})
_ONE_NAME = {"AddV2": "Add", "AddN": "Add", "Concat": "ConcatV2", "DepthwiseConv2dNative": "Conv2D", "MatMul": "Conv2D"}

Numbers = dict[Any, int]
"""The number of each place, shared by the graphs that are compared."""


def find_alike(graph: Graph, entry: Ref, original: Graph, start: str, wanted: Iterable[str]) -> dict[str, str]:
    """Return ``{node of the original: node of graph}`` for those of ``wanted`` that ``graph`` has under any name.

    ``entry`` is the tensor of ``graph`` that takes the place of the node ``start`` of ``original``.
    """
    numbers: Numbers = {}
    theirs = _Places(original, Ref(start), numbers)
    ours = _Places(graph, entry, numbers)
    found = {}
    for name in wanted:
        place = theirs.of.get(name)
        # Behind the node nothing else may change the value within its place.
        if place is not None and theirs.last(place) == theirs.core(name) and (node := ours.last(place)):
            found[name] = node
    return found


class _Places:
    """The places of one graph's nodes: ``of`` maps nodes to numbers."""

    def __init__(self, graph: Graph, entry: Ref, numbers: Numbers) -> None:
        self.graph = graph
        self.numbers = numbers
        self.of: dict[str, int] = {}
        self.silent: dict[str, int] = {}
        self.entry = entry
        self.shapes: Shapes = infer_shapes(graph)
        self.members: dict[int, list[str]] = {}
        for name in graph.order:
            self._add(graph.nodes[name])

    def last(self, place: int) -> str | None:
        """Return the node behind the folding steps of ``place``, None where it branches."""
        core = [name for name in self.members.get(place, ()) if self.graph.nodes[name].op not in _SAME_VALUES]
        ends = [name for name in core if not any(self._leads(name, other, place) for other in core)]
        return ends[0] if len(ends) == 1 else None

    def core(self, name: str) -> str:
        """Return the node whose values ``name`` passes on."""
        node, seen = self.graph.nodes[name], {name}
        while node.op in _SAME_VALUES and node.inputs[0].node in self.of and node.inputs[0].node not in seen:
            node = self.graph.nodes[node.inputs[0].node]
            seen.add(node.name)
        return node.name

    def _leads(self, name: str, other: str, place: int) -> bool:
        """Tell whether ``other`` reads ``name``, perhaps through nodes that pass values on."""
        inputs = self.graph.nodes[other].inputs
        return any(self.core(ref.node) == name for ref in inputs if self.of.get(ref.node) == place)

    def _number(self, ref: Ref) -> int | None:
        if ref == self.entry:
            return self.numbers.setdefault("input", len(self.numbers))
        return self.of.get(ref.node, self.silent.get(ref.node))

    def _add(self, node: Node) -> None:
        read = node.inputs[:1] if node.op in _SAME_VALUES else node.inputs
        inputs = [number for ref in read if (number := self._number(ref)) is not None]
        if not inputs:
            return
        if node.op in _SILENT:
            self.silent[node.name] = inputs[0]
            return
        if node.op in _SAME_VALUES or (node.op in _AFFINE and len(inputs) == 1):
            place = inputs[0]
        else:
            place = self._place(node, inputs)
        self.of[node.name] = place
        self.members.setdefault(place, []).append(node.name)

    def _place(self, node: Node, inputs: list[int]) -> int:
        op = node.op.removeprefix("_Fused")
        op = _ONE_NAME.get(op, op)
        if node.op not in LAYERS:
            return self._new((op, *(sorted(inputs) if node.op in _COMMUTATIVE else inputs)))
        kernel = self.shapes[node.inputs[LAYERS[node.op]]] if len(node.inputs) > LAYERS[node.op] else None
        place = self._new(("layer", kernel, inputs[0]))
        fused = node.attr("fused_ops")
        for part in fused.list.s if fused is not None else ():
            if part.decode("utf-8", "replace") not in _LINEAR_PARTS:
                place = self._new((part.decode("utf-8", "replace"), place))
        return place

    def _new(self, key: Any) -> int:
        return self.numbers.setdefault(key, len(self.numbers))
