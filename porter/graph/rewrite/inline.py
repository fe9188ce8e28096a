"""inlined: a graph whose calls of library functions are replaced by their bodies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.graph.functions import build_graph
from porter.graph.graph import Graph


def inlined(graph: Any, first: Iterable[str] = ()) -> Any:
    """Return the GraphDef ``graph`` with its calls inlined; itself where it calls no function.

    ``first`` is that of build_graph: two signatures call functions whose nodes have the same names.
    """
    if not graph.library.function:
        return graph
    built = build_graph(graph, first)
    return flat(built, graph) if built.inlined else graph


def flat(built: Graph, graph: Any) -> Any:
    """Return ``built``, which is made of the GraphDef ``graph``, as a GraphDef."""
    found = GraphDef(versions=graph.versions, library=graph.library)
    for node in built.nodes.values():
        added = found.node.add()
        added.CopyFrom(node.proto)
        added.name, added.op = node.name, node.op
        added.input[:] = [*(ref.tensor for ref in node.inputs), *(f"^{name}" for name in node.controls)]
    return found
