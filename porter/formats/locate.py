"""resolve_path(path) -> Place: the files of the checkpoint that a prefix, a folder or any file of it stands for."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from porter.errors import PorterError, listing
from porter.formats.savers import Place, index_of, of_prefix, one, v1_shards
from porter.formats.signatures import READS, STATE, Peek

_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_IN_FOLDERS = ("*.index", "*.pb", "*.safetensors", "*.pth", "*.npz", "*.keras", "*.h5", "*.ckpt", "*.meta")


def resolve_path(path: Path) -> Place:
    """Return the place of the checkpoint that ``path`` stands for; no more than a file's first bytes are read.

    ``path`` may be a checkpoint's prefix, its ``.index``, ``.data`` or ``.meta`` file, its folder, the ``checkpoint``
    file beside it, a SavedModel's folder or graph, or the one file of any other format. Raises PorterError if nothing
    is there.
    """
    try:
        if path.is_dir():
            return _in_folder(path)
        found = _of_file(path) if path.is_file() else of_prefix(path)
    except OSError as error:
        raise PorterError(f"{path} cannot be read ({error.strerror}): name {READS}") from None
    if found:
        return found
    near = sorted(entry.name for entry in path.parent.glob("*")) if path.parent.is_dir() else []
    beside = f"; {path.parent} holds{listing(near)}" if near else ""
    raise PorterError(f"{path} does not exist, nor does {path.name}.index: name {READS}{beside}")


def _of_file(path: Path) -> Place:
    """Follow a file that belongs to a checkpoint to the file that describes it."""
    index = index_of(path)
    if index is not None:
        if not index.is_file():
            raise PorterError(f"{index} does not exist: it is the index of {path}, copy it beside it")
        return one(index)
    head = Peek(path).head
    state = STATE.match(head)
    if state:
        return _named_in_state(path, state[1])
    if path.suffix == ".meta" and head[:1] in (b"\n", b"\x12"):  # a MetaGraphDef's first or second field
        found = of_prefix(path.with_suffix(""))
        if not found:
            raise PorterError(
                f"{path} holds a graph, and its values lie in {path.stem}.index or {path.stem}: copy that beside it"
            )
        return found
    return _saved_model(path) or v1_shards(path) or one(path)


def _saved_model(path: Path) -> Place | None:
    """Return the variables of the SavedModel whose graph is ``path``, or None."""
    index = path.parent / "variables" / "variables.index"
    return one(index) if path.name in ("saved_model.pb", "saved_model.pbtxt") and index.is_file() else None


def _in_folder(folder: Path) -> Place:
    state = folder / "checkpoint"
    if state.is_file():
        return resolve_path(state)
    saved = _saved_model(folder / "saved_model.pb")
    if saved:
        return saved
    for pattern in _IN_FOLDERS:
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return resolve_path(found[0])
        if found:
            names = listing(file.name for file in found)
            raise PorterError(f"{folder} holds several checkpoints: name one of them{names}")
    raise PorterError(f"{folder} holds no checkpoint: name {READS}")


def _named_in_state(state: Path, quoted: bytes) -> Place:
    """Return the checkpoint that a ``checkpoint`` file names, or the one beside it if the folder was moved."""
    prefix = _ESCAPE.sub(_escaped, quoted).decode(errors="replace")
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
