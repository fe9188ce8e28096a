"""write_network: a graph's network as the source of a module that stands alone, and where each weight is in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from porter.graph.analysis.analysis import Analysis
from porter.graph.codegen.class_text import ClassText, weight_path
from porter.graph.codegen.classes import Classes, find_classes
from porter.graph.codegen.helper_text import helper_names, helper_text
from porter.graph.codegen.idioms import RUNNING_DROPOUT
from porter.graph.codegen.layout import docstring
from porter.graph.codegen.names import Namer, identifier, shown
from porter.graph.codegen.parameters import Definition
from porter.graph.codegen.regions import BLOCK, Region
from porter.graph.codegen.runs import find_runs
from porter.graph.codegen.step import Free, Port, Program, Step, Weight

WEIGHTS = "model.safetensors"
_LISTED = 3


@dataclass(frozen=True)
class Placed:
    """A weight of the graph, its name in the module's state, and what the step is that has it."""

    path: str
    weight: Weight
    what: str = ""


@dataclass(frozen=True)
class Output:
    """A module whose output is a tensor of the graph."""

    path: str
    tensor: str
    channels_first: bool
    shape: Free | None
    block: bool


@dataclass(frozen=True)
class Network:
    """The source of a network: ``name`` is its class. ``fills`` are tensors of its state that the graph has not."""

    name: str
    source: str
    weights: list[Placed]
    fills: dict[str, tuple[float, int]]
    outputs: list[Output]
    ends: list[str]
    running: list[str]
    """The paths of the modules that drop values in eval mode too."""
    classes: list[tuple[str, str]]
    """The name of each class of the graph's own, the network's last, and what it stands for."""

    @property
    def blocks(self) -> list[Output]:
        """The outputs of the blocks and of the layers outside of them, but those that are outputs of the network."""
        found = {output.tensor: output for output in self.outputs if output.block and output.tensor not in self.ends}
        return list(found.values())

    @property
    def lines(self) -> int:
        """The number of lines of the source."""
        return self.source.count("\n")


def write_network(program: Program, analysis: Analysis, name: str, what: str) -> Network:
    """Return the source of ``program``, the network ``name``; ``what`` says in the source what was written.

    The program has no problems.
    """
    classes = find_classes(program, analysis, name, helper_names())
    return _Writer(program, classes, what).network()


