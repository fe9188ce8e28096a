"""classes: a network's steps as definitions of classes, the inner ones first."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from porter.graph.analysis.analysis import Analysis
from porter.graph.codegen.merge_templates import merged
from porter.graph.codegen.names import Namer, class_name, common_name, without_numbers
from porter.graph.codegen.parameters import OP_WORDS, Definition, define
from porter.graph.codegen.regions import BLOCK, LAYER, SCOPE, Candidate, Region, build_regions, rebuilt
from porter.graph.codegen.runs import SHORTEST
from porter.graph.codegen.step import Program, Step
from porter.graph.codegen.templates import Template, template_of

_LARGE = 12
"""A block of so many steps is a class even if it does not repeat."""
_SCOPES = 3
"""A scope inside a block is a class if it repeats so often."""
_SOURCE = frozenset("nn F Tensor Path OrderedDict Sequence".split())


@dataclass
class Classes:
    """The classes of a network: ``known`` by their option, the root's last. ``option_of`` and ``number_of`` are by a
    region's id: its class, and which of that class's regions it is.
    """

    root: Region
    known: dict[str, Definition]
    option_of: dict[int, str]
    number_of: dict[int, int]

    @property
    def network(self) -> Definition:
        """The class of the whole network."""
        return self.known[self.option_of[id(self.root)]]


def find_classes(program: Program, analysis: Analysis, name: str, helpers: Sequence[str]) -> Classes:
    """Return the classes of ``program``, the network's called ``name``; ``helpers`` are names of other definitions."""
    ends = ([port.source for port in ports] for ports in (program.inputs, program.outputs))
    root = build_regions(program.steps, _candidates(program, analysis), *ends)
    while True:
        found = _Sorted(root)
        templates, option_of, number_of = found.templates, found.option_of, found.number_of
        alone = {id(region) for each in templates if _dissolves(each, root) for region in each.regions}
        if not alone:
            break
        root = rebuilt(root, alone)
    namer = Namer({*_SOURCE, *helpers})
    whole = namer.new(class_name(_network_scope(root) or name, "Network"))
    channels = _channels(program)
    known: dict[str, Definition] = {}
    for at in _inner_first(templates, option_of):
        option = f"#{at}"
        template = templates[at]
        own = whole if template.regions[0] is root else _free_name(template, namer)
        known[option] = define(template, own, known, number_of, channels)
    return Classes(root, known, option_of, number_of)


def _channels(program: Program) -> dict[str, int]:
    """Return the channels of each tensor where they are known."""
    shapes = {port.source: port.shape for port in program.inputs}
    shapes |= {step.node: step.shape for step in program.steps if step.shape}
    return {tensor: shape[-1] for tensor, shape in shapes.items() if shape and shape[-1]}


def _network_scope(root: Region) -> str:
    """Return the scope that has most of the network, if it has a name, without the number of a second trace."""
    return root.scope.partition("/")[0].removesuffix("_1")


def _candidates(program: Program, analysis: Analysis) -> Iterator[Candidate]:
    """Yield the sets of nodes that may become classes: blocks, layers and scopes."""
    for group in analysis.groups:
        for repeat in (each for each in group.repeats() if len(each.layers) > 1):
            yield Candidate(repeat.name, BLOCK, frozenset(name for layer in repeat.layers for name in layer.nodes))
    for layer in analysis.layers:
        yield Candidate(layer.name, LAYER, frozenset(layer.nodes))
    scopes: dict[str, list[str]] = {}
    for step in program.steps:
        parts = step.node.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            scopes.setdefault("/".join(parts[:depth]), []).append(step.node)
    for scope, nodes in sorted(scopes.items(), key=lambda each: each[0].count("/")):
        yield Candidate(scope, SCOPE, frozenset(nodes))


