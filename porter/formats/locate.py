"""What a path means: which files a checkpoint's name, its folder or one of its files stands for."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from porter.errors import PorterError, listing

READS = "a TensorFlow checkpoint, a frozen graph, a SavedModel, a .safetensors, .pth, .npz, .keras or .h5 file"
_SHARD = re.compile(r"(.+)\.data-\d{5}-of-\d{5}")
_V1_SHARD = re.compile(r"(.+)-(?:\d{5}|\?{5})-of-(\d{5})")
_STATE = re.compile(rb'model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_IN_FOLDERS = ("*.index", "*.pb", "*.safetensors", "*.pth", "*.npz", "*.keras", "*.h5", "*.ckpt", "*.meta")


class Place(NamedTuple):
    """Where a checkpoint lies: ``path`` names it, and ``files`` say what it holds; one but for V1's shards."""

    path: Path
    files: tuple[Path, ...]


def resolve_path(path: Path) -> Place:
    """Return the place that ``path`` stands for. Raises PorterError where nothing is there."""
    try:
        if path.is_dir():
            return _in_folder(path)
        if path.is_file():
            return _of_file(path)
        found = _of_prefix(path)
    except OSError as error:
        raise PorterError(f"{path} cannot be read ({error.strerror}): name {READS}") from None
    if found:
        return found
    near = sorted(entry.name for entry in path.parent.glob("*")) if path.parent.is_dir() else []
    beside = f"; {path.parent} holds{listing(near)}" if near else ""
    raise PorterError(f"{path} does not exist, nor does {path.name}.index: name {READS}{beside}")


def _one(path: Path) -> Place:
    return Place(path, (path,))


def _of_file(path: Path) -> Place:
    """Follow a file that only belongs to a checkpoint to what says what that holds."""
    shard = _SHARD.fullmatch(path.name)
    if shard:  # a shard has no magic number: only its name tells
        index = path.with_name(f"{shard[1]}.index")
        if not index.is_file():
            raise PorterError(f"{index} does not exist: it is the index of {path}, copy it beside it")
        return _one(index)
    with path.open("rb") as file:
        head = file.read(4096)
    state = _STATE.match(head.lstrip())
    if state:
        return _named_in_state(path, state[1])
    if path.suffix == ".meta" and head[:1] in (b"\n", b"\x12"):  # a MetaGraphDef's first or second field
        found = _of_prefix(path.with_suffix(""))
        if not found:
            raise PorterError(
                f"{path} holds a graph, whose values lie in {path.stem}.index or {path.stem}: copy that beside it"
            )
        return found
    return _saved_model(path) or _v1_shards(path) or _one(path)


def _of_prefix(prefix: Path) -> Place | None:
    """Return what a saver wrote under ``prefix``: V2's index, V1's file, or V1's shards."""
    index = prefix.with_name(f"{prefix.name}.index") if prefix.name else prefix
    for path in (index, prefix):
        if path.is_file():
            return _one(path)
    shards = _v1_shards(prefix)
    if shards:
        return shards
    named = sorted(prefix.parent.glob(f"{_quoted(prefix.name)}-00000-of-[0-9][0-9][0-9][0-9][0-9]"))
    return _v1_shards(named[0]) if len(named) == 1 else None


def _quoted(name: str) -> str:
    """Return a name as a pattern that nothing else matches."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _v1_shards(path: Path) -> Place | None:
    """Return all the files of a sharded V1 checkpoint, of which ``path`` is one or the pattern of all."""
    shard = _V1_SHARD.fullmatch(path.name)
    if not shard:
        return None
    files = tuple(path.with_name(f"{shard[1]}-{number:05d}-of-{shard[2]}") for number in range(int(shard[2])))
    present = [file for file in files if file.is_file()]
    if not present:
        return None
    if len(present) < len(files):
        missing = listing(file.name for file in files if not file.is_file())
        raise PorterError(f"{path} is one of {len(files)} files, and not all are there: copy them beside it{missing}")
    return Place(path.with_name(f"{shard[1]}-?????-of-{shard[2]}"), files)


def _saved_model(path: Path) -> Place | None:
    """Return the variables of the SavedModel that ``path`` belongs to."""
    index = path.parent / "variables" / "variables.index"
    return _one(index) if path.name in ("saved_model.pb", "saved_model.pbtxt") and index.is_file() else None


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
    """Return the checkpoint that a ``checkpoint`` file names, beside it where the folder was moved."""
    prefix = _ESCAPE.sub(_escaped, quoted).decode(errors="replace")
    name = re.split(r"[/\\]", prefix)[-1]  # the other machine's paths may be Windows'
    for candidate in (state.parent / prefix, state.parent / name):
        with suppress(OSError):  # a name that is too long for any file
            found = _of_prefix(candidate)
            if found:
                return found
    raise PorterError(f"{state} names {prefix}, but {name}.index is not there: name the checkpoint itself")


def _escaped(found: re.Match[bytes]) -> bytes:
    """Return what stands behind a backslash in protobuf's text format: a byte in octal, or itself."""
    return bytes([int(found[1], 8) & 0xFF]) if found[1][:1] in b"01234567" else found[1]