class _Writer:
    def __init__(self, program: Program, classes: Classes, what: str) -> None:
        self.program, self.classes, self.what = program, classes, what
        names = {definition.name for definition in classes.known.values()}
        tables = Namer({*names, *helper_names(), "WEIGHTS"})
        self.runs = {
            option: find_runs(definition, classes.known, tables) for option, definition in classes.known.items()
        }
        self.weights: list[Placed] = []
        self.fills: dict[str, tuple[float, int]] = {}
        self.outputs: list[Output] = []
        self.running: list[str] = []

    def network(self) -> Network:
        network = self.classes.network
        body: list[str] = []
        helpers: set[str] = set()
        classes: list[tuple[str, str]] = []
        for option, definition in self.classes.known.items():
            root = definition is network
            described = self._network_described() if root else (self._described(definition), "")
            classes.append((definition.name, f"Takes {self._ends(';')}." if root else described[0]))
            names = self._input_names() if root else ()
            text = ClassText(definition, self.classes.known, self.runs[option], *described, root, names)
            lines = text.lines()
            helpers |= text.helpers
            for run in self.runs[option]:
                body += ["", "", *run.data()] if not body or body[-1] != "}" else ["", *run.data()]
            body += ["", "", *lines]
        definitions = [line for text in helper_text(helpers) for line in ["", "", *text.split("\n")]]
        lines = [*definitions, *body, "", "", *_load(network.name)]
        source = "\n".join([*docstring(0, self.what), "", *_imports("\n".join(lines)), *lines]) + "\n"
        self._place(self.classes.root, "")
        ends = [port.source for port in self.program.outputs]
        return Network(network.name, source, self.weights, self.fills, self.outputs, ends, self.running, classes)

    def _input_names(self) -> list[str]:
        """Return the names of forward's arguments: x, or those of several inputs."""
        names = Namer()
        inputs = self.program.inputs
        return [names.new(identifier(port.tensor, "x")) for port in inputs] if len(inputs) > 1 else []

    def _network_described(self) -> tuple[str, str]:
        """Return the first line of the network's docstring, and what follows it where one line is too short."""
        line = f"The network takes {self._ends(' and')}."
        return (line, "") if len(docstring(1, line)) == 1 else ("The network.", f"Takes {self._ends(';')}.")

    def _ends(self, between: str) -> str:
        """Return the network's inputs and outputs in words."""
        inputs, outputs = (_ports(ports) for ports in (self.program.inputs, self.program.outputs))
        order = ", in this order" if len(self.program.inputs) > 1 else ""
        return f"{inputs}{order}{between} returns {outputs}"

    def _described(self, definition: Definition) -> str:
        """Return the docstring of a class: what it stands for."""
        names = [region.name for region in definition.template.regions]
        kind = definition.template.kind
        return f"{_stands_for(names, kind)}."

    # ---- where things are
    def _place(self, region: Region, path: str) -> None:
        """Collect the weights and outputs of a region's module at ``path``."""
        option = self.classes.option_of[id(region)]
        definition = self.classes.known[option]
        number = self.classes.number_of[id(region)]
        run_of = {id(slot): run for run in self.runs[option] for slot in run.slots}
        for slot in definition.template.slots:
            use = slot.uses.get(number)
            if use is None:
                continue
            run = run_of.get(id(slot))
            attribute = definition.attributes[id(slot)]
            own = f"{path}{run.attribute}.{attribute}" if run else f"{path}{attribute}"
            if isinstance(use.item, Region):
                self._place(use.item, f"{own}.")
                if len(use.item.outputs) == 1:
                    self._output(own, use.item, use.item.outputs[0], use.item.kind == BLOCK or not path)
                continue
            chosen = definition.options[id(slot), slot.case_of[number]]
            self._place_step(use.item, path, own, attribute, chosen)

    def _place_step(self, step: Step, path: str, own: str, attribute: str, option: str) -> None:
        for weight in step.weights:
            place = path + weight_path(own.removeprefix(path), weight, option)
            self.weights.append(Placed(place, weight, step.what))
        if step.module == RUNNING_DROPOUT:
            self.running.append(own)
        for name, value in step.fills.items():
            size = int(step.arguments.get("num_features", 0) or 0)  # type: ignore[arg-type]
            self.fills[f"{own}.{name}"] = (value, size)
        if not option.startswith("=") and step.outputs == 1:
            self.outputs.append(Output(own, step.node, step.channels_first, step.shape, not path))

    def _output(self, path: str, region: Region, tensor: str, block: bool) -> None:
        step = next(step for step in region.steps() if tensor in step.computes)
        if step.outputs == 1:
            self.outputs.append(Output(path, tensor, step.channels_first, step.shape, block))


def _ports(ports: Iterable[Port]) -> str:
    return "; ".join(f"{shown(port.tensor)} {_sizes(port.shape, port.channels_first)}" for port in ports)


def _sizes(shape: Free, channels_first: bool) -> str:
    if channels_first and len(shape) > 2:
        shape = (shape[0], shape[-1], *shape[1:-1])
    return f"({', '.join(str(size or ('?' if at else 'N')) for at, size in enumerate(shape))})"


def _stands_for(names: list[str], kind: str) -> str:
    """Return which scopes a class stands for, within one line."""
    what = {"layer": "layer", "scope": "scope"}.get(kind, "block")
    if len(names) == 1:
        return f"The {what} {shown(names[0])}"
    tails = [shown(name) for name in names]
    listed = ", ".join(tails) if len(tails) <= _LISTED else f"{tails[0]}, {tails[1]}, … {tails[-1]}"
    text = f"{len(names)} {what}s: {listed}"
    return text if len(text) < 100 else f"{len(names)} {what}s: {tails[0]} … {tails[-1]}"


def _imports(text: str) -> Iterator[str]:
    standard = []
    if "math." in text:
        standard.append("import math")
    if "OrderedDict(" in text:
        standard.append("from collections import OrderedDict")
    if "Sequence[" in text:
        standard.append("from collections.abc import Sequence")
    yield from [*standard, "from pathlib import Path", ""]
    if "torch." in text.replace("safetensors.torch", ""):
        yield "import torch"
    if "F." in text:
        yield "import torch.nn.functional as F"
    yield "from safetensors.torch import load_file"
    yield f"from torch import {'Tensor, ' if 'Tensor' in text else ''}nn"
    yield from ["", f'WEIGHTS = Path(__file__).with_name("{WEIGHTS}")']


def _load(name: str) -> list[str]:
    return [
        f"def load(path: str | Path = WEIGHTS) -> {name}:",
        '    """Return the network with the weights in the file ``path``, in eval mode."""',
        f"    network = {name}()",
        "    network.load_state_dict(load_file(path))",
        "    return network.eval()",
    ]
