"""Parses a GraphDef, and tells it from other messages that parse as one."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.errors import FormatError
from porter.formats.tensorflow.wire import Buffer, fields

_OP = re.compile(r"[A-Za-z_>][A-Za-z0-9_>]*")
_NODES = 1  # node in tensorflow/core/framework/graph.proto
_SMALLEST_NODE = 6
"""A name and an op of one letter each, with their tags and lengths."""


def parse_graph(raw: bytes) -> Any | None:
    """Return the GraphDef in ``raw``, or None if the bytes are something else."""
    try:
        # An empty node of two bytes takes a hundred in memory, so such a file is refused before it is parsed.
        if any(number == _NODES and _size(value) < _SMALLEST_NODE for number, value in fields(memoryview(raw))):
            return None
        graph = GraphDef.FromString(raw)
    except (DecodeError, FormatError):
        return None
    return graph if has_nodes(graph) else None


def has_nodes(graph: Any) -> bool:
    """Tell whether ``graph`` has nodes, each with a name and an op, which other messages do not parse to."""
    return bool(graph.node) and all(node.name and _OP.fullmatch(node.op) for node in graph.node)


def _size(value: int | Buffer) -> int:
    return 0 if isinstance(value, int) else len(value)


def node_of(tensor: str) -> str:
    """Return the node of a tensor or control input: ``a`` for ``^a`` and ``a:1``."""
    return tensor.lstrip("^").split(":")[0]
