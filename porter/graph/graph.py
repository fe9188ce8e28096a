"""Graph: a GraphDef as nodes by name, with their inputs resolved, consumers and an order that cycles do not stop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple


class Ref(NamedTuple):
    """One output of a node."""

    node: str
    slot: int = 0


@dataclass(slots=True)
class Node:
    """One op. ``inputs`` are in the op's order, ``controls`` the nodes that it only waits for."""

    name: str
    op: str
    inputs: list[Ref]
    controls: list[str]
    proto: Any

    def attr(self, name: str) -> Any:
        """Return the AttrValue ``name``, empty where the node has none."""
        return self.proto.attr[name] if name in self.proto.attr else None  # noqa: SIM401 - a map's get inserts

    def ints(self, name: str) -> tuple[int, ...]:
        """Return an attribute that is a list of integers, or ()."""
        value = self.attr(name)
        return tuple(value.list.i) if value is not None else ()

    def text(self, name: str) -> str:
        """Return an attribute that is a string, or ''."""
        value = self.attr(name)
        return value.s.decode("utf-8", "replace") if value is not None else ""


@dataclass
class Graph:
    """Nodes in the file's order. ``missing`` are inputs that no node of the graph computes."""

    nodes: dict[str, Node]
    producer: int = 0
    missing: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    inlined: int = 0
    aliases: dict[Ref, Ref] = field(default_factory=dict)
    """What the outputs of inlined calls are computed by."""

    def resolve(self, tensor: str) -> Ref:
        """Return what computes ``name:0``, also where this was a call that is inlined."""
        ref, seen = parse_ref(tensor), set[Ref]()
        while ref in self.aliases and ref not in seen:
            seen.add(ref)
            ref = self.aliases[ref]
        return ref

    @cached_property
    def consumers(self) -> dict[str, list[str]]:
        """Return, for each node, those that read one of its outputs."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for ref in dict.fromkeys(ref.node for ref in node.inputs):
                if ref in found:
                    found[ref].append(node.name)
        return found

    @cached_property
    def order(self) -> list[str]:
        """Return all names, inputs first. A loop's back edge (NextIteration) is not waited for; the nodes of
        any other cycle, which no TensorFlow graph has, come last in the file's order."""
        waits: dict[str, int] = {}
        following: dict[str, list[str]] = {}
        for node in self.nodes.values():
            needs = {name for name in (*(ref.node for ref in node.inputs), *node.controls) if name in self.nodes}
            if node.op in ("Merge", "RefMerge"):
                needs = {name for name in needs if self.nodes[name].op not in ("NextIteration", "RefNextIteration")}
            waits[node.name] = len(needs)
            for name in needs:
                following.setdefault(name, []).append(node.name)
        ready = [name for name, count in waits.items() if not count]
        ordered = []
        for name in ready:  # grows while it is walked
            ordered.append(name)
            for other in following.get(name, ()):
                waits[other] -= 1
                if not waits[other]:
                    ready.append(other)
        if len(ordered) < len(self.nodes):
            there = set(ordered)
            ordered += [name for name in self.nodes if name not in there]
        return ordered

    def needed(self, outputs: Iterable[str], controls: bool = False) -> set[str]:
        """Return ``outputs`` and every node that they depend on, through data and, if asked, control inputs."""
        found: set[str] = set()
        waiting = [name for name in outputs if name in self.nodes]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            node = self.nodes[name]
            waiting.extend(ref.node for ref in node.inputs if ref.node in self.nodes)
            if controls:
                waiting.extend(control for control in node.controls if control in self.nodes)
        return found

    def reached(self, starts: Iterable[str]) -> set[str]:
        """Return ``starts`` and every node that depends on one of them through data."""
        found: set[str] = set()
        waiting = [name for name in starts if name in self.nodes]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.consumers[name])
        return found


def parse_ref(tensor: str) -> Ref:
    """Return the node and output of ``name``, ``name:1``."""
    name, colon, index = tensor.rpartition(":")
    return Ref(name, int(index)) if colon and index.isdigit() else Ref(tensor)
