"""A graph's variables turned into constants of given values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef

from porter.errors import FormatError

_HANDLES = {"VarHandleOp", "VariableV2", "Variable"}
_NUMBERS = {"float32": 1, "float64": 2, "float16": 19}
"""TensorFlow's DataType of the dtypes that weights have (tensorflow/core/framework/types.proto)."""


def variables(graph: Any) -> list[str]:
    """Return the names of the variables that ``graph`` has not frozen."""
    return [node.name for node in graph.node if node.op in _HANDLES]


def constant(name: str, value: np.ndarray) -> Any:
    """Return a Const node. ``value`` is float16, float32 or float64."""
    number = _NUMBERS[value.dtype.name]
    node = NodeDef(name=name, op="Const")
    node.attr["dtype"].type = number
    tensor = node.attr["value"].tensor
    tensor.dtype = number
    for size in value.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = value.tobytes()
    return node


def freeze(graph: Any, values: Mapping[str, np.ndarray]) -> Any:
    """Return ``graph`` with every variable a Const of ``values[its name]``, read through an Identity."""
    frozen = GraphDef(versions=graph.versions)
    for node in graph.node:
        if node.op in _HANDLES:
            if node.name not in values:
                raise FormatError(f"the graph's variable {node.name} has no value in the checkpoint")
            frozen.node.append(constant(node.name, values[node.name]))
        elif node.op == "ReadVariableOp":
            read = frozen.node.add(name=node.name, op="Identity", input=node.input)
            read.attr["T"].CopyFrom(node.attr["dtype"])
        else:
            frozen.node.append(node)
    for node in frozen.node:
        # It asks for the device of a node that may be pruned.
        node.attr.pop("_class", None)
    return frozen
