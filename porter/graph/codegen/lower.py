"""lower(Analysis) -> Program: a graph's inference path as steps of PyTorch, in forward order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.facts import Facts
from porter.graph.codegen.idioms import Idioms
from porter.graph.codegen.ops import (
    activation,
    array,
    convolution,
    elementwise,
    matrix,
    norm,
    pool,
    rearrange,
    reduction,
    resize,
    space,
    transposed,
)
from porter.graph.codegen.step import Free, Port, Problem, Program, Step
from porter.graph.codegen.tensor import Tensor, Untranslated
from porter.graph.graph import Node, Ref
from porter.graph.rewrite.unfuse import fused, unfuse
from porter.graph.shapes import proto_shape

LOWERINGS = Lowerings()
_MOST_OUTPUTS = 8
_COLOURS = (1, 3, 4)
for _module in (
    activation, array, convolution, elementwise, matrix, norm, pool, rearrange, reduction, resize, space, transposed
):  # fmt: skip
    LOWERINGS.update(_module.LOWERINGS)


def lower(analysis: Analysis, *, keeps_dropout: bool = True) -> Program:
    """Return the network of ``analysis`` as steps. What has no translation is in the program's problems.

    ``keeps_dropout``: dropout that the graph keeps running in inference runs in PyTorch's eval mode too.
    Fused ops count as the ops that they fuse (`unfuse`), whose names are those of the steps' nodes.
    """
    source = analysis.source
    if fused(source.graph):
        analysis = replace(analysis, source=replace(source, graph=unfuse(source.graph)))
    return _Lower(analysis, keeps_dropout).program()


class _Lower:
    def __init__(self, analysis: Analysis, keeps_dropout: bool) -> None:
        self.analysis = analysis
        self.data = DataPath(analysis.view, analysis.shapes, analysis.paths)
        self.graph = self.data.graph
        self.inputs = {name: shape for name in analysis.paths.inputs if (shape := self._input(name))}
        self.context = Context(self.data, Facts(self.graph, self.inputs), self._node)
        self.idioms = Idioms(self.data, self.context, keeps_dropout)
        self.problems: dict[str, Problem] = {}
        self.followers: set[str] = set()

    def program(self) -> Program:
        tensors = self.context.tensors
        for name, shape in self.inputs.items():
            tensors[Ref(name)] = Tensor(name, shape, self._pictures(shape))
        for name in self.data.order():
            if name not in self.context.done and Ref(name) not in tensors and self._runs(name):
                self._node(self.context, self.graph.nodes[name])
        named = [port for name in self.analysis.paths.outputs if (port := self._output(name)) is not None]
        outputs = list({port.source: port for port in reversed(named)}.values())[::-1]  # several may name one tensor
        steps = live_steps(self.context.steps, [port.source for port in outputs])
        read = {name for step in steps for name in step.inputs} | {port.source for port in outputs}
        problems = [self.problems[step.node] for step in steps if step.node in self.problems]
        inputs = [Port(name, name, shape, self._pictures(shape)) for name, shape in self.inputs.items() if name in read]
        return Program(steps, inputs, outputs, problems)

    def _input(self, name: str) -> Free | None:
        """Return the shape of an input with its batch free; None for a scalar, which is no picture."""
        node = self.graph.nodes[name]
        stated = proto_shape(node.attr("shape").shape) if node.attr("shape") is not None else None
        recorded = node.attr("_output_shapes")
        if not stated and recorded is not None and recorded.list.shape:
            stated = proto_shape(recorded.list.shape[0])
        shape = stated or self.analysis.shapes.of(name)
        if not shape:
            return None
        return (None, *shape[1:]) if len(shape) in (2, 4, 5) else shape

    def _pictures(self, shape: Free) -> bool:
        """Tell whether an input of this shape is a batch of NHWC pictures, which the network takes as NCHW."""
        if len(shape) not in (4, 5):
            return False
        first = any(self.graph.nodes[name].channels_first for name in self.data.nodes)
        return not (first and shape[1] in _COLOURS and shape[-1] not in _COLOURS)

    def _runs(self, name: str) -> bool:
        """Tell whether a node needs a step: shapes and constants do not, nor what only training has."""
        ref = Ref(name)
        return (
            name not in self.data.shaping and self.context.value(ref) is None and not self.context.arithmetic.has(ref)
        )

    def _node(self, context: Context, node: Node) -> None:
        try:
            if self.idioms.lower(node):
                return
            lowering = LOWERINGS.get(node.op)
            if lowering is None:
                raise Untranslated("the op has no translation")
            lowering(context, node)
        except Untranslated as why:
            self._problem(node, str(why))
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, ZeroDivisionError) as error:
            self._problem(node, f"it is damaged or unusual: {type(error).__name__} {error}")

    def _problem(self, node: Node, why: str) -> None:
        """Note a node without a translation. An empty step stands for it, so that the rest is looked at too."""
        if node.name in self.problems or node.name in self.followers:
            return
        c = self.context
        shapes = tuple(c.facts.shape(ref) for ref in node.inputs)
        open_inputs = [c.origin(ref).node for ref in node.inputs if c.facts.shape(ref) is None]
        if node.op in LOWERINGS and any(name in self.problems or name in self.followers for name in open_inputs):
            self.followers.add(node.name)  # nothing is known of it until the node before has a translation
        else:
            self.problems[node.name] = Problem(node.name, node.op, shapes, why)
        inputs = [c.tensors[ref].name for ref in node.inputs if ref in c.tensors]
        c.steps.append(Step(node.name, [node.name], inputs, what="unknown"))
        for slot in range(_MOST_OUTPUTS):
            ref = Ref(node.name, slot)
            c.tensors.setdefault(ref, Tensor(node.name, c.facts.shape(ref) or ()))

    def _output(self, name: str) -> Port | None:
        with suppress(Untranslated):
            tensor = self.context.tensor(Ref(name))
            return Port(name, tensor.name, tensor.shape, tensor.first)
        return None


def live_steps(steps: Sequence[Step], outputs: Iterable[str]) -> list[Step]:
    """Return the steps that ``outputs`` need: an idiom's makes those of its parts needless."""
    needed = set(outputs)
    found: list[Step] = []
    for step in reversed(steps):
        if needed.intersection(step.computes):
            needed.update(step.inputs)
            found.append(step)
    own = {step.node for step in found}
    for step in found:
        step.nodes = [name for name in step.nodes if name == step.node or name not in own]
    return found[::-1]
