"""open_checkpoint(path) -> Checkpoint, whatever TensorFlow, PyTorch or Keras left on the disk."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from porter.checkpoint.entry import Checkpoint, Entry
from porter.checkpoint.sstable import FOOTER, is_table
from porter.errors import FormatError, PorterError, listing

__all__ = ["Checkpoint", "Entry", "open_checkpoint"]

_READS = "a TensorFlow V2 checkpoint, a frozen graph, a .safetensors, .pth, .keras or .h5 file"
_SHARD = re.compile(r"(.+)\.data-\d{5}-of-\d{5}")
_STATE = re.compile(rb'model_checkpoint_path:\s*"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint's prefix, its ``.index`` or a ``.data`` file, its folder, the ``checkpoint`` file
    beside it, a frozen graph, .safetensors or .pth; what it is, is seen from its bytes.

    Raises PorterError where there is nothing to read, FormatError where it is damaged or unknown.
    """
    return _read(_locate(Path(path)))


def _locate(path: Path) -> Path:
    """Return the one file that says what the checkpoint holds."""
    if path.is_dir():
        return _in_folder(path)
    index = path.with_name(f"{path.name}.index")
    if path.is_file():
        shard = _SHARD.fullmatch(path.name)
        if shard:  # a shard has no magic number: only its name tells
            return _existing(path.with_name(f"{shard[1]}.index"), f"the index of {path}")
        with path.open("rb") as file:
            state = _STATE.match(file.read(4096).lstrip())
        return _named_in_state(path, state[1]) if state else path
    if index.is_file():
        return index
    near = sorted(entry.name for entry in path.parent.glob("*")) if path.parent.is_dir() else []
    beside = f"; {path.parent} holds{listing(near)}" if near else ""
    raise PorterError(f"{path} does not exist, nor does {index.name}: name {_READS}{beside}")


def _in_folder(folder: Path) -> Path:
    state = folder / "checkpoint"
    if state.is_file():
        return _locate(state)
    for pattern in ("*.index", "*.pb", "*.safetensors", "*.pth", "*.keras", "*.h5"):
        found = sorted(folder.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = listing(file.name for file in found)
            raise PorterError(f"{folder} holds several checkpoints: name one of them{names}")
    raise PorterError(f"{folder} holds no checkpoint: name {_READS}")


def _named_in_state(state: Path, quoted: bytes) -> Path:
    """Return the index that a ``checkpoint`` file names, beside it where the folder was moved."""
    prefix = _ESCAPE.sub(_escaped, quoted).decode(errors="replace")
    name = re.split(r"[/\\]", prefix)[-1]  # the other machine's paths may be Windows'
    for candidate in (state.parent / prefix, state.parent / name):
        index = Path(f"{candidate}.index")
        if index.is_file():
            return index
    raise PorterError(f"{state} names {prefix}, but {name}.index is not there: name the checkpoint itself")


def _escaped(found: re.Match[bytes]) -> bytes:
    """Return what stands behind a backslash in protobuf's text format: a byte in octal, or itself."""
    return bytes([int(found[1], 8) & 0xFF]) if found[1].isdigit() else found[1]


def _existing(path: Path, what: str) -> Path:
    if not path.is_file():
        raise PorterError(f"{path} does not exist: it is {what}, copy it beside it")
    return path


def _read(path: Path) -> Checkpoint:
    """Choose the format by the file's bytes. Readers are imported only when they are needed."""
    with path.open("rb") as file:
        head = file.read(16)
        size = file.seek(0, 2)
        file.seek(max(0, size - FOOTER))
        tail = file.read()
    if not head:
        raise FormatError(f"{path} is empty: copy or download it again")
    if is_table(tail):
        from porter.checkpoint.bundle import read_bundle

        return read_bundle(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size:
        from porter.checkpoint.safetensors import read_safetensors

        return read_safetensors(path)
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        from porter.checkpoint.keras import read_h5

        return read_h5(path)
    if head[:2] == b"PK" and _has_member(path, "config.json"):
        from porter.checkpoint.keras import read_keras

        return read_keras(path)
    if head[:2] == b"PK":
        from porter.checkpoint.pth import read_pth

        return read_pth(path)
    if head[:1] == b"\n" or head[:2] == b"\x1f\x8b":  # a GraphDef's first field, or gzip
        from porter.checkpoint.frozen import read_frozen

        return read_frozen(path)
    if path.suffix == ".index":
        raise FormatError(f"{path} does not end as a checkpoint index does: it is cut off; copy or download it again")
    raise FormatError(
        f"{path} begins with {head[:4].hex(' ')}, which is none of the formats porter reads: name {_READS}"
    )


def _has_member(path: Path, name: str) -> bool:
    """Tell whether a zip archive has the member ``name``; a damaged one, for its reader to refuse, has none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return name in archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError):
        return False
