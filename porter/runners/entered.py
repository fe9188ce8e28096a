"""enter: the network of a user's graph, entered where the recorded graph has its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from porter.catalog.models import ARCHS
from porter.errors import FormatError, MappingError
from porter.graph.functions import build_graph
from porter.graph.graph import Graph, Node, Ref
from porter.graph.rewrite.alike import find_alike
from porter.graph.rewrite.entry import entered, find_entry, find_stem, steps_before
from porter.graph.rewrite.own_steps import OwnSteps, own_steps
from porter.graph.rewrite.uncropped import uncropped
from porter.graph.shape_inference import infer_shapes
from porter.mapping.original_graph import original_graph
from porter.mapping.translate import Translation
from porter.runners.context import Context


@dataclass(frozen=True)
class Entered:
    """A graph whose network takes images from a placeholder.

    ``where`` maps endpoints to nodes, and ``lacking`` has the table's endpoints that the graph lost. ``own`` is what
    the graph does to images before the network, None for nothing. ``whole`` are the maps that its later stage reads
    whole, though the graph crops them.
    """

    graph: Any
    where: Mapping[str, str]
    lacking: Sequence[str] = ()
    own: OwnSteps | None = None
    whole: Sequence[str] = ()


def find_endpoints(graph: Any, context: Context, prefix: str) -> dict[str, str]:
    """Return the nodes of ``graph`` that compute the table's endpoints, behind ``prefix``."""
    nodes = {node.name for node in graph.node}
    return {endpoint: prefix + op for endpoint, op in _ops(context).items() if prefix + op in nodes}


def _ops(context: Context) -> dict[str, str]:
    """Return the table's endpoints and their nodes in the original."""
    return {endpoint.name: endpoint.where["tf"] for endpoint in context.table.endpoints if "tf" in endpoint.where}


def enter(graph: Any, context: Context, prefix: str, translation: Translation | None, path: Path) -> Entered:
    """Return the user's ``graph`` with a placeholder at the network's entry, and its endpoints.

    Endpoints have the table's names behind ``prefix``; those whose names are gone are found by their place in the
    recorded graph. A graph in which no first layer is found stays as it is. Where it crops a map between two stages,
    the second stage reads the whole map, as in the recorded graph.
    Raises FormatError as porter.graph.rewrite.entry does, and MappingError where the shapes prove that the graph takes
    other images.
    """
    where = find_endpoints(graph, context, prefix)
    kernel = context.table.pairs("tf", "tf")[0].source
    graph, whole = _without_crops(graph, context, prefix, path)
    built = build_graph(graph)
    names = {prefix + kernel, kernel}
    if translation is not None:
        names |= {translation.prefix + kernel, translation.taken.get(kernel, kernel)}
    stem = find_stem(built, names, where.values() or built.nodes)
    if stem is None:
        return Entered(graph, where)
    original = build_graph(original_graph(context.arch))
    first = find_stem(original, {kernel}, original.nodes)
    assert first is not None
    entry = find_entry(built, stem, steps_before(original, first), path)
    entry = replace(entry, shape=infer_shapes(built)[entry.tensor])
    ops = _ops(context)
    gone = [op for endpoint, op in ops.items() if endpoint not in where]
    if gone:
        alike = find_alike(built, entry.tensor, original, _input_of(original, first), gone)
        found = {endpoint: where.get(endpoint, alike.get(op, "")) for endpoint, op in ops.items()}
        where = {endpoint: node for endpoint, node in found.items() if node}
    computed = {e.name for e in context.table.endpoints if e.softmax in where}
    lacking = [endpoint for endpoint in ops if endpoint not in where and endpoint not in computed]
    cut = entered(graph, entry)
    if -1 in entry.nhwc[1:3] and context.table.judged in where:
        _check_size(build_graph(cut), where[context.table.judged], context, path)
    return Entered(cut, where, lacking, own_steps(graph, entry, path), whole)


def _without_crops(graph: Any, context: Context, prefix: str, path: Path) -> tuple[Any, list[str]]:
    """Return ``graph`` with its maps read whole, and the endpoints that these are; see porter.graph.rewrite.uncropped.

    Raises FormatError where the node that reads the crops of one has another name.
    """
    whole = []
    for endpoint in context.table.endpoints:
        if endpoint.cropped is None:
            continue
        built, map_node, reader = build_graph(graph), prefix + endpoint.where["tf"], prefix + endpoint.cropped
        if map_node in built.nodes and reader not in built.nodes:
            raise FormatError(
                f"{path} has no node {reader}, which reads the crops of {endpoint.name} in a graph of "
                f"{context.arch.name}: freeze the graph again, without a tool that renames its nodes"
            )
        if reader in built.nodes and Ref(map_node) not in built.nodes[reader].inputs:
            graph = uncropped(graph, built, map_node, reader)
            whole.append(endpoint.name)
    return graph, whole


def _check_size(graph: Graph, logits: str, context: Context, path: Path) -> None:
    """Raise MappingError where a graph that leaves the image size open fits another model's size only."""
    arch = context.arch
    if _fits(graph, logits, context.size):
        return
    for other in ARCHS.values():
        if (other.table, other.options) == (arch.table, arch.options) and _fits(graph, logits, other.input_size):
            size, ours = (f"{side}x{side}" for side in (other.input_size, context.size))
            raise MappingError(
                f"{path} takes images of {size}, as its shapes prove, not {ours}", [{"model": other.name}]
            )


def _fits(graph: Graph, logits: str, size: int) -> bool:
    """Tell whether images of this size go through the graph: no map is empty, and a squeeze drops sides of 1 only."""
    shapes = infer_shapes(graph, size)
    for name in graph.needed([logits]):
        node, shape = graph.nodes[name], shapes.of(name)
        before = shapes[node.inputs[0]] if node.op == "Squeeze" else None
        dropped = [before[axis] for axis in node.ints("squeeze_dims")] if before is not None else []
        if 0 in (shape or ()) or any(side != 1 for side in dropped):
            return False
    return True


def _input_of(original: Graph, stem: Node) -> str:
    """Return the recorded graph's input."""
    node = stem
    while node.inputs:
        node = original.nodes[node.inputs[0].node]
    return node.name
