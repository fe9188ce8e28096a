"""forward_text: the forward of one class, in which short expressions are written inside the one that reads them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from porter.graph.codegen.layout import assigned, call, literal
from porter.graph.codegen.names import Namer, identifier
from porter.graph.codegen.parameters import CASE, Choice, Definition, Parameter
from porter.graph.codegen.regions import Region
from porter.graph.codegen.runs import Run
from porter.graph.codegen.step import Literal, Step, Weight
from porter.graph.codegen.templates import Slot, Value

_LONGEST, _MOST = 80, 2
"""Letters and inputs of an expression that may have another one inside."""


@dataclass(eq=False)
class Row:
    """Modules in a row that an nn.Sequential runs, between the steps of its own forward."""

    slots: list[Slot]
    attribute: str = "y"

    @property
    def reads(self) -> list[Value]:
        """What the first one reads."""
        return list(self.slots[0].first.inputs)

    @property
    def output(self) -> Value:
        """What the last one computes."""
        return Value(self.slots[-1])


Group = Slot | Run | Row
"""What one statement of forward calls."""


def groups(slots: Sequence[Slot], runs: Sequence[Run], row: Sequence[Slot] = ()) -> list[Group]:
    """Return slots, with the runs and the row in place of theirs, in forward order."""
    inside: dict[int, Group] = {id(slot): run for run in runs for slot in run.slots}
    if row:
        inside |= dict.fromkeys(map(id, row), Row(list(row)))
    return list(dict.fromkeys(inside.get(id(slot), slot) for slot in slots))


def is_module(definition: Definition, slot: Slot) -> bool:
    """Tell whether a slot is a module in each of its cases."""
    return all(not definition.options[id(slot), case].startswith("=") for case in range(len(slot.cases)))


def identity(definition: Definition, slot: Slot) -> dict[int, Value] | None:
    """Return what a slot of one input reads in each region, if an identity stands for it in those that lack it."""
    template = definition.template
    if len(slot.first.inputs) != 1 or not is_module(definition, slot):
        return None
    reads = template.reads(slot, 0)
    for region in range(len(template.regions)):
        if region not in slot.uses:
            if (region, 0) not in slot.alias:
                return None
            reads[region] = slot.alias[region, 0]
    case = definition.cases.get(id(slot))
    return reads if template.one_value(reads) is not None or case is not None else None


def weight_name(attribute: str, weight: Weight) -> str:
    """Return the name of a class's own parameter."""
    return f"{attribute}_{identifier(weight.attribute)}"


def filled(expression: str, texts: Sequence[str], named: Mapping[str, str]) -> str:
    """Return an expression with texts in the places {0}, {1}, …, in parentheses where they need them."""
    kept = list(texts)
    for at, text in enumerate(texts):
        if " " in text:
            kept[at] = f"({text})"
            bare = [*kept[:at], text, *kept[at + 1 :]]
            apart, together = (expression.format(*parts, **named) for parts in (kept, bare))
            if _tree(apart) == _tree(together):
                kept = bare
    return expression.format(*kept, **named)


def _tree(text: str) -> str:
    """Return what an expression computes, "" where it is none: `a // 5.sqrt()` lacks its parentheses."""
    try:
        return ast.dump(ast.parse(text))
    except SyntaxError:
        return ""


