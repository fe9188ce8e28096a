"""cut_graph: the part of a graph between the tensors that a user names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from porter.errors import PorterError
from porter.formats.tensorflow.graph_source import Signature

if TYPE_CHECKING:
    from porter.graph.analysis.analysis import Analysis


def cut_graph(analysis: Analysis, inputs: Sequence[str], outputs: Sequence[str]) -> Analysis:
    """Return the analysis of the graph between the nodes ``inputs`` and ``outputs``; itself where none are named.

    A name is a node's, or the one that a SavedModel's signature gives to a tensor. Raises PorterError where the graph
    has no such node.
    """
    if not inputs and not outputs:
        return analysis
    begins = [_node(analysis, name, "inputs") for name in inputs]
    ends = [_node(analysis, name, "outputs") for name in outputs] or list(analysis.paths.outputs)
    signature = Signature("asked", {name: name for name in begins}, {name: name for name in ends})
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.rewrite.inline import inlined

    # Inlined once: another signature's calls would get the names of this one's nodes otherwise.
    graph = inlined(analysis.source.graph, analysis.first)
    graph = _entered(analysis, graph, begins) if begins else graph
    return Analysis(replace(analysis.source, graph=graph, signatures=(signature,)), analysis.size)


def _node(analysis: Analysis, name: str, argument: str) -> str:
    given = analysis.signature
    named = {**given.inputs, **given.outputs} if given else {}
    node = analysis.graph.resolve(named.get(name, name)).node
    if node in analysis.graph.nodes:
        return node
    close = difflib.get_close_matches(name, [*named, *analysis.graph.nodes], n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "search its nodes with `port inspect GRAPH --find NAME`"
    raise PorterError(f"{analysis.source.path} has no node {name} for `{argument}`: {hint}")


def _entered(analysis: Analysis, graph: Any, names: Sequence[str]) -> Any:
    """Return ``graph`` with a placeholder in the place of each of ``names``."""
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    kept = GraphDef(versions=graph.versions, library=graph.library)
    for node in graph.node:
        if node.name not in names:
            kept.node.append(node)
            continue
        added = kept.node.add(name=node.name, op="Placeholder")
        added.attr["dtype"].type = next((node.attr[key].type for key in ("dtype", "DstT", "T") if key in node.attr), 1)
        for at, size in enumerate(analysis.shapes.of(node.name) or ()):
            added.attr["shape"].shape.dim.add(size=-1 if size is None or at == 0 else size)
    return kept
