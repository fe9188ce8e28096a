"""Templates: regions of the same structure as one class, with what differs between them.

A template's slots are the items of its regions in forward order. A region may lack a slot: what would read it reads its
alias there, as a block without a residual connection ends with its last convolution.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from porter.graph.codegen.names import without_numbers
from porter.graph.codegen.regions import LAYER, Region
from porter.graph.codegen.step import Step

LONG = 12
"""So many modules in a row of a network are called together."""


class Value(NamedTuple):
    """A tensor inside a template: output ``at`` of ``slot``, or the template's input ``at`` where there is no slot."""

    slot: Slot | None
    at: int = 0


@dataclass(eq=False, repr=False)
class Use:
    """What one region has in a slot: its item, the item's name, the ways to write it, and what it reads."""

    item: Region | Step
    key: str
    options: frozenset[str]
    inputs: tuple[Value, ...]

    @property
    def scope(self) -> str:
        """The item's name without the op that a step ends with."""
        scope = self.key.rpartition("/")[0] if isinstance(self.item, Step) else ""
        return scope or self.key


@dataclass(eq=False, repr=False)
class Slot:
    """One item of a template. ``uses`` has the regions that have it, by their number.

    ``cases`` are the ways to write it: several where regions have different modules in its place, such as a convolution
    and a pool; ``case_of`` tells them apart. ``alias`` is what readers get in a region that lacks the slot.
    """

    uses: dict[int, Use]
    cases: list[frozenset[str]]
    case_of: dict[int, int]
    alias: dict[tuple[int, int], Value] = field(default_factory=dict)

    @property
    def first(self) -> Use:
        """The use of the first region that has it."""
        return next(iter(self.uses.values()))


@dataclass(eq=False, repr=False)
class Template:
    """What becomes a class. ``externals`` maps its inputs to those of each region, ``outputs`` are each region's."""

    kind: str
    regions: list[Region]
    slots: list[Slot]
    inputs: int
    externals: list[dict[int, int]]
    outputs: list[tuple[Value, ...]]

    @property
    def structure(self) -> Hashable:
        """What a region's template shares with those of regions that repeat it, whatever numbers their names have."""
        places = {id(slot): at for at, slot in enumerate(self.slots)} | {id(None): -1}

        def placed(values: Iterable[Value]) -> tuple[tuple[int, int], ...]:
            return tuple((places[id(value.slot)], value.at) for value in values)

        uses = [slot.first for slot in self.slots]
        slots = tuple((use.options, without_numbers(use.scope), placed(use.inputs)) for use in uses)
        return self.kind, self.inputs, slots, placed(self.outputs[0])

    def repeat(self, region: Region, twin: int) -> None:
        """Add a region of the same structure as the one that has the number ``twin``."""
        number, scope = len(self.regions), region.scope
        having = (slot for slot in self.slots if twin in slot.uses)
        for slot, item in zip(having, region.items, strict=True):
            use = slot.uses[twin]
            slot.uses[number] = Use(item, _key(item, scope), use.options, use.inputs)
            slot.case_of[number] = slot.case_of[twin]
        for slot in self.slots:
            slot.alias |= {(number, at): value for (other, at), value in slot.alias.items() if other == twin}
        self.regions.append(region)
        self.externals.append(self.externals[twin])
        self.outputs.append(self.outputs[twin])

    def resolve(self, value: Value, region: int) -> Value:
        """Return the value that stands for ``value`` in a region that may lack its slot."""
        seen = 0
        while value.slot is not None and region not in value.slot.uses and seen < len(self.slots):
            value = value.slot.alias.get((region, value.at), value)
            seen += 1
        return value

    def one_value(self, wanted: Mapping[int, Value]) -> Value | None:
        """Return the value that is ``wanted`` in every region, directly or as an alias; None if there is none."""
        candidates = dict.fromkeys(wanted.values())
        for candidate in candidates:
            if all(self.resolve(candidate, region) == value for region, value in wanted.items()):
                return candidate
        return None

    def reads(self, slot: Slot, position: int) -> dict[int, Value]:
        """Return what each region's item reads at a position."""
        return {region: use.inputs[position] for region, use in slot.uses.items()}

    def returned(self, position: int) -> dict[int, Value]:
        """Return each region's output at a position."""
        return {region: values[position] for region, values in enumerate(self.outputs)}

    @property
    def chain(self) -> bool:
        """Whether each slot reads the one before it alone, and the last one's output is the template's."""
        before = Value(None)
        if self.inputs != 1 or not self.slots:
            return False
        if not all(any(not option.startswith("=") for option in case) for slot in self.slots for case in slot.cases):
            return False
        for slot in self.slots:
            if len(slot.first.inputs) != 1 or self.one_value(self.reads(slot, 0)) != before:
                return False
            lacking = [region for region in range(len(self.regions)) if region not in slot.uses]
            if any(slot.alias.get((region, 0)) != self.resolve(before, region) for region in lacking):
                return False
            before = Value(slot)
        return len(self.outputs[0]) == 1 and self.one_value(self.returned(0)) == before

    @property
    def row(self) -> list[Slot]:
        """The slots that may be modules in a row: all of a chain, else a long row between expressions.

        Each reads the one before alone, and nothing else does. A class of several regions has no part of a row.
        """
        if self.chain:
            return self.slots
        at = [place for place, slot in enumerate(self.slots) if all(map(modules, slot.cases))]
        row = self.slots[at[0] : at[-1] + 1] if at else []
        if len(row) != len(at) or len(row) < LONG or len(self.regions) > 1 or len(row[0].first.inputs) > 1:
            return []
        readers = Counter(id(value.slot) for slot in self.slots for value in slot.first.inputs)
        readers.update(id(value.slot) for value in self.outputs[0])
        pairs = itertools.pairwise(row)
        alone = all(after.first.inputs == (Value(slot),) and readers[id(slot)] == 1 for slot, after in pairs)
        return row if alone else []


