"""inlined: a graph whose calls of library functions are replaced by their bodies."""

from __future__ import annotations

from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.graph.functions import build_graph


def inlined(graph: Any) -> Any:
    """Return the GraphDef ``graph`` with its calls inlined; itself where it calls no function."""
    if not graph.library.function:
        return graph
    built = build_graph(graph)
    if not built.inlined:
        return graph
    flat = GraphDef(versions=graph.versions, library=graph.library)
    for node in built.nodes.values():
        added = flat.node.add()
        added.CopyFrom(node.proto)
        added.name = node.name
        added.input[:] = [*(ref.tensor for ref in node.inputs), *(f"^{name}" for name in node.controls)]
    return flat
