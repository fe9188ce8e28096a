"""joined: a graph whose inputs are parts of one, for a runner that feeds one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef

_FLOAT, _INT32, _UINT8 = 1, 3, 4
"""TensorFlow's numbers of dtypes (tensorflow/core/framework/types.proto)."""


def joined(graph: Any, inputs: Mapping[str, Sequence[int]]) -> Any:
    """Return the GraphDef ``graph`` with one float32 placeholder in place of its inputs.

    ``inputs`` maps them to their sizes without the batch. Of several, the placeholder has a row of values for each
    image, in their order; each keeps its name, and becomes its part of the row in that shape and in its dtype. A graph
    with one float32 placeholder stays as it is.
    """
    given = [node for node in graph.node if node.name in inputs]
    types = {node.name: _type_of(node) for node in given}
    if len(inputs) == 1 and all(node.op == "Placeholder" and types[node.name] == _FLOAT for node in given):
        return graph
    found = GraphDef(versions=graph.versions, library=graph.library)
    row = _free("inputs", {node.name for node in graph.node})
    ends = list(accumulate(math.prod(sizes) for sizes in inputs.values()))
    (*_, last) = inputs.values()
    found.node.append(_placeholder(row, ends[-1:] if len(inputs) > 1 else last))
    begins = dict(zip(inputs, [0, *ends], strict=False))
    for node in graph.node:
        if node.name in inputs and len(inputs) == 1:
            found.node.append(_cast(node.name, row, types[node.name]))
        elif node.name in inputs:
            found.node.extend(_part(node.name, row, begins[node.name], inputs[node.name], types[node.name]))
        else:
            found.node.append(node)
    return found


def _type_of(node: Any) -> int:
    """Return the number of the dtype that an input has: a decoder's images are uint8."""
    given = {name: node.attr[name] for name in ("output_types", "dtype") if name in node.attr}  # a read adds others
    types = [*given["output_types"].list.type] if "output_types" in given else []
    return int(types[0] if types else given["dtype"].type if "dtype" in given else 0) or _UINT8


def _part(name: str, row: str, begin: int, sizes: Sequence[int], dtype: int) -> list[Any]:
    """Return the nodes that compute an input from the row."""
    end = begin + math.prod(sizes)
    numbers = {"begin": (0, begin), "end": (0, end), "steps": (1, 1), "shape": (-1, *sizes)}
    nodes = [_integers(f"{name}/part/{key}", value) for key, value in numbers.items()]
    part = NodeDef(name=f"{name}/part", op="StridedSlice", input=[row, *(node.name for node in nodes[:3])])
    part.attr["T"].type, part.attr["Index"].type = _FLOAT, _INT32
    part.attr["begin_mask"].i = part.attr["end_mask"].i = 1
    whole = NodeDef(name=name, op="Reshape", input=[part.name, nodes[3].name])
    whole.attr["T"].type, whole.attr["Tshape"].type = _FLOAT, _INT32
    if dtype == _FLOAT:
        return [*nodes, part, whole]
    whole.name = f"{name}/whole"
    return [*nodes, part, whole, _cast(name, whole.name, dtype)]


def _placeholder(name: str, sizes: Sequence[int]) -> Any:
    node = NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = _FLOAT
    for size in (-1, *sizes):
        node.attr["shape"].shape.dim.add(size=size)
    return node


def _cast(name: str, tensor: str, dtype: int) -> Any:
    node = NodeDef(name=name, op="Cast", input=[tensor])
    node.attr["SrcT"].type, node.attr["DstT"].type = _FLOAT, dtype
    return node


def _integers(name: str, values: Sequence[int]) -> Any:
    node = NodeDef(name=name, op="Const")
    node.attr["dtype"].type = node.attr["value"].tensor.dtype = _INT32
    node.attr["value"].tensor.tensor_shape.dim.add(size=len(values))
    node.attr["value"].tensor.tensor_content = np.array(values, np.int32).tobytes()
    return node


def _free(name: str, taken: set[str]) -> str:
    return name if name not in taken else _free(f"{name}_", taken)
