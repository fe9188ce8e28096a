"""A graph's variables. In a frozen graph these are constants."""

from __future__ import annotations

import math
from typing import NamedTuple

from porter.formats.tensorflow.dequantize import is_dequantized
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.frozen import is_read, pipeline_data, was_variable
from porter.graph.graph import VARIABLE_OPS, Graph, Node
from porter.graph.loop_values import first_states
from porter.graph.shapes import Shape, proto_shape

RESOURCE = 20
"""TensorFlow's dtype of a handle to a variable (tensorflow/core/framework/types.proto)."""
ARGUMENTS = ("_Arg", "_DeviceArg")
UNKNOWN = "unknown"
_REFERENCE = 100
"""types.proto numbers a reference to a dtype 100 higher than the dtype."""


class Variable(NamedTuple):
    """One variable. ``size`` counts its values and ``bytes`` its memory; both are 0 if its shape is unknown."""

    name: str
    shape: Shape
    dtype: str

    @property
    def size(self) -> int:
        if self.shape is None or None in self.shape:
            return 0
        return math.prod(size for size in self.shape if size is not None)

    @property
    def bytes(self) -> int:
        kind = next((kind for kind in TYPES.values() if kind.name == self.dtype), None)
        return self.size * (kind.stored.itemsize if kind else 0)


def find_variables(graph: Graph) -> dict[str, Variable]:
    """Return the graph's variables by name, in the graph's order.

    A graph without variables counts as frozen; ``formats.tensorflow.frozen`` decides which constants were variables.
    """
    found = {node.name: variable for node in graph.nodes.values() if (variable := _variable(node)) is not None}
    return found or _frozen_variables(graph)


def _variable(node: Node) -> Variable | None:
    if node.op in VARIABLE_OPS:
        shape, dtype = node.attr("shape"), node.attr("dtype")
        kind = TYPES.get(dtype.type % _REFERENCE) if dtype is not None else None
        stated = proto_shape(shape.shape) if shape is not None else None
        return Variable(node.name, stated, kind.name if kind else UNKNOWN)
    if node.op in ARGUMENTS and node.attr("T") is not None and node.attr("T").type == RESOURCE:
        # A traced function receives its variables as arguments, without their shapes.
        return Variable(node.name, None, UNKNOWN)
    return None


def _frozen_variables(graph: Graph) -> dict[str, Variable]:
    nodes = graph.nodes.values()
    reads = {node.inputs[0].node for node in nodes if node.inputs and is_read(node.op, node.name)}
    protos = {node.name: node.proto for node in nodes}
    packed = {node.name: node for node in nodes if is_dequantized(node.proto, protos)}
    parts = {ref.node for node in packed.values() for ref in node.inputs}
    others = parts | first_states(graph) | pipeline_data((node.op, ref.node) for node in nodes for ref in node.inputs)
    found: dict[str, Variable] = {}
    for node in nodes:
        if node.name in packed:
            # Tools store a weight as integers behind a Dequantize of its name.
            proto = protos[node.inputs[0].node].attr["value"].tensor
            shape = tuple(dim.size for dim in proto.tensor_shape.dim)
            found[node.name] = Variable(node.name, shape, TYPES[proto.dtype].name)
        elif node.op == "Const" and node.name not in others and node.attr("value") is not None:
            proto = node.attr("value").tensor
            shape = tuple(dim.size for dim in proto.tensor_shape.dim)
            if was_variable(node.name, proto.dtype, shape, reads):
                found[node.name] = Variable(node.name, shape, TYPES[proto.dtype].name)
    return found
