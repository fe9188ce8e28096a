"""identify(path): what lies at a path, be it a file, a folder or the prefix of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from porter.errors import PorterError
from porter.formats import savers
from porter.formats.signatures import READS, RECORD, Kind, kind_of
from porter.formats.tensorflow.tfrecord import find_event_files

SAVED_MODELS = ("saved_model.pb", "saved_model.pbtxt")
RECORD_NAME = "config.json"
"""The record of a folder that porter wrote."""


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder: ``find`` returns the files in it that matter, none if it is of another kind."""

    name: str
    holds: Literal["tensors", "graph", "events", "nothing"]
    find: Callable[[Path], Sequence[Path]]


def _logs(folder: Path) -> Sequence[Path]:
    return () if (folder / SAVED_MODELS[0]).is_file() else find_event_files(folder)


def _saved_model(folder: Path) -> Sequence[Path]:
    return [folder / name for name in SAVED_MODELS if (folder / name).is_file()][:1]


def _recorded(folder: Path) -> Sequence[Path]:
    record = folder / RECORD_NAME
    return sorted(folder.iterdir()) if record.is_file() and kind_of(record) is RECORD else ()


def _only_graph(folder: Path) -> Sequence[Path]:
    if (folder / "checkpoint").is_file() or list(folder.glob("*.index")):
        return ()
    found = [path for suffix in ("*.pb", "*.pbtxt", "*.meta") for path in folder.glob(suffix) if path.is_file()]
    return found if len(found) == 1 and kind_of(found[0]).holds == "graph" else ()


LOG_FOLDER = FolderKind("folder of event files", "events", _logs)
SAVED_MODEL = FolderKind("SavedModel", "graph", _saved_model)
PORTER_FOLDER = FolderKind("folder that porter wrote", "tensors", _recorded)
GRAPH_FOLDER = FolderKind("folder of one graph", "graph", _only_graph)
FOLDER = FolderKind("folder", "tensors", lambda _: ())
FOLDERS = (LOG_FOLDER, SAVED_MODEL, PORTER_FOLDER, GRAPH_FOLDER)
"""The kinds of folder in the order in which they are tried; any other folder may hold one checkpoint."""
NOTHING = Kind("nothing", "nothing", lambda _: False)


class Identity(NamedTuple):
    """What lies at ``path``: its kind, and the files that belong to it."""

    path: Path
    kind: Kind | FolderKind
    files: tuple[Path, ...]


def identify(path: str | Path) -> Identity:
    """Return what lies at ``path``, judged by its bytes; the kind NOTHING if nothing does.

    A path that only begins the names of a checkpoint's files is of the kind of that checkpoint. Raises PorterError if
    the files cannot be read, or if some of a V1 checkpoint's files are missing.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path)
        place = (savers.v1_shards(path) or savers.one(path)) if path.is_file() else savers.of_prefix(path)
        return Identity(place.path, kind_of(place.files[0]), place.files) if place else Identity(path, NOTHING, ())
    except OSError as error:
        raise PorterError(f"{path} cannot be read ({error.strerror}): name {READS}") from None


def _folder(folder: Path) -> Identity:
    for kind in FOLDERS:
        files = kind.find(folder)
        if files:
            return Identity(folder, kind, tuple(files))
    return Identity(folder, FOLDER, ())
