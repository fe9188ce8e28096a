"""A GraphDef from a .pb file."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.errors import FormatError

LARGEST = 1 << 31
"""Protobuf's own bound on a message, and so on a graph."""
_OP = re.compile(r"[A-Za-z_>][A-Za-z0-9_>]*")


def parse_graph(raw: bytes) -> Any | None:
    """Return the GraphDef in ``raw``, or None where the bytes are something else."""
    try:
        graph = GraphDef.FromString(raw)
    except DecodeError:
        return None
    # Other messages parse as a GraphDef too, but not to nodes with names and ops.
    return graph if graph.node and all(node.name and _OP.fullmatch(node.op) for node in graph.node) else None


def load_graph(path: Path) -> Any:
    """Read the GraphDef in ``path``, gzipped or not. Raises FormatError."""
    raw = path.read_bytes()
    try:
        graph = parse_graph(_unpacked(raw, path) if raw[:2] == b"\x1f\x8b" else raw)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise FormatError(f"{path} does not unpack ({error}); copy or download it again") from None
    if graph is None:
        raise FormatError(f"{path} is not a whole TensorFlow GraphDef; copy or download it again")
    return graph


def _unpacked(raw: bytes, path: Path) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
        unpacked = file.read(LARGEST + 1)
    if len(unpacked) > LARGEST:
        raise FormatError(f"{path} unpacks to more than {LARGEST} bytes, which no graph has; name another file")
    return unpacked
