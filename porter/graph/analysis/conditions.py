"""Needs: which nodes the outputs need always, never, or as placeholders decide.

TensorFlow chooses between the two sides of a cond by Switch and Merge, by If, or by a Select with a scalar condition.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

from porter.errors import FormatError
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.graph import VARIABLE_OPS, Graph, Node, Ref
from porter.graph.shapes import proto_shape

Scalar = float | frozenset[str] | None
"""A scalar's value, or the names of the placeholders and variables that decide it; None where data decides it."""
Need = frozenset[str] | None
"""The names that decide whether a node runs, none of them where it always does; None where it never does."""
ALWAYS: Need = frozenset()
_PASSING = frozenset(
    "Identity StopGradient Cast Squeeze ExpandDims Reshape Switch RefSwitch ReadVariableOp Enter".split()
)
_SELECTS = frozenset({"Select", "SelectV2"})
_MERGES = frozenset({"Merge", "RefMerge"})
_SWITCHES = frozenset({"Switch", "RefSwitch"})
_DEEPEST = 100
_BINARY: dict[str, Callable[[float, float], float]] = {
    "Add": operator.add,
    "AddV2": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Equal": operator.eq,
    "NotEqual": operator.ne,
    "Greater": operator.gt,
    "GreaterEqual": operator.ge,
    "Less": operator.lt,
    "LessEqual": operator.le,
    "LogicalAnd": lambda a, b: bool(a and b),
    "LogicalOr": lambda a, b: bool(a or b),
}


class Conditions:
    """Scalars of a graph that decide what it computes, and the nodes that depend on them."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._scalars: dict[str, Scalar] = {}

    def scalar(self, ref: Ref, depth: int = 0) -> Scalar:
        """Return the value of a scalar. A placeholder with a default has that value."""
        node = self.graph.nodes.get(ref.node)
        if node is None or depth > _DEEPEST:
            return None
        if ref.node not in self._scalars:
            self._scalars[ref.node] = None  # until it is known, which ends a circle
            self._scalars[ref.node] = self._evaluated(node, depth)
        return self._scalars[ref.node]

    def _evaluated(self, node: Node, depth: int) -> Scalar:
        if node.op == "Const":
            return _constant(node)
        if node.op in ("Placeholder", "PlaceholderV2", *VARIABLE_OPS):
            return frozenset({node.name}) if _is_scalar(node) else None
        if node.op == "PlaceholderWithDefault" and node.inputs:
            return self.scalar(node.inputs[0], depth + 1) if _is_scalar(node) else None
        return self._computed(node, depth + 1)

    def _computed(self, node: Node, depth: int) -> Scalar:
        if node.op in _PASSING and node.inputs:
            return self.scalar(node.inputs[0], depth)
        if node.op == "LogicalNot" and node.inputs:
            value = self.scalar(node.inputs[0], depth)
            return float(not value) if isinstance(value, float) else value
        if node.op not in _BINARY or len(node.inputs) < 2:
            return None
        first, second = (self.scalar(ref, depth) for ref in node.inputs[:2])
        if first is None or second is None:
            return None
        if isinstance(first, float) and isinstance(second, float):
            return float(_BINARY[node.op](first, second))
        settling = {"LogicalAnd": 0.0, "LogicalOr": 1.0}.get(node.op)
        if settling in (first, second):
            return settling
        return frozenset().union(*(names for names in (first, second) if isinstance(names, frozenset)))

    @cached_property
    def _guards(self) -> dict[str, frozenset[tuple[Ref, bool]]]:
        """The conditions under which each node runs, by the Switch nodes above it: a predicate and its value."""
        found: dict[str, frozenset[tuple[Ref, bool]]] = {}
        for name in self.graph.order:
            node = self.graph.nodes[name]
            above = [self._guards_of(ref, found) for ref in node.inputs]
            if not node.inputs:  # the constants and variables of a branch wait for its pivot
                above = [found.get(pivot, frozenset()) for pivot in node.controls]
            if node.op in _MERGES:
                found[name] = frozenset.intersection(*above) if above else frozenset()
            else:
                found[name] = frozenset().union(*above)
        return found

    def guards(self, ref: Ref) -> frozenset[tuple[Ref, bool]]:
        """Return the conditions under which a tensor is computed, by the Switch nodes above it."""
        return self._guards_of(ref, self._guards)

    def _guards_of(self, ref: Ref, found: dict[str, frozenset[tuple[Ref, bool]]]) -> frozenset[tuple[Ref, bool]]:
        node = self.graph.nodes.get(ref.node)
        guards = found.get(ref.node, frozenset())
        if node is not None and node.op in _SWITCHES and len(node.inputs) > 1:
            return guards | {(node.inputs[1], bool(ref.slot))}
        return guards

    def needs(self, outputs: Iterable[str]) -> dict[str, Need]:
        """Return for every node that ``outputs`` depend on what decides whether it runs."""
        found: dict[str, Need] = {name: ALWAYS for name in outputs if name in self.graph.nodes}
        for name in reversed(self.graph.order):
            if name not in found:
                continue
            for ref, condition in self._edges(self.graph.nodes[name]):
                need = _both(found[name], condition)
                found[ref.node] = _either(found[ref.node], need) if ref.node in found else need
        return found

    def _edges(self, node: Node) -> list[tuple[Ref, Need]]:
        """Return a node's inputs, and what decides whether the node reads each of them."""
        if node.op in _MERGES:
            edges = [(ref, self._all(self._guards_of(ref, self._guards))) for ref in node.inputs]
        elif node.op in _SELECTS and len(node.inputs) == 3:
            condition, *sides = node.inputs
            edges = [(condition, ALWAYS)]
            edges += [(ref, self._if(condition, side)) for ref, side in zip(sides, (True, False), strict=True)]
        else:
            edges = [(ref, ALWAYS) for ref in node.inputs]
        return [(ref, need) for ref, need in edges if ref.node in self.graph.nodes]

    def _if(self, condition: Ref, wanted: bool) -> Need:
        value = self.scalar(condition)
        if isinstance(value, float):
            return ALWAYS if bool(value) == wanted else None
        return value if value is not None else ALWAYS

    def _all(self, guards: Iterable[tuple[Ref, bool]]) -> Need:
        need = ALWAYS
        for condition, wanted in guards:
            need = _both(need, self._if(condition, wanted))
        return need


def _both(a: Need, b: Need) -> Need:
    return None if a is None or b is None else a | b


def _either(a: Need, b: Need) -> Need:
    """Return what decides that one of two readers runs: nothing, if one of them always does."""
    if a is None or b is None:
        return a if b is None else b
    return ALWAYS if not a or not b else a | b


def _is_scalar(node: Node) -> bool:
    """Tell whether a placeholder or variable may be a scalar. Many keep probabilities state no shape."""
    shape = node.attr("shape")
    return shape is None or proto_shape(shape.shape) in (None, (), (1,))


def _constant(node: Node) -> Scalar:
    value = node.attr("value")
    if value is None or value.tensor.dtype not in TYPES or any(dim.size != 1 for dim in value.tensor.tensor_shape.dim):
        return None
    try:
        values = tensor_values(Path(), node.name, value.tensor)
    except FormatError:
        return None
    return float(values.item()) if values.size == 1 and values.dtype.kind in "biuf" else None
