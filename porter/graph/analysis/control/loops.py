"""find_loops: a graph's while loops, with what one step computes and how many steps there are.

A loop is the frame of its Enter nodes. Values come in through Enter, go around through NextIteration and Merge, and
leave through Switch and Exit (tensorflow/core/kernels/control_flow_ops.cc). porter.graph.lowering makes the same of
TensorFlow 2's While.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from porter.graph.analysis.layers import LOOP
from porter.graph.graph import Graph, Node, Ref
from porter.graph.loop_values import MERGES, behind, entered, is_next
from porter.graph.shapes import Shapes

ENTERS = frozenset({"Enter", "RefEnter"})
EXITS = frozenset({"Exit", "RefExit"})
_UNSTACK = frozenset({"TensorArrayScatterV3", "TensorListFromTensor"})
_STACK, _SIZE = frozenset({"TensorArrayGatherV3", "TensorListStack"}), "TensorArraySizeV3"


@dataclass
class Loop:
    """One loop. ``members`` are its nodes in the graph's order, ``inputs`` the tensors outside that they read.

    ``exits`` are the nodes through which its results leave. ``steps`` is None where the data decides it.
    """

    name: str
    members: list[str] = field(default_factory=list)
    inputs: list[Ref] = field(default_factory=list)
    exits: list[str] = field(default_factory=list)
    steps: int | None = None
    inner: list[Loop] = field(default_factory=list)
    """The loops inside, whose members are its own too."""


def find_loops(graph: Graph, shapes: Shapes) -> list[Loop]:
    """Return the outermost loops of ``graph``; ``shapes`` holds the constants that decide their steps."""
    frames: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        if node.op in ENTERS:
            frames.setdefault(node.text("frame_name"), []).append(node.name)
    place = {name: at for at, name in enumerate(graph.nodes)} if frames else {}
    members = {frame: _members(graph, enters) for frame, enters in frames.items()}
    parents = _parents(frames, members)
    for frame, parent in parents.items():
        members[parent] |= members[frame]
    loops = {frame: _loop(graph, shapes, frame, members[frame], place) for frame in frames}
    for frame, parent in parents.items():
        loops[parent].inner.append(loops[frame])
    return [loop for frame, loop in loops.items() if frame not in parents]


def _parents(frames: Mapping[str, Iterable[str]], members: Mapping[str, set[str]]) -> dict[str, str]:
    """Return the frame around each frame that stands in one, the innermost first.

    An outer loop reaches an Enter of the inner one. It does not reach all: a counter inside begins as a constant.
    """
    own = {enter: frame for frame, enters in frames.items() for enter in enters}
    around: dict[str, set[str]] = {frame: set() for frame in frames}
    for frame, reached in members.items():
        for inner in {own[name] for name in reached if name in own} - {frame}:
            around[inner].add(frame)
    found = {}
    for frame in sorted(frames, key=lambda frame: -len(around[frame])):
        nearest = max(around[frame], key=lambda outer: (len(around[outer]), outer), default=None)
        if nearest is not None and len(around[nearest]) < len(around[frame]):  # a damaged graph has circles of them
            found[frame] = nearest
    return found


def _loop(graph: Graph, shapes: Shapes, frame: str, members: set[str], place: dict[str, int]) -> Loop:
    members = members | _around(graph, members, f"{frame.rpartition('/')[0]}/Identity")
    ordered = sorted(members, key=place.__getitem__)
    nodes = [graph.nodes[name] for name in ordered]
    inputs = dict.fromkeys(ref for node in nodes for ref in node.inputs if ref.node not in members)
    ends = _ends(graph, members) & members
    exits = [node.name for node in nodes if node.name in ends and not _inside(graph, node, members)]
    exits.sort(key=lambda name: _rank(graph, shapes, name, members))
    return Loop(_name(graph, frame), ordered, list(inputs), exits, _steps(graph, shapes, nodes))


def _members(graph: Graph, enters: Iterable[str]) -> set[str]:
    """Return the nodes of a frame, and those of the frames inside it: all that lies between Enter and Exit."""
    depth = dict.fromkeys(enters, 1)
    waiting = list(depth)
    while waiting:
        name = waiting.pop()
        if graph.nodes[name].op in EXITS and depth[name] == 1:
            continue
        below = depth[name] - (graph.nodes[name].op in EXITS)
        for other in graph.consumers[name]:
            if other not in depth:
                depth[other] = below + (graph.nodes[other].op in ENTERS)
                waiting.append(other)
    return set(depth)


def _rank(graph: Graph, shapes: Shapes, name: str, members: set[str]) -> tuple[bool, bool, bool]:
    """Order results: those that something reads first, tensors before counters, all steps before the last one."""
    read = any(other not in members for other in graph.consumers[name])
    return not read, shapes.of(name) in (None, ()), graph.nodes[name].op not in _STACK


def _around(graph: Graph, members: set[str], own: str) -> set[str]:
    """Return what hands a loop its steps' inputs, zeros as first states, and what stacks its steps' outputs.

    TensorFlow 2 puts an Identity behind each result of a loop, whose name begins with ``own``.
    """
    above = {ref.node for name in members for ref in graph.nodes[name].inputs if ref.node in graph.nodes} - members
    found = {name for name in above if graph.nodes[name].op in _UNSTACK}
    found |= {name for name in above if graph.nodes[name].op == "Fill" and members.issuperset(graph.consumers[name])}
    behind = {name for name in _ends(graph, members) - members if name.startswith(own) or _op(graph, name) in _STACK}
    stacks = {name for name in behind if graph.nodes[name].op in _STACK}
    ranges = {ref.node for name in stacks for ref in graph.nodes[name].inputs if _op(graph, ref.node) == "Range"}
    sizes = {ref.node for name in ranges for ref in graph.nodes[name].inputs if _op(graph, ref.node) == _SIZE}
    return found | behind | ranges | sizes


def _ends(graph: Graph, members: set[str]) -> set[str]:
    """Return the Exits of a loop, what passes their results on, and what stacks them."""
    found = {name for name in members if graph.nodes[name].op in EXITS}
    waiting = list(found)
    while waiting:
        for other in graph.consumers[waiting.pop()]:
            if other not in found and graph.nodes[other].op in _STACK | {"Identity"}:
                found.add(other)
                waiting += [other] if graph.nodes[other].op == "Identity" else []
    return found


def _op(graph: Graph, name: str) -> str:
    return graph.nodes[name].op if name in graph.nodes else ""


def _inside(graph: Graph, node: Node, members: set[str]) -> bool:
    """Tell whether the loop alone reads a node."""
    readers = graph.consumers[node.name]
    return bool(readers) and members.issuperset(readers)


def _name(graph: Graph, frame: str) -> str:
    """Return a free name for the loop: its scope, which TensorFlow writes in front of the frame's own name."""
    scope = frame.rpartition("/")[0] or frame or LOOP
    return scope if scope not in graph.nodes else f"{scope}/loop"