@dataclass
class ForwardText:
    """Writes the forward of a definition.

    ``runs`` are the calls that rows of data stand for, and ``row`` the modules that nn.Sequential itself runs.
    ``arguments`` names the inputs. ``kept`` gets the parameters that __init__ must keep, by their attributes, and
    ``helpers`` the names of the definitions that expressions need.
    """

    definition: Definition
    runs: Sequence[Run] = ()
    row: Sequence[Slot] = ()
    arguments: Sequence[str] = ()
    kept: dict[str, str] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)

    def lines(self) -> list[str]:
        """Return the source of forward."""
        template = self.definition.template
        self.variables: dict[Value, str] = {}
        names = list(self.arguments) or (["x"] if template.inputs == 1 else [f"x{at}" for at in range(template.inputs)])
        for at in range(template.inputs):
            self.variables[Value(None, at)] = names[at]
        given = call(1, "def forward(", ["self", *(f"{name}: Tensor" for name in names)], f") -> {self._returned()}:")
        self.order = groups(template.slots, self.runs, self.row)
        self.last = self._last_uses()
        lines: list[str] = []
        for number, group in enumerate(self.order):
            lines += self._statement(number, group, number == len(self.order) - 1)
            self.variables = self._live(number)
        if not self._ended(lines):
            lines.append(f"        return {', '.join(self._text(value) for value in self.definition.returns)}")
        return [*given, *lines]

    def _ended(self, lines: Sequence[str]) -> bool:
        return any(line.startswith("        return ") for line in lines)

    def _returned(self) -> str:
        count = len(self.definition.returns)
        return "Tensor" if count == 1 else f"tuple[{', '.join(['Tensor'] * count)}]"

    def _last_uses(self) -> dict[Value, int]:
        found: dict[Value, int] = {}
        self.reads: dict[Value, int] = {}
        for number, group in enumerate(self.order):
            for value in dict.fromkeys(self._read(group)):
                found[value] = number
                self.reads[value] = self.reads.get(value, 0) + 1
        for value in self.definition.returns:
            found[value] = len(self.order)
        self.counts: dict[int, int] = {}
        for value in found:
            self.counts[id(value.slot)] = max(self.counts.get(id(value.slot), 1), value.at + 1)
        return found

    def _live(self, number: int) -> dict[Value, str]:
        """Return the variables that something reads after a statement."""
        return {value: name for value, name in self.variables.items() if self.last.get(value, -1) > number}

    def _read(self, group: Group) -> list[Value]:
        if not isinstance(group, Slot):
            return group.reads
        found = [value for at in range(len(group.first.inputs)) for _, value in self._choice(group, at).values]
        alias = self._alias(group)
        return [*found, *([alias] if alias is not None else [])]

    def _choice(self, slot: Slot, position: int) -> Choice:
        """Return what a slot reads, in the regions that have an identity in its place too."""
        choice = self.definition.reads[id(slot), position]
        reads = identity(self.definition, slot)
        if reads is None or len(slot.uses) == len(self.definition.template.regions):
            return choice
        whole = self.definition.template.one_value(reads)
        if whole is not None:
            return Choice(((None, whole),))
        lacking = {region: value for region, value in reads.items() if region not in slot.uses}
        value = self.definition.template.one_value(lacking)
        case = self.definition.cases[id(slot)]
        given = (
            choice.values
            if choice.parameter is not None
            else tuple(
                (label, choice.values[0][1]) for label in dict.fromkeys(case.values[region] for region in slot.uses)
            )
        )
        return Choice((*given, (None, value or given[0][1])), case)

    def _alias(self, slot: Slot) -> Value | None:
        """Return what stands for a slot in regions that lack it, where no identity does."""
        template = self.definition.template
        if len(slot.uses) == len(template.regions) or identity(self.definition, slot) is not None:
            return None
        lacking = [region for region in range(len(template.regions)) if region not in slot.uses]
        # Nothing reads the slot in a region without an alias.
        wanted = {region: slot.alias[region, 0] for region in lacking if (region, 0) in slot.alias}
        return template.one_value(wanted) if wanted else None

    def _statement(self, number: int, group: Group, last: bool) -> list[str]:
        if isinstance(group, Run) and len(group.reads) > 1:
            return self._cells(number, group)
        if not isinstance(group, Slot):
            (value,) = group.reads
            called = f"self.{group.attribute}" if isinstance(group, Run) else "super().forward"
            text, otherwise, outputs = f"{called}({self._text(value)})", None, [group.output]
        else:
            text = self._computed(group)
            otherwise = self._otherwise(group)
            count = self.counts.get(id(group), 1)
            item = group.first.item
            count = max(count, len(item.outputs) if isinstance(item, Region) else item.outputs)
            outputs = [Value(group, at) for at in range(count)]
        if last and self.definition.returns == outputs and len(outputs) == 1:
            return assigned(2, "return", text, otherwise)
        if otherwise is None and len(outputs) == 1 and self._goes_inside(number, outputs[0], text):
            return []
        targets: list[str] = []
        for output in outputs:
            targets.append(self._target(number, group, output, targets))
        self.variables |= zip(outputs, targets, strict=True)
        return assigned(2, ", ".join(targets), text, otherwise)

    def _goes_inside(self, number: int, value: Value, text: str) -> bool:
        """Put an expression inside the one that follows, if nothing else reads it and that one stays short."""
        pair = [group for group in self.order[number : number + 2] if isinstance(group, Slot) and self._plain(group)]
        if len(pair) < 2 or self._read(pair[1]).count(value) != 1 or len(pair[1].first.inputs) > _MOST:
            return False
        if self.reads[value] != 1 or value in self.definition.returns:
            return False
        self.variables[value] = text
        return len(self._computed(pair[1])) <= _LONGEST

    def _plain(self, slot: Slot) -> bool:
        """Tell whether a slot is an expression, and the same one in each region."""
        whole = len(slot.uses) == len(self.definition.template.regions) and len(slot.cases) == 1
        chosen = any(self._choice(slot, at).parameter is not None for at in range(len(slot.first.inputs)))
        return whole and not chosen and not is_module(self.definition, slot)

    def _cells(self, number: int, run: Run) -> list[str]:
        """Return the loop over cells that each read what the two before compute."""
        live = set(self._live(number).values())
        given = [self._text(value) for value in run.reads]
        taken = Namer({*live, *given})
        names = [name if name not in live else taken.new(fresh) for name, fresh in zip(given, "xy", strict=True)]
        lines = [] if names == given else [f"        {', '.join(names)} = {', '.join(given)}"]
        self.variables |= {Value(slot): name for slot, name in zip(run.slots[-2:], names, strict=True)}
        each = taken.new(run.each)
        lines.append(f"        for {each} in self.{run.attribute}.values():")
        return [*lines, f"            {', '.join(names)} = {names[1]}, {each}({', '.join(names)})"]

    def _otherwise(self, slot: Slot) -> tuple[str, str] | None:
        flag, case = self.definition.flags.get(id(slot)), self.definition.cases.get(id(slot))
        lacking = len(slot.uses) < len(self.definition.template.regions)
        if not lacking or identity(self.definition, slot) is not None or (flag or case) is None:
            return None
        alias = self._alias(slot)
        kept = self._keep(flag or case)  # type: ignore[arg-type]
        return (kept if flag is not None else f"{kept} is not None"), self._text(alias) if alias is not None else "None"

    def _keep(self, parameter: Parameter) -> str:
        """Return how forward reads a parameter, which __init__ keeps."""
        taken = set(self.definition.attributes.values())
        suffix = "_kind" if parameter.sort == CASE else "_used"
        name = parameter.name if parameter.name not in taken else f"{parameter.name}{suffix}"
        self.kept[name] = parameter.name
        return f"self.{name}"

    def _computed(self, slot: Slot) -> str:
        texts = [self._chosen(self._choice(slot, at)) for at in range(len(slot.first.inputs))]
        attribute = self.definition.attributes[id(slot)]
        option = self.definition.options[id(slot), 0]
        if not option.startswith("="):
            return f"self.{attribute}({', '.join(texts)})"
        step = slot.first.item
        assert isinstance(step, Step)
        if not step.module:
            self.helpers |= step.helpers
        named = {weight.attribute: f"self.{weight_name(attribute, weight)}" for weight in step.weights}
        for name, argument in self.definition.arguments[id(slot), 0].items():
            if argument.parameter is not None and name not in named:
                named[name] = self._keep(argument.parameter)
            elif name not in named:
                named[name] = literal(argument.literal)
        return filled(option[1:], texts, named)

    def _chosen(self, choice: Choice) -> str:
        (_, value), *_ = choice.values
        if choice.parameter is None:
            return self._text(value)
        by_value: dict[Value, list[Literal]] = {}
        for label, each in choice.values:
            by_value.setdefault(each, []).append(label)
        if len(by_value) == 1:
            return self._text(value)
        kept = self._keep(choice.parameter)
        *first, (rest, _) = sorted(by_value.items(), key=lambda each: len(each[1]))
        text = self._text(rest)
        for each, labels in reversed(first):
            (label, *_) = labels
            test = f"{kept} == {literal(label)}" if len(labels) == 1 else f"{kept} in {literal(tuple(labels))}"
            text = f"{self._text(each)} if {test} else {text}"
        return text

    def _text(self, value: Value) -> str:
        return self.variables[value]

    def _target(self, number: int, group: Group, output: Value, beside: Sequence[str]) -> str:
        """Return the variable of a new value: that of an input that nothing reads later, or one of its own.

        ``beside`` are those of the values that the same call returns before it.
        """
        live = set(self._live(number).values())
        live.update(beside)
        if "x" not in live and output.at == 0:
            return "x"
        if "y" not in live and output.at == 0 and self.last.get(output) == number + 1 and self.reads.get(output) == 1:
            return "y"
        if not isinstance(group, Slot):
            return Namer(live).new(group.attribute)
        key = group.first.key.partition("/")[0] if "/" in group.first.key else self.definition.attributes[id(group)]
        return Namer(live | {"x"}).new(identifier(key))
