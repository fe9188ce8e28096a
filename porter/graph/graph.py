"""Graph: a GraphDef as nodes by name, with resolved inputs, consumers and an execution order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

VARIABLE_OPS = frozenset({"VarHandleOp", "VariableV2", "Variable"})


class Ref(NamedTuple):
    """One output of a node."""

    node: str
    slot: int = 0

    @property
    def tensor(self) -> str:
        """TensorFlow's name of the output: ``node``, or ``node:1`` for one after the first."""
        return f"{self.node}:{self.slot}" if self.slot else self.node


@dataclass(slots=True)
class Node:
    """One op. ``inputs`` are its data inputs in the op's order; ``controls`` are nodes that must run before it."""

    name: str
    op: str
    inputs: list[Ref]
    controls: list[str]
    proto: Any

    def attr(self, name: str) -> Any:
        """Return the AttrValue ``name``, or None if the node does not have it."""
        return self.proto.attr[name] if name in self.proto.attr else None  # noqa: SIM401 - a map's get inserts

    def ints(self, name: str) -> tuple[int, ...]:
        """Return a list-of-integers attribute, or () if it is missing."""
        value = self.attr(name)
        return tuple(value.list.i) if value is not None else ()

    def integer(self, name: str, default: int = 0) -> int:
        """Return an integer attribute, or ``default`` if it is missing."""
        value = self.attr(name)
        return int(value.i) if value is not None else default

    def flag(self, name: str) -> bool:
        """Return a boolean attribute; a missing one is False."""
        value = self.attr(name)
        return value is not None and bool(value.b)

    def text(self, name: str) -> str:
        """Return a string attribute, or '' if it is missing."""
        value = self.attr(name)
        return value.s.decode("utf-8", "replace") if value is not None else ""

    @property
    def channels_first(self) -> bool:
        """Whether the op computes in NCHW. NHWC is TensorFlow's default."""
        return self.text("data_format").startswith("NC")


@dataclass
class Graph:
    """Nodes in the file's order.

    ``missing`` lists inputs that the graph does not define; ``repeated`` lists names that it defines more than once.
    ``functions`` names the library's functions, and ``inlined`` counts the calls that were replaced by their bodies.
    """

    nodes: dict[str, Node]
    producer: int = 0
    missing: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    inlined: int = 0
    aliases: dict[Ref, Ref] = field(default_factory=dict)
    """Maps each output of an inlined call to the output that computes it."""

    def resolve(self, tensor: str) -> Ref:
        """Return the output that computes ``name:0``, following inlined calls."""
        return follow(self.aliases, parse_ref(tensor))

    @cached_property
    def consumers(self) -> dict[str, list[str]]:
        """The nodes that read each node's outputs."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for name in dict.fromkeys(ref.node for ref in node.inputs):
                if name in found:
                    found[name].append(node.name)
        return found

    @cached_property
    def order(self) -> list[str]:
        """All names, inputs before their consumers.

        The order ignores the back edges of loops (NextIteration). TensorFlow writes no other cycles; if a file
        contains one, its nodes come last, in the file's order.
        """
        waits, following = self._dependencies()
        ordered = [name for name, count in waits.items() if not count]
        for name in ordered:  # the list grows during the walk
            for other in following.get(name, ()):
                waits[other] -= 1
                if not waits[other]:
                    ordered.append(other)
        if len(ordered) < len(self.nodes):
            there = set(ordered)
            ordered += [name for name in self.nodes if name not in there]
        return ordered

    def _dependencies(self) -> tuple[dict[str, int], dict[str, list[str]]]:
        """Return how many nodes each node waits for, and the nodes that wait for each node."""
        waits: dict[str, int] = {}
        following: dict[str, list[str]] = {}
        for node in self.nodes.values():
            needs = ({ref.node for ref in node.inputs} | set(node.controls)) & self.nodes.keys()
            if node.op in ("Merge", "RefMerge"):
                needs = {name for name in needs if self.nodes[name].op not in ("NextIteration", "RefNextIteration")}
            waits[node.name] = len(needs)
            for name in needs:
                following.setdefault(name, []).append(node.name)
        return waits, following

    def needed(self, outputs: Iterable[str]) -> set[str]:
        """Return ``outputs`` and every node that they depend on through data inputs."""
        found: set[str] = set()
        waiting = [name for name in outputs if name in self.nodes]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(ref.node for ref in self.nodes[name].inputs if ref.node in self.nodes)
        return found

    def reached(self, starts: Iterable[str]) -> set[str]:
        """Return ``starts`` and every node that depends on one of them through data inputs."""
        found: set[str] = set()
        waiting = [name for name in starts if name in self.nodes]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.consumers[name])
        return found


def follow(aliases: dict[Ref, Ref], ref: Ref) -> Ref:
    """Return the end of a chain of aliases; a circular chain ends where it began to repeat."""
    seen: set[Ref] = set()
    while ref in aliases and ref not in seen:
        seen.add(ref)
        ref = aliases[ref]
    return ref


def parse_ref(tensor: str) -> Ref:
    """Return the node and output that ``name`` or ``name:1`` refers to."""
    name, colon, index = tensor.rpartition(":")
    return Ref(name, int(index)) if colon and index.isdigit() else Ref(tensor)
