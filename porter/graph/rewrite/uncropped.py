"""uncropped: a detector's graph whose second stage reads the whole map of the first, not crops of it.

Between the stages such a graph proposes boxes: it decodes, sorts and suppresses them in loops, and crops the map once
for each. None of that has weights, and the recorded graphs and the ports leave it out.
"""

from __future__ import annotations

from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.graph.graph import Graph, parse_ref


def uncropped(graph: Any, built: Graph, cropped: str, reader: str) -> Any:
    """Return the GraphDef ``graph`` in which the node ``reader`` reads ``cropped`` in place of what depends on that.

    ``built`` is ``graph``. A graph in which ``reader`` reads ``cropped`` itself, or nothing of it, stays the same.
    """
    behind = built.reached([cropped]) - {cropped}
    found = GraphDef(versions=graph.versions, library=graph.library)
    for node in graph.node:
        kept = found.node.add()
        kept.CopyFrom(node)
        if node.name == reader:
            kept.input[:] = [cropped if parse_ref(tensor).node in behind else tensor for tensor in node.input]
    return found
