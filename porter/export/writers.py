"""Writes a port's tensors, in the format that the target's suffix asks for."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.export.casting import bfloat16_bits, round_to
from porter.export.provenance import Facts
from porter.files.installed import require_package
from porter.files.json import to_json
from porter.files.progress import Track, untracked
from porter.files.seals import BLANK, SEAL, TENSORS, sealed
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.safetensors import BFLOAT16, DTYPES
from porter.mapping.table import Table
from porter.nets.build import build


@dataclass(frozen=True)
class Output:
    """What a writer writes: the target's tensors in ``dtype``, None for their own, and the facts about them.

    ``names`` are the classes' labels, if they have any; ``room`` are bytes to leave free for facts that follow.
    """

    arch: Arch
    tensors: Checkpoint
    facts: Facts
    dtype: str | None = None
    names: Sequence[str] = ()
    room: int = 0
    track: Track[str] = untracked

    def entry(self, name: str) -> Entry:
        """Return the tensor ``name`` in the dtype that is asked for."""
        return round_to(name, self.tensors.entries[name], self.dtype)

    def stored(self, name: str) -> np.ndarray:
        """Return the tensor ``name`` as files hold it: little-endian, in C order, a bfloat16 as its uint16 bits."""
        values = self.entry(name).load()
        if self.dtype == "bfloat16" and values.dtype.kind == "f":
            values = bfloat16_bits(values)
        return np.require(values.astype(values.dtype.newbyteorder("<"), copy=False), requirements=["C"])


_OVERHEAD, _ARCHITECTURE = 1 << 11, 1 << 18
"""Bytes that HDF5 takes for each tensor, besides its values, and Keras for a network's config; both rounded up."""

_SAFETENSORS = {dtype.name: code for code, dtype in DTYPES.items()}


def write_safetensors(path: Path, output: Output) -> dict[str, str]:
    """Write a .safetensors file one tensor at a time: the package's own writer wants all in memory.

    Source of the format: huggingface/safetensors, README.
    """
    halve = output.dtype == "bfloat16"
    entries = {name: output.entry(name) for name in output.tensors}
    sizes = {n: 2 if halve and e.dtype.kind == "f" else e.dtype.itemsize for n, e in entries.items()}
    # The package's order: aligned for every dtype, then by name.
    names = sorted(entries, key=lambda name: (-sizes[name], name))
    digests = dict.fromkeys(names, BLANK)
    metadata = {**output.facts.as_metadata(), TENSORS: to_json(digests), SEAL: BLANK}
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name in names:
        shape, dtype, _ = entries[name]
        if dtype.name not in _SAFETENSORS:
            raise PorterError(f"{name} has dtype {dtype.name}, which safetensors cannot hold: --ignore it")
        begin, end = end, end + sizes[name] * int(np.prod(shape))
        stored = BFLOAT16 if halve and dtype.kind == "f" else _SAFETENSORS[dtype.name]
        header[name] = {"dtype": stored, "shape": list(shape), "data_offsets": [begin, end]}
    with path.open("wb") as file:
        file.write(_header(header, output.room))
        for name in output.track(names, "writing"):
            raw = output.stored(name)
            file.write(raw.data)
            digests[name] = sha256(raw.data).hexdigest()
    add_metadata(path, {TENSORS: to_json(digests)})
    return digests


def _header(fields: Mapping[str, object], room: int) -> bytes:
    """Return a header's length and text, padded to eight bytes and by ``room`` for what is still to come."""
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (room + -(len(text) + room) % 8)
    return len(text).to_bytes(8, "little") + text


def add_metadata(path: Path, facts: Mapping[str, str]) -> None:
    """Put more facts into the header of a .safetensors file that was written with room for them, and seal it anew."""
    with path.open("r+b") as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        fields = json.loads(file.read(size))
        fields["__metadata__"] |= {**facts, SEAL: BLANK}
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > size:
            raise PorterError(f"{path} has no room for {', '.join(facts)}: this is a mistake in porter, report it")
        file.seek(0)
        file.write(sealed(length + text.ljust(size)))


def _require_room(path: Path, output: Output) -> None:
    """Raise OSError where a disk is too full for ``output``: libraries say it in many ways, some on standard error."""
    widest = 2 if output.dtype else 8
    sizes = (min(e.dtype.itemsize, widest) * math.prod(e.shape) + _OVERHEAD for e in output.tensors.entries.values())
    if shutil.disk_usage(path.parent).free < sum(sizes) + _ARCHITECTURE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_pth(path: Path, output: Output) -> dict[str, str]:
    """Write a .pth state dict; the format has no place for the facts."""
    require_package("torch", "torch")
    import torch

    state, digests = {}, {}
    for name in output.track(list(output.tensors), "writing"):
        values = output.stored(name)
        digests[name] = sha256(values.data).hexdigest()
        tensor = torch.from_numpy(np.require(values, requirements=["W"]))
        halved = output.dtype == "bfloat16" and output.tensors.entries[name].dtype.kind == "f"
        state[name] = tensor.view(torch.bfloat16) if halved else tensor
    _require_room(path, output)
    try:
        torch.save(state, path)
    except RuntimeError as error:  # PyTorch's word for a disk that does not take it
        raise OSError(f"PyTorch could not ({str(error).splitlines()[0]})") from error
    return digests


def write_keras(path: Path, output: Output, weights_only: bool = False) -> dict[str, str]:
    """Write the Keras model, or its weights, through Keras itself; the format follows the suffix."""
    options: dict[str, Any] = dict.fromkeys(Table.load(output.arch.table).parts_in("keras", output.tensors), True)
    options |= {"dtype": output.dtype} if output.dtype else {}
    _require_room(path, output)
    model = build(output.arch, "keras", output.tensors, **options)
    if weights_only:
        model.save_weights(path)
    else:
        model.save(path)
    return {name: sha256(output.stored(name).data).hexdigest() for name in output.tensors}


Writer = Callable[[Path, Output], dict[str, str]]
"""Writes the output to a path and returns each tensor's SHA-256, see porter.files.seals."""
WRITERS: dict[str, dict[str, Writer]] = {
    "tf": {".safetensors": write_safetensors},
    "torch": {".safetensors": write_safetensors, ".pth": write_pth},
    "keras": {
        ".weights.h5": partial(write_keras, weights_only=True),
        ".keras": write_keras,
        ".h5": write_keras,
        ".safetensors": write_safetensors,
    },
}
"""The writers of each dialect by suffix, the longer suffix first."""


def writer_of(target: Path, dialect: str) -> Writer:
    """Return the writer that ``target``'s suffix asks for; raises PorterError where there is none."""
    writers = WRITERS[dialect]
    for suffix, writer in writers.items():
        if target.name.endswith(suffix) and target.name != suffix:
            if target.is_dir():
                raise PorterError(f"--out {target} is a folder: end it in / to fill it")
            if not target.parent.is_dir():
                raise PorterError(f"--out {target}: the folder {target.parent} does not exist: make it first")
            return writer
    raise PorterError(f"--out {target} has no suffix that porter writes for {dialect}: end it in {_either(writers)}")


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
