"""Context: what a lowering reads of the graph, and the steps that it adds to the program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.codegen.facts import Facts
from porter.graph.codegen.layout import literal
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.shape_arithmetic import Arithmetic
from porter.graph.codegen.step import Call, Free, Literal, Step, Weight
from porter.graph.codegen.tensor import Tensor, Untranslated
from porter.graph.graph import VARIABLE_OPS, Node, Ref
from porter.graph.rewrite.widen import shortest

PASSING = frozenset(
    "Identity ReadVariableOp StopGradient PreventGradient CheckNumerics EnsureShape Snapshot Enter RefEnter".split()
)
"""Ops that return their first input."""
FLOATS = frozenset({1, 2, 14, 19})
"""types.proto's float32, float64, bfloat16 and float16."""
_LITERAL = 1
"""Constants of more values are a module's weights."""
_FARTHEST = 64


class Context:
    """The program under construction. ``data`` is the part of the graph that depends on the network's inputs."""

    def __init__(self, data: DataPath, facts: Facts, lower: Callable[[Context, Node], None]) -> None:
        self.data, self.facts, self.graph = data, facts, data.graph
        self._lower = lower
        self.arithmetic = Arithmetic(data.graph, facts)
        self.steps: list[Step] = []
        self.tensors: dict[Ref, Tensor] = {}
        self.done: set[str] = set()
        """Nodes that a step of another node stands for."""
        self.fed = frozenset(facts.inputs)
        self._makers: dict[str, Step] = {}

    # ---- what the graph states
    def shape(self, ref: Ref) -> Free:
        """Return a tensor's shape with None for free sizes. Raises Untranslated if its rank is unknown."""
        shape = self.facts.shape(ref)
        if shape is None:
            raise Untranslated(f"the rank of {ref.tensor} is unknown")
        return shape

    def value(self, ref: Ref) -> np.ndarray | None:
        """Return the value of a small constant, or None."""
        return self.facts.value(ref)

    def ints(self, node: Node, index: int) -> list[int]:
        """Return a constant input as integers. Raises Untranslated where it is not constant."""
        value = self.value(node.inputs[index]) if index < len(node.inputs) else None
        if value is None:
            raise Untranslated(f"its input {index} is not constant")
        return [int(number) for number in np.atleast_1d(value).ravel().tolist()]

    def number(self, node: Node, index: int) -> float:
        """Return a constant scalar input. Raises Untranslated where it is not one."""
        value = self.value(node.inputs[index])
        if value is None or value.size != 1:
            raise Untranslated(f"its input {index} is not a constant number")
        return plain(value)

    def origin(self, ref: Ref, reshaped: bool = False) -> Ref:
        """Return the tensor whose values a chain of Identity nodes returns; ``reshaped``: with other axes of size 1."""
        for _ in range(_FARTHEST):
            node = self.graph.nodes.get(ref.node)
            if node is None or not node.inputs or not (node.op in PASSING or (reshaped and self._only_shapes(node))):
                break
            ref = node.inputs[0]
        return ref

    def _only_shapes(self, node: Node) -> bool:
        """Tell whether a node that does not depend on data has its input's values, in the same order."""
        if node.op == "Cast" and node.name not in self.data.nodes:
            return all(node.attr(key) is not None and node.attr(key).type in FLOATS for key in ("SrcT", "DstT"))
        return self.data.only_reshapes(node)

    def weight(self, ref: Ref) -> str:
        """Return the variable or constant that ``ref`` reads, or '' where it is computed."""
        return self._stands_for(self.origin(ref))

    def vector(self, ref: Ref) -> str:
        """Return likewise one with a value for each channel, the last axis of ``ref``, which a Reshape may add to."""
        shape = self.shape(ref)
        found = self._stands_for(self.origin(ref, reshaped=True))
        return found if shape and all(size == 1 for size in shape[:-1]) else ""

    def _stands_for(self, origin: Ref) -> str:
        node = self.graph.nodes.get(origin.node)
        return origin.node if node is not None and node.op in ("Const", "Dequantize", *VARIABLE_OPS) else ""

    def is_data(self, ref: Ref) -> bool:
        """Tell whether a tensor depends on the network's inputs, and not on their sizes alone."""
        return ref.node in self.data.nodes and self.value(ref) is None and not self.arithmetic.has(ref)

    def reader(self, name: str, *ops: str) -> Node | None:
        """Return the only node that reads ``name``, if it is one of ``ops`` and ``name`` is no output."""
        readers = [other for other in self.data.consumers(name) if other not in self.data.shaping]
        if len(readers) != 1 or name in self.data.outputs or self.graph.consumers[name] != readers:
            return None
        node = self.graph.nodes[readers[0]]
        return node if node.op in ops and sum(ref.node == name for ref in node.inputs) == 1 else None

    def constant(self, name: str) -> np.ndarray | None:
        """Return the values of a constant of any size, or None where ``name`` is not one."""
        node = self.graph.nodes[name]
        return tensor_values(Path(), name, node.attr("value").tensor) if node.op == "Const" else None

    # ---- tensors
    def tensor(self, ref: Ref) -> Tensor:
        """Return what computes a tensor; weights and what is computed from them become steps at their first use."""
        if ref not in self.tensors:
            node = self.graph.nodes.get(ref.node)
            if node is None:
                raise Untranslated(f"the graph has no node {ref.node}")
            if not self.weight(ref) and not self.scalar(Operands(self.tensor), ref):
                self._lower(self, node)
            if ref not in self.tensors:
                self._stored(ref)
        return self.tensors[ref]

    def _stored(self, ref: Ref) -> None:
        """Add a step that returns a weight, or a constant that shape arithmetic computes."""
        node = self.graph.nodes[ref.node]
        operands = Operands(self.tensor)
        name = self.weight(ref)
        if name:
            shape = tuple(size or 0 for size in self.shape(ref))
            text = operands.weight(name, (), shape, self.is_constant(name))
        else:
            text = self.scalar(operands, ref)
            if not text:
                raise Untranslated(f"{ref.tensor} is not a tensor that a step can compute")
            text = f"torch.tensor({text})"
        self.expression(node, operands, text, what="weight", slot=ref.slot)

    def is_constant(self, name: str) -> bool:
        """Tell whether a weight is a constant that nothing reads as a variable: training leaves it alone."""
        node = self.graph.nodes[name]
        reads = (self.graph.nodes[other] for other in self.graph.consumers.get(name, ()))
        return node.op == "Const" and not any(other.op == "Identity" for other in reads)

    def _dtype(self, name: str) -> str:
        """Return PyTorch's dtype of a weight whose values are not floating, else ''."""
        dtype = self.graph.nodes[name].attr("dtype")
        kind = TYPES[dtype.type].loaded.kind if dtype is not None and dtype.type in TYPES else ""
        return {"i": "torch.long", "u": "torch.long", "b": "torch.bool"}.get(kind, "")

    def scalar(self, operands: Operands, ref: Ref) -> str:
        """Return the text of a constant number or of a size; '' for any other tensor."""
        value = self.value(ref)
        if value is not None:
            return literal(plain(value)) if value.size <= _LITERAL and value.ndim <= 1 else ""
        sizes = self.arithmetic.of(ref)
        return operands.size(sizes.item()) if sizes is not None and sizes.ndim == 0 else ""

    def first(self, ref: Ref) -> Tensor:
        """Return a tensor with its channels second, adding a step that moves them where necessary."""
        tensor = self.tensor(ref)
        if tensor.first or tensor.rank < 3:
            return tensor
        return self._moved(tensor, "{0}.movedim(-1, 1)", "channels first")

    def last(self, ref: Ref) -> Tensor:
        """Return a tensor in the graph's order, adding a step that moves its channels where necessary."""
        tensor = self.tensor(ref)
        return self._moved(tensor, "{0}.movedim(1, -1)", "channels last") if tensor.first else tensor

    def _moved(self, tensor: Tensor, expression: str, what: str) -> Tensor:
        return self.extra(tensor, expression, what, first=not tensor.first)

    def extra(self, tensor: Tensor, expression: str, what: str, *, first: bool = True) -> Tensor:
        """Add a step that no node of the graph stands for, such as one that pads, and return its output."""
        made = Tensor(f"{tensor.name} {what}", tensor.shape, first)
        if made.name not in self._makers:
            self._add(Step(made.name, [], [tensor.name], expression=expression, what=what), made)
        return made

    # ---- steps
    def expression(
        self,
        node: Node,
        operands: Operands,
        text: str,
        *,
        first: bool = False,
        what: str = "",
        helpers: Iterable[str] = (),
        nodes: Sequence[str] = (),
        slot: int = 0,
    ) -> None:
        """Add a step that evaluates ``text``, whose output is that of ``node``."""
        ref = Ref(node.name, slot)
        step = Step(ref.tensor, [*nodes] or [node.name], operands.names, expression=text)
        step.weights = [replace(weight, dtype=self._dtype(weight.name)) for weight in operands.weights]
        step.arguments = operands.arguments
        step.helpers, step.what = frozenset(helpers), what or node.op.lower()
        self.add(step, ref, first=first)

    def module(
        self,
        node: Node,
        tensor: Tensor,
        module: str,
        arguments: Mapping[str, Literal],
        weights: Sequence[Weight] = (),
        *,
        first: bool = False,
        what: str = "",
        helpers: Iterable[str] = (),
        nodes: Sequence[str] = (),
        expression: str = "",
        fills: Mapping[str, float] | None = None,
        general: Call | None = None,
    ) -> None:
        """Add a step that calls a module with ``tensor``, whose output is that of ``node``."""
        step = Step(node.name, [*nodes] or [node.name], [tensor.name], module, dict(arguments), list(weights))
        step.expression, step.helpers, step.what = expression, frozenset(helpers), what or node.op.lower()
        step.fills, step.general = dict(fills or {}), general
        self.add(step, Ref(node.name), first=first)

    def add(self, step: Step, *refs: Ref, first: bool = False) -> None:
        """Add a step whose outputs are ``refs``."""
        step.outputs = len(refs)
        for ref in refs:
            shape = self.shape(ref)
            self.tensors[ref] = Tensor(ref.tensor, shape, first and len(shape) >= 3)
        self._add(step, *(self.tensors[ref] for ref in refs))
        self.done.update(step.nodes)

    def _add(self, step: Step, *tensors: Tensor) -> None:
        step.channels_first, step.shape = tensors[0].first, tensors[0].shape
        self.steps.append(step)
        self._makers.update((tensor.name, step) for tensor in tensors)

    def alias(self, node: Node, tensor: Tensor, slot: int = 0) -> None:
        """Let ``node``'s output be a tensor that is there already; its step stands for the node too."""
        self.tensors[Ref(node.name, slot)] = tensor
        maker = self._makers.get(tensor.name)
        if maker is not None and node.name not in maker.nodes:
            maker.nodes.append(node.name)


def plain(value: Any) -> float | int | bool:
    """Return a NumPy scalar as Python's; a float32 as the decimal that its author typed."""
    number = np.asarray(value).reshape(-1)[0]
    return shortest(float(number)) if number.dtype == np.float32 else number.item()  # type: ignore[no-any-return]


class Lowerings(dict[str, Callable[[Context, Node], None]]):
    """Lowerings by op. One adds the steps of its node, or raises Untranslated where an attribute has none."""

    def of(self, *ops: str) -> Callable[[Callable[[Context, Node], None]], Callable[[Context, Node], None]]:
        """Register the decorated function for ``ops``: strings of names with spaces between them."""

        def register(lowering: Callable[[Context, Node], None]) -> Callable[[Context, Node], None]:
            self.update(dict.fromkeys(" ".join(ops).split(), lowering))
            return lowering

        return register
