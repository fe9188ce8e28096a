"""GraphBuilder: writes a network of another format as a GraphDef of TensorFlow's ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.errors import FormatError
from porter.formats.tensorflow.dtypes import TYPES
from porter.graph.shapes import Shape

FLOAT = 1
"""TensorFlow's number of float32 (tensorflow/core/framework/types.proto)."""
_MOST = 400_000
"""Nodes of the largest graph, as in porter.graph.functions."""
_NUMBERS = {kind.stored: number for number, kind in reversed(TYPES.items())}


class GraphBuilder:
    """Adds nodes to ``graph``. Names that are taken get a number behind them."""

    def __init__(self) -> None:
        self.graph = GraphDef()
        self.nodes = self.graph.node
        self.variables: set[str] = set()
        self._names: dict[str, int] = {}

    def free(self, name: str) -> str:
        """Return ``name`` if no node has it, else the name with the first free number."""
        found = name
        while found in self._names:
            self._names[name] += 1
            found = f"{name}_{self._names[name]}"
        return found

    def _take(self, name: str) -> str:
        if len(self._names) >= _MOST:
            raise FormatError(f"it has more than {_MOST:,} layers")
        name = self.free(name)
        self._names[name] = 0
        return name

    def add(self, name: str, op: str, inputs: Sequence[str] = (), **attributes: Any) -> str:
        """Add a node and return its name. Integers, floats, flags, texts and lists of integers become attributes.

        Raises FormatError if the graph grows too large.
        """
        name = self._take(name)
        node = self.nodes.add(name=name, op=op, input=inputs)
        for key, value in attributes.items():
            _set(node.attr[key], value)
        self.added(node)
        return name

    def added(self, node: Any) -> None:
        """Take note of a new node; for subclasses."""

    def placeholder(self, name: str, shape: Shape, dtype: int = FLOAT) -> str:
        """Add an input of the network."""
        return self.add(name, "Placeholder", shape=Sides(shape), dtype=Type(dtype))

    def variable(self, name: str, shape: Shape, dtype: int = FLOAT) -> str:
        """Add a weight without its values, which the file keeps elsewhere."""
        found = self.add(name, "VariableV2", shape=Sides(shape), dtype=Type(dtype))
        self.variables.add(found)
        return found

    def constant(self, name: str, values: Any, dtype: int = 0) -> str:
        """Add a constant; ``dtype`` is TensorFlow's number, by default that of the values."""
        array = np.asarray(values)
        array = array.astype(np.int32) if array.dtype == np.int64 and not dtype else array
        number = dtype or _NUMBERS[array.dtype]
        return self.add(name, "Const", dtype=Type(number), value=Value(array, number))


class FunctionBuilder(GraphBuilder):
    """Adds nodes to a function of a graph's library, which While and If call by its ``name``."""

    def __init__(self, outer: GraphBuilder, name: str) -> None:
        super().__init__()
        self.graph = outer.graph
        self.name = f"{name}_{len(self.graph.library.function)}"
        self._function = self.graph.library.function.add()
        self._function.signature.name = self.name
        self.nodes = self._function.node_def

    def argument(self, name: str, dtype: int) -> str:
        """Add an argument; return the name by which nodes read it."""
        name = self._take(name)
        self._function.signature.input_arg.add(name=name, type=dtype)
        return name

    def result(self, ref: str, dtype: int) -> None:
        """Add a result, which is the tensor ``ref`` of the function."""
        name = f"result_{len(self._function.signature.output_arg)}"
        self._function.signature.output_arg.add(name=name, type=dtype)
        self._function.ret[name] = ref


class Sides(tuple[int | None, ...]):
    """A shape as an attribute; None stands for an unknown rank."""

    known: bool

    def __new__(cls, shape: Shape) -> Sides:
        found = super().__new__(cls, shape or ())
        found.known = shape is not None
        return found

    def write(self, proto: Any) -> None:
        """Write the shape into a TensorShapeProto."""
        proto.unknown_rank = not self.known
        for side in self:
            proto.dim.add(size=-1 if side is None else side)


class Value:
    """A constant's values as an attribute; ``dtype`` is TensorFlow's number."""

    def __init__(self, array: np.ndarray, dtype: int = 0) -> None:
        self.dtype = dtype or _NUMBERS[array.dtype]
        self.array = array.astype(TYPES[self.dtype].stored)

    def write(self, proto: Any) -> None:
        """Write the values into an empty TensorProto."""
        proto.dtype = self.dtype
        for side in self.array.shape:
            proto.tensor_shape.dim.add(size=side)
        proto.tensor_content = self.array.tobytes()


class Type(int):
    """TensorFlow's number of a dtype as an attribute."""


class Function(str):
    """The name of a function as an attribute."""


def _set(attribute: Any, value: Any) -> None:
    match value:
        case Type():
            attribute.type = value
        case Sides():
            value.write(attribute.shape)
        case Value():
            value.write(attribute.tensor)
        case Function():
            attribute.func.name = value
        case bool():
            attribute.b = value
        case int():
            attribute.i = value
        case float():
            attribute.f = value
        case str():
            attribute.s = value.encode()
        case _:
            attribute.list.i.extend(value)
