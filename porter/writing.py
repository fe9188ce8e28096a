"""Writes tensors to a file, beside the target and then renamed: nothing half-written is ever there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np

from porter.checkpoint import Entry
from porter.errors import PorterError
from porter.load import require_package

T = TypeVar("T")
Track = Callable[[Iterable[T], str], Iterable[T]]
"""Wraps an iterable to show progress, under a description."""


def untracked(steps: Iterable[T], _what: str) -> Iterable[T]:
    """Show nothing: what a library does."""
    return steps


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target`` to write to; what lies there at the end is flushed and renamed.

    Nothing is renamed, and ``target`` stays as it was, where the body raises or leaves no file.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield temporary
        if temporary.is_file():
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
    except OSError as error:
        raise PorterError(f"{target} cannot be written: {error.strerror or error}; name another --out") from error
    finally:
        temporary.unlink(missing_ok=True)


def writer_of(target: Path) -> Writer:
    """Return the writer that ``target``'s suffix asks for; raises PorterError where there is none."""
    if target.suffix not in WRITERS:
        raise PorterError(f"--out {target} has no suffix that porter writes: end it in {' or '.join(WRITERS)}")
    if target.is_dir():
        raise PorterError(f"--out {target} is a folder: name a file in it")
    if not target.parent.is_dir():
        raise PorterError(f"--out {target}: the folder {target.parent} does not exist: make it first")
    return WRITERS[target.suffix]


_SAFETENSORS = {
    "float16": "F16", "float32": "F32", "float64": "F64", "bool": "BOOL",
    "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
}  # fmt: skip


def write_safetensors(path: Path, entries: Mapping[str, Entry], metadata: Mapping[str, str], track: Track[str]) -> None:
    """Write a .safetensors file one tensor at a time: the package's own writer wants all in memory.

    Source of the format: huggingface/safetensors, README.
    """
    # The package's order: aligned for every dtype, then by name.
    names = sorted(entries, key=lambda name: (-entries[name].dtype.itemsize, name))
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        shape, dtype, _ = entries[name]
        if dtype.name not in _SAFETENSORS:
            raise PorterError(
                f"{name} has dtype {dtype.name}, which safetensors cannot hold: leave it out with --ignore"
            )
        begin, end = end, end + dtype.itemsize * int(np.prod(shape))
        header[name] = {"dtype": _SAFETENSORS[dtype.name], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in track(names, "writing"):
            little = entries[name].load().astype(entries[name].dtype.newbyteorder("<"), copy=False)
            file.write(np.ascontiguousarray(little).data)


def write_pth(path: Path, entries: Mapping[str, Entry], metadata: Mapping[str, str], track: Track[str]) -> None:
    """Write a .pth state dict; the format has no place for ``metadata``."""
    require_package("torch", "torch")
    import torch

    state = {
        name: torch.from_numpy(np.require(entries[name].load(), requirements=["C", "W"]))
        for name in track(list(entries), "writing")
    }
    torch.save(state, path)


Writer = Callable[[Path, Mapping[str, Entry], Mapping[str, str], Track[str]], None]
WRITERS: dict[str, Writer] = {".safetensors": write_safetensors, ".pth": write_pth}
