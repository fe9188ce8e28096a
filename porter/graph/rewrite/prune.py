"""prune: the part of a graph that computes given outputs. porter never runs more of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.errors import FormatError
from porter.formats.tensorflow.graphdef import node_of


def prune(graph: Any, outputs: Iterable[str], path: Path | str) -> Any:
    """Return a GraphDef of ``outputs`` and every node that they depend on, control inputs included, in file order.

    Raises FormatError, which names the graph's ``path``, if one of these nodes is missing.
    """
    nodes = {node.name: node for node in graph.node}
    needed: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        if name not in nodes:
            raise FormatError(f"{path} has no node {name}, which others need; copy or download it again")
        needed.add(name)
        waiting.extend(node_of(tensor) for tensor in nodes[name].input)
    return GraphDef(
        node=(node for node in graph.node if node.name in needed),
        versions=graph.versions,
        library=graph.library,
    )
