"""class_text: the source of one class, and the paths of what is inside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from porter.graph.codegen.forward_text import ForwardText, groups, identity, is_module, weight_name
from porter.graph.codegen.layout import INDENT, assigned, call, docstring, literal
from porter.graph.codegen.parameters import ANY, Argument, Definition, Parameter, defaults_of
from porter.graph.codegen.runs import Run
from porter.graph.codegen.step import Literal, Step, Weight
from porter.graph.codegen.templates import LONG, Slot

POSITIONAL = frozenset("kernel_size normalized_shape num_features num_groups output_size".split())
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

    ``runs`` are the calls that rows of data stand for; ``what`` is the docstring. ``arguments`` names the inputs.
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
        self.row = self._row()
        self.kept: dict[str, str] = {}
        whole = len(self.row) == len(self.definition.template.slots)
        forward = [] if whole else self._forward()
        return [
            f"class {self.definition.name}({'nn.Sequential' if self.row else 'nn.Module'}):",
            *docstring(1, self.what, self.more),
            "",
            *self._init(),
            *(["", *forward] if forward else []),
        ]

    def _row(self) -> list[Slot]:
        """Return the modules that the class runs as an nn.Sequential: all, or those between expressions."""
        template = self.definition.template
        row = template.row if all(is_module(self.definition, slot) for slot in template.row) else []
        partial = self.root or len(row) < len(template.slots)
        return [] if partial and len(groups(row, self.runs)) < LONG else row

    def _forward(self) -> list[str]:
        forward = ForwardText(self.definition, self.runs, self.row, self.arguments, self.kept, self.helpers)
        return forward.lines()

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
        if not self.row and len(whole) == 1 and identity(self.definition, slot) is not None:
            short = f"{whole[0]} if {flag.name} else nn.Identity()"
            target, _, text = short.strip().partition(" = ")
            return assigned(2, target, text.split(f" if {flag.name} else ")[0], (flag.name, "nn.Identity()"))
        return [f"        if {flag.name}:", *self._constructed(slot, 0, attribute, 3), *self._lacking(slot)]

    def _cases(self, slot: Slot, case: Parameter, texts: Sequence[Sequence[str]]) -> list[str]:
        lines: list[str] = []
        labels = list(dict.fromkeys(case.values[region] for region in slot.uses))
        lacking = len(slot.uses) < len(self.definition.template.regions)
        for at, label in enumerate(labels):
            number = next(slot.case_of[region] for region in slot.uses if case.values[region] == label)
            last = at == len(labels) - 1 and not lacking
            test = "else:" if last and at else f"{'el' if at else ''}if {case.name} == {literal(label)}:"
            lines += [f"        {test}", *texts[number]]
        return [*lines, *(self._lacking(slot) if lacking else [])]

    def _lacking(self, slot: Slot) -> list[str]:
        """Return the last branch of what builds a slot, for regions that lack it: nothing, or an identity."""
        if self.row or identity(self.definition, slot) is None:
            return []
        return ["        else:", f"            self.{self.definition.attributes[id(slot)]} = nn.Identity()"]

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


def _kept_weight(attribute: str, weight: Weight, arguments: Mapping[str, Argument]) -> str:
    shape = argument_text(arguments[f"{weight.attribute}_shape"])
    name = weight_name(attribute, weight)
    if weight.dtype:
        return f'self.register_buffer("{name}", torch.zeros({shape}, dtype={weight.dtype}))'
    if weight.buffer:
        return f'self.register_buffer("{name}", torch.zeros({shape}))'
    return f"self.{name} = nn.Parameter(torch.zeros({shape}))"


def weight_path(attribute: str, weight: Weight, option: str) -> str:
    """Return the name of a weight in the state of the class: a module's own, or the class' parameter."""
    if option.startswith("="):
        return weight_name(attribute, weight)
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
