"""build_graph(GraphDef) -> Graph: inputs resolved, and called functions inlined where they are called.

A function's nodes keep their names where these are free, and stand under the call's name where they are not.
A call that would go round in circles, or a graph that would grow beyond reason, stays an ordinary node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from porter.graph.graph import Graph, Node, Ref, parse_ref

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
"""The ops of several named outputs that image graphs have; inside a function, outputs are named."""


def build_graph(proto: Any, first: Iterable[str] = ()) -> Graph:
    """Return ``proto`` as a Graph. The functions that the nodes ``first`` need are inlined first, so that
    these keep their plain names."""
    return _Builder(proto, first).graph()


class _Builder:
    def __init__(self, proto: Any, first: Iterable[str]) -> None:
        self.proto = proto
        self.library = {function.signature.name: function for function in proto.library.function}
        self.nodes: dict[str, Node] = {}
        self.alias: dict[Ref, Ref] = {}
        self.inlined = 0
        self.twice: list[str] = []
        self.first = first

    def graph(self) -> Graph:
        calls = []
        for proto in self.proto.node:
            if proto.name in self.nodes:
                self.twice.append(proto.name)
                continue
            node = _node(proto.name, proto)
            self.nodes[proto.name] = node
            if self._function(node) is not None:
                calls.append(node)
        if calls:
            self._inline_all(calls)
        missing: dict[str, None] = {}
        for node in self.nodes.values():
            if self.alias:
                node.inputs = [self._resolved(ref) for ref in node.inputs]
                node.controls = [self._resolved(Ref(name)).node for name in node.controls]
            for ref in node.inputs:
                if ref.node not in self.nodes:
                    missing[ref.node] = None
        return Graph(
            self.nodes,
            self.proto.versions.producer,
            tuple(missing),
            tuple(self.library),
            tuple(self.twice),
            self.inlined,
            self.alias,
        )

    def _inline_all(self, calls: list[Node]) -> None:
        needed = Graph(self.nodes).needed(parse_ref(name).node for name in self.first)
        for call in sorted(calls, key=lambda node: node.name not in needed):
            self._inline(call, ())

    def _function(self, node: Node) -> Any | None:
        if node.op in CALLS:
            function = node.attr("f")
            return self.library.get(function.func.name) if function is not None else None
        return self.library.get(node.op)

    def _inline(self, call: Node, above: tuple[str, ...]) -> None:
        function = self._function(call)
        assert function is not None
        name = function.signature.name
        size = len(self.nodes) + len(function.node_def)
        if name in above or len(above) >= _DEEPEST or size > _MOST_NODES:
            return
        arguments = {
            argument.name: ref for argument, ref in zip(function.signature.input_arg, call.inputs, strict=False)
        }
        # A name that is taken stands under the call's.
        local = {
            inner.name: inner.name if inner.name not in self.nodes else f"{call.name}/{inner.name}"
            for inner in function.node_def
        }
        ops = {inner.name: inner.op for inner in function.node_def}
        inner_calls = []
        for proto in function.node_def:
            node = Node(local[proto.name], proto.op, [], [], proto)
            if node.name in self.nodes:
                self.twice.append(node.name)
                continue
            for tensor in proto.input:
                if tensor.startswith("^"):
                    if tensor[1:] not in arguments:
                        node.controls.append(local.get(tensor[1:], tensor[1:]))
                else:
                    node.inputs.append(self._inner(tensor, local, arguments, ops))
            self.nodes[node.name] = node
            if self._function(node) is not None:
                inner_calls.append(node)
        for index, argument in enumerate(function.signature.output_arg):
            target = self._inner(function.ret[argument.name], local, arguments, ops)
            if target != Ref(call.name, index):
                self.alias[Ref(call.name, index)] = target
        self.nodes.pop(call.name)
        self.inlined += 1
        if not function.signature.output_arg:  # only waited for: any of its nodes will do
            last = function.node_def[-1].name if function.node_def else ""
            self.alias[Ref(call.name)] = Ref(local.get(last, ""))
        for node in inner_calls:
            self._inline(node, (*above, name))

    def _inner(
        self, tensor: str, local: Mapping[str, str], arguments: Mapping[str, Ref], ops: Mapping[str, str]
    ) -> Ref:
        """Resolve ``argument``, ``node:output:0`` or ``node:0`` within a function's body."""
        name, *rest = tensor.split(":")
        if name in arguments:
            return arguments[name]
        index = int(rest[-1]) if rest and rest[-1].isdigit() else 0
        if len(rest) == 2:
            op = ops.get(name, "")
            if op in self.library:
                outputs = tuple(argument.name for argument in self.library[op].signature.output_arg)
            else:
                outputs = _OUTPUTS.get(op, ())
            index += outputs.index(rest[0]) if rest[0] in outputs else 0
        return Ref(local.get(name, name), index)

    def _resolved(self, ref: Ref) -> Ref:
        seen = set()
        while ref in self.alias and ref not in seen:
            seen.add(ref)
            ref = self.alias[ref]
        return ref


def _node(name: str, proto: Any) -> Node:
    inputs = [parse_ref(tensor) for tensor in proto.input if not tensor.startswith("^")]
    return Node(name, proto.op, inputs, [tensor[1:] for tensor in proto.input if tensor.startswith("^")], proto)
