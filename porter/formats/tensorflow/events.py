"""Reads event files and log folders: graphs, steps and tags, newest first.

It checks every record's checksums. tensorboard's own loader stops silently at a damaged record.
"""

from __future__ import annotations

import mmap
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

from porter.errors import FormatError, PorterError, plural
from porter.formats.tensorflow.graph_source import Source, graph_source, meta_source
from porter.formats.tensorflow.tfrecord import find_event_files, read_records, record


@dataclass
class Tag:
    """One summary's history: its points, its first and last step, and its newest value if that is a number."""

    name: str
    kind: str
    points: int
    first_step: int
    last_step: int
    last_value: float | None


class LoggedGraph(NamedTuple):
    """A graph of an event file, and when it was written, in seconds since 1970."""

    step: int
    name: str
    source: Source
    time: float


@dataclass
class EventFile:
    """The contents of one event file. ``graphs`` are in the order of the file; ``damage`` has whole sentences."""

    path: Path
    version: str = ""
    writer: str = ""
    records: int = 0
    first_time: float = 0.0
    last_time: float = 0.0
    last_step: int = 0
    tags: dict[str, Tag] = field(default_factory=dict)
    graphs: list[LoggedGraph] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)


def read_logs(path: Path) -> list[EventFile]:
    """Read an event file, or all those in a folder, newest first. Raises PorterError if there are none."""
    paths = find_event_files(path) if path.is_dir() else [path]
    if not paths:
        raise PorterError(f"{path} holds no event files: name the folder that TensorBoard reads")
    files = [read_events(path) for path in paths]
    return sorted(files, key=lambda file: (file.last_time, str(file.path)), reverse=True)


def read_events(path: Path) -> EventFile:
    """Read one event file, also past any damage."""
    found = EventFile(path)
    for event in _events(path, found):
        if not found.records:
            found.first_time = event.wall_time
        found.records += 1
        found.last_time = max(found.last_time, event.wall_time)
        found.last_step = max(found.last_step, event.step)
        match event.WhichOneof("what"):
            case "file_version":
                found.version = event.file_version
                found.writer = event.source_metadata.writer
            case "graph_def":
                _add_graph(found, event, "graph", GraphDef, event.graph_def)
            case "meta_graph_def":
                _add_graph(found, event, "meta graph", MetaGraphDef, event.meta_graph_def)
            case "tagged_run_metadata":
                _add_traced(found, event)
            case "summary":
                for value in event.summary.value:
                    _add_value(found, event, value)
    return found


def _events(path: Path, found: EventFile) -> Iterator[Any]:
    if not path.stat().st_size:
        found.damage.append("The file is empty: its writer was not flushed or is still open.")
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        records = read_records(view)
        try:
            for offset, data, damage in records:
                if damage:
                    found.damage.append(f"{damage[0].upper()}{damage[1:]}.")
                    continue
                try:
                    yield Event.FromString(data)
                except DecodeError:
                    found.damage.append(f"The record at byte {offset} is intact but not an event.")
        finally:
            records.close()  # type: ignore[attr-defined]
            view.release()


def _add_graph(found: EventFile, event: Any, name: str, message: Any, raw: bytes) -> None:
    """Keep a graph, or report damage if it does not parse."""
    try:
        parsed = message.FromString(raw)
        source = graph_source(found.path, parsed) if message is GraphDef else meta_source(found.path, parsed, name)
    except (DecodeError, FormatError):
        found.damage.append(f"The {name} of step {event.step} is incomplete and is left out.")
        return
    found.graphs.append(LoggedGraph(event.step, name, source, event.wall_time))


def _add_traced(found: EventFile, event: Any) -> None:
    """Read the graphs of tf.summary.trace_export: RunMetadata, partition_graphs (3) or function_graphs (4)."""
    from tensorboard.compat.proto.config_pb2 import RunMetadata

    tagged = event.tagged_run_metadata
    try:
        metadata = RunMetadata.FromString(tagged.run_metadata)
    except DecodeError:
        found.damage.append(f"The trace {tagged.tag} of step {event.step} is incomplete and is left out.")
        return
    _add_functions(found, event, tagged.tag, (function.pre_optimization_graph for function in metadata.function_graphs))


def _add_functions(found: EventFile, event: Any, tag: str, graphs: Iterable[Any]) -> None:
    """Keep the graphs of one trace, the largest last: beside a network, a trace holds the functions of single ops."""
    for graph in sorted(graphs, key=lambda graph: len(graph.node)):
        if graph.node:
            source = graph_source(found.path, graph)
            found.graphs.append(LoggedGraph(event.step, f"trace {tag}", source, event.wall_time))


