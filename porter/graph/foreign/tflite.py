"""read_tflite_graph(path) -> Source: a TensorFlow Lite model as a GraphDef.

Its weights become variables without values, and its small constants keep theirs. The first subgraph is the network; the
weights of other subgraphs are inputs of the loop or condition that runs them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from porter.errors import FormatError, plural
from porter.formats.tensorflow.graph_source import Signature, Source
from porter.formats.tflite.model import Layout, Model, Operator, Subgraph, Tensor, layouts, origins, read_model
from porter.formats.tflite.schema import ACTIVATIONS
from porter.formats.tflite.values import is_scaled, load, stored_dtype
from porter.formats.tflite.weights import FORMAT, is_weight, notes_on
from porter.graph.foreign.builder import GraphBuilder, Sides, Type
from porter.graph.foreign.tflite_ops import FUSED, Op, write_op

_SHARED = 8
"""Constants that are no weights may share bytes, but take no more than this many times the file."""
_BODIES = {"WHILE": (0, 1), "IF": (0, 1), "CALL_ONCE": (0,)}
"""The options of an op that number the subgraphs that it runs."""
_DEEPEST = 64
_SHOWN = 4


def read_tflite_graph(path: Path) -> Source:
    """Read the network in a .tflite file. Raises FormatError."""
    model = read_model(path)
    try:
        graph = _Writer(model).graph()
    except FormatError as error:
        raise FormatError(f"{path} is not a whole TensorFlow Lite model ({error}); copy or download it again") from None
    notes = tuple(_notes(model))
    return Source(
        path, FORMAT, graph.graph, writer=model.writer, signatures=graph.signatures, notes=notes, translated=True
    )


def _notes(model: Model) -> Iterator[str]:
    for note in notes_on(model):
        yield f"{note}."
    if len(model.subgraphs) > 1:
        named = [f"{graph.name} ({plural(len(graph.operators), 'operator')})" for graph in model.subgraphs[1:]]
        shown = ", ".join(named[:_SHOWN]) + (", …" if len(named) > _SHOWN else "")
        yield f"It has {len(named) + 1} subgraphs, and this is the first; its loops and conditions run {shown}."


class _Written:
    """A GraphDef and how it is called."""

    def __init__(self, builder: GraphBuilder, signatures: tuple[Signature, ...]) -> None:
        self.graph, self.signatures = builder.graph, signatures


class _Writer:
    """Writes the first subgraph's operators; ``refs`` has the graph's name of each of its tensors."""

    def __init__(self, model: Model) -> None:
        self.model, self.main = model, model.subgraphs[0]
        self.builder = GraphBuilder()
        self.refs: dict[int, str] = {}
        self.bodies: dict[int, list[str]] = {}

    def graph(self) -> _Written:
        tensors = [tensor for graph in self.model.subgraphs for tensor in graph.tensors]
        if sum(tensor.size for tensor in tensors if not is_weight(tensor)) > _SHARED * len(self.model.data):
            raise FormatError("its constants share bytes")
        for number in self.main.inputs:
            tensor = self.main.tensors[number]
            if number not in self.refs:
                self.refs[number] = self.builder.placeholder(tensor.name, tensor.shape, tensor.dtype)
                self._scaled(tensor)
        for number, name in self._constants(self.main):
            self.refs.setdefault(number, name)
        for number, constant in origins(self.main).items():
            self.refs.setdefault(number, self.refs[constant])
        for operator in self.main.operators:
            self._write(operator)
        return _Written(self.builder, tuple(self._signatures()))

    def _scaled(self, tensor: Tensor) -> None:
        """Keep the scale of an input's integers, from which the range of its images follows."""
        attributes = self.builder.graph.node[-1].attr
        if is_scaled(tensor) and len(tensor.scales) == len(tensor.zeros) == 1:
            attributes["scale"].f = float(tensor.scales[0])
            attributes["zero_point"].i = int(tensor.zeros[0])

    def _constants(self, graph: Subgraph) -> Iterator[tuple[int, str]]:
        for number, layout in layouts(graph).items():
            yield number, self._constant(graph.tensors[number], layout)

    def _constant(self, tensor: Tensor, layout: Layout) -> str:
        if is_weight(tensor) or tensor.blockwise:
            # Its dtype is the file's, integers too, so that its bytes are the file's.
            return self.builder.variable(tensor.name, layout.shape, tensor.dtype)
        if stored_dtype(tensor) is None:
            return self.builder.add(tensor.name, "Const", dtype=Type(tensor.dtype))
        return self.builder.constant(tensor.name, load(self.model.path, self.model.data, tensor))

    def _write(self, operator: Operator) -> None:
        if not operator.outputs or all(number in self.refs for number in operator.outputs):
            return  # it changes how a constant is stored, or only sets up state
        if any(number in self.refs for number in operator.outputs):
            raise FormatError(f"two operators compute {self.main.tensors[operator.outputs[0]].name}")
        tensors = self.main.tensors
        if operator.op == "READ_VARIABLE":  # one whose value the file does not have
            read = tensors[operator.outputs[0]]
            self.refs[operator.outputs[0]] = self.builder.variable(read.name, read.shape, read.dtype)
            return
        inputs = [tensors[number] if number >= 0 else None for number in operator.inputs]
        refs = [self._ref(number) for number in operator.inputs]
        output = tensors[operator.outputs[0]]
        op = Op(self.builder, operator, output, inputs, refs, self._weights_in_bodies(operator))
        last = write_op(op)
        last = self._activated(operator, output, last)
        self._recorded(operator)
        for slot, number in enumerate(operator.outputs):
            if number >= 0:
                self.refs[number] = f"{last}:{slot}" if slot else last

    def _ref(self, number: int) -> str:
        """Return the graph's name of a tensor, '' for an absent one. Raises FormatError if nothing computes it yet."""
        if number >= 0 and number not in self.refs:
            tensor = self.main.tensors[number]
            if tensor.size or not _is_state(tensor):
                raise FormatError(f"nothing computes {tensor.name} before an operator reads it")
            self.refs[number] = self.builder.placeholder(tensor.name, tensor.shape, tensor.dtype)
        return self.refs[number] if number >= 0 else ""

    def _activated(self, operator: Operator, output: Tensor, last: str) -> str:
        """Add the activation that is fused into an operator, and give the last node the output's name."""
        field = FUSED.get(operator.op)
        number = operator.byte(field) if field is not None else 0
        if not 0 < number < len(ACTIVATIONS):
            return last
        return self.builder.add(output.name, ACTIVATIONS[number], [last], T=Type(output.dtype))

    def _recorded(self, operator: Operator) -> None:
        """Record the shapes of the last node's outputs, which serve where porter has no rule for its op."""
        recorded = self.builder.graph.node[-1].attr["_output_shapes"].list
        for number in operator.outputs:
            Sides(self.main.tensors[number].shape if number >= 0 else None).write(recorded.shape.add())

    def _weights_in_bodies(self, operator: Operator) -> list[str]:
        """Return the weights in the subgraphs that an operator runs, at any depth."""
        found: list[str] = []
        waiting = [(operator, 0)]
        for at, depth in waiting:  # the list grows in the loop
            for field in _BODIES.get(at.op, ()):
                number = at.integer(field)
                if not 0 < number < len(self.model.subgraphs) or depth > _DEEPEST:
                    raise FormatError(f"{at.op} runs subgraph {number} of {len(self.model.subgraphs)}")
                if number not in self.bodies:
                    body = self.model.subgraphs[number]
                    self.bodies[number] = [name for at, name in self._constants(body) if is_weight(body.tensors[at])]
                    found += self.bodies[number]
                    waiting += [(inner, depth + 1) for inner in body.operators]
        return found

    def _signatures(self) -> Iterator[Signature]:
        calls = [call for call in self.model.calls if call.subgraph == 0]
        for call in calls:
            yield Signature(call.name, self._named(call.inputs), self._named(call.outputs))
        if not calls:
            sides = (self.main.inputs, self.main.outputs)
            inputs, outputs = ({self.main.tensors[at].name: at for at in side} for side in sides)
            yield Signature(self.main.name, self._named(inputs), self._named(outputs))

    def _named(self, tensors: dict[str, int]) -> dict[str, str]:
        return {name: self._alone(number) for name, number in tensors.items()}

    def _alone(self, number: int) -> str:
        """Return a node whose first output is a tensor, as the overviews show it."""
        ref, tensor = self._ref(number), self.main.tensors[number]
        if ":" in ref:
            self.refs[number] = self.builder.add(tensor.name, "Identity", [ref], T=Type(tensor.dtype))
            Sides(tensor.shape).write(self.builder.graph.node[-1].attr["_output_shapes"].list.shape.add())
        return self.refs[number]


def _is_state(tensor: Tensor) -> bool:
    """Tell whether a tensor that nothing computes may be the state of a recurrent layer, which begins as zeros."""
    return not tensor.constant
