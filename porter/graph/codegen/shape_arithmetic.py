"""Arithmetic: the values of a graph's shape arithmetic, as arrays of integers and sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from porter.graph.codegen.facts import Facts
from porter.graph.codegen.sizes import Size
from porter.graph.graph import Graph, Node, Ref
from porter.graph.shape_rules.array_ops import strided_index

_INTEGERS = frozenset({3, 9})
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "AddV2": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "FloorDiv": lambda a, b: a // b,
    "FloorMod": lambda a, b: a % b,
    "RealDiv": lambda a, b: a / b,
    "Div": lambda a, b: a / b,
    "Maximum": lambda a, b: a.call("max", b) if isinstance(a, Size) else b.call("max", a),
    "Minimum": lambda a, b: a.call("min", b) if isinstance(a, Size) else b.call("min", a),
}
_UNARY: dict[str, Callable[[Any], Any]] = {
    "Neg": lambda a: -a,
    "Ceil": lambda a: a.call("math.ceil"),
    "Floor": lambda a: a.call("math.floor"),
    "Round": lambda a: a.call("round"),
}


class Arithmetic:
    """Evaluates integers and shapes of ``graph``; a value that follows the input's size is a ``Size``."""

    def __init__(self, graph: Graph, facts: Facts) -> None:
        self.graph, self.facts = graph, facts
        self._found: dict[Ref, np.ndarray | None] = {}

    def has(self, ref: Ref) -> bool:
        """Tell whether a tensor is shape arithmetic."""
        return self.of(ref) is not None

    def of(self, ref: Ref) -> np.ndarray | None:
        """Return a tensor's value as an array of objects, or None where it is not shape arithmetic."""
        if ref not in self._found:
            self._found[ref] = None  # until it is known, which ends a circle
            self._found[ref] = self._value(ref)
        return self._found[ref]

    def _value(self, ref: Ref) -> np.ndarray | None:
        constant = self.facts.value(ref)
        if constant is not None:
            return constant.astype(object)
        node = self.graph.nodes.get(ref.node)
        if node is None:
            return None
        if node.op in ("Shape", "ShapeN"):
            return self._shape(node.inputs[ref.slot])
        if node.op == "Size":
            shape = self._shape(node.inputs[0])
            return None if shape is None else _array(np.prod(shape))
        evaluate = _FOLDS.get(node.op)
        if evaluate is None or not node.inputs:
            return None
        values = [self.of(other) for other in node.inputs]
        known = [value for value in values if value is not None]
        if len(known) < len(values) or not any(_free(value) for value in known):
            return None
        try:
            return evaluate(self.facts, node, known, ref.slot)
        except (IndexError, ValueError, TypeError, AttributeError):
            return None

    def _shape(self, ref: Ref) -> np.ndarray | None:
        shape = self.facts.shape(ref)
        if shape is None:
            return None
        return _array([Size.of(ref, axis) if size is None else size for axis, size in enumerate(shape)])


def _free(value: np.ndarray) -> bool:
    return any(isinstance(number, Size) for number in value.ravel())


def _array(values: Any) -> np.ndarray:
    found = np.empty(np.shape(values), object)
    found[...] = values
    return found


_Fold = Callable[[Facts, Node, list[np.ndarray], int], np.ndarray]


def _binary(facts: Facts, node: Node, values: list[np.ndarray], slot: int) -> np.ndarray:
    compute = _BINARY[node.op]

    def one(a: Any, b: Any) -> Any:
        if isinstance(a, Size) or isinstance(b, Size):
            return compute(a, b)
        return max(a, b) if node.op == "Maximum" else min(a, b) if node.op == "Minimum" else compute(a, b)

    return _array(np.frompyfunc(one, 2, 1)(*values))


def _unary(facts: Facts, node: Node, values: list[np.ndarray], slot: int) -> np.ndarray:
    return _array(
        np.frompyfunc(lambda a: _UNARY[node.op](a) if isinstance(a, Size) or node.op == "Neg" else a, 1, 1)(values[0])
    )


def _cast(facts: Facts, node: Node, values: list[np.ndarray], slot: int) -> np.ndarray:
    if node.attr("DstT").type not in _INTEGERS or node.attr("SrcT").type in _INTEGERS:
        return values[0]
    return _array(np.frompyfunc(lambda a: a.call("int") if isinstance(a, Size) else int(a), 1, 1)(values[0]))


def _concat(facts: Facts, node: Node, values: list[np.ndarray], slot: int) -> np.ndarray:
    parts = values[1:] if node.op == "Concat" else values[:-1]
    return np.concatenate([np.atleast_1d(part) for part in parts])


def _gather(facts: Facts, node: Node, values: list[np.ndarray], slot: int) -> np.ndarray:
    return _array(values[0][values[1].astype(np.int64)])


def _slice(facts: Facts, node: Node, values: list[np.ndarray], slot: int) -> np.ndarray:
    begin, size = int(values[1].ravel()[0]), int(values[2].ravel()[0])
    return values[0][begin:][: size if size >= 0 else None]


def _strided(facts: Facts, node: Node, values: list[np.ndarray], slot: int) -> np.ndarray:
    return _array(values[0][strided_index(facts.runs[0], node)])


def _reduced(facts: Facts, node: Node, values: list[np.ndarray], slot: int) -> np.ndarray:
    return _array((np.prod if node.op == "Prod" else np.sum)(values[0]))


def _reshaped(facts: Facts, node: Node, values: list[np.ndarray], slot: int) -> np.ndarray:
    shape = facts.sample(Ref(node.name))
    return values[0].reshape([size or 0 for size in shape or ()])


_FOLDS: dict[str, _Fold] = {
    **dict.fromkeys(_BINARY, _binary),
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys("Identity StopGradient EnsureShape".split(), lambda facts, node, values, slot: values[0]),
    **dict.fromkeys("Reshape Squeeze ExpandDims".split(), _reshaped),
    **dict.fromkeys("Concat ConcatV2".split(), _concat),
    **dict.fromkeys("Gather GatherV2".split(), _gather),
    **dict.fromkeys("Prod Sum".split(), _reduced),
    "Cast": _cast,
    "Slice": _slice,
    "StridedSlice": _strided,
    "Pack": lambda facts, node, values, slot: np.stack(values, node.integer("axis")),
    "Unpack": lambda facts, node, values, slot: _array(values[0][slot]),
    "IdentityN": lambda facts, node, values, slot: values[slot],
}
