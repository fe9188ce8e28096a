"""Runs: calls in a row that rows of data stand for, of one class or, of cells that read two before, of several."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

from porter.graph.codegen.layout import WIDTH, call, literal
from porter.graph.codegen.names import Namer, common_name, without_numbers, words
from porter.graph.codegen.parameters import ANY, Definition
from porter.graph.codegen.step import Literal
from porter.graph.codegen.templates import Slot, Value

SHORTEST = 3
_SHORTEST_OF_CELLS = 4


@dataclass(eq=False)
class Run:
    """Slots that read what the one before computes; ``reads`` has two values if they read what the two before compute.

    ``table`` names the rows, ``rows`` has them: of several classes, each begins with its class. ``each`` names one.
    """

    slots: list[Slot]
    attribute: str
    table: str
    each: str
    columns: list[str]
    rows: dict[str, tuple[str, ...]]
    reads: list[Value]
    built_by: str = ""
    """The class of all rows, if they have one."""

    @property
    def output(self) -> Value:
        """What the last one computes."""
        return Value(self.slots[-1])

    def built(self) -> list[str]:
        """Return the lines of __init__ that build its modules."""
        bare = bool(self.built_by) and not self.columns
        row = "" if bare else ", row" if self.built_by else f", ({self.each}, *row)"
        module = f"{self.built_by or self.each}({'' if bare else '*row'})"
        rows = f"for name{row} in {self.table}{'' if bare else '.items()'}"
        if len(self.reads) > 1:
            return call(2, f"self.{self.attribute} = nn.ModuleDict(", [f"{{name: {module} {rows}}}"], ")")
        return call(2, f"self.{self.attribute} = nn.Sequential(", [f"OrderedDict((name, {module}) {rows})"], ")")

    def data(self) -> list[str]:
        """Return its rows as source."""
        if self.built_by and not self.columns:
            return call(0, f"{self.table} = (", [literal(name) for name in self.rows], ")")
        lines = [f"{self.table} = {{"]
        lines += [f"    # {line}" for line in textwrap.wrap(", ".join(self.columns), WIDTH - 6)]
        for name, row in self.rows.items():
            lines += call(1, f"{literal(name)}: (", row, ",)," if len(row) == 1 else "),")
        return [*lines, "}"]


def find_runs(definition: Definition, known: Mapping[str, Definition], namer: Namer) -> list[Run]:
    """Return the runs of a class that is built once, so that all arguments inside are literals."""
    template = definition.template
    if len(template.regions) > 1:
        return []
    finder = _Finder(definition, known, namer)
    found: list[Run] = []
    at = 0
    while at < len(template.slots):
        run = finder.cells(at) or finder.chain(at)
        if run is not None:
            found.append(run)
        at += len(run.slots) if run is not None else 1
    return found


class _Finder:
    def __init__(self, definition: Definition, known: Mapping[str, Definition], namer: Namer) -> None:
        self.definition, self.known, self.namer = definition, known, namer
        self.slots = definition.template.slots
        self.attributes = Namer(definition.attributes.values())
        self.readers: dict[Value, int] = {}
        for value in (*(value for slot in self.slots for value in slot.first.inputs), *definition.returns):
            self.readers[value] = self.readers.get(value, 0) + 1

    def _option(self, slot: Slot) -> str:
        return self.definition.options[id(slot), 0]

    def chain(self, at: int) -> Run | None:
        """Return the slots of one class from ``at`` on that each read the one before alone."""
        first = self.slots[at]
        if self._option(first) not in self.known or len(first.first.inputs) != 1:
            return None
        run = [first]
        for number in range(at + 1, len(self.slots)):
            slot = self.slots[number]
            alone = slot.first.inputs == (Value(run[-1]),) and self.readers.get(Value(run[-1])) == 1
            if not alone or self._option(slot) != self._option(first):
                break
            run.append(slot)
        return self._run(run) if len(run) >= SHORTEST else None

    def cells(self, at: int) -> Run | None:
        """Return the slots from ``at`` on that each read what the two before compute, of any class."""
        run: list[Slot] = []
        before = self.slots[at].first.inputs
        if len(before) != 2 or before[0] == before[1]:
            return None
        for number in range(at, len(self.slots)):
            slot = self.slots[number]
            if self._option(slot) not in self.known or slot.first.inputs != before or self._outputs(slot) != 1:
                break
            run.append(slot)
            before = (before[1], Value(slot))
        # Nothing but the run reads what its cells compute, the last two aside.
        seen = next((place for place, slot in enumerate(run) if self.readers.get(Value(slot)) != 2), len(run))
        run = run[: seen + 2]
        return self._run(run) if len(run) >= _SHORTEST_OF_CELLS else None

    def _outputs(self, slot: Slot) -> int:
        return len(self.known[self._option(slot)].returns)

    def _run(self, run: list[Slot]) -> Run:
        names = [self.definition.attributes[id(slot)] for slot in run]
        options = {self._option(slot) for slot in run}
        inner = self.known[self._option(run[0])]
        single = inner.name if len(options) == 1 else ""
        rows = {name: self._row(slot, not single) for name, slot in zip(names, run, strict=True)}
        columns = [parameter.name for parameter in inner.parameters] if single else []
        parts = words(single or common_name([without_numbers(name) for name in names]))
        each = Namer({"row", "name", "self"}).new("_".join(parts))
        plural = each + ("es" if each.endswith(("s", "x")) else "s")
        table = self.namer.new(plural.upper())
        reads = list(run[0].first.inputs)
        return Run(run, self.attributes.new(plural), table, each, columns, rows, reads, single)

    def _row(self, slot: Slot, with_class: bool) -> tuple[str, ...]:
        """Return the arguments that build a slot's module, without defaults at their end."""
        inner = self.known[self._option(slot)]
        arguments = self.definition.arguments[id(slot), 0]
        row: list[Literal] = [arguments[parameter.name].literal for parameter in inner.parameters]
        for parameter in reversed(inner.parameters):
            if parameter.default is ANY or row[-1] != parameter.default:
                break
            row.pop()
        return (*([inner.name] if with_class else []), *map(literal, row))
