"""read_source(path) -> Source: the network in a file of any format that has one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from porter.errors import PorterError
from porter.formats.archives import leave, read_inside
from porter.formats.identify import FolderKind, Identity, identify
from porter.formats.signatures import HDF5, KERAS, TFJS, TFLITE, Kind
from porter.formats.tensorflow.graph_source import Source
from porter.formats.tensorflow.source import read_graph, refuse_tag

_READERS: dict[Kind | FolderKind, str] = {
    TFLITE: "tflite:read_tflite_graph",
    TFJS: "tfjs:read_tfjs_graph",
    KERAS: "keras:read_keras_graph",
    HDF5: "keras:read_keras_graph",
}
"""The readers of formats other than TensorFlow's, ``module:function`` in this folder, imported when they are needed."""


def has_network(found: Identity) -> bool:
    """Tell whether a file of this kind may hold a network, and not weights alone."""
    if found.kind.holds == "archive":
        return read_inside(found, lambda _: True) is not None
    return found.kind.holds == "graph" or found.kind in _READERS


def is_foreign(path: Path) -> bool:
    """Tell whether a file or folder holds a network of another format than TensorFlow's, with its weights."""
    found = identify(path)
    kinds = {found.kind, *(identify(file).kind for file in found.files[:1] if found.kind.holds == "graph")}
    return not kinds.isdisjoint(_READERS)


def read_source(path: Path, *, tag: str | None = None, graph: int | None = None) -> Source:
    """Read the network in ``path``, a file or folder; see read_graph. Raises FormatError, PorterError."""
    found = identify(path)
    if found.kind.holds == "archive":
        return _in_archive(found, tag, graph)
    place = _READERS.get(found.kind)
    if place is None and found.kind.holds == "graph" and len(found.files) == 1:
        inside = identify(found.files[0])
        place, found = _READERS.get(inside.kind), inside
    if place is None:
        return read_graph(path, tag=tag, graph=graph)
    refuse_tag(path, tag, found.kind.name)
    if graph is not None:
        raise PorterError(
            f"{path} is a {found.kind.name}, and `graph` chooses among those of event files: leave it out"
        )
    module, _, name = place.partition(":")
    read: Callable[[Path], Source] = getattr(importlib.import_module(f"porter.graph.foreign.{module}"), name)
    return read(found.files[0])


def _in_archive(found: Identity, tag: str | None, graph: int | None) -> Source:
    """Read the one network in an archive, or the one at a path inside it."""
    source = read_inside(found, lambda place: replace(read_source(place, tag=tag, graph=graph), path=found.path))
    if source is None:
        leave(found)
        raise PorterError(f"{found.path} holds no single graph: name a path inside it, or unpack it")
    return source
