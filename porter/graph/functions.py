"""build_graph(GraphDef) -> Graph: resolves inputs and inlines function calls.

A function's nodes keep their names if these are free; otherwise the call's name becomes their scope. A recursive
call, or one that would make the graph too large, stays an ordinary node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from porter.graph.graph import Graph, Node, Ref, follow, parse_ref

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_DEEPEST = 64
_MOST_NODES = 400_000

_OUTPUTS: dict[str, tuple[str, ...]] = {
    "FusedBatchNorm": ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"),
    "Merge": ("output", "value_index"),
    "Switch": ("output_false", "output_true"),
    "TopKV2": ("values", "indices"),
    "Unique": ("y", "idx"),
    "MaxPoolWithArgmax": ("output", "argmax"),
    "SparseSoftmaxCrossEntropyWithLogits": ("loss", "backprop"),
    "SoftmaxCrossEntropyWithLogits": ("loss", "backprop"),
}
_OUTPUTS |= {f"FusedBatchNormV{n}": (*_OUTPUTS["FusedBatchNorm"], "reserve_space_3") for n in (2, 3)}
"""Output names of image models' ops with several outputs. A function's body refers to outputs by name."""


def build_graph(proto: Any, first: Iterable[str] = ()) -> Graph:
    """Return the GraphDef ``proto`` as a Graph.

    Calls that the tensors ``first`` depend on are inlined first, so that their nodes keep their plain names.
    """
    return _Builder(proto).graph(first)


@dataclass(frozen=True)
class _Body:
    """How names inside one call's function map to names of the graph."""

    local: dict[str, str]
    arguments: dict[str, Ref]
    ops: dict[str, str]


class _Builder:
    def __init__(self, proto: Any) -> None:
        self.proto = proto
        self.library = {function.signature.name: function for function in proto.library.function}
        self.nodes: dict[str, Node] = {}
        self.aliases: dict[Ref, Ref] = {}
        self.inlined = 0
        self.repeated: list[str] = []

    def graph(self, first: Iterable[str]) -> Graph:
        for proto in self.proto.node:
            inputs = [parse_ref(tensor) for tensor in proto.input if not tensor.startswith("^")]
            controls = [tensor[1:] for tensor in proto.input if tensor.startswith("^")]
            self._add(Node(proto.name, proto.op, inputs, controls, proto))
        calls = [node for node in self.nodes.values() if self._function(node) is not None]
        if calls:
            needed = Graph(self.nodes).needed(parse_ref(name).node for name in first)
            for call in sorted(calls, key=lambda node: node.name not in needed):
                self._inline(call, ())
        return Graph(
            self.nodes,
            self.proto.versions.producer,
            self._resolve_inputs(),
            tuple(self.library),
            tuple(self.repeated),
            self.inlined,
            self.aliases,
        )

    def _add(self, node: Node) -> bool:
        """Add a node; of two nodes with the same name, the first is kept."""
        if node.name in self.nodes:
            self.repeated.append(node.name)
            return False
        self.nodes[node.name] = node
        return True

    def _resolve_inputs(self) -> tuple[str, ...]:
        """Replace inputs that are outputs of inlined calls; return the inputs that no node computes."""
        missing: dict[str, None] = {}
        for node in self.nodes.values():
            if self.aliases:
                node.inputs = [follow(self.aliases, ref) for ref in node.inputs]
                node.controls = [follow(self.aliases, Ref(name)).node for name in node.controls]
            missing |= dict.fromkeys(ref.node for ref in node.inputs if ref.node not in self.nodes)
        return tuple(missing)

    def _function(self, node: Node) -> Any | None:
        """Return the library function that a node calls, or None."""
        if node.op in CALLS:
            function = node.attr("f")
            return self.library.get(function.func.name) if function is not None else None
        return self.library.get(node.op)

    def _inline(self, call: Node, above: tuple[str, ...]) -> None:
        """Replace a call by its function's nodes; ``above`` names the functions that enclose it."""
        function = self._function(call)
        assert function is not None
        name = function.signature.name
        size = len(self.nodes) + len(function.node_def)
        if name in above or len(above) >= _DEEPEST or size > _MOST_NODES:
            return
        body = self._body(call, function)
        added = [node for proto in function.node_def if self._add(node := self._inner_node(proto, body))]
        for index, argument in enumerate(function.signature.output_arg):
            target = self._inner_ref(function.ret[argument.name], body)
            if target != Ref(call.name, index):
                self.aliases[Ref(call.name, index)] = target
        self.nodes.pop(call.name)
        self.inlined += 1
        if not function.signature.output_arg:  # others can only wait for this call; any of its nodes serves
            last = function.node_def[-1].name if function.node_def else ""
            self.aliases[Ref(call.name)] = Ref(body.local.get(last, ""))
        for node in added:
            if self._function(node) is not None:
                self._inline(node, (*above, name))

    def _body(self, call: Node, function: Any) -> _Body:
        local = {
            inner.name: inner.name if inner.name not in self.nodes else f"{call.name}/{inner.name}"
            for inner in function.node_def
        }
        arguments = zip(function.signature.input_arg, call.inputs, strict=False)
        return _Body(
            local,
            {argument.name: ref for argument, ref in arguments},
            {inner.name: inner.op for inner in function.node_def},
        )

    def _inner_node(self, proto: Any, body: _Body) -> Node:
        """Return a node of a function's body under its name in the graph."""
        node = Node(body.local[proto.name], proto.op, [], [], proto)
        for tensor in proto.input:
            if not tensor.startswith("^"):
                node.inputs.append(self._inner_ref(tensor, body))
            elif tensor[1:] not in body.arguments:
                node.controls.append(body.local.get(tensor[1:], tensor[1:]))
        return node

    def _inner_ref(self, tensor: str, body: _Body) -> Ref:
        """Resolve ``argument``, ``node:output:0`` or ``node:0`` within a function's body."""
        name, *rest = tensor.split(":")
        if name in body.arguments:
            return body.arguments[name]
        index = int(rest[-1]) if rest and rest[-1].isdigit() else 0
        if len(rest) == 2:
            op = body.ops.get(name, "")
            if op in self.library:
                outputs = tuple(argument.name for argument in self.library[op].signature.output_arg)
            else:
                outputs = _OUTPUTS.get(op, ())
            index += outputs.index(rest[0]) if rest[0] in outputs else 0
        return Ref(body.local.get(name, name), index)
