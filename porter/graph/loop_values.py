"""Values that go around a loop: what a Merge holds, where it comes from, and whether a step changes it."""

from __future__ import annotations

from porter.graph.graph import Graph, Node, Ref

MERGES = frozenset({"Merge", "RefMerge"})
_NEXT = frozenset({"NextIteration", "RefNextIteration"})
_PASSING = _NEXT | {"Switch", "RefSwitch", "Identity"}
_FARTHEST = 20
ARRAYS = frozenset({"TensorArrayV3"})
LISTS = frozenset({"TensorListReserve", "TensorListFromTensor"})
"""The ops that make a tensor array of TensorFlow 1, and a tensor list of TensorFlow 2."""
_ENTERING = frozenset("Enter RefEnter Switch RefSwitch Identity Merge RefMerge Exit RefExit TensorListSetItem".split())
"""What stands between a tensor array or list and the ops that use it inside and behind a loop."""


def is_next(graph: Graph, ref: Ref) -> bool:
    """Tell whether a Merge gets ``ref`` from the step before."""
    return ref.node in graph.nodes and graph.nodes[ref.node].op in _NEXT


def behind(graph: Graph, ref: Ref) -> Node | None:
    """Return the node whose value ``ref`` is, through what only passes it on."""
    node = graph.nodes.get(ref.node)
    for _ in range(_FARTHEST):
        if node is None or node.op not in _PASSING or not node.inputs:
            break
        node = graph.nodes.get(node.inputs[0].node)
    return node


def array_of(graph: Graph, node: Node, makers: frozenset[str]) -> Node | None:
    """Return the op of ``makers`` that made the tensor array or list which ``node`` uses, or None."""
    at = graph.nodes.get(node.inputs[0].node) if node.inputs else None
    for _ in range(_FARTHEST):
        if at is None or at.op not in _ENTERING or not at.inputs:
            break
        at = graph.nodes.get(at.inputs[0].node)
    return at if at is not None and at.op in makers else None


def entered(graph: Graph, ref: Ref) -> Ref:
    """Return what a loop's value is before the first step, if no step changes it; else the value itself."""
    merge = behind(graph, ref)
    if merge is None or merge.op not in MERGES:
        return ref
    first = [other for other in merge.inputs if not is_next(graph, other)]
    return first[0] if first and not _changes(graph, merge) else ref


def first_states(graph: Graph) -> set[str]:
    """Return the nodes whose values a loop starts with and then changes, such as the zeros of a recurrent layer."""
    merges = [node for node in graph.nodes.values() if node.op in MERGES and _changes(graph, node)]
    firsts = (ref for merge in merges for ref in merge.inputs if not is_next(graph, ref))
    enters = (graph.nodes[ref.node] for ref in firsts if ref.node in graph.nodes)
    return {ref.node for enter in enters if enter.op in ("Enter", "RefEnter") for ref in enter.inputs}


def _changes(graph: Graph, merge: Node) -> bool:
    """Tell whether a step may change the value that ``merge`` holds."""
    return any(behind(graph, ref) is not merge for ref in merge.inputs if is_next(graph, ref))
