"""class_text: the source of one class, and the paths of what is inside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from porter.graph.codegen.layout import INDENT, assigned, call, docstring, literal
from porter.graph.codegen.names import Namer, identifier
from porter.graph.codegen.parameters import ANY, CASE, Argument, Choice, Definition, Parameter, defaults_of
from porter.graph.codegen.regions import Region
from porter.graph.codegen.runs import Run
from porter.graph.codegen.step import Literal, Step, Weight
from porter.graph.codegen.templates import Slot, Value

_LONG = 12
"""A network of so many layers in a row needs no forward of its own."""
POSITIONAL = frozenset("kernel_size num_features output_size".split())
"""Arguments that people write without their names, beside the channels."""


def constructor(
    option: str, arguments: Mapping[str, Argument], known: Mapping[str, Definition], parent: Literal = None
) -> tuple[str, list[str]]:
    """Return the name of what an option builds, and its arguments as source, without those equal to defaults."""
    definition = known.get(option)
    if definition is not None:
        parts, named = [], False
        for parameter in definition.parameters:
            argument = arguments[parameter.name]
            named = named or not _positional(parameter.name)
            if parameter.default is ANY and not named:
                parts.append(argument_text(argument))
            elif parameter.default is ANY or argument.parameter is not None or argument.literal != parameter.default:
                parts.append(f"{parameter.name}={argument_text(argument)}")
        return definition.name, parts
    defaults = defaults_of(option)
    parts = []
    for name, argument in arguments.items():
        if argument.parameter is None and name in defaults and defaults[name] == argument.literal:
            continue
        text = argument_text(argument)
        parts.append(text if _positional(name) else f"{name}={text}")
    return option, parts


def _positional(name: str) -> bool:
    return name in POSITIONAL or name.endswith(("channels", "features"))


def argument_text(argument: Argument) -> str:
    """Return an argument as source."""
    if argument.parameter is None:
        return literal(argument.literal)
    return argument.parameter.name if argument.factor == 1 else f"{argument.factor} * {argument.parameter.name}"


@dataclass
class ClassText:
    """Writes the class of a definition.

    ``runs`` are the calls that rows of data stand for; ``what`` is the docstring. ``image`` names the inputs.
    """

    definition: Definition
    known: Mapping[str, Definition]
    runs: Sequence[Run] = ()
    what: str = ""
    more: str = ""
    root: bool = False
    arguments: Sequence[str] = ()
    helpers: set[str] = field(default_factory=set)

    def lines(self) -> list[str]:
        """Return the source of the class."""
        template = self.definition.template
        self.chain = template.chain and all(self._is_module(slot) for slot in template.slots)
        if self.root:
            self.chain = self.chain and len(self._order()) >= _LONG
        base = "nn.Sequential" if self.chain else "nn.Module"
        self.kept: dict[str, str] = {}
        forward = [] if self.chain else self._forward()
        return [
            f"class {self.definition.name}({base}):",
            *docstring(1, self.what, self.more),
            "",
            *self._init(),
            *(["", *forward] if forward else []),
        ]

    # ---- __init__
    def _init(self) -> list[str]:
        parameters = [_declared(parameter) for parameter in self.definition.parameters]
        lines = call(1, "def __init__(", ["self", *parameters], ") -> None:")
        lines.append("        super().__init__()")
        inside = {id(slot): run for run in self.runs for slot in run.slots}
        for slot in self.definition.template.slots:
            run = inside.get(id(slot))
            if run is None:
                lines += self._built(slot)
            elif slot is run.slots[0]:
                lines += run.built()
        lines += [f"        self.{name} = {value}" for name, value in self.kept.items()]
        return lines

    def _built(self, slot: Slot) -> list[str]:
        attribute = self.definition.attributes[id(slot)]
        flag, case = self.definition.flags.get(id(slot)), self.definition.cases.get(id(slot))
        if case is not None:
            within = [self._constructed(slot, number, attribute, 3) for number in range(len(slot.cases))]
            return self._cases(slot, case, within)
        whole = self._constructed(slot, 0, attribute, 2)
        if not whole or flag is None:
            return whole
        if not self.chain and len(whole) == 1 and self._identity(slot) is not None:
            short = f"{whole[0]} if {flag.name} else nn.Identity()"
            target, _, text = short.strip().partition(" = ")
            return assigned(2, target, text.split(f" if {flag.name} else ")[0], (flag.name, "nn.Identity()"))
        return [f"        if {flag.name}:", *self._constructed(slot, 0, attribute, 3)]

    def _cases(self, slot: Slot, case: Parameter, texts: Sequence[Sequence[str]]) -> list[str]:
        lines: list[str] = []
        labels = list(dict.fromkeys(case.values[region] for region in slot.uses))
        lacking = len(slot.uses) < len(self.definition.template.regions)
        for at, label in enumerate(labels):
            number = next(slot.case_of[region] for region in slot.uses if case.values[region] == label)
            last = at == len(labels) - 1 and not lacking
            test = "else:" if last and at else f"{'el' if at else ''}if {case.name} == {literal(label)}:"
            lines += [f"        {test}", *texts[number]]
        if lacking and not self.chain and self._identity(slot) is not None:
            lines += ["        else:", f"            self.{self.definition.attributes[id(slot)]} = nn.Identity()"]
        return lines

    def _constructed(self, slot: Slot, case: int, attribute: str, depth: int) -> list[str]:
        """Return the lines, as many indents deep, that build what a slot has in a case."""
        option, arguments = self.definition.options[id(slot), case], self.definition.arguments[id(slot), case]
        use = next(use for region, use in slot.uses.items() if slot.case_of[region] == case)
        if option.startswith("="):
            assert isinstance(use.item, Step)
            self.helpers |= use.item.helpers if not use.item.module else set()
            return [INDENT * depth + _kept_weight(attribute, weight, arguments) for weight in use.item.weights]
        if isinstance(use.item, Step) and option not in self.known and not option.startswith("nn."):
            self.helpers.add(option)
        name, parts = constructor(option, arguments, self.known)
        return call(depth, f"self.{attribute} = {name}(", parts)

    def _is_module(self, slot: Slot) -> bool:
        return all(not self.definition.options[id(slot), case].startswith("=") for case in range(len(slot.cases)))

    def _identity(self, slot: Slot) -> dict[int, Value] | None:
        """Return what a slot of one input reads in each region, if an identity stands for it in those that lack it."""
        template = self.definition.template
        if len(slot.first.inputs) != 1 or not self._is_module(slot):
            return None
        reads = template.reads(slot, 0)
        for region in range(len(template.regions)):
            if region not in slot.uses:
                if (region, 0) not in slot.alias:
                    return None
                reads[region] = slot.alias[region, 0]
        case = self.definition.cases.get(id(slot))
        return reads if template.one_value(reads) is not None or case is not None else None

    # ---- forward
    def _forward(self) -> list[str]:
        template = self.definition.template
        self.variables: dict[Value, str] = {}
        names = list(self.arguments) or (["x"] if template.inputs == 1 else [f"x{at}" for at in range(template.inputs)])
        for at in range(template.inputs):
            self.variables[Value(None, at)] = names[at]
        given = call(1, "def forward(", ["self", *(f"{name}: Tensor" for name in names)], f") -> {self._returned()}:")
        self.last = self._last_uses()
        lines: list[str] = []
        order = self._order()
        for number, group in enumerate(order):
            lines += self._statement(number, group, number == len(order) - 1)
            self.variables = self._live(number)
        if not self._ended(lines):
            lines.append(f"        return {', '.join(self._text(value) for value in self.definition.returns)}")
        return [*given, *lines]

    def _ended(self, lines: Sequence[str]) -> bool:
        return any(line.startswith("        return ") for line in lines)

    def _returned(self) -> str:
        count = len(self.definition.returns)
        return "Tensor" if count == 1 else f"tuple[{', '.join(['Tensor'] * count)}]"

    def _order(self) -> list[Slot | Run]:
        """Return the slots and runs in forward order."""
        inside = {id(slot): run for run in self.runs for slot in run.slots}
        return list(dict.fromkeys(inside.get(id(slot), slot) for slot in self.definition.template.slots))

    def _last_uses(self) -> dict[Value, int]:
        found: dict[Value, int] = {}
        self.reads: dict[Value, int] = {}
        order = self._order()
        for number, group in enumerate(order):
            for value in dict.fromkeys(self._read(group)):
                found[value] = number
                self.reads[value] = self.reads.get(value, 0) + 1
        for value in self.definition.returns:
            found[value] = len(order)
        self.counts: dict[int, int] = {}
        for value in found:
            self.counts[id(value.slot)] = max(self.counts.get(id(value.slot), 1), value.at + 1)
        return found

    def _live(self, number: int) -> dict[Value, str]:
        """Return the variables that something reads after a statement."""
        return {value: name for value, name in self.variables.items() if self.last.get(value, -1) > number}

    def _read(self, group: Slot | Run) -> list[Value]:
        if isinstance(group, Run):
            return list(group.reads)
        found = [value for at in range(len(group.first.inputs)) for _, value in self._choice(group, at).values]
        alias = self._alias(group)
        return [*found, *([alias] if alias is not None else [])]

    def _choice(self, slot: Slot, position: int) -> Choice:
        """Return what a slot reads, in the regions that have an identity in its place too."""
        choice = self.definition.reads[id(slot), position]
        identity = self._identity(slot)
        if identity is None or len(slot.uses) == len(self.definition.template.regions):
            return choice
        whole = self.definition.template.one_value(identity)
        if whole is not None:
            return Choice(((None, whole),))
        lacking = {region: value for region, value in identity.items() if region not in slot.uses}
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
        if len(slot.uses) == len(template.regions) or self._identity(slot) is not None:
            return None
        lacking = [region for region in range(len(template.regions)) if region not in slot.uses]
        # Nothing reads the slot in a region without an alias.
        wanted = {region: slot.alias[region, 0] for region in lacking if (region, 0) in slot.alias}
        return template.one_value(wanted) if wanted else None

    def _statement(self, number: int, group: Slot | Run, last: bool) -> list[str]:
        if isinstance(group, Run) and len(group.reads) > 1:
            return self._cells(number, group)
        if isinstance(group, Run):
            (value,) = group.reads
            text, otherwise, outputs = f"self.{group.attribute}({self._text(value)})", None, [group.output]
        else:
            text = self._computed(group)
            otherwise = self._otherwise(group)
            count = self.counts.get(id(group), 1)
            item = group.first.item
            count = max(count, len(item.outputs) if isinstance(item, Region) else item.outputs)
            outputs = [Value(group, at) for at in range(count)]
        if last and self.definition.returns == outputs and len(outputs) == 1:
            return assigned(2, "return", text, otherwise)
        targets: list[str] = []
        for output in outputs:
            targets.append(self._target(number, group, output, targets))
        self.variables |= zip(outputs, targets, strict=True)
        return assigned(2, ", ".join(targets), text, otherwise)

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
        if not lacking or self._identity(slot) is not None or (flag or case) is None:
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
        named = {weight.attribute: f"self.{_weight_name(attribute, weight)}" for weight in step.weights}
        for name, argument in self.definition.arguments[id(slot), 0].items():
            if argument.parameter is not None and name not in named:
                named[name] = self._keep(argument.parameter)
            elif name not in named:
                named[name] = literal(argument.literal)
        return option[1:].format(*(f"({text})" if " " in text else text for text in texts), **named)

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

    def _target(self, number: int, group: Slot | Run, output: Value, beside: Sequence[str]) -> str:
        """Return the variable of a new value: that of an input that nothing reads later, or one of its own.

        ``beside`` are those of the values that the same call returns before it.
        """
        live = set(self._live(number).values())
        live.update(beside)
        if "x" not in live and output.at == 0:
            return "x"
        if "y" not in live and output.at == 0 and self.last.get(output) == number + 1 and self.reads.get(output) == 1:
            return "y"
        if isinstance(group, Run):
            return Namer(live).new(group.attribute)
        key = group.first.key.partition("/")[0] if "/" in group.first.key else self.definition.attributes[id(group)]
        return Namer(live | {"x"}).new(identifier(key))


def _weight_name(attribute: str, weight: Weight) -> str:
    return f"{attribute}_{identifier(weight.attribute)}"


def _kept_weight(attribute: str, weight: Weight, arguments: Mapping[str, Argument]) -> str:
    shape = argument_text(arguments[f"{weight.attribute}_shape"])
    name = _weight_name(attribute, weight)
    if weight.dtype:
        return f'self.register_buffer("{name}", torch.zeros({shape}, dtype={weight.dtype}))'
    if weight.buffer:
        return f'self.register_buffer("{name}", torch.zeros({shape}))'
    return f"self.{name} = nn.Parameter(torch.zeros({shape}))"


def weight_path(attribute: str, weight: Weight, option: str) -> str:
    """Return the name of a weight in the state of the class: a module's own, or the class' parameter."""
    if option.startswith("="):
        return _weight_name(attribute, weight)
    return f"{attribute}.{weight.attribute}"


def _declared(parameter: Parameter) -> str:
    kinds = list(dict.fromkeys(_type(value) for value in parameter.values))
    kinds.sort(key=lambda kind: kind == "None")
    default = "" if parameter.default is ANY else f" = {literal(parameter.default)}"
    return f"{parameter.name}: {' | '.join(kinds)}{default}"


def _type(value: Literal) -> str:
    if isinstance(value, tuple):
        return f"tuple[{', '.join(_type(each) for each in value)}]"
    return "None" if value is None else type(value).__name__