def template_of(region: Region, options: Mapping[int, str], orders: Mapping[int, Sequence[int]]) -> Template:
    """Return the template of one region.

    ``options`` names the classes of the regions inside, by their ids, and ``orders`` says which of a region's inputs is
    each input of its class.
    """
    values = {tensor: Value(None, at) for at, tensor in enumerate(region.inputs)}
    slots = []
    for item in region.items:
        reads = [item.inputs[at] for at in orders[id(item)]] if isinstance(item, Region) else item.inputs
        use = Use(item, _key(item, region.scope), _options(item, options), tuple(values[tensor] for tensor in reads))
        slot = Slot({0: use}, [use.options], {0: 0})
        computed = item.outputs if isinstance(item, Region) else item.computes
        values |= {tensor: Value(slot, at) for at, tensor in enumerate(computed)}
        slots.append(slot)
    outputs = tuple(values[tensor] for tensor in region.outputs)
    externals = {at: at for at in range(len(region.inputs))}
    return Template(region.kind, [region], slots, len(region.inputs), [externals], [outputs])


def _options(item: Region | Step, options: Mapping[int, str]) -> frozenset[str]:
    """Return the ways to write an item: a class, a module, its general one, or an expression after =."""
    if isinstance(item, Region):
        return frozenset({options[id(item)]})
    found = {item.module, item.general.module if item.general else ""} - {""}
    return frozenset(found | ({f"={item.expression}"} if item.expression else set()))


def _key(item: Region | Step, scope: str) -> str:
    name = item.name if isinstance(item, Region) else item.node
    if isinstance(item, Region) and item.kind == LAYER and item.scope.startswith(f"{scope}/" if scope else ""):
        name = item.scope or name
    parts, own = name.split("/"), scope.split("/") if scope else []
    shared = next(
        (at for at, (a, b) in enumerate(zip(parts, own, strict=False)) if a != b), min(len(own), len(parts) - 1)
    )
    return "/".join(parts[shared:])


def modules(case: frozenset[str]) -> frozenset[str]:
    """Return those of a slot's options that are modules and not expressions."""
    return frozenset(option for option in case if not option.startswith("="))
