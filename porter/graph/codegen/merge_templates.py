"""merged(first, second) -> Template: one class for the regions of two templates, or none where it would be odd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from porter.graph.codegen.names import without_numbers
from porter.graph.codegen.regions import LAYER
from porter.graph.codegen.step import Step
from porter.graph.codegen.templates import Slot, Template, Use, Value, modules

SHARED = 0.5
"""Regions share a class if all of them have this part of its slots."""
_MOST_CASES = 2
_SAME, _ALIKE, _OTHER_CASE, _NEVER = 8, 4, 1, -1000


def merged(first: Template, second: Template) -> tuple[float, Template] | None:
    """Return a template for the regions of both, and how alike they are; None if a class for both would be odd.

    ``second`` has one region.
    """
    if len(first.outputs[0]) != len(second.outputs[0]) or first.inputs < second.inputs or not _promising(first, second):
        return None
    pairs = _aligned(first.slots, second.slots)
    found = _Merge(first, second, pairs).template()
    alike = _alike(found)
    return (alike, found) if alike >= SHARED else None


def _promising(first: Template, second: Template) -> bool:
    """Tell cheaply whether the two may share enough slots."""
    left = [slot.cases for slot in first.slots]
    shared = 0
    for slot in second.slots:
        at = next((at for at, cases in enumerate(left) if any(case & slot.cases[0] for case in cases)), None)
        if at is not None:
            left.pop(at)
            shared += 1
    return shared >= SHARED * max(len(first.slots), len(second.slots))


def _likeness(slot: Slot, other: Slot) -> int:
    same_name = without_numbers(slot.first.scope) == without_numbers(other.first.scope)
    if any(case & other.cases[0] for case in slot.cases):
        return _SAME if same_name else _ALIKE
    called = all(map(modules, (*slot.cases, *other.cases)))
    single = len(slot.first.inputs) == len(other.first.inputs) == 1
    return _OTHER_CASE if same_name and called and single and len(slot.cases) < _MOST_CASES else _NEVER


def _aligned(first: Sequence[Slot], second: Sequence[Slot]) -> list[tuple[Slot | None, Slot | None]]:
    """Return the slots of both in order, those that belong together as pairs (Needleman and Wunsch 1970)."""
    best = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i in reversed(range(len(first))):
        for j in reversed(range(len(second))):
            fits = best[i + 1][j + 1] + _likeness(first[i], second[j])
            best[i][j] = max(best[i + 1][j], best[i][j + 1], fits)
    pairs: list[tuple[Slot | None, Slot | None]] = []
    i = j = 0
    while i < len(first) or j < len(second):
        likeness = _likeness(first[i], second[j]) if i < len(first) and j < len(second) else _NEVER
        if likeness > 0 and best[i][j] == best[i + 1][j + 1] + likeness:
            pairs.append((first[i], second[j]))
            i, j = i + 1, j + 1
        elif j == len(second) or (i < len(first) and best[i][j] == best[i + 1][j]):
            pairs.append((first[i], None))
            i += 1
        else:
            pairs.append((None, second[j]))
            j += 1
    return pairs


class _Merge:
    """Builds the template of two: new slots, with the values that both had in terms of these."""

    def __init__(self, first: Template, second: Template, pairs: Sequence[tuple[Slot | None, Slot | None]]) -> None:
        self.first, self.second, self.pairs = first, second, pairs
        self.number = len(first.regions)
        self.new = [Slot({}, [], {}) for _ in pairs]
        self.of = {id(slot): self.new[at] for at, pair in enumerate(pairs) for slot in pair if slot is not None}
        self.inputs = first.inputs
        self.externals = [dict(external) for external in first.externals]
        self.external = self._external()

    def _external(self) -> dict[int, int]:
        """Return which of the second's inputs is each input of the template, by what reads them in both."""
        votes: dict[tuple[int, int], int] = {}
        for slot, other in self.pairs:
            if slot is None or other is None:
                continue
            for position, value in enumerate(other.first.inputs):
                wanted = {at.at for at in self.first.reads(slot, position).values() if at.slot is None}
                if value.slot is None:
                    for at in wanted:
                        votes[at, value.at] = votes.get((at, value.at), 0) + 1
        found: dict[int, int] = {}
        for (at, mine), _ in sorted(votes.items(), key=lambda vote: -vote[1]):
            if at not in found and mine not in found.values():
                found[at] = mine
        for mine in range(self.second.inputs):
            if mine not in found.values():
                found[next(at for at in range(self.inputs) if at not in found)] = mine
        for at in range(self.inputs):
            if at not in found:
                likely = [mine for (i, mine) in votes if i == at]
                found[at] = likely[0] if likely else 0
        return found

    def template(self) -> Template:
        for at, (mine, other) in enumerate(self.pairs):
            slot = self.new[at]
            if mine is not None:
                slot.cases, slot.case_of = list(mine.cases), dict(mine.case_of)
                for region, use in mine.uses.items():
                    slot.uses[region] = Use(use.item, use.key, use.options, tuple(map(self._mine, use.inputs)))
            if other is not None:
                self._add(slot, other, mine)
        outputs = [tuple(map(self._mine, values)) for values in self.first.outputs]
        returned = tuple(
            self._other(value, {self._mine(values[at]) for values in self.first.outputs})
            for at, value in enumerate(self.second.outputs[0])
        )
        regions = [*self.first.regions, *self.second.regions]
        externals = [*self.externals, self.external]
        found = Template(self.first.kind, regions, self.new, self.inputs, externals, [*outputs, returned])
        _find_aliases(found)
        return found

    def _add(self, slot: Slot, other: Slot, mine: Slot | None) -> None:
        use = other.first
        known = [set(self.first.reads(mine, at).values()) for at in range(len(use.inputs))] if mine else []
        wanted = [set(map(self._mine, values)) for values in known] or [set[Value]()] * len(use.inputs)
        reads = tuple(self._other(value, likely) for value, likely in zip(use.inputs, wanted, strict=True))
        slot.uses[self.number] = Use(use.item, use.key, use.options, reads)
        for at, case in enumerate(slot.cases):
            if case & use.options:
                slot.cases[at], slot.case_of[self.number] = case & use.options, at
                return
        slot.cases = [*map(modules, slot.cases), modules(use.options)] if slot.cases else [use.options]
        slot.case_of[self.number] = len(slot.cases) - 1

    def _mine(self, value: Value) -> Value:
        return Value(self.of[id(value.slot)], value.at) if value.slot is not None else value

    def _other(self, value: Value, likely: set[Value]) -> Value:
        """Return a value of the second; an input that is several of the template's is the ``likely`` one."""
        if value.slot is not None:
            return Value(self.of[id(value.slot)], value.at)
        places = [at for at, mine in self.external.items() if mine == value.at]
        return next((Value(None, at) for at in places if Value(None, at) in likely), Value(None, min(places)))


