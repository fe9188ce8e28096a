"""read_graph(path) -> Source: the graph in a GraphDef, MetaGraphDef, SavedModel or event file.

It reads binary files and text, gzipped or not, and imports nothing of TensorFlow.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

from porter.errors import FormatError, PorterError
from porter.formats.identify import HUB_MODULE, SAVED_MODEL, identify
from porter.formats.peek import as_utf8, is_gzipped, is_text_graph
from porter.formats.signatures import SAVED_MODEL_START
from porter.formats.tensorflow.graph_source import Source, graph_source, meta_source
from porter.formats.tensorflow.graphdef import has_nodes, parse_graph
from porter.formats.tensorflow.gzipped import unpack
from porter.formats.tensorflow.tfrecord import is_records
from porter.formats.tensorflow.wire import fields

LIMIT = (1 << 31) - 1
"""The size of the largest protobuf message, and so of any TensorFlow graph."""
_META_GRAPHS = 2  # meta_graphs in tensorflow/core/protobuf/saved_model.proto
_TRAIN, _SERVE = "train", "serve"
"""Tags of TensorFlow's own exporters: tensorflow/python/saved_model/tag_constants.py."""


def load_graph(path: Path) -> Any:
    """Return only the GraphDef in ``path``; see read_graph."""
    return read_graph(path).graph


def graph_file(path: Path) -> Path:
    """Return ``path`` if it is a file, else the graph in the folder ``path``. Raises PorterError if there is none."""
    if path.is_file():
        return path
    if not path.exists():
        raise PorterError(f"{path} does not exist: name a graph, a SavedModel, a checkpoint or a folder of event files")
    found = identify(path)
    if found.kind.holds == "graph":
        return found.files[0]
    raise PorterError(f"{path} holds no graph: name a graph file, a SavedModel or a folder of event files")


def saved_variables(path: Path) -> Path | None:
    """Return the prefix of the variables beside a SavedModel's graph, or None if there are none."""
    prefix = graph_file(path).parent / "variables" / "variables"
    return prefix if prefix.with_name("variables.index").is_file() else None


def read_graph(path: Path, *, tag: str | None = None, graph: int | None = None) -> Source:
    """Read the graph in ``path``, a file or a SavedModel folder, which the result names as it was given.

    ``tag`` chooses among a SavedModel's graphs, by all its tags with commas between them; ``graph`` among the graphs
    of event files, where 1 was written last. Raises FormatError, PorterError.
    """
    file = graph_file(path)
    raw, zipped = _contents(file)
    if is_records(raw[:12]):
        from porter.formats.tensorflow.events import newest_graph

        refuse_tag(path, tag, "TensorBoard event file")
        return newest_graph(path, graph)
    if graph is not None:
        raise PorterError(f"{path} is no event file, and `graph` chooses among the graphs of event files: leave it out")
    source = _text(file, raw, tag) if is_text_graph(raw) else _binary(file, raw, tag)
    kind = f"{source.format}, gzipped" if zipped else source.format
    return replace(source, path=path, format=kind)


def refuse_tag(path: Path, tag: str | None, kind: str) -> None:
    """Raise PorterError if a ``tag`` was given for the file ``path``, which is of another ``kind``."""
    if tag is not None:
        raise PorterError(f"{path} is a {kind}, and `tag` chooses among the graphs of a SavedModel: leave it out")


def _contents(path: Path) -> tuple[bytes, bool]:
    """Return the file's bytes, unpacked, and whether they were gzipped."""
    size = path.stat().st_size
    if not size:
        raise FormatError(f"{path} is empty: copy or download it again")
    with path.open("rb") as file:
        head = file.read(12)
        if not is_records(head) and size > LIMIT:
            raise FormatError(
                f"{path} has {size:,} bytes, but no TensorFlow graph is above {LIMIT:,} (2 GB): keep its variables in "
                "a checkpoint beside the graph, and inspect either"
            )
        file.seek(0)
        # An event file's own reader maps it; here the first bytes suffice.
        raw = head if is_records(head) else file.read()
    return (unpack(raw, path), True) if is_gzipped(raw) else (raw, False)


