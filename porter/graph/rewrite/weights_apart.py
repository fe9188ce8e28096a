"""weights_apart: a frozen graph, and its weights as arrays that a runner feeds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.formats.tensorflow.tensorproto import tensor_values

_FLOAT = 1
"""TensorFlow's number of float32 (tensorflow/core/framework/types.proto)."""
MANY = 1024
"""Constants of so many values become inputs; what smaller ones cost is not worth it."""


def weights_apart(graph: Any, path: Path | str) -> tuple[Any, dict[str, np.ndarray]]:
    """Return the GraphDef ``graph`` with placeholders for its large float32 constants, and their values by name.

    TensorFlow copies a graph, and each constant with it, up to ten times before it runs, and a GraphDef holds at most
    2 GiB. A constant that waits for another node stays: a loop or a condition decides whether it runs.
    Raises FormatError, which names ``path``, where a constant is damaged.
    """
    lean, values = GraphDef(versions=graph.versions, library=graph.library), {}
    for node in graph.node:
        if not _is_large(node):
            lean.node.append(node)
            continue
        values[node.name] = tensor_values(Path(path), node.name, node.attr["value"].tensor)
        fed = lean.node.add(name=node.name, op="Placeholder", device=node.device)
        fed.attr["dtype"].type = _FLOAT
        fed.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
    return lean, values


def _is_large(node: Any) -> bool:
    if node.op != "Const" or node.input or node.attr["dtype"].type != _FLOAT:
        return False
    return bool(math.prod(dim.size for dim in node.attr["value"].tensor.tensor_shape.dim) >= MANY)
