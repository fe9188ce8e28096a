"""build_graph(GraphDef) -> Graph: resolves inputs and inlines function calls.

A function's nodes keep their names if these are free; otherwise the call's name becomes their scope. A recursive
call, or one that would make the graph too large, stays an ordinary node.

While and If become the ops of TensorFlow 1 only on request: a graph that runs keeps them, and the costs of an If are
those of one of its branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from typing import Any

from porter.graph.graph import Graph, Node, Ref, follow, parse_ref
from porter.graph.lowering import FUNCTIONS, IFS, WHILES, lower

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


def build_graph(proto: Any, first: Iterable[str] = (), *, lowers: Callable[[Node], bool] = lambda _: False) -> Graph:
    """Return the GraphDef ``proto`` as a Graph.

    Calls that the tensors ``first`` depend on are inlined first, so that their nodes keep their plain names.
    ``lowers`` chooses the While and If ops that become those of TensorFlow 1, with their functions inlined.
    """
    return _Builder(proto, lowers).graph(first)


@dataclass(frozen=True)
class _Body:
    """How names inside one call's function map to names of the graph."""

    local: dict[str, str]
    arguments: dict[str, Ref]
    ops: dict[str, str]


class _Builder:
    def __init__(self, proto: Any, lowers: Callable[[Node], bool]) -> None:
        self.proto = proto
        self.lowers = lowers
        self.library = {function.signature.name: function for function in proto.library.function}
        self.nodes: dict[str, Node] = {}
        self.aliases: dict[Ref, Ref] = {}
        self.inlined = 0
        self.taken: set[str] = set()
        """All names that a node has, or had before it was inlined: references to those lead elsewhere."""
        self.repeated: list[str] = []

    def graph(self, first: Iterable[str]) -> Graph:
        for proto in self.proto.node:
            inputs = [parse_ref(tensor) for tensor in proto.input if not tensor.startswith("^")]
            controls = [tensor[1:] for tensor in proto.input if tensor.startswith("^")]
            self._add(Node(proto.name, proto.op, inputs, controls, proto))
        calls = [node for node in self.nodes.values() if self._functions(node)]
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
        self.taken.add(node.name)
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

    def _functions(self, node: Node) -> list[Any]:
        """Return the library function that a node calls, or both of a While or If that is lowered."""
        keys: tuple[str, ...] = ("f",) if node.op in CALLS else ()
        if node.op in FUNCTIONS and node.inputs and self.lowers(node):
            keys = FUNCTIONS[node.op]
        values = [node.attr(key) for key in keys]
        names = [value.func.name if value is not None else "" for value in values] if keys else [node.op]
        found = [self.library[name] for name in names if name in self.library]
        return found if len(found) == len(names) and _fits(node, found) else []

    def _inline(self, call: Node, above: tuple[str, ...]) -> None:
        """Replace a call by its function's nodes; ``above`` names the functions that enclose it."""
        functions = self._functions(call)
        names = {function.signature.name for function in functions}
        size = len(self.nodes) + sum(len(function.node_def) + len(call.inputs) for function in functions)
        if names & set(above) or len(above) >= _DEEPEST or size > _MOST_NODES:
            return
        if call.op in FUNCTIONS:
            inline = partial(self._inline_body, call)
            added, outputs = lower(call, functions, inline, self._add)
        else:
            nodes, outputs = self._inline_body(call, functions[0], call.inputs)
            added = [nodes]
        for index, target in enumerate(outputs):
            if target != Ref(call.name, index):
                self.aliases[Ref(call.name, index)] = target
        self.nodes.pop(call.name)
        self.inlined += 1
        if not outputs:  # others can only wait for this call; any of its nodes serves
            self.aliases[Ref(call.name)] = Ref(added[0][-1].name if added[0] else "")
        for function, nodes in zip(functions, added, strict=True):
            for node in nodes:
                if self._functions(node):
                    self._inline(node, (*above, function.signature.name))

    def _inline_body(
        self, call: Node, function: Any, inputs: Sequence[Ref], waits: str = ""
    ) -> tuple[list[Node], list[Ref]]:
        """Add a function's nodes; return them and the function's outputs. Those without inputs wait for ``waits``."""
        body = self._body(call, function, inputs)
        added = [node for proto in function.node_def if self._add(node := self._inner_node(proto, body))]
        for node in added:
            if waits and not node.inputs:
                node.controls.append(waits)
        outputs = [self._inner_ref(function.ret[argument.name], body) for argument in function.signature.output_arg]
        return added, outputs

    def _body(self, call: Node, function: Any, inputs: Sequence[Ref]) -> _Body:
        local = {inner.name: self._free(inner.name, call) for inner in function.node_def}
        arguments = zip(function.signature.input_arg, inputs, strict=False)
        return _Body(
            local,
            {argument.name: ref for argument, ref in arguments},
            {inner.name: inner.op for inner in function.node_def},
        )

    def _free(self, name: str, call: Node) -> str:
        """Return ``name``, behind the call's name if it is taken, and behind ``else`` too in a second function.

        The name that is returned counts as taken.
        """
        names = (name, f"{call.name}/{name}", f"{call.name}/else/{name}")
        numbered = (f"{names[1]}_{number}" for number in count(1))
        free = next(free for free in chain(names, numbered) if free not in self.taken)
        self.taken.add(free)
        return free

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


def _fits(call: Node, functions: Sequence[Any]) -> bool:
    """Tell whether a While or If has the inputs that its functions take; a damaged one stays an ordinary node."""
    if call.op not in FUNCTIONS:
        return True
    given = len(call.inputs) - (call.op in IFS)
    sizes = [(len(function.signature.input_arg), len(function.signature.output_arg)) for function in functions]
    wanted = [(given, 1), (given, given)] if call.op in WHILES else [(given, sizes[0][1])] * 2
    return sizes == wanted and all(
        argument.name in function.ret for function in functions for argument in function.signature.output_arg
    )