def _steps(graph: Graph, shapes: Shapes, nodes: Iterable[Node]) -> int | None:
    """Return how often the body runs: while all comparisons of a counter with a constant hold; None without those."""
    conditions = [node for node in nodes if node.op == "LoopCond" and node.inputs]
    waiting = [ref.node for node in conditions[:1] for ref in node.inputs]
    counts: list[int | None] = []
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:  # a damaged graph has circles of them
            continue
        seen.add(name)
        node = graph.nodes.get(name)
        if node is not None and node.op in ("LogicalAnd", "Identity"):
            waiting += [ref.node for ref in node.inputs]
        else:
            counts.append(_count(graph, shapes, node) if node is not None else None)
    return min(count for count in counts if count is not None) if counts and None not in counts else None


def _count(graph: Graph, shapes: Shapes, node: Node) -> int | None:
    """Return how often ``counter < limit`` holds for a counter that grows by a constant."""
    if node.op not in ("Less", "LessEqual") or len(node.inputs) < 2:
        return None
    merge = behind(graph, node.inputs[0])
    limit = _number(shapes, entered(graph, node.inputs[1]))
    if merge is None or merge.op not in MERGES or limit is None:
        return None
    start = next((_number(shapes, ref) for ref in merge.inputs if not is_next(graph, ref)), None)
    growth = next((_growth(graph, shapes, ref, merge) for ref in merge.inputs if is_next(graph, ref)), None)
    if start is None or not growth or growth < 0:
        return None
    return max(0, math.ceil((limit + (node.op == "LessEqual") - start) / growth))


def _growth(graph: Graph, shapes: Shapes, ref: Ref, merge: Node) -> float | None:
    """Return what a step adds to the counter that ``merge`` holds."""
    add = behind(graph, ref)
    if add is None or add.op not in ("Add", "AddV2") or len(add.inputs) < 2:
        return None
    for counter, step in (add.inputs[:2], add.inputs[1::-1]):
        if behind(graph, counter) is merge:
            return _number(shapes, step)
    return None


def _number(shapes: Shapes, ref: Ref) -> float | None:
    value = shapes.values.get(ref)
    return float(value.item()) if value is not None and value.size == 1 and value.item() is not None else None