class _Sorted:
    """Regions sorted into templates: ``option_of`` and ``number_of`` say which, and which of its regions each is.

    A region of the structure of one before it follows that one, so that many equal blocks cost little more than one.
    It is compared with all templates where one of them has changed since.
    """

    def __init__(self, root: Region) -> None:
        self.root = root
        self.templates: list[Template] = []
        self.option_of: dict[int, str] = {}
        self.number_of: dict[int, int] = {}
        self._orders: dict[int, list[int]] = {}
        self._changes = 0
        self._twins: dict[Hashable, tuple[int, Region]] = {}
        """By structure the last region that has it, and how many changes there were by then."""
        for region in (*root.regions(), root):
            self._add(region)

    def _add(self, region: Region) -> None:
        single = template_of(region, self.option_of, self._orders)
        structure = (single.structure, region is self.root)
        seen, twin = self._twins.get(structure, (-1, region))
        at = self._number(twin)
        if seen != self._changes:
            found = self._most_alike(single) if region is not self.root else None
            if found is None or found[0] != at:
                self._changes += 1
                at = self._changed(*(found or (len(self.templates), single)))
                twin = region
        if twin is not region:
            self.templates[at].repeat(region, self.number_of[id(twin)])
        template = self.templates[at]
        self._twins[structure] = self._changes, region
        self.option_of[id(region)] = f"#{at}"
        self.number_of[id(region)] = len(template.regions) - 1
        external = template.externals[-1]
        self._orders[id(region)] = [external[place] for place in range(template.inputs)]

    def _number(self, region: Region) -> int:
        """Return the number of a region's template, -1 for a region that has none yet."""
        return int(self.option_of.get(id(region), "#-1")[1:])

    def _changed(self, at: int, template: Template) -> int:
        self.templates[at : at + 1] = [template]
        return at

    def _most_alike(self, single: Template) -> tuple[int, Template] | None:
        """Return the number of the template that a region's is most like, and the template of both."""
        best: tuple[float, int, Template] | None = None
        for at, template in enumerate(self.templates):
            if (template.kind == LAYER) != (single.kind == LAYER):
                continue
            found = merged(template, single)
            if found is not None and (best is None or found[0] > best[0]):
                best = (found[0], at, found[1])
        return best[1:] if best is not None else None


def _dissolves(template: Template, root: Region) -> bool:
    """Tell whether a template's regions are too few or too small for a class."""
    if template.regions[0] is root:
        return False
    times = len(template.regions)
    options = {option for slot in template.slots for case in slot.cases for option in case}
    items = [use.item for slot in template.slots for use in slot.uses.values()]
    blocks = all(isinstance(item, Region) and item.kind == BLOCK for item in items)
    if blocks and len(options) == 1 and len(template.slots) >= SHORTEST:
        return True  # a stage of equal blocks: these become rows
    if template.kind == SCOPE:
        return times < _SCOPES
    return times < 2 and (template.kind == LAYER or sum(1 for _ in template.regions[0].steps()) < _LARGE)


def _inner_first(templates: Sequence[Template], option_of: dict[int, str]) -> list[int]:
    """Return the templates' numbers, each behind those of the regions inside it."""
    needs: dict[int, set[int]] = {}
    for at, template in enumerate(templates):
        items = (use.item for slot in template.slots for use in slot.uses.values())
        needs[at] = {int(option_of[id(item)][1:]) for item in items if isinstance(item, Region)}
    ordered: list[int] = []
    waiting = list(range(len(templates)))
    while waiting:
        ready = next(at for at in waiting if needs[at] <= set(ordered))
        waiting.remove(ready)
        ordered.append(ready)
    return ordered


def _free_name(template: Template, namer: Namer) -> str:
    """Return a class's name that is free: of two kinds of branches, one is a MaxPoolBranch."""
    name = _class_name(template)
    if name in namer.taken:
        name = class_name(_whats(template)[0]) + name
    return namer.new(name, "")


def _class_name(template: Template) -> str:
    """Return a class's name: from its scopes, or what it does where each has a name of its own."""
    names = [region.name for region in template.regions]
    if template.kind == LAYER and all(_tail(name).lower() in OP_WORDS and "/" in name for name in names):
        names = [name.rpartition("/")[0] for name in names]  # what its last op is tells less than its scope
    tails = [without_numbers(_tail(name)) for name in names]
    name = common_name(tails)
    if template.kind == LAYER and (tails.count(name) < len(tails) or name in OP_WORDS):
        return _by_steps(template)
    return class_name(name, "Layer" if template.kind == LAYER else "Block")


def _tail(name: str) -> str:
    return name.rpartition("/")[2]


def _by_steps(template: Template) -> str:
    """Return a name made of what a layer's steps are, such as ConvNormRelu."""
    return class_name(" ".join(_whats(template)), "Layer")


def _whats(template: Template) -> list[str]:
    """Return what the steps are that most regions have."""
    shared = [slot for slot in template.slots if 2 * len(slot.uses) >= len(template.regions)] or template.slots
    items = [slot.first.item for slot in shared]
    whats = [item.what if isinstance(item, Step) else without_numbers(item.name.rpartition("/")[2]) for item in items]
    return list(dict.fromkeys("conv" if what == "depthwise" else what or "layer" for what in whats))
