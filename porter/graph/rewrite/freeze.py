"""freeze: replaces a graph's variables by constants."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef

from porter.errors import FormatError
from porter.formats.tensorflow.graphdef import node_of
from porter.graph.graph import VARIABLE_OPS

_NUMBERS = {"float32": 1, "float64": 2, "float16": 19}
"""TensorFlow's numbers of the dtypes of weights (tensorflow/core/framework/types.proto)."""
_RESOURCE = 20
"""TensorFlow's number of a handle to a variable (types.proto)."""


def variables(graph: Any) -> list[str]:
    """Return the names of ``graph``'s variables; a frozen graph has none."""
    return [node.name for node in graph.node if node.op in VARIABLE_OPS]


def constant(name: str, value: np.ndarray) -> Any:
    """Return a Const node of ``value``, which is float16, float32 or float64."""
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
    """Return ``graph`` with its variables as Const nodes of ``values``, and their reads as Identity nodes.

    Raises FormatError if ``values`` lacks a variable.
    """
    return GraphDef(versions=graph.versions, node=frozen_nodes(graph, values, values.__getitem__))


def frozen_nodes(graph: Any, names: Collection[str], load: Callable[[str], np.ndarray]) -> Iterator[Any]:
    """Yield the nodes of `freeze`, each variable's values loaded when it is its turn; ``names`` has all variables."""
    nodes = {node.name: node for node in graph.node}
    for original in graph.node:
        node = NodeDef()
        if original.op in VARIABLE_OPS:
            if original.name not in names:
                raise FormatError(
                    f"the checkpoint has no value for the graph's variable {original.name}: name the graph's own "
                    "checkpoint"
                )
            node = constant(original.name, load(original.name))
        elif original.op == "ReadVariableOp":
            node = NodeDef(name=original.name, op="Identity", input=original.input)
            node.attr["T"].CopyFrom(original.attr["dtype"])
        else:
            node.CopyFrom(original)
            if variable := _forwarded(original, nodes):
                node.attr["T"].type = _NUMBERS[load(variable).dtype.name]
        # The attribute names a node whose device this one shares; that node may be pruned.
        node.attr.pop("_class", None)
        yield node


def _forwarded(node: Any, nodes: Mapping[str, Any]) -> str | None:
    """Return the variable whose handle ``node`` passes on, directly or through others; None for any other node.

    Inlined functions leave such Identity nodes between a variable and its reads.
    """
    seen: set[str] = set()
    while node is not None and node.op == "Identity" and node.attr["T"].type == _RESOURCE and node.name not in seen:
        seen.add(node.name)
        node = nodes.get(node_of(node.input[0])) if node.input else None
    return str(node.name) if seen and node is not None and node.op in VARIABLE_OPS else None
