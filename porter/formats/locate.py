"""resolve_path(path) -> Identity: the checkpoint that a prefix, a folder or any file of it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from porter.errors import PorterError, listing
from porter.formats.identify import NOTHING, FolderKind, Identity, checkpoints_in, identify, variables_of
from porter.formats.peek import Peek
from porter.formats.savers import Place, index_of, of_prefix, one
from porter.formats.signatures import DATA_FILE, META, READS, SAVED_MODEL_GRAPH, STATE, STATE_FILE, TEXT_GRAPH, Kind

_FEW = 10
"""A folder with more entries is searched for names like the one that is missing."""
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)


def resolve_path(path: str | Path) -> Identity:
    """Return the checkpoint that ``path`` stands for; no more than a file's first bytes are read.

    ``path`` may be a checkpoint's prefix, its ``.index``, ``.data`` or ``.meta`` file, its folder, the ``checkpoint``
    file beside it, a SavedModel's folder or graph, the one file of any other format, or an archive, with a path inside
    it or without. An archive stands for itself. Raises PorterError if nothing is there.
    """
    found = identify(path)
    if isinstance(found.kind, FolderKind):
        return _in_folder(found.path)
    follow = _FOLLOW.get(found.kind)
    place = follow(found.path) if follow else None
    return identify(place.path) if place else found


def _absent(path: Path) -> Place:
    near = sorted(entry.name for entry in path.parent.glob("*")) if path.parent.is_dir() else []
    if len(near) > _FEW:
        near = get_close_matches(path.name, near, _FEW)
    beside = f"; {path.parent} holds{listing(near)}" if near else ""
    raise PorterError(f"{path} does not exist, nor does {path.name}.index: name {READS}{beside}")


def _index(data: Path) -> Place:
    index = index_of(data)
    assert index is not None  # its name is what makes a data file
    if not index.is_file():
        raise PorterError(f"{index} does not exist: it is the index of {data}, copy it beside it")
    return one(index)


def _beside_graph(meta: Path) -> Place:
    name = meta.name.removesuffix(".meta")
    found = of_prefix(meta.parent / name)
    if not found:
        raise PorterError(f"{meta} holds a graph, and its values lie in {name}.index or {name}: copy that beside it")
    return found


def _variables(graph: Path) -> Place | None:
    index = variables_of(graph)
    return one(index) if index else None


def _in_folder(folder: Path) -> Identity:
    try:
        found = checkpoints_in(folder)
    except OSError as error:
        raise PorterError(f"{folder} cannot be read ({error.strerror}): name {READS}") from None
    if len(found) > 1:
        names = listing(file.name for file in found)
        raise PorterError(f"{folder} holds several checkpoints: name one of them{names}")
    if not found:
        raise PorterError(f"{folder} holds no checkpoint: name {READS}")
    return resolve_path(found[0])


def _named_in_state(state: Path) -> Place:
    """Return the checkpoint that a ``checkpoint`` file names, or the one beside it if the folder was moved."""
    named = STATE.match(Peek(state).text)
    assert named is not None  # its first words are what makes a state file
    prefix = _ESCAPE.sub(_escaped, named[1]).decode(errors="replace")
    name = re.split(r"[/\\]", prefix)[-1]  # the path may come from another system, such as Windows
    for candidate in (state.parent / prefix, state.parent / name):
        with suppress(OSError):  # too long a name for any file
            found = of_prefix(candidate)
            if found:
                return found
    raise PorterError(f"{state} names {prefix}, but {name}.index does not exist: name the checkpoint itself")


def _escaped(found: re.Match[bytes]) -> bytes:
    """Return the byte that follows a backslash in protobuf's text format: in octal, or itself."""
    return bytes([int(found[1], 8) & 0xFF]) if found[1][:1] in b"01234567" else found[1]


_FOLLOW: dict[Kind, Callable[[Path], Place | None]] = {
    NOTHING: _absent,
    DATA_FILE: _index,
    META: _beside_graph,
    STATE_FILE: _named_in_state,
    SAVED_MODEL_GRAPH: _variables,
    TEXT_GRAPH: _variables,
}
"""The kinds that stand for other files of a checkpoint, and what they lead to."""
