"""find_choices: the conditions of TensorFlow 1 that only training decides, and the sides that inference takes.

``cond`` of a placeholder makes Switch and Merge: both sides of a batch norm or dropout stand in the graph.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from porter.graph.analysis.conditions import Conditions
from porter.graph.graph import Graph, Node, Ref

SWITCHES = frozenset({"Switch", "RefSwitch"})
_MERGES = frozenset({"Merge", "RefMerge"})
_NEXT = frozenset({"NextIteration", "RefNextIteration"})
_TRAINING_NAME = re.compile(r"(^|/|_)(is_?train(ing)?|train(ing)?(_phase|_mode)?|phase(_train)?|learning_phase)", re.I)
_RANDOM = re.compile(r"(Stateless)?(Random|TruncatedNormal|ParameterizedTruncatedNormal)\w*")
_NORM = re.compile(r"_?FusedBatchNorm(V\d|Ex)?")
_FARTHEST = 20
_MOST = 400
"""A side of more nodes is a network, not one layer's training."""


@dataclass(frozen=True)
class Choice:
    """A Merge, its condition, the tensor that inference takes there, and the one that training takes."""

    merge: str
    condition: Ref
    inference: Ref
    training: Ref


def find_choices(graph: Graph) -> dict[str, Choice]:
    """Return the choices between training and inference by the names of their Merge nodes."""
    merges = [node for node in graph.nodes.values() if node.op in _MERGES and not _loops(graph, node)]
    if not merges:
        return {}
    conditions = Conditions(graph)
    found = (_choice(graph, conditions, node) for node in merges)
    return {choice.merge: choice for choice in found if choice is not None}


def _loops(graph: Graph, merge: Node) -> bool:
    ops = {graph.nodes[ref.node].op for ref in merge.inputs if ref.node in graph.nodes}
    return bool(ops & _NEXT)


def _choice(graph: Graph, conditions: Conditions, merge: Node) -> Choice | None:
    """Return what a Merge chooses, or None where data decides it or both sides are alike."""
    if len(merge.inputs) != 2:
        return None
    first, second = merge.inputs
    opposed = [
        (condition, wanted)
        for condition, wanted in conditions.guards(first)
        if (condition, not wanted) in conditions.guards(second)
    ]
    for condition, wanted in opposed:
        value = conditions.scalar(condition)
        if isinstance(value, float):
            taken, other = (first, second) if bool(value) == wanted else (second, first)
            return Choice(merge.name, condition, taken, other)
        if not value:
            continue
        sides = {wanted: first, not wanted: second}
        trains = [side for side in (True, False) if _trains(graph, conditions, sides[side], condition)]
        if len(trains) != 1:
            trains = [True] if any(_TRAINING_NAME.search(name) for name in value) else []
        if trains:
            return Choice(merge.name, condition, sides[not trains[0]], sides[trains[0]])
    return None


def _trains(graph: Graph, conditions: Conditions, side: Ref, condition: Ref) -> bool:
    """Tell whether one side of a condition draws random numbers or uses the batch's statistics."""
    waiting, seen = [side.node], {side.node}
    while waiting and len(seen) < _MOST:
        node = graph.nodes.get(waiting.pop())
        if node is None:
            continue
        if _RANDOM.fullmatch(node.op) or (_NORM.fullmatch(node.op) and _of_batch(node)):
            return True
        if node.op in SWITCHES:
            if _is_mean(graph, node):
                return True
            continue
        new = {ref.node for ref in node.inputs} - seen
        seen |= new
        waiting += new
    return False


def _of_batch(node: Node) -> bool:
    stated = node.attr("is_training")  # the op's default is true (tensorflow/core/ops/nn_ops.cc)
    return stated is None or bool(stated.b)


def _is_mean(graph: Graph, switch: Node) -> bool:
    """Tell whether a Switch passes on the mean of a batch."""
    at: Node | None = switch
    for _ in range(_FARTHEST):
        at = graph.nodes.get(at.inputs[0].node) if at is not None and at.inputs else None
        if at is None or at.op not in ("Identity", "Squeeze", "StopGradient", "Reshape"):
            break
    return at is not None and at.op == "Mean"