def _binary(path: Path, raw: bytes, tag: str | None) -> Source:
    graph = parse_graph(raw)
    if graph is None and raw.startswith(SAVED_MODEL_START):
        return _saved_model(path, raw, tag)
    refuse_tag(path, tag, "single graph")
    if graph is not None:
        return graph_source(path, graph)
    try:
        meta = MetaGraphDef.FromString(raw)
    except DecodeError:
        meta = MetaGraphDef()
    if not has_nodes(meta.graph_def):
        raise FormatError(
            f"{path} is not a whole TensorFlow graph: porter reads .pb, .pbtxt and .meta files, SavedModels and event "
            "files; copy or download it again"
        )
    return meta_source(path, meta, "TensorFlow MetaGraphDef")


def _saved_model(path: Path, raw: bytes, tag: str | None) -> Source:
    """Read the SavedModel message: schema version (1) and MetaGraphDefs (2)."""
    try:
        metas = [MetaGraphDef.FromString(value) for number, value in fields(raw) if number == _META_GRAPHS]
    except (DecodeError, FormatError, TypeError):
        metas = []
    if not metas:
        raise FormatError(f"{path} is not a whole SavedModel; copy or download it again")
    return _chosen(path, metas, tag)


def _chosen(path: Path, metas: list[Any], tag: str | None) -> Source:
    """Return the MetaGraphDef that ``tag`` names; by default the one that serves, or any that is not for training."""
    tags = [frozenset(meta.meta_info_def.tags) for meta in metas]
    if tag is None:
        at = min(range(len(tags)), key=lambda number: (_TRAIN in tags[number], _SERVE not in tags[number]))
    else:
        wanted = frozenset(part.strip() for part in tag.split(",") if part.strip())
        if wanted not in tags:
            named = " or ".join(f'`tag="{_joined(other)}"`' for other in tags)
            raise PorterError(f"{path} has no graph {_tagged(wanted)}: choose {named}")
        at = tags.index(wanted)
    others = tuple(_joined(other) for number, other in enumerate(tags) if number != at)
    notes = () if not others else (_others_note(path, tags, at),)
    kind = HUB_MODULE if identify(path.parent).kind is HUB_MODULE else SAVED_MODEL
    source = meta_source(path, metas[at], kind.name)
    chosen = ("tag", _joined(tags[at])) if tag is not None and others else None
    return replace(source, tags=tuple(sorted(tags[at])), others=others, notes=notes, chosen=chosen)


def _others_note(path: Path, tags: list[frozenset[str]], at: int) -> str:
    others = [other for number, other in enumerate(tags) if number != at]
    listed = ", ".join(map(_tagged, others))
    command = f"port inspect {shlex.quote(str(path))} --tag {shlex.quote(_joined(others[0]))}"
    return f"It holds {len(tags)} graphs; this is the one {_tagged(tags[at])}. `{command}` shows another: {listed}."


def _tagged(tags: frozenset[str]) -> str:
    return f"tagged {_joined(tags)}" if tags else "without tags"


def _joined(tags: frozenset[str]) -> str:
    return ",".join(sorted(tags))


def _text(path: Path, raw: bytes, tag: str | None) -> Source:
    try:
        text = as_utf8(raw).decode()
        if "saved_model_schema_version" in text[:4096] or "meta_graphs" in text[:4096]:
            return _chosen(path, _text_metas(text), tag)
        refuse_tag(path, tag, "single graph")
        if "meta_info_def" in text[:4096] or "graph_def" in text[:4096]:
            meta = text_format.Parse(text, MetaGraphDef(), allow_unknown_field=True)
            return meta_source(path, meta, "TensorFlow MetaGraphDef as text")
        return graph_source(path, text_format.Parse(text, GraphDef(), allow_unknown_field=True), " as text")
    except (text_format.ParseError, ValueError, RecursionError) as error:  # undecodable bytes, and numbers out of range
        why = str(error).splitlines()[0]
        raise FormatError(
            f"{path} is not a whole graph in protobuf's text format ({why}); copy or download it again"
        ) from None


def _text_metas(text: str) -> list[Any]:
    """Return a SavedModel's MetaGraphDefs; tensorboard lacks the message around them."""
    metas, depth, start = [], 0, 0
    quoted = escaped = False
    for at, character in enumerate(text):
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character == "{":
            depth += 1
            start = at + 1 if depth == 1 else start
        elif character == "}":
            depth -= 1
            if depth == 0:
                metas.append(text_format.Parse(text[start:at], MetaGraphDef(), allow_unknown_field=True))
    if not metas:
        raise text_format.ParseError("it has no meta_graphs")
    return metas
