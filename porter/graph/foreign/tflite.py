"""read_tflite_graph(path) -> Source: a TensorFlow Lite model as a GraphDef.

Its weights become variables without values, and its small constants keep theirs. The first subgraph is the network; the
subgraphs that its loops and conditions run are functions, so that they are read as those of TensorFlow 2.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from porter.errors import FormatError, plural
from porter.formats.tensorflow.graph_source import Signature, Source
from porter.formats.tflite.converted import read_converted
from porter.formats.tflite.model import Layout, Model, Operator, Subgraph, Tensor, layouts, origins
from porter.formats.tflite.schema import ACTIVATIONS
from porter.formats.tflite.values import is_scaled, is_weight, load, stored_dtype
from porter.formats.tflite.weights import FORMAT, notes_on
from porter.graph.foreign.builder import Function, FunctionBuilder, GraphBuilder, Sides, Type
from porter.graph.foreign.tflite_ops import FUSED, Op, write_op

_SHARED = 8
"""Constants that are no weights may share bytes, but take no more than this many times the file."""
_RUNS = {"WHILE": {"cond": 0, "body": 1}, "IF": {"then_branch": 0, "else_branch": 1}}
"""The options of an op that number the subgraphs that it runs, by TensorFlow's names of these."""
_DEEPEST = 64
_MOST = 400_000
"""Tensors and operators of all functions together, as in porter.graph.functions."""
_SHOWN = 4


def read_tflite_graph(path: Path) -> Source:
    """Read the network in a .tflite file. Raises FormatError."""
    model = read_converted(path)
    try:
        builder = GraphBuilder()
        graph = _Writer(_Bodies(model, builder), model.subgraphs[0], builder).whole()
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


class _Bodies:
    """Writes the subgraphs that loops and conditions run, as functions of the graph.

    Their weights are variables of the graph and arguments of the functions, as in TensorFlow 2.
    """

    def __init__(self, model: Model, builder: GraphBuilder) -> None:
        self.model, self.builder = model, builder
        self.weights: dict[int, dict[int, str]] = {}
        self.shared: dict[Hashable, str] = {}
        self.dtypes: dict[str, int] = {}
        self.written: dict[tuple[int, tuple[str, ...]], str] = {}
        self.work = 0

    def constant(self, builder: GraphBuilder, tensor: Tensor, layout: Layout) -> str:
        """Add a constant of the file."""
        if _is_variable(tensor):
            key = (tensor.start, tensor.dtype, layout.shape, tensor.scales.tobytes()) if tensor.shared else tensor.name
            if key not in self.shared:
                # Its dtype is the file's, integers too, so that its bytes are the file's.
                self.shared[key] = builder.variable(tensor.name, layout.shape, tensor.dtype)
                self.dtypes[self.shared[key]] = tensor.dtype
            return self.shared[key]
        if stored_dtype(tensor) is None:
            return builder.add(tensor.name, "Const", dtype=Type(tensor.dtype))
        return builder.constant(tensor.name, load(self.model.path, self.model.data, tensor))

    def called(self, operator: Operator, depth: int) -> tuple[dict[str, Function], list[str]]:
        """Return the functions that an operator runs, by TensorFlow's attributes, and the weights that it hands on."""
        runs = self._runs(operator)
        if not runs:
            return {}, []
        if depth >= _DEEPEST:
            raise FormatError(f"its subgraphs run each other more than {_DEEPEST} deep")
        weights = self._reached(runs.values())
        return {key: Function(self._function(number, weights, key, depth)) for key, number in runs.items()}, weights

    def _runs(self, operator: Operator) -> dict[str, int]:
        found = {key: operator.integer(field) for key, field in _RUNS.get(operator.op, {}).items()}
        for number in found.values():
            if not 0 < number < len(self.model.subgraphs):
                raise FormatError(f"{operator.op} runs subgraph {number} of {len(self.model.subgraphs)}")
        return found

    def _reached(self, numbers: Collection[int]) -> list[str]:
        """Return the weights in subgraphs and in those that they run."""
        found: dict[str, None] = {}
        seen, waiting = set(numbers), list(dict.fromkeys(numbers))
        for number in waiting:  # the list grows in the loop
            graph = self.model.subgraphs[number]
            self._charge(len(graph.operators))
            found |= dict.fromkeys(self._own(number).values())
            new = {at for operator in graph.operators for at in self._runs(operator).values()} - seen
            seen |= new
            waiting += sorted(new)
        return list(found)

    def _charge(self, work: int) -> None:
        """Count tensors and operators that are written or looked at once more: a file may call each subgraph often."""
        self.work += 1 + work
        if self.work > _MOST:
            raise FormatError("its loops and conditions run too many subgraphs")

    def _own(self, number: int) -> dict[int, str]:
        """Return the variables that hold a subgraph's weights, by their tensors' numbers."""
        if number not in self.weights:
            graph = self.model.subgraphs[number]
            self.weights[number] = {
                at: self.constant(self.builder, graph.tensors[at], layout)
                for at, layout in layouts(graph).items()
                if _is_variable(graph.tensors[at])
            }
        return self.weights[number]

    def _function(self, number: int, weights: Sequence[str], key: str, depth: int) -> str:
        """Add a subgraph with these weights as a function, if it is not there yet; return its name."""
        if (number, (key, *weights)) in self.written:
            return self.written[number, (key, *weights)]
        graph = self.model.subgraphs[number]
        self._charge(len(graph.tensors) + len(graph.operators) + len(weights))
        builder = FunctionBuilder(self.builder, graph.name)
        self.written[number, (key, *weights)] = builder.name
        writer = _Writer(self, graph, builder, depth + 1)
        for at in graph.inputs:
            writer.refs.setdefault(at, builder.argument(graph.tensors[at].name, graph.tensors[at].dtype))
        writer.inside = {weight: builder.argument(weight, self.dtypes[weight]) for weight in weights}
        builder.variables |= set(writer.inside.values())
        writer.write({at: writer.inside[weight] for at, weight in self._own(number).items()})
        for at in graph.outputs:
            builder.result(writer.ref(at), graph.tensors[at].dtype)
        for weight in weights if key == "body" else ():  # a loop's body returns all that it takes
            builder.result(writer.inside[weight], self.dtypes[weight])
        return builder.name


