"""analysed_graph: a GraphDef as the analysis reads it, whose loops and conditions are those of TensorFlow 1."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from porter.graph.analysis.conditions import Conditions
from porter.graph.functions import build_graph
from porter.graph.graph import Graph
from porter.graph.lowering import IFS, WHILES

_DEEPEST = 16
"""Conditions inside conditions."""


def analysed_graph(proto: Any, first: Collection[str] = ()) -> Graph:
    """Return ``proto`` with its calls inlined, and each While and each If that a placeholder decides in parts.

    An If that data decides stays one node. ``first`` is that of build_graph.
    """
    lowered: set[str] = set()
    lowers = lambda node: node.op in WHILES or node.name in lowered  # noqa: E731 - it sees what is added
    graph = build_graph(proto, first, lowers=lowers)
    for _ in range(_DEEPEST):
        decided = _decided(graph)
        if not decided:
            break
        lowered |= decided
        graph = build_graph(proto, first, lowers=lowers)
    return graph


def _decided(graph: Graph) -> set[str]:
    """Return the names of the Ifs whose condition follows from placeholders and constants."""
    ifs = [node for node in graph.nodes.values() if node.op in IFS and node.inputs]
    if not ifs:
        return set()
    conditions = Conditions(graph)
    return {node.name for node in ifs if conditions.scalar(node.inputs[0]) is not None}
