"""Runs: calls of one class in a row, which rows of data stand for."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from porter.graph.codegen.layout import WIDTH, call, literal
from porter.graph.codegen.names import Namer, words
from porter.graph.codegen.parameters import ANY, Definition
from porter.graph.codegen.step import Literal
from porter.graph.codegen.templates import Slot, Value

SHORTEST = 3


@dataclass(eq=False)
class Run:
    """Slots of one class; each reads the one before alone. ``table`` names the rows, ``rows`` has them."""

    slots: list[Slot]
    option: str
    attribute: str
    table: str
    columns: list[str]
    rows: dict[str, tuple[Literal, ...]]
    reads: list[Value]

    @property
    def output(self) -> Value:
        """What the last one computes."""
        return Value(self.slots[-1])

    def built(self, name: str) -> list[str]:
        """Return the line of __init__ that builds its modules."""
        return call(2, f"self.{self.attribute} = nn.Sequential(", [self._each(name)], ")")

    def _each(self, name: str) -> str:
        if not self.columns:
            return f"OrderedDict((name, {name}()) for name in {self.table})"
        return f"OrderedDict((name, {name}(*row)) for name, row in {self.table}.items())"

    def data(self) -> list[str]:
        """Return its rows as source."""
        if not self.columns:
            return call(0, f"{self.table} = (", [literal(name) for name in self.rows], ")")
        lines = [f"{self.table} = {{"]
        lines += [f"    # {line}" for line in textwrap.wrap(", ".join(self.columns), WIDTH - 6)]
        for name, row in self.rows.items():
            lines += call(1, f"{literal(name)}: (", [literal(value) for value in row], ",)," if len(row) == 1 else "),")
        return [*lines, "}"]


def find_runs(definition: Definition, known: Mapping[str, Definition], namer: Namer) -> list[Run]:
    """Return the runs of a class that is built once, so that all arguments inside are literals."""
    template = definition.template
    if len(template.regions) > 1:
        return []
    readers: dict[Value, int] = {}
    for slot in template.slots:
        for value in slot.first.inputs:
            readers[value] = readers.get(value, 0) + 1
    for value in definition.returns:
        readers[value] = readers.get(value, 0) + 1
    runs: list[Run] = []
    attributes = Namer(definition.attributes.values())
    at = 0
    while at < len(template.slots):
        run = [template.slots[at]]
        option = definition.options[id(run[0]), 0]
        while option in known and at + len(run) < len(template.slots):
            following = template.slots[at + len(run)]
            alone = following.first.inputs == (Value(run[-1]),) and readers.get(Value(run[-1])) == 1
            if not alone or definition.options[id(following), 0] != option:
                break
            run.append(following)
        if len(run) >= SHORTEST and len(run[0].first.inputs) == 1:
            runs.append(_run(run, option, definition, known[option], namer, attributes))
        at += len(run)
    return runs


def _run(
    slots: Sequence[Slot], option: str, definition: Definition, inner: Definition, namer: Namer, attributes: Namer
) -> Run:
    columns = [parameter.name for parameter in inner.parameters]
    rows: dict[str, tuple[Literal, ...]] = {}
    for slot in slots:
        arguments = definition.arguments[id(slot), 0]
        row = [arguments[name].literal for name in columns]
        for parameter in reversed(inner.parameters):
            if parameter.default is ANY or row[-1] != parameter.default:
                break
            row.pop()
        rows[definition.attributes[id(slot)]] = tuple(row)
    words_ = words(inner.name)
    plural = "_".join(words_) + ("es" if words_[-1].endswith(("s", "x")) else "s")
    attribute = attributes.new(plural)
    return Run(list(slots), option, attribute, namer.new(plural.upper()), columns, rows, [slots[0].first.inputs[0]])
