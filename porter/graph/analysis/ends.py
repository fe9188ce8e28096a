"""find_ends: the outputs of a graph that does not name any, and what computes losses and metrics from labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from porter.graph.analysis.costs import COUNTED
from porter.graph.graph import Graph, Node
from porter.graph.shapes import Shapes

_COMPARISONS = frozenset({"Equal", "NotEqual"})
_LIKELIEST = frozenset({"ArgMax", "Cast", "Squeeze"})
_SHAPES = frozenset({"Shape", "ShapeN", "Size", "Rank", "TensorArraySizeV3"})
_NO_OUTPUT = frozenset({"ArgMax", "Shape", "NoOp", "Assert"})
_READING = frozenset({"Gather", "GatherV2", "ResourceGather", "GatherNd", "While", "StatelessWhile", "while loop"})
_REARRANGING = frozenset(
    "Squeeze Reshape Split SplitV Unpack Slice StridedSlice ExpandDims Transpose Pack ConcatV2".split()
)


def find_ends(
    graph: Graph, shapes: Shapes, purposes: Mapping[str, str], fed: Collection[str], weights: Collection[str]
) -> tuple[list[str], set[str]]:
    """Return the outputs, and the nodes that only compare them with labels.

    An output depends on an input and on a weight, and at most training reads it.
    """
    weighted = graph.reached(weights)
    forward = {name for name in graph.reached(fed) & weighted if name not in purposes}
    forward -= only_shapes(graph, forward)
    metrics = _metrics(graph, shapes, forward, weighted, fed)
    forward -= metrics
    if not forward:
        metrics = set()
        forward = {name for name in graph.nodes if name not in purposes and graph.nodes[name].op != "Const"}
    sinks = [name for name in graph.nodes if name in forward and not forward & set(graph.consumers[name])]
    shown = [name for name in sinks if graph.nodes[name].op not in _NO_OUTPUT] or sinks
    rest = [name for name in shown if shapes.of(name) != () or graph.nodes[name].op == "Identity"]
    return _without_pieces(graph, rest or shown), metrics | (set(shown) - set(rest) if rest else set())


def only_shapes(graph: Graph, names: Collection[str], *, filled: bool = True) -> set[str]:
    """Return those of ``names`` that depend on the others through shapes alone.

    ``filled`` counts what a Fill makes of such a shape too.
    """
    found: set[str] = set()
    for name in graph.order:
        if name in names:
            node = graph.nodes[name]
            above = [ref.node for ref in node.inputs if ref.node in names]
            if node.op in _SHAPES or (above and found.issuperset(above) and (filled or node.op != "Fill")):
                found.add(name)
    return found


def _metrics(graph: Graph, shapes: Shapes, forward: set[str], weighted: set[str], fed: Collection[str]) -> set[str]:
    """Return the nodes that depend on a comparison of a prediction with a label, or on a label's difference from it."""
    given = graph.reached(fed)
    compared = [
        name
        for name in forward
        if graph.nodes[name].op in _COMPARISONS and _with_label(graph.nodes[name], given, weighted)
    ]
    metrics = graph.reached(compared + _meetings(graph, shapes, fed, weighted))
    for name in reversed(graph.order):  # and the likeliest class, if only a metric reads it
        only = graph.consumers[name] and all(other in metrics for other in graph.consumers[name])
        if only and graph.nodes[name].op in _LIKELIEST:
            metrics.add(name)
    return metrics


def _with_label(node: Node, given: Collection[str], weighted: Collection[str]) -> bool:
    """Tell whether one side of a comparison is fed and not computed by the network, unlike the other one."""
    sides = [ref.node for ref in node.inputs[:2]]
    labels = [side for side in sides if side in given and side not in weighted]
    return len(labels) == 1 and len(sides) == 2


def _meetings(graph: Graph, shapes: Shapes, fed: Collection[str], weighted: set[str]) -> list[str]:
    """Return where labels meet predictions: an input that no weight reads, and whose results all end as scalars."""
    met = {name: _first_weighted(graph, name, weighted) for name in fed}
    labels = [name for name, meetings in met.items() if meetings and _is_label(graph, shapes, meetings)]
    return [place for name in labels for place in met[name]] if len(labels) < len(fed) else []


def _first_weighted(graph: Graph, start: str, weighted: set[str]) -> list[str]:
    """Return the first nodes behind ``start`` that depend on weights too."""
    found: dict[str, None] = {}
    waiting, seen = [start], {start}
    while waiting:
        for other in graph.consumers[waiting.pop()]:
            if other in weighted:
                found.setdefault(other)
            elif other not in seen:
                seen.add(other)
                waiting.append(other)
    return list(found)


def _is_label(graph: Graph, shapes: Shapes, meetings: Iterable[str]) -> bool:
    meetings = list(meetings)
    if any(graph.nodes[name].op in COUNTED or graph.nodes[name].op in _READING for name in meetings):
        return False
    behind = graph.reached(meetings)
    ends = [name for name in behind if not graph.consumers[name]]
    return bool(ends) and all(shapes.of(name) == () or graph.nodes[name].op == "NoOp" for name in ends)


def _without_pieces(graph: Graph, sinks: list[str]) -> list[str]:
    """Leave out the ends that only cut or reshape a tensor that another end is computed from."""
    origins = {name: _origin(graph, name) for name in sinks}
    whole = [name for name in sinks if origins[name] == name]
    used = graph.needed(whole)
    return [name for name in sinks if origins[name] == name or origins[name] not in used] or sinks


def _several(graph: Graph, node: Node) -> bool:
    """Tell whether a node puts several tensors together."""
    computed = {ref.node for ref in node.inputs if ref.node in graph.nodes and graph.nodes[ref.node].op != "Const"}
    return len(computed) > 1


def _origin(graph: Graph, name: str) -> str:
    """Return the node whose values an end only rearranges."""
    node, seen = graph.nodes[name], {name}
    while node.op in _REARRANGING:
        at = 1 if node.op == "Split" else 0
        above = graph.nodes.get(node.inputs[at].node) if len(node.inputs) > at else None
        if above is None or above.name in seen or _several(graph, node):
            break
        seen.add(above.name)
        node = above
    return node.name
