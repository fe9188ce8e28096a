"""A graph's variables: VarHandleOps and VariableV2s, or, in a frozen graph, the constants that they became."""

from __future__ import annotations

import math
from typing import NamedTuple

from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.frozen import is_read, was_variable
from porter.graph.graph import Graph
from porter.graph.shapes import VARIABLES, Shape, proto_shape

RESOURCE = 20
ARGUMENTS = ("_Arg", "_DeviceArg")


class Variable(NamedTuple):
    """One variable. Its size and bytes are 0 where the graph does not say its shape."""

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


def read_through(graph: Graph) -> set[str]:
    """Return the nodes that the reads of variables read; in a frozen graph they are constants."""
    return {node.inputs[0].node for node in graph.nodes.values() if node.inputs and is_read(node.op, node.name)}


def find_variables(graph: Graph) -> dict[str, Variable]:
    """Return the graph's variables by name, in its order.

    A graph without variables counts as frozen; `was_variable` then tells which constants were variables.
    """
    found: dict[str, Variable] = {}
    for node in graph.nodes.values():
        if node.op in VARIABLES:
            shape, dtype = node.attr("shape"), node.attr("dtype")
            kind = TYPES.get(dtype.type % 100) if dtype is not None else None  # references are 100 higher
            found[node.name] = Variable(
                node.name, proto_shape(shape.shape) if shape is not None else None, kind.name if kind else "unknown"
            )
        elif node.op in ARGUMENTS and node.attr("T") is not None and node.attr("T").type == RESOURCE:
            # A traced function gets its variables as arguments, and does not say their shapes.
            found[node.name] = Variable(node.name, None, "unknown")
    if found:
        return found
    reads = read_through(graph)
    for node in graph.nodes.values():
        if node.op == "Const" and node.attr("value") is not None:
            proto = node.attr("value").tensor
            sides = tuple(dim.size for dim in proto.tensor_shape.dim)
            if was_variable(node.name, proto.dtype, sides, reads):
                found[node.name] = Variable(node.name, sides, TYPES[proto.dtype].name)
    return found