class _Writer:
    """Writes a subgraph's operators; ``refs`` has the graph's name of each of its tensors.

    ``inside`` maps the graph's weights to the arguments of a function.
    """

    def __init__(self, bodies: _Bodies, graph: Subgraph, builder: GraphBuilder, depth: int = 0) -> None:
        self.bodies, self.main, self.builder, self.depth = bodies, graph, builder, depth
        self.refs: dict[int, str] = {}
        self.inside: dict[str, str] = {}

    def whole(self) -> _Written:
        """Write the first subgraph, with its inputs and its signatures."""
        model = self.bodies.model
        tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
        if sum(tensor.size for tensor in tensors if not is_weight(tensor)) > _SHARED * len(model.data):
            raise FormatError("its constants share bytes")
        for number in self.main.inputs:
            tensor = self.main.tensors[number]
            if number not in self.refs:
                self.refs[number] = self.builder.placeholder(tensor.name, tensor.shape, tensor.dtype)
                self._scaled(tensor)
        self.write({})
        return _Written(self.builder, tuple(self._signatures(model)))

    def write(self, weights: Mapping[int, str]) -> None:
        """Write the operators and the constants; ``weights`` are the constants that are there already."""
        for number, name in weights.items():
            self.refs.setdefault(number, name)
        for number, layout in layouts(self.main).items():
            if number not in self.refs:
                self.refs[number] = self.bodies.constant(self.builder, self.main.tensors[number], layout)
        for number, constant in origins(self.main).items():
            self.refs.setdefault(number, self.refs[constant])
        for operator in self.main.operators:
            self._write(operator)

    def _scaled(self, tensor: Tensor) -> None:
        """Keep the scale of an input's integers, from which the range of its images follows."""
        attributes = self.builder.nodes[-1].attr
        if is_scaled(tensor) and len(tensor.scales) == len(tensor.zeros) == 1:
            attributes["scale"].f = float(tensor.scales[0])
            attributes["zero_point"].i = int(tensor.zeros[0])

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
        refs = [self.ref(number) if number >= 0 else "" for number in operator.inputs]
        output = tensors[operator.outputs[0]]
        functions, weights = self.bodies.called(operator, self.depth)
        inner = [self.inside.get(weight, weight) for weight in weights]
        op = Op(self.builder, operator, output, inputs, refs, inner, functions)
        last = write_op(op)
        last = self._activated(operator, output, last)
        self._recorded(operator)
        for slot, number in enumerate(operator.outputs):
            if number >= 0:
                self.refs[number] = f"{last}:{slot}" if slot else last

    def ref(self, number: int) -> str:
        """Return the graph's name of a tensor. Raises FormatError if nothing computes it yet."""
        if number not in self.refs:
            tensor = self.main.tensors[number]
            if tensor.size or not _is_state(tensor):
                raise FormatError(f"nothing computes {tensor.name} before an operator reads it")
            kind = stored_dtype(tensor)
            if 0 in tensor.shape and kind is not None:  # the shape of a scalar, such as a reshape takes
                self.refs[number] = self.builder.constant(
                    tensor.name, np.empty([size or 0 for size in tensor.shape], kind)
                )
            else:
                self.refs[number] = self.builder.placeholder(tensor.name, tensor.shape, tensor.dtype)
        return self.refs[number]

    def _activated(self, operator: Operator, output: Tensor, last: str) -> str:
        """Add the activation that is fused into an operator, and give the last node the output's name."""
        field = FUSED.get(operator.op)
        number = operator.byte(field) if field is not None else 0
        if not 0 < number < len(ACTIVATIONS):
            return last
        return self.builder.add(output.name, ACTIVATIONS[number], [last], T=Type(output.dtype))

    def _recorded(self, operator: Operator) -> None:
        """Record the shapes of the last node's outputs, which serve where porter has no rule for its op."""
        recorded = self.builder.nodes[-1].attr["_output_shapes"].list
        for number in operator.outputs:
            Sides(self.main.tensors[number].shape if number >= 0 else None).write(recorded.shape.add())

    def _signatures(self, model: Model) -> Iterator[Signature]:
        calls = [call for call in model.calls if call.subgraph == 0]
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
        ref, tensor = self.ref(number), self.main.tensors[number]
        if ":" in ref:
            self.refs[number] = self.builder.add(tensor.name, "Identity", [ref], T=Type(tensor.dtype))
            Sides(tensor.shape).write(self.builder.nodes[-1].attr["_output_shapes"].list.shape.add())
        return self.refs[number]


def _is_variable(tensor: Tensor) -> bool:
    """Tell whether a constant is a variable of the graph: a weight, also in a form that porter reads no values of."""
    return is_weight(tensor) or tensor.blockwise


def _is_state(tensor: Tensor) -> bool:
    """Tell whether a tensor that nothing computes may be the state of a recurrent layer, which begins as zeros."""
    return not tensor.constant
