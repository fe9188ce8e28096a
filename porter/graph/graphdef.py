"""A GraphDef from a file: .pb, .pbtxt, .meta or a SavedModel's folder, told apart by their bytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

from porter.checkpoint.wire import Buffer, fields
from porter.errors import FormatError
from porter.graph.gzipped import is_gzipped, unpack

_OP = re.compile(r"[A-Za-z_>][A-Za-z0-9_>]*")
# Each comment ends its line, so that there is one way to match: a hostile file cannot make it try others.
_TEXT = re.compile(rb"\s*(#[^\n]*\n\s*)*(node|versions|library|meta_info_def|graph_def)\s*[:{]")
_NODES = 1  # node in tensorflow/core/framework/graph.proto
_SMALLEST_NODE = 6
"""A name and an op of one letter each, behind their tags and lengths."""
_SAVED_MODEL = b"\x08\x01\x12"  # saved_model_schema_version 1, and the tag of the first of the meta_graphs
_SAVED_MODEL_GRAPHS = 2  # meta_graphs in tensorflow/core/protobuf/saved_model.proto


def parse_graph(raw: bytes) -> Any | None:
    """Return the GraphDef in ``raw``, or None where the bytes are something else."""
    try:
        # An empty message of two bytes takes a hundred in memory: such a file is refused before it is parsed.
        if any(number == _NODES and _size(value) < _SMALLEST_NODE for number, value in fields(memoryview(raw))):
            return None
        graph = GraphDef.FromString(raw)
    except (DecodeError, FormatError):
        return None
    return graph if _has_nodes(graph) else None


def _size(value: int | Buffer) -> int:
    return 0 if isinstance(value, int) else len(value)


def load_graph(path: Path) -> Any:
    """Read the GraphDef in ``path``, gzipped or not, a MetaGraphDef's, or that of a SavedModel. Raises FormatError."""
    path = graph_file(path)
    raw = path.read_bytes()
    raw = unpack(raw, path) if is_gzipped(raw) else raw
    graph = _parse_text(raw, path) if _TEXT.match(raw) else parse_graph(raw) or _parse_meta(raw) or _parse_saved(raw)
    if graph is None:
        raise FormatError(f"{path} is not a whole TensorFlow GraphDef; copy or download it again")
    return graph


def saved_variables(path: Path) -> Path | None:
    """Return the prefix of the variables beside a SavedModel's graph, None where there are none."""
    prefix = graph_file(path).parent / "variables" / "variables"
    return prefix if prefix.with_name("variables.index").is_file() else None


def graph_file(path: Path) -> Path:
    """Return ``path``, or the graph of the SavedModel in the folder that it is."""
    if not path.is_dir():
        return path
    for name in ("saved_model.pb", "saved_model.pbtxt"):
        if (path / name).is_file():
            return path / name
    raise FormatError(f"{path} is a folder without a saved_model.pb: name a graph's file or a SavedModel's folder")


def _has_nodes(graph: Any) -> bool:
    # Other messages parse as a GraphDef too, but not to nodes with names and ops.
    return bool(graph.node) and all(node.name and _OP.fullmatch(node.op) for node in graph.node)


def _parse_meta(raw: bytes) -> Any | None:
    try:
        graph = MetaGraphDef.FromString(raw).graph_def
    except DecodeError:
        return None
    return graph if _has_nodes(graph) else None


def _parse_saved(raw: bytes) -> Any | None:
    if not raw.startswith(_SAVED_MODEL):
        return None
    try:
        graphs = [value for number, value in fields(raw) if number == _SAVED_MODEL_GRAPHS]
    except FormatError:
        return None
    return _parse_meta(graphs[0]) if graphs and isinstance(graphs[0], bytes) else None


def _parse_text(raw: bytes, path: Path) -> Any | None:
    kind = MetaGraphDef if _TEXT.match(raw)[2] in (b"meta_info_def", b"graph_def") else GraphDef  # type: ignore[index]
    try:
        message = text_format.Parse(raw.decode(), kind())
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(
            f"{path} is not a GraphDef in text: {str(error).splitlines()[0]}; copy or download it again"
        ) from None
    graph = message.graph_def if kind is MetaGraphDef else message
    return graph if _has_nodes(graph) else None
