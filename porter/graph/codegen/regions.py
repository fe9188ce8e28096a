"""Regions: a network's steps as a tree of the blocks, scopes and layers that become classes.

A set of steps is a region if nothing that it computes leaves it and comes back: then one call can stand for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from porter.graph.codegen.step import Step

BLOCK, LAYER, SCOPE = "block", "layer", "scope"
_MOST = 0.7
"""The scope of the network has this part of its steps; heads are often beside it."""


@dataclass(eq=False)
class Region:
    """Steps that one module stands for. ``items`` are its steps and the regions inside, in forward order.

    ``inputs`` are the tensors that it reads from outside, in the order of their first use, and ``outputs`` those that
    others read. ``scope`` is the scope that names are relative to.
    """

    name: str
    kind: str
    scope: str
    items: list[Region | Step]
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def steps(self) -> Iterator[Step]:
        """Yield its steps, those of the regions inside too."""
        for item in self.items:
            if isinstance(item, Region):
                yield from item.steps()
            else:
                yield item

    def regions(self) -> Iterator[Region]:
        """Yield the regions inside, the inner ones first."""
        for item in self.items:
            if isinstance(item, Region):
                yield from item.regions()
                yield item


@dataclass(frozen=True)
class Candidate:
    """A set of nodes that may become a region."""

    name: str
    kind: str
    nodes: frozenset[str]


def build_regions(
    steps: Sequence[Step], candidates: Iterable[Candidate], inputs: Sequence[str], outputs: Sequence[str]
) -> Region:
    """Return the network as a tree, whose root takes ``inputs`` in this order. Earlier candidates win an overlap."""
    return _Builder(steps, inputs, outputs).build(candidates)


def rebuilt(root: Region, without: set[int]) -> Region:
    """Return the tree without the regions whose ids are in ``without``: their items take their place."""
    steps = sorted(root.steps(), key=lambda step: 0)  # forward order already
    kept = [region for region in root.regions() if id(region) not in without]
    builder = _Builder(steps, root.inputs, root.outputs)
    sets = [(region, frozenset(map(id, region.steps()))) for region in kept]
    return builder.tree([(region.name, region.kind, members) for region, members in sets])


class _Builder:
    """Places steps in a tree of sets that hold each other whole or share nothing."""

    def __init__(self, steps: Sequence[Step], inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self.steps, self.inputs, self.outputs = list(steps), list(inputs), list(outputs)
        self.at = {tensor: place for place, step in enumerate(self.steps) for tensor in step.computes}
        self.place = {id(step): place for place, step in enumerate(self.steps)}
        self.reads = [{tensor for tensor in step.inputs if tensor in self.at} for step in steps]
        self.readers: dict[str, set[int]] = {}
        self.following: list[set[int]] = [set() for _ in self.steps]
        self.of_node: dict[str, list[int]] = {}
        for place, step in enumerate(self.steps):
            self.of_node.setdefault(step.node, []).append(id(step))
            for tensor in self.reads[place]:
                self.readers.setdefault(tensor, set()).add(place)
                self.following[self.at[tensor]].add(place)
        self.moves = [place for place, step in enumerate(self.steps) if not step.nodes]

    def build(self, candidates: Iterable[Candidate]) -> Region:
        accepted: list[tuple[str, str, frozenset[int]]] = []
        holders: dict[int, list[int]] = {}  # of each step, the accepted sets that have it
        for candidate in candidates:
            members = self._with_moves({member for node in candidate.nodes for member in self.of_node.get(node, ())})
            met = {number for member in members for number in holders.get(member, ())}
            nested = all(members < accepted[number][2] or accepted[number][2] < members for number in met)
            if 2 <= len(members) < len(self.steps) and nested and self._whole(members):
                for member in members:
                    holders.setdefault(member, []).append(len(accepted))
                accepted.append((candidate.name, candidate.kind, members))
        return self.tree(accepted)

    def _with_moves(self, members: set[int]) -> frozenset[int]:
        """Return a set of steps with the moves of axes between them, which stand for no node of the graph."""
        for place in self.moves:
            makers = {id(self.steps[self.at[tensor]]) for tensor in self.reads[place]}
            readers = {id(self.steps[at]) for name in self.steps[place].computes for at in self.readers.get(name, ())}
            if makers <= members and readers <= members and makers and readers:
                members.add(id(self.steps[place]))
        return frozenset(members)

    def _whole(self, members: frozenset[int]) -> bool:
        """Tell whether no path leaves the set and comes back: one that does comes back before the set's last step."""
        own = {self.place[member] for member in members}
        last = max(own)
        waiting = [place for member in own for place in self.following[member] if place < last and place not in own]
        seen = set(waiting)
        while waiting:
            for place in self.following[waiting.pop()]:
                if place in own:
                    return False
                if place < last and place not in seen:
                    seen.add(place)
                    waiting.append(place)
        return True

    def tree(self, sets: Sequence[tuple[str, str, frozenset[int]]]) -> Region:
        """Return the tree of nested sets of steps."""
        root = Region("", BLOCK, "", [])
        home: dict[int, Region] = {id(step): root for step in self.steps}
        parents: dict[int, Region] = {}
        for name, kind, members in sorted(sets, key=lambda each: -len(each[2])):
            region = Region(name, kind, "", [])
            parents[id(region)] = home[next(iter(members))]
            parents[id(region)].items.append(region)
            home |= dict.fromkeys(members, region)
        for step in self.steps:
            home[id(step)].items.append(step)
        self._settle(root)
        root.inputs.sort(key=self.inputs.index)
        root.outputs.sort(key=self.outputs.index)  # as the docstring and the proof name them
        return root

    def _settle(self, region: Region) -> None:
        """Sort a region's items, dissolving regions that read each other, and find what goes in and out."""
        while (tangled := self._sort(region)) is not None:
            at = region.items.index(tangled)
            region.items[at : at + 1] = tangled.items
        own = {tensor for step in region.steps() for tensor in step.computes}
        found = {tensor: None for step in region.steps() for tensor in step.inputs if tensor not in own}
        region.inputs = list(found)
        region.outputs = self._read_outside(own, {self.place[id(step)] for step in region.steps()})
        region.scope = _scope([step.node for step in region.steps()], 1.0 if region.name else _MOST)
        for item in region.items:
            if isinstance(item, Region):
                self._settle(item)

    def _read_outside(self, own: set[str], places: set[int]) -> list[str]:
        """Return which of the tensors ``own``, computed at ``places``, others read, in forward order."""
        read = own.intersection(self.outputs) | {each for each in own if self.readers.get(each, set()) - places}
        return sorted(read, key=lambda tensor: (self.at[tensor], self.steps[self.at[tensor]].computes.index(tensor)))

    def _sort(self, region: Region) -> Region | None:
        """Put a region's items in forward order; return a region that is in a cycle with others, if there is one."""
        members = [list(item.steps()) if isinstance(item, Region) else [item] for item in region.items]
        owner = {tensor: number for number, steps in enumerate(members) for step in steps for tensor in step.computes}
        needs = [
            {owner[tensor] for step in steps for tensor in self.reads[self.place[id(step)]] if tensor in owner}
            - {number}
            for number, steps in enumerate(members)
        ]
        first = [min(self.place[id(step)] for step in steps) for steps in members]
        left = [len(need) for need in needs]
        following: dict[int, list[int]] = {}
        for number, need in enumerate(needs):
            for other in need:
                following.setdefault(other, []).append(number)
        ready = [(first[number], number) for number, count in enumerate(left) if not count]
        heapify(ready)
        ordered: list[int] = []
        while ready:
            _, number = heappop(ready)
            ordered.append(number)
            for other in following.get(number, ()):
                left[other] -= 1
                if not left[other]:
                    heappush(ready, (first[other], other))
        if len(ordered) < len(members):
            waiting = sorted((number for number, count in enumerate(left) if count), key=lambda number: first[number])
            tangled = [item for number in waiting if isinstance(item := region.items[number], Region)]
            return min(tangled, key=lambda item: len(item.items))
        region.items = [region.items[number] for number in ordered]
        return None


def _scope(nodes: Sequence[str], most: float) -> str:
    """Return the deepest scope that holds the part ``most`` of ``nodes``."""
    parts = [node.split("/")[:-1] for node in nodes]
    scope: list[str] = []
    while True:
        at = len(scope)
        deeper = [part for part in parts if len(part) > at and part[:at] == scope]
        names = Counter(part[at] for part in deeper)
        best = max(names, key=lambda name: (names[name], name), default="")
        if not best or names[best] < most * len(parts):
            return "/".join(scope)
        scope.append(best)