def _add_value(found: EventFile, event: Any, value: Any) -> None:
    step = event.step
    kind = value.metadata.plugin_data.plugin_name or (value.WhichOneof("value") or "").removesuffix("_value")
    kind = {"simple": "scalar", "scalars": "scalar", "histo": "histogram", "histograms": "histogram"}.get(kind, kind)
    if kind == "graph_run_metadata" or kind.startswith("graph"):
        _add_trace_summary(found, event, value)
        return
    number: float | None = None
    if value.HasField("simple_value"):
        number = value.simple_value
    elif kind == "scalar" and value.HasField("tensor"):
        tensor = value.tensor
        if tensor.float_val:
            number = tensor.float_val[0]
        elif len(tensor.tensor_content) == 4:
            import numpy as np

            number = float(np.frombuffer(tensor.tensor_content, "<f4")[0])
    tag = found.tags.setdefault(value.tag, Tag(value.tag, kind, 0, step, step, None))
    tag.points += 1
    tag.first_step = min(tag.first_step, step)
    if step >= tag.last_step:
        tag.last_step, tag.last_value = step, number


def _add_trace_summary(found: EventFile, event: Any, value: Any) -> None:
    """Read the graphs that TensorFlow 2 writes as summaries of the plugin ``graph…``."""
    for raw in value.tensor.string_val:
        plugin = value.metadata.plugin_data.plugin_name
        if plugin == "graph_keras_model":  # a Keras config in JSON, without ops
            continue
        from tensorboard.compat.proto.config_pb2 import RunMetadata

        try:
            metadata = RunMetadata.FromString(raw)
        except DecodeError:
            found.damage.append(f"The graph {value.tag} of step {event.step} is incomplete and is left out.")
            continue
        graphs = [function.pre_optimization_graph for function in metadata.function_graphs]
        _add_functions(found, event, value.tag, graphs or metadata.partition_graphs)


def graphs_by_time(files: Iterable[EventFile]) -> list[LoggedGraph]:
    """Return the graphs of ``files``, the one that was written last first.

    Within a file, that is the order of its records, whatever its clock said.
    """
    found: list[tuple[float, LoggedGraph]] = []
    for file in files:
        latest = float("-inf")
        for graph in file.graphs:
            latest = max(latest, graph.time)
            found.append((latest, graph))
    return [graph for _, graph in sorted(found, key=lambda item: item[0])][::-1]


def newest_graph(path: Path, number: int | None = None, files: Iterable[EventFile] | None = None) -> Source:
    """Return a graph of the event file or log folder ``path``: the one that was written last, or the ``number``-th.

    ``files`` holds what read_logs returned, if the caller has read them. Raises PorterError if there is none.
    """
    files = read_logs(path) if files is None else list(files)
    graphs = graphs_by_time(files)
    if not graphs:
        damage = " ".join(sentence for file in files for sentence in file.damage)
        raise PorterError(
            f"{path} has no graph in its events: "
            + (f"{damage} Copy it again" if damage else "it holds steps alone; name another")
        )
    at = 1 if number is None else number
    if not 1 <= at <= len(graphs):
        raise PorterError(f"{path} holds {plural(len(graphs), 'graph')}: `graph` must be 1 to {len(graphs)}, got {at}")
    chosen = graphs[at - 1]
    note = f"The {chosen.name} of step {chosen.step}."
    if len(graphs) > 1:
        which = "written last" if at == 1 else f"number {at}"
        note = (
            f"The {chosen.name} of step {chosen.step}, {which} of {len(graphs)}. "
            f"`port inspect {shlex.quote(str(path))} --graph {2 if at == 1 else 1}` shows another."
        )
    found = next(file for file in files if any(graph is chosen for graph in file.graphs))
    return replace(
        chosen.source,
        path=path,
        format="TensorBoard event file",
        notes=(note, *found.damage),
        others=tuple(f"{g.name} of step {g.step}" for n, g in enumerate(graphs, 1) if n != at),
        chosen=None if number is None or len(graphs) == 1 else ("graph", str(at)),
    )


def write_graph_event(path: Path, graph: Any, wall_time: float) -> None:
    """Write an event file of one GraphDef for TensorBoard; ``wall_time`` is in seconds since 1970."""
    events = [Event(wall_time=wall_time, file_version="brain.Event:2")]
    events.append(Event(wall_time=wall_time, graph_def=graph.SerializeToString()))
    path.write_bytes(b"".join(record(event.SerializeToString()) for event in events))
