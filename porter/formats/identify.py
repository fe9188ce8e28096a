"""identify(path): what lies at a path, be it a file, a folder or the prefix of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from porter.errors import PorterError
from porter.formats import savers
from porter.formats.signatures import (
    BUNDLE,
    HUB_MARK_NAME,
    KINDS,
    META,
    READS,
    RECORD,
    SAVED_MODEL_GRAPH,
    STATE_FILE,
    V1,
    Kind,
    kind_of,
)
from porter.formats.tensorflow.tfrecord import find_event_files

SAVED_MODELS = ("saved_model.pb", "saved_model.pbtxt")
RECORD_NAMES = ("config.json", "porter.json")
"""The record of a folder that porter wrote; the second where a library has its own config.json."""


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


def _hub_module(folder: Path) -> Sequence[Path]:
    return _saved_model(folder) if (folder / HUB_MARK_NAME).is_file() else ()


def _recorded(folder: Path) -> Sequence[Path]:
    return sorted(folder.iterdir()) if record_in(folder) else ()


def record_in(folder: Path) -> Path | None:
    """Return the record in a folder that porter wrote, None in any other. Raises OSError if it cannot be read."""
    records = (folder / name for name in RECORD_NAMES)
    return next((record for record in records if record.is_file() and kind_of(record) is RECORD), None)


def _only_graph(folder: Path) -> Sequence[Path]:
    kinds = _kinds_in(folder)
    if {STATE_FILE, BUNDLE, V1} & set(kinds.values()):
        return ()
    found = [path for path, kind in kinds.items() if path.suffix in _GRAPHS or kind.holds == "graph"]
    return found if len(found) == 1 and kinds[found[0]].holds == "graph" else ()


LOG_FOLDER = FolderKind("folder of event files", "events", _logs)
HUB_MODULE = FolderKind("TF-Hub module", "graph", _hub_module)
SAVED_MODEL = FolderKind("TensorFlow SavedModel", "graph", _saved_model)
PORTER_FOLDER = FolderKind("folder that porter wrote", "tensors", _recorded)
GRAPH_FOLDER = FolderKind("folder of one graph", "graph", _only_graph)
FOLDER = FolderKind("folder", "tensors", lambda _: ())
FOLDERS = (LOG_FOLDER, HUB_MODULE, SAVED_MODEL, PORTER_FOLDER, GRAPH_FOLDER)
"""The kinds of folder in the order in which they are tried; any other folder may hold one checkpoint."""
NOTHING = Kind("nothing", "nothing", lambda _: False)


_GRAPHS = (".pb", ".pbtxt", ".meta")
_IN_FOLDERS = sorted(
    (kind for kind in KINDS if kind.reader or kind in (META, SAVED_MODEL_GRAPH)),
    key=lambda kind: (kind.holds == "archive", not kind.reader),
)
"""The kinds of file that may be a folder's checkpoint, in the order in which they are preferred: archives last."""
_ADDRESS = re.compile(r"(gs|s3|hdfs|https?|ftp):/+(.*)")
_ELSEWHERE = {
    "gs": ("in a bucket", "copy it, as with gsutil cp 'gs://{}*' ."),
    "s3": ("in a bucket", "copy it, as with aws s3 cp or sync s3://{} ."),
}


class Identity(NamedTuple):
    """What lies at ``path``: its kind, and the files that belong to it.

    Of a path inside an archive, it is the archive's kind and file.
    """

    path: Path
    kind: Kind | FolderKind
    files: tuple[Path, ...]


def identify(path: str | Path) -> Identity:
    """Return what lies at ``path``, judged by its bytes; the kind NOTHING if nothing does.

    A path that only begins the names of a checkpoint's files is of the kind of that checkpoint. Raises PorterError if
    the files cannot be read, if some of a V1 checkpoint's files are missing, or if ``path`` is an address elsewhere.
    """
    if not str(path):
        raise PorterError(f"the path is empty: name {READS}")
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path)
        place = (savers.v1_shards(path) or savers.one(path)) if path.is_file() else savers.of_prefix(path)
        if place:
            return Identity(place.path, kind_of(place.files[0]), place.files)
        return _in_archive(path) or _nothing(path)
    except OSError as error:
        raise PorterError(f"{path} cannot be read ({error.strerror}): name {READS}") from None


def _in_archive(path: Path) -> Identity | None:
    """Return the archive that ``path`` continues, as in ``release.tgz/model.ckpt``, or None."""
    for parent in path.parents:
        if parent.is_file():
            kind = kind_of(parent)
            return Identity(path, kind, (parent,)) if kind.holds == "archive" else None
    return None


def _nothing(path: Path) -> Identity:
    address = _ADDRESS.match(str(path))  # a Path has lost one of its slashes
    if address:
        scheme, rest = address.groups()
        where, remedy = _ELSEWHERE.get(scheme, ("on another machine", "download it"))
        raise PorterError(f"{scheme}://{rest} is {where}, and porter reads local files: {remedy.format(rest)}")
    return Identity(path, NOTHING, ())


def checkpoints_in(folder: Path) -> Sequence[Path]:
    """Return the files of ``folder`` that describe its checkpoint: several of one kind if it holds several.

    The ``checkpoint`` file beside a saver's files chooses one, and a SavedModel's variables come before other files.
    Damaged files count by their suffix, so that their own error names them.
    """
    kinds = _kinds_in(folder)
    if folder / "checkpoint" in kinds:
        return [folder / "checkpoint"]
    saved = next((graph for graph in _saved_model(folder) if variables_of(graph)), None)
    if saved:
        return [saved]
    for wanted in _IN_FOLDERS:
        found = [
            path
            for path, kind in kinds.items()
            if kind is wanted or (kind.holds == "nothing" and path.name.endswith(wanted.suffixes))
        ]
        if found:
            return found
    return []


def variables_of(graph: Path) -> Path | None:
    """Return the index of the variables beside a SavedModel's ``graph``, None for any other file."""
    index = graph.parent / "variables" / "variables.index"
    return index if graph.name in SAVED_MODELS and index.is_file() else None


def _kinds_in(folder: Path) -> dict[Path, Kind]:
    """Return the kind of each file of ``folder`` that can be read, by name."""
    kinds = {}
    for path in sorted(folder.iterdir()):
        with suppress(OSError):
            if path.is_file() and not path.name.startswith("._"):  # what macOS keeps beside a file
                kinds[path] = kind_of(path)
    return kinds


def _folder(folder: Path) -> Identity:
    for kind in FOLDERS:
        files = kind.find(folder)
        if files:
            return Identity(folder, kind, tuple(files))
    return Identity(folder, FOLDER, ())
