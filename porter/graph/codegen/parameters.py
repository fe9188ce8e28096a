"""Parameters: what differs between the regions of a template, as the parameters of its class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from porter.graph.codegen.names import Namer, common_name, identifier, scopes_of, without_first_numbers, words
from porter.graph.codegen.regions import Region
from porter.graph.codegen.step import DEFAULTS, Call, Literal, Step
from porter.graph.codegen.templates import Slot, Template, Value

ANY: Any = ...
"""The value of a parameter in a region that does not use it."""
CHANNELS = "channels"
_CHANNELS = frozenset("in_channels out_channels num_features groups in_features out_features".split())
_PASSED = frozenset({"channels", "num_features"})
_ENDS = frozenset({"in_channels", "out_channels", "groups"})
FLAG, CASE, CHOICE = "flag", "case", "choice"
_FACTORS = (2, 3, 4, 5, 6, 8)


@dataclass(eq=False)
class Parameter:
    """One parameter of a class: its value in each region of the template, and a default where most share one."""

    name: str
    sort: str
    values: list[Literal]
    default: Literal = ANY

    def fits(self, sort: str, values: Sequence[Literal], apart: bool = False) -> bool:
        """Tell whether it can stand for ``values`` too; with ``apart``, those of other regions alone will do."""
        if sort != self.sort:
            return False
        pairs = list(zip(self.values, values, strict=True))
        if not apart and not any(a is not ANY and same(a, b) for a, b in pairs):
            return False
        return all(a is ANY or b is ANY or same(a, b) for a, b in pairs)

    def take(self, values: Sequence[Literal]) -> None:
        """Fill in the values of regions that did not use it so far."""
        self.values = [b if a is ANY else a for a, b in zip(self.values, values, strict=True)]


def same(a: Literal, b: Literal) -> bool:
    """Tell whether two literals are equal and of one type: 1 is not True."""
    return type(a) is type(b) and a == b


@dataclass(frozen=True)
class Argument:
    """The value of an argument inside a class: a literal, or a parameter, perhaps times a factor."""

    literal: Literal = None
    parameter: Parameter | None = None
    factor: int = 1


@dataclass(frozen=True)
class Choice:
    """What a class reads at one place: ``values`` by the value of ``parameter`` that chooses, or one value alone."""

    values: tuple[tuple[Literal, Value], ...]
    parameter: Parameter | None = None


@dataclass(eq=False)
class Definition:
    """A template as a class: its name and parameters, and for each slot its attribute, option and arguments."""

    template: Template
    name: str
    attributes: dict[int, str] = field(default_factory=dict)
    parameters: list[Parameter] = field(default_factory=list)
    options: dict[tuple[int, int], str] = field(default_factory=dict)
    arguments: dict[tuple[int, int], dict[str, Argument]] = field(default_factory=dict)
    flags: dict[int, Parameter] = field(default_factory=dict)
    cases: dict[int, Parameter] = field(default_factory=dict)
    reads: dict[tuple[int, int], Choice] = field(default_factory=dict)
    returns: list[Value] = field(default_factory=list)

    def values(self, region: int) -> dict[str, Literal]:
        """Return the arguments that build one region's module, by the parameters' names."""
        return {each.name: each.values[region] for each in self.parameters}


def define(
    template: Template,
    name: str,
    known: Mapping[str, Definition],
    numbers: Mapping[int, int],
    channels: Mapping[str, int],
) -> Definition:
    """Return the class of a template. ``known`` are the classes of the regions inside, by their option.

    ``numbers`` says which of its class's regions each region inside is. ``channels`` are those of each tensor.
    """
    return _Definer(template, name, known, numbers, channels).define()


class _Definer:
    def __init__(
        self,
        template: Template,
        name: str,
        known: Mapping[str, Definition],
        numbers: Mapping[int, int],
        channels: Mapping[str, int],
    ) -> None:
        self.template, self.known, self.numbers, self.channels = template, known, numbers, channels
        self.count = len(template.regions)
        self.row = {id(slot) for slot in template.row}
        self.found = Definition(template, name)
        self.namer = Namer({"self"})
        self.wanted: dict[int, list[str]] = {}

    def define(self) -> Definition:
        self._attributes()
        wide = [slot for slot in self.template.slots if self._widens(slot)]
        self.widest = wide[-1] if wide else None
        for slot in self.template.slots:
            for case in range(len(slot.cases)):
                self._arguments(slot, case)
            self._presence(slot)
        for slot in self.template.slots:
            for position in range(len(slot.first.inputs)):
                self.found.reads[id(slot), position] = self._choice(slot, position)
        for position in range(len(self.template.outputs[0])):
            value = self.template.one_value(self.template.returned(position))
            assert value is not None
            self.found.returns.append(value)
        self._settle()
        return self.found

    def _widens(self, slot: Slot) -> bool:
        """Tell whether a slot chooses its output's channels."""
        options = [option for case in slot.cases for option in case]
        steps = (use.item for use in slot.uses.values() if isinstance(use.item, Step))
        known = (self.known[option] for option in options if option in self.known)
        return any("out_channels" in step.arguments for step in steps) or any(
            parameter.name == "out_channels" for definition in known for parameter in definition.parameters
        )

    # ---- attributes
    def _attributes(self) -> None:
        namer = Namer()
        slots = self.template.slots
        within = [Counter[str]() for _ in range(self.count)]
        for slot in slots:
            for region, use in slot.uses.items():
                within[region].update(scopes_of(use.key))
        found = [[self._key(use.key, use.item, within[region]) for region, use in slot.uses.items()] for slot in slots]
        for slot, keys in zip(slots, without_first_numbers(found), strict=True):
            what = slot.first.item.what if isinstance(slot.first.item, Step) else "block"
            self.found.attributes[id(slot)] = namer.new(identifier(common_name(keys), identifier(what)))

    def _key(self, key: str, item: Region | Step, within: Counter[str]) -> str:
        """Return the words that name an item: its scope's, without the op that a step ends with.

        ``within`` counts the items of its region in each scope.
        """
        if isinstance(item, Region):
            while "/" in key and within[key.rpartition("/")[0]] == 1:
                key = key.rpartition("/")[0]
            return key
        scope, _, leaf = key.rpartition("/")
        if not scope:
            plain = leaf[:1].islower() and leaf.rstrip("_0123456789") not in OP_WORDS
            return leaf if plain else item.what or leaf
        return scope if within[scope] == 1 else f"{scope}/{item.what or leaf}"

    # ---- arguments
    def _arguments(self, slot: Slot, case: int) -> None:
        found = []
        for option in sorted(slot.cases[case], key=lambda option: self._preference(slot, option)):
            vectors = self._vectors(slot, case, option)
            if vectors is not None:
                varying = sum(len({repr(value) for value in row if value is not ANY}) > 1 for row in vectors.values())
                found.append((varying, option, vectors))
        _, option, vectors = min(found, key=lambda each: each[0])
        self.found.options[id(slot), case] = option
        others = [self.found.arguments[id(slot), other] for other in range(case)]
        arguments = {}
        for name, values in vectors.items():
            beside = [other[name].parameter for other in others if name in other and other[name].factor == 1]
            arguments[name] = self._argument(slot, option, name, values, beside)
        self.found.arguments[id(slot), case] = arguments

    def _preference(self, slot: Slot, option: str) -> tuple[bool, bool, str]:
        """Sort a row's modules first, elsewhere expressions; torch's own modules before helpers."""
        return (option.startswith("=") is (id(slot) in self.row), not option.startswith("nn."), option)

    def _vectors(self, slot: Slot, case: int, option: str) -> dict[str, list[Literal]] | None:
        rows: dict[int, dict[str, Literal]] = {}
        for region, use in slot.uses.items():
            if slot.case_of[region] != case:
                continue
            rows[region] = self._row(use.item, option)
        names = dict.fromkeys(name for row in rows.values() for name in row)
        defaults = defaults_of(option)
        if any(name not in row and name not in defaults for name in names for row in rows.values()):
            return None
        return {
            name: [rows[at].get(name, defaults.get(name)) if at in rows else ANY for at in range(self.count)]
            for name in names
        }

    def _row(self, item: Region | Step, option: str) -> dict[str, Literal]:
        if isinstance(item, Region):
            return self.known[option].values(self.numbers[id(item)])
        if option.startswith("="):
            shapes: dict[str, Literal] = {f"{w.attribute}_shape": w.shape for w in item.weights}
            return shapes if item.module else item.arguments | shapes
        return call_of(item, option).arguments

    def _argument(
        self, slot: Slot, option: str, name: str, values: list[Literal], beside: Sequence[Parameter | None]
    ) -> Argument:
        """Return an argument of what a slot builds; ``beside`` are parameters for it where it builds something else."""
        used = [value for value in values if value is not ANY]
        if all(same(value, used[0]) for value in used):
            return Argument(used[0])
        sort = self._sort(option, name)
        for parameter in sorted(self.found.parameters, key=lambda each: each not in beside):
            if parameter.fits(sort, values, apart=parameter in beside):
                parameter.take(values)
                self._vote(parameter, slot, name)
                return Argument(parameter=parameter)
        if sort == CHANNELS and len(set(used)) > 2 and (scaled := self._scaled(values)) is not None:
            return scaled
        parameter = Parameter("", sort, list(values))
        self.found.parameters.append(parameter)
        self._vote(parameter, slot, name)
        return Argument(parameter=parameter)

    def _sort(self, option: str, name: str) -> str:
        definition = self.known.get(option)
        if definition is not None:
            return next(each.sort for each in definition.parameters if each.name == name)
        return CHANNELS if name in _CHANNELS else name

    def _scaled(self, values: Sequence[Literal], own: Parameter | None = None) -> Argument | None:
        """Return a multiple of another parameter, as a bottleneck's last convolution has four times the channels."""
        for parameter in self.found.parameters:
            pairs = [(a, b) for a, b in zip(parameter.values, values, strict=True) if b is not ANY]
            if parameter is own or parameter.sort != CHANNELS or any(a is ANY for a, _ in pairs):
                continue
            for factor in _FACTORS:
                if all(isinstance(a, int) and a * factor == b for a, b in pairs):
                    return Argument(parameter=parameter, factor=factor)
        return None

    # ---- which regions have a slot, and what it reads
    def _presence(self, slot: Slot) -> None:
        attribute = self.found.attributes[id(slot)]
        if len(slot.cases) > 1:
            labels = self._labels(slot)
            values: list[Literal] = [labels[slot.case_of[at]] if at in slot.uses else None for at in range(self.count)]
            self.found.cases[id(slot)] = self._parameter(CASE, values, attribute)
        elif len(slot.uses) < self.count:
            flags: list[Literal] = [at in slot.uses for at in range(self.count)]
            what = slot.first.item.what if isinstance(slot.first.item, Step) else ""
            reads_input = any(value.slot is None for value in slot.first.inputs)
            name = "residual" if what == "add" and reads_input else attribute
            self.found.flags[id(slot)] = self._parameter(FLAG, flags, name)

    def _labels(self, slot: Slot) -> list[str]:
        """Return a name for each of the things that a slot builds: what it does, or else its module."""
        items = {slot.case_of[region]: use.item for region, use in slot.uses.items()}
        names = []
        for case in range(len(slot.cases)):
            item, option = items[case], self.found.options[id(slot), case]
            module = self.known[option].name if option in self.known else option.removeprefix("nn.")
            names.append((item.what if isinstance(item, Step) else module, module))
        said = [name for name, _ in names]
        namer = Namer()
        return [namer.new(identifier(name if said.count(name) == 1 else module)) for name, module in names]

    def _parameter(self, sort: str, values: list[Literal], name: str) -> Parameter:
        for parameter in self.found.parameters:
            if parameter.sort == sort and all(map(same, parameter.values, values)):
                return parameter
        parameter = Parameter("", sort, values)
        self.found.parameters.append(parameter)
        self.wanted.setdefault(id(parameter), []).append(name)
        return parameter

    def _choice(self, slot: Slot, position: int) -> Choice:
        reads = self.template.reads(slot, position)
        value = self.template.one_value(reads)
        if value is not None:
            return Choice(((None, value),))
        parameter = self.found.cases.get(id(slot))
        by_case: dict[Literal, dict[int, Value]] = {}
        if parameter is not None:
            for region, read in reads.items():
                by_case.setdefault(parameter.values[region], {})[region] = read
            chosen = {case: self.template.one_value(wanted) for case, wanted in by_case.items()}
            if None not in chosen.values():
                return Choice(tuple((case, each) for case, each in chosen.items() if each is not None), parameter)
        distinct = list(dict.fromkeys(reads.values()))
        values: list[Literal] = [distinct.index(reads[at]) if at in reads else 0 for at in range(self.count)]
        parameter = self._parameter(CHOICE, values, f"{self.found.attributes[id(slot)]}_reads")
        return Choice(tuple(enumerate(distinct)), parameter)

    # ---- names, order and defaults
    def _vote(self, parameter: Parameter, slot: Slot, name: str) -> None:
        attribute = self.found.attributes[id(slot)]
        reads = {self.template.one_value(self.template.reads(slot, at)) for at in range(len(slot.first.inputs))}
        if parameter.sort == CHANNELS and name != "groups":
            into = (name.startswith("in_") or name in _PASSED) and Value(None) in reads
            own = "in_channels" if into else name if (name == "out_channels" and slot is self.widest) else ""
            single = own or (f"{attribute}_{name}" if name not in _CHANNELS else f"{attribute}_channels")
        else:
            single = name
        self.wanted.setdefault(id(parameter), []).extend([single, f"{attribute}_{name}"])

    def _settle(self) -> None:
        for parameter in list(self.found.parameters):
            scaled = self._scaled(parameter.values, parameter) if parameter.sort == CHANNELS else None
            if scaled is not None and len(set(map(repr, parameter.values)) - {repr(ANY)}) > 2:
                self.found.parameters.remove(parameter)
                for arguments in self.found.arguments.values():
                    for name, argument in arguments.items():
                        if argument.parameter is parameter:
                            arguments[name] = replace(scaled, factor=argument.factor * scaled.factor)
        for parameter in self.found.parameters:
            counts = Counter(repr(value) for value in parameter.values if value is not ANY)
            ((most, _), *_) = counts.most_common(1)
            value = next(value for value in parameter.values if repr(value) == most)
            own = self._own_channels() if "in_channels" in self.wanted[id(parameter)] else [value] * self.count
            parameter.values = [own[at] if each is ANY else each for at, each in enumerate(parameter.values)]
            often = 2 * sum(repr(each) == most for each in parameter.values) > len(parameter.values)
            if often and (parameter.sort != CHANNELS or self.wanted[id(parameter)][0] == "groups"):
                parameter.default = value
        self._unscale()
        for parameter in sorted(self.found.parameters, key=lambda each: "in_channels" not in self.wanted[id(each)]):
            names = ["_".join(words(name)) for name in self.wanted[id(parameter)]]
            wanted = next((name for name in names if name not in self.namer.taken), names[0])
            parameter.name = self.namer.new(identifier(wanted))
        inner = [each for each in self.found.parameters if each.sort == CHANNELS and each.name not in _ENDS]
        if len(inner) == 1 and len(self.template.slots) > 1:
            ends = any(each.name in _ENDS - {"groups"} for each in self.found.parameters)
            inner[0].name = "mid_channels" if ends else "channels"
        order = {CHANNELS: 0}
        self.found.parameters.sort(
            key=lambda each: (each.default is not ANY, each.name != "in_channels", order.get(each.sort, 1))
        )

    def _unscale(self) -> None:
        """Write a parameter where it equals a multiple of another one in all regions that have the slot."""
        for slot in self.template.slots:
            for case in range(len(slot.cases)):
                regions = [region for region in slot.uses if slot.case_of[region] == case]
                arguments = self.found.arguments[id(slot), case]
                for name, argument in arguments.items():
                    if argument.parameter is None or argument.factor == 1:
                        continue
                    scaled = [argument.factor * int(argument.parameter.values[at]) for at in regions]  # type: ignore[arg-type]
                    for other in self.found.parameters:
                        if other.sort == CHANNELS and [other.values[at] for at in regions] == scaled:
                            arguments[name] = Argument(parameter=other)
                            break

    def _own_channels(self) -> list[Literal]:
        """Return the channels that each region reads, 0 where they are unknown."""
        tensors = [region.inputs[self.template.externals[at][0]] for at, region in enumerate(self.template.regions)]
        return [self.channels.get(tensor, 0) for tensor in tensors]


OP_WORDS = frozenset("add concat depthwise mul sub truediv batchnorm convolution separable_conv conv".split())
"""Names of nodes that only repeat the op."""


def defaults_of(option: str) -> dict[str, Literal]:
    """Return the defaults of a constructor; a helper has those of the module that it extends."""
    return DEFAULTS.get(option) or DEFAULTS.get(option.replace("Same", "nn.", 1), {})


def call_of(step: Step, option: str) -> Call:
    """Return the constructor of a step that an option names."""
    if option != step.module and step.general is not None and option == step.general.module:
        return step.general
    return step.call
