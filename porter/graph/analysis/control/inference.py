"""inference_view: a graph as inference runs it.

Each loop is one node, training's conditions are decided, and a node that only passes tensors on, as around an op with a
gradient of its own, belongs to the node in front of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tensorboard.compat.proto.node_def_pb2 import NodeDef

from porter.graph.analysis.control.choices import SWITCHES, Choice, find_choices
from porter.graph.analysis.control.loops import Loop, find_loops
from porter.graph.analysis.layers import LOOP
from porter.graph.graph import Graph, Node, Ref, follow
from porter.graph.shapes import Shapes


@dataclass(frozen=True)
class View:
    """The graph that inference runs, and that of the ``file``.

    ``loops`` and ``choices`` are those of the nodes that stand for them. ``stands`` names the node that stands for a
    node of the file, where that is another one: a loop for its nodes, and a node for those that pass its outputs on.
    """

    graph: Graph
    file: Graph
    loops: Mapping[str, Loop]
    choices: Mapping[str, Choice]
    stands: Mapping[str, str]
    passing: Mapping[str, list[str]]
    """The nodes that pass on the outputs of a node of the view."""

    def name(self, node: str) -> str:
        """Return the node of the view that stands for a node of the file."""
        return self.stands.get(node, node)

    def exit(self, node: str) -> str:
        """Return the node of the file that ends a loop, for the node that stands for it."""
        loop = self.loops.get(node)
        return node if loop is None else (loop.exits or loop.members)[0]

    def members(self, node: str) -> list[str]:
        """Return the nodes of the file for which a node of the view stands."""
        own = self.loops[node].members if node in self.loops else [node]
        return [*own, *self.passing.get(node, ())]


_PASSES = "IdentityN"
_VIEWED = ("Enter", "RefEnter", "Merge", "RefMerge", _PASSES)
"""Inference runs the own graph of a file that has none of these ops."""


def inference_view(graph: Graph, shapes: Shapes) -> View:
    """Return ``graph`` as inference runs it: itself, where it has no loops, no conditions and nothing that passes."""
    if not any(node.op in _VIEWED for node in graph.nodes.values()):
        return View(graph, graph, {}, {}, {}, {})
    loops = {loop.name: loop for loop in find_loops(graph, shapes)}
    loop_of = {name: loop.name for loop in loops.values() for name in loop.members}
    choices = {name: choice for name, choice in find_choices(graph).items() if name not in loop_of}
    view = _View(graph, loops, loop_of, choices)
    passing: dict[str, list[str]] = {}
    for name, source in view.passed.items():
        passing.setdefault(source, []).append(name)
    return View(view.build(), graph, loops, choices, loop_of | view.passed, passing)


class _View:
    """Builds the view's graph: ``moved`` maps the tensors that other nodes of the view compute.

    ``passed`` maps the nodes that only pass tensors on to the node of the view that computes their first one.
    """

    def __init__(
        self, graph: Graph, loops: dict[str, Loop], loop_of: dict[str, str], choices: dict[str, Choice]
    ) -> None:
        self.graph, self.loops, self.loop_of, self.choices = graph, loops, loop_of, choices
        self.moved = {Ref(name): Ref(loop.name, at) for loop in loops.values() for at, name in enumerate(loop.exits)}
        self.decided = self._decided()
        self.passed = self._passed()

    def _passed(self) -> dict[str, str]:
        """Return the nodes that only pass tensors on, with the node that computes their first one."""
        passing = {node.name: node for node in self.graph.nodes.values() if self._passes(node)}
        moved = {Ref(name, at): ref for name, node in passing.items() for at, ref in enumerate(node.inputs)}
        circular = {ref for ref in moved if follow(moved, ref) in moved}
        self.moved |= {ref: source for ref, source in moved.items() if ref not in circular}
        whole = (name for name, node in passing.items() if circular.isdisjoint({Ref(name), *node.inputs}))
        return {name: self._ref(Ref(name)).node for name in whole}

    def _passes(self, node: Node) -> bool:
        """Tell whether a node only passes on tensors, which others read."""
        known = all(ref.node in self.graph.nodes for ref in node.inputs)
        used = bool(self.graph.consumers[node.name]) and node.name not in self.loop_of
        return node.op == _PASSES and bool(node.inputs) and known and used

    def _decided(self) -> set[str]:
        """Return the Switch nodes of the conditions that are decided."""
        waiting = [ref.node for choice in self.choices.values() for ref in (choice.inference, choice.training)]
        found: set[str] = set()
        seen = set(waiting)
        while waiting:
            node = self.graph.nodes.get(waiting.pop())
            if node is None:
                continue
            if node.op in SWITCHES:
                found.add(node.name)
            elif node.name not in self.choices:
                new = {ref.node for ref in node.inputs} - seen
                seen |= new
                waiting += new
        return found

    def build(self) -> Graph:
        nodes: dict[str, Node] = {}
        last = {loop.members[-1]: loop for loop in self.loops.values()}
        for node in self.graph.nodes.values():
            if node.name in last:
                loop = last[node.name]
                nodes[loop.name] = self._loop_node(loop)
            elif node.name not in self.loop_of and node.name not in self.passed:
                nodes[node.name] = self._node(node)
        return replace(self.graph, nodes=nodes)

    def _loop_node(self, loop: Loop) -> Node:
        inputs = [self._ref(ref) for ref in loop.inputs]
        return Node(loop.name, LOOP, inputs, [], NodeDef(name=loop.name, op=LOOP))

    def _node(self, node: Node) -> Node:
        if node.name in self.choices:
            return replace(node, op="Identity", inputs=[self._ref(self.choices[node.name].inference)])
        if node.name in self.decided:
            return replace(node, op="Identity", inputs=[self._ref(node.inputs[0])])
        inputs = [self._ref(ref) for ref in node.inputs]
        return node if inputs == node.inputs else replace(node, inputs=inputs)

    def _ref(self, ref: Ref) -> Ref:
        if ref.node in self.decided:
            return Ref(ref.node)
        found = follow(self.moved, ref)
        return Ref(found.node) if found.node in self.decided else found