def _find_aliases(template: Template) -> None:
    """Find what readers get in a region that lacks a slot: what they read there instead, if all agree."""
    order = {id(slot): at for at, slot in enumerate(template.slots)}
    found: dict[int, dict[tuple[int, int], set[Value]]] = {}

    def compare(reads: Mapping[int, Value]) -> None:
        for other in set(reads.values()):
            if other.slot is not None:
                for region, value in reads.items():
                    if region not in other.slot.uses:
                        found.setdefault(id(other.slot), {}).setdefault((region, other.at), set()).add(value)

    for slot in template.slots:
        for position in range(len(slot.first.inputs)):
            compare(template.reads(slot, position))
    for position in range(len(template.outputs[0])):
        compare(template.returned(position))
    for slot in template.slots:
        slot.alias = {}
        for place, values in found.get(id(slot), {}).items():
            if len(values) == 1:
                (value,) = values
                if value.slot is None or order[id(value.slot)] < order[id(slot)]:
                    slot.alias[place] = value


def _alike(template: Template) -> float:
    """Return the part of the slots that all regions share, less what needs a condition; 0 if the class is odd."""
    whole = range(len(template.regions))
    shared = sum(len(slot.uses) == len(whole) and len(slot.cases) == 1 for slot in template.slots)
    conditions = sum(
        template.one_value(template.reads(slot, at)) is None
        for slot in template.slots
        for at in range(len(slot.first.inputs))
    )
    returns = [template.one_value(template.returned(at)) is None for at in range(len(template.outputs[0]))]
    dropped = sum(len(slot.uses) < len(whole) and not _has_aliases(slot, whole) for slot in template.slots)
    if not all(_one_alias(template, slot) for slot in template.slots):
        return 0.0
    if any(returns) or (template.kind == LAYER and _lacks_weights(template)):
        return 0.0
    return (shared - 0.5 * conditions - dropped) / len(template.slots)


def _one_alias(template: Template, slot: Slot) -> bool:
    """Tell whether one value stands for a slot in all regions that lack it."""
    wanted = {region: value for (region, at), value in slot.alias.items() if at == 0}
    return not wanted or template.one_value(wanted) is not None


def _weighs(slot: Slot) -> bool:
    return isinstance(slot.first.item, Step) and bool(slot.first.item.weights)


def _lacks_weights(template: Template) -> bool:
    """Tell whether a region lacks a slot with weights: a layer without its convolution is another layer."""
    return any(_weighs(slot) and len(slot.uses) < len(template.regions) for slot in template.slots)


def _has_aliases(slot: Slot, regions: Iterable[int]) -> bool:
    return all(region in slot.uses or (region, 0) in slot.alias for region in regions)
